"""ImageLoader: paths, bytes, PIL images and arrays -> a column of lazy images."""

import os
import re
import sys
from dataclasses import replace
from numbers import Integral

import numpy as np
from PIL import Image
from sklearn.base import TransformerMixin

from sklearn_dl.images._faults import machine_fault, naming
from sklearn_dl.images._files import file_stat
from sklearn_dl.images._formats import check_formats
from sklearn_dl.images._lazy import Decoding, ImageReadError, LazyImage, image_column
from sklearn_dl.images._step import ImageStepMixin
from sklearn_dl.utils._base import DeepEstimator
from sklearn_dl.utils._columns import is_missing, single_column
from sklearn_dl.utils._messages import MAX_MESSAGE, shortened
from sklearn_dl.utils._sklearn import Interval, StrOptions


class ImageLoader(ImageStepMixin, TransformerMixin, DeepEstimator):
    """Turn paths, encoded files, PIL images and arrays into a column of lazy images.

    No pixel is read here: each row becomes a :class:`LazyImage`, which is decoded when a later
    step asks for it. So a pipeline over 100,000 photographs needs the memory of one batch.

    Parameters
    ----------
    root : str, Path or None, default=None
        Folder that relative paths are joined to. A path that leaves it (absolute, ``..``, through
        a symbolic link) is refused, and so is a file or folder in it that has become a symbolic
        link when the image is read. None: paths are used as they are.
    colors : {"RGB", "RGBA", "L"}, default="RGB"
        Colour channels of the images, by the names of Pillow's modes. With "RGB" and "L",
        transparent images are composited on black.
    exif_transpose : bool, default=True
        Turn photographs upright as their EXIF orientation says.
    on_error : {"raise", "nan"}, default="raise"
        What a row that cannot be read does: raise, naming its row and path; or be masked: it is
        never scored, its outputs are NaN, and one warning counts such rows. Faults of the machine
        (too many open files, no memory, a disk that fails) raise in any case.
    max_pixels : int or None, default=178_956_970
        Largest width x height, in pixels, that is decoded: a guard against decompression bombs.
        It holds for what is inside a file, too: the icons of ICO and ICNS, the tiles of TIFF, the
        bitstreams of AVIF. Pillow's own limit, ``PIL.Image.MAX_IMAGE_PIXELS``, applies besides (a
        warning above it, an error above twice it). None: only Pillow's.
    formats : list or tuple of str, or None, default=None
        All of Pillow's formats that files may have ("PNG", "ICNS"), by the names of
        ``PIL.Image.OPEN``; "HEIF" for HEIC images. None: ``sklearn_dl.images.SAFE_FORMATS``, those
        whose size is known before they are decoded. A file of another format is refused by name.
        ``[*SAFE_FORMATS, "BLP"]`` reads one more, whose files have to be trusted. PIL images are
        of any format.

    Attributes
    ----------
    n_features_in_ : int
        1, after `fit`.
    feature_names_in_ : ndarray of shape (1,)
        Name of the column, after `fit` on a data frame.

    See Also
    --------
    ImageResizer : Next step: one size for all.
    PixelExtractor : From images to numbers.

    Notes
    -----
    ML.NET's LoadImages and LoadRawImageBytes. Unlike these it applies the EXIF orientation, reads
    some twenty formats (never PostScript, which is a program), and never turns an empty path into
    a black image. Of an animation the first frame is used; of 16-bit grey levels the high byte.

    HEIC images are read if the package pillow-heif is installed. They are always turned upright.

    What `max_pixels` bounds is memory: some 20 bytes per pixel at worst (JPEG 2000). Time within
    it is not bounded: a progressive JPEG or a large WebP canvas may take seconds.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_dl import ImageLoader
    >>> images = ImageLoader().transform([np.zeros((2, 3, 3), dtype=np.uint8)])
    >>> images
    array([[LazyImage(<array 2 x 3 x 3>, RGB)]], dtype=object)
    >>> np.asarray(images[0, 0]).shape
    (2, 3, 3)
    """

    _parameter_constraints: dict = {
        "root": [str, os.PathLike, None],
        "colors": [StrOptions({"RGB", "RGBA", "L"})],
        "exif_transpose": ["boolean"],
        "on_error": [StrOptions({"raise", "nan"})],
        "max_pixels": [Interval(Integral, 1, None, closed="left"), None],
        "formats": [list, tuple, None],
    }

    def __init__(
        self,
        *,
        root=None,
        colors="RGB",
        exif_transpose=True,
        on_error="raise",
        max_pixels=178_956_970,
        formats=None,
    ):
        self.root = root
        self.colors = colors
        self.exif_transpose = exif_transpose
        self.on_error = on_error
        self.max_pixels = max_pixels
        self.formats = formats

    def transform(self, X):
        """Describe each image of X.

        Parameters
        ----------
        X : list, 1-D array, Series, or one-column frame or array, of n_samples rows
            Mixed freely: paths (str or Path), encoded files (bytes), PIL images, uint8 arrays of
            shape (H, W), (H, W, 1), (H, W, 3) or (H, W, 4), lazy images (read as this loader says,
            their steps kept). An array of shape (n_samples, H, W, C) is a column of arrays.

        Returns
        -------
        images : ndarray of shape (n_samples, 1), dtype object
            One :class:`LazyImage` per row (a data frame if `set_output` asks for it).

        Raises
        ------
        FileNotFoundError
            If a file does not exist. The error has its `row` and `source`, the path.
        ImageReadError
            If a row is missing or of another type, is not a file, or leaves `root`. With
            ``on_error="nan"`` these rows and those without a file are masked instead.
        ValueError
            If X is not one column, or `formats` has an unknown name.
        OSError or MemoryError
            If the machine fails (too many open files, no memory, a disk that cannot be read),
            also with ``on_error="nan"``: that says nothing about an image.
        """
        self._validate_params()
        cells = single_column(_as_images(X), self, reset=False)
        root = None if self.root is None else os.path.realpath(self.root)
        if root is not None and not os.path.isdir(root):
            raise FileNotFoundError(f"The folder root={os.fspath(self.root)!r} does not exist.")
        decoding = Decoding(
            mode=self.colors,
            exif_transpose=self.exif_transpose,
            on_error=self.on_error,
            max_pixels=self.max_pixels,
            formats=check_formats(self.formats),
            root=root,
        )
        images, outside = [], sys.exception()
        for row, cell in enumerate(cells):
            if isinstance(cell, LazyImage):
                if root is not None:
                    raise ValueError(f"Row {row} is a lazy image already, which root cannot join.")
                # what confines it is not lifted
                images.append(replace(cell, decoding=decoding._replace(root=cell.decoding.root)))
                continue
            try:
                with naming(f"Row {row}"):
                    source = _source(cell, root)
                    # a masked row is looked for when it is read: a cached one may have come since
                    if isinstance(source, str) and self.on_error == "raise":
                        file_stat(source)
                images.append(LazyImage(source, decoding))
            except (OSError, ValueError) as error:
                if machine_fault(error, outside):
                    raise
                if self.on_error == "raise":
                    raise _with_row(error, row, cell) from error
                images.append(LazyImage(_path_of(cell), decoding, error=str(error)))
        return image_column(images)


def load_column(X, estimator, *, reset, on_error="raise"):
    """Lazy images of a one-column X, for estimators that take photographs themselves.

    Parameters
    ----------
    X : as `ImageLoader.transform` takes it
        Lazy images keep what their own loader said: ``on_error="nan"``, too.
    estimator : estimator
        Gets `n_features_in_` if `reset`, else X is checked against it.
    reset : bool
    on_error : {"raise", "nan"}

    Returns
    -------
    images : ndarray of LazyImage, of shape (n_samples,)
    """
    cells = single_column(_as_images(X), estimator, reset=reset)
    loader = ImageLoader(on_error=on_error).set_output(transform="default")
    images = loader.transform(cells)[:, 0]
    for row, cell in enumerate(cells):
        if isinstance(cell, LazyImage):
            skips = "nan" in (on_error, cell.decoding.on_error)
            decoding = cell.decoding._replace(on_error="nan" if skips else "raise")
            images[row] = replace(cell, decoding=decoding)
    return images


def _as_images(X):
    if isinstance(X, (Image.Image, LazyImage)):
        raise ValueError("X is a single image; put it in a list.")
    if isinstance(X, np.ndarray) and X.ndim == 3 and X.shape[-1] in (3, 4):
        raise ValueError(
            f"X of shape {X.shape} looks like one image; put it in a list, or give arrays of "
            "shape (n_samples, H, W, C)."
        )
    return X


def _with_row(error, row, cell):
    source = _path_of(cell)
    if not isinstance(error, FileNotFoundError):
        return ImageReadError(shortened(str(error), MAX_MESSAGE - len(f"Row {row}: ")), row, source)
    named = FileNotFoundError(shortened(f"Row {row}: {error}"))
    vars(named).update(row=row, source=source)
    return named


def _path_of(cell):
    return os.fspath(cell) if isinstance(cell, (str, os.PathLike)) else None


def _source(cell, root):
    """What a LazyImage keeps of a cell, checked as far as it can be without decoding.

    Raises
    ------
    FileNotFoundError or ValueError
    """
    if isinstance(cell, (str, os.PathLike)):
        return _checked_path(os.fspath(cell), root)
    if isinstance(cell, (bytes, bytearray, memoryview)):
        return bytes(cell)
    if isinstance(cell, Image.Image):
        return cell
    if isinstance(cell, np.ndarray):
        if cell.dtype != np.uint8:
            raise ValueError(
                f"an array of dtype {cell.dtype} and shape {cell.shape}; images are uint8 arrays "
                "with values 0 to 255"
            )
        if cell.ndim == 3 and cell.shape[2] == 1:
            cell = cell[:, :, 0]
        if cell.ndim != 2 and not (cell.ndim == 3 and cell.shape[2] in (3, 4)):
            raise ValueError(
                f"an array of shape {cell.shape}; images have shape (H, W), (H, W, 1), (H, W, 3) "
                "or (H, W, 4)"
            )
        if not cell.size:
            raise ValueError(f"an array without pixels, of shape {cell.shape}")
        return cell
    if is_missing(cell):
        raise ValueError(f"the image is missing ({cell!r})")
    raise ValueError(
        f"{type(cell).__name__} is no image; a row is a path, encoded bytes, a PIL image or a "
        "uint8 array"
    )


def _checked_path(path, root):
    if isinstance(path, bytes):
        path = os.fsdecode(path)
    if not path:
        raise ValueError("the path is empty")
    if "\0" in path:
        raise ValueError(f"the path {path!r} holds a null character")
    if re.match(r"[A-Za-z][A-Za-z0-9+.-]+://", path):
        raise ValueError(f"{path!r} is a URL; nothing is fetched: give a file or its bytes")
    if root is None:
        full = os.path.abspath(path)
    else:
        full = os.path.realpath(os.path.join(root, path))
        if os.path.isabs(path) or os.path.commonpath([root, full]) != root:
            raise ValueError(f"{path!r} leaves the folder root={root!r}")
    return full
