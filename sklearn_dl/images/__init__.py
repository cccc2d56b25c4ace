"""Load images lazily, resize them, and turn them into numbers."""

from sklearn_dl.images._formats import SAFE_FORMATS
from sklearn_dl.images._lazy import ImageReadError, LazyImage
from sklearn_dl.images._loader import ImageLoader
from sklearn_dl.images._pixel_array import PixelArray
from sklearn_dl.images._pixels import PixelExtractor
from sklearn_dl.images._resizer import ImageResizer

__all__ = [
    "SAFE_FORMATS",
    "ImageLoader",
    "ImageReadError",
    "ImageResizer",
    "LazyImage",
    "PixelArray",
    "PixelExtractor",
]
