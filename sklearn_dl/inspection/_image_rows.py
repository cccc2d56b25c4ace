"""The pixels of the images in X, and their conversion back to rows of X after a change."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

from sklearn_dl.images import ImageLoader, ImageReadError
from sklearn_dl.inspection._column import Column
from sklearn_dl.utils._columns import object_array

_SHOWN = 320  # pixels of the longer side


@dataclass
class ImagePixels:
    """The pixels of an image, and the form in which the estimator gets them."""

    pixels: np.ndarray
    as_pil: bool
    shape: tuple | None = None

    def cell(self, pixels) -> Any:
        if self.as_pil:
            return Image.fromarray(pixels)
        return pixels if self.shape is None else pixels.reshape(self.shape)


def images_of(X, column, image_shape, estimator):
    """The images of X, and a function of (rows, cells) that makes the X to predict."""
    if image_shape is not None:
        X = np.asarray(X)
        if X.ndim != 2 or X.shape[1] != np.prod(image_shape):
            raise ValueError(
                f"image_shape={image_shape!r} needs an X of shape (n_samples, "
                f"{np.prod(image_shape)}), but X has shape {X.shape}."
            )
        images = [ImagePixels(row.reshape(image_shape), False, row.shape) for row in X]
        return images, lambda rows, cells: np.stack(cells)
    if isinstance(X, np.ndarray) and X.ndim > 2 and X.dtype != object:
        return [ImagePixels(pixels, False) for pixels in X], lambda rows, cells: np.stack(cells)
    given = Column(X, column, estimator)
    return [_read(cell, row) for row, cell in enumerate(given.cells)], given.with_cells


def _read(cell, row):
    """The image of a cell."""
    if isinstance(cell, np.ndarray):
        return ImagePixels(cell, False)
    loader = ImageLoader().set_output(transform="default")
    if isinstance(cell, Image.Image) and cell.mode in ("L", "RGB", "RGBA"):
        loader.set_params(colors=cell.mode)
    try:
        (image,) = loader.transform(object_array([cell]))[:, 0]
        return ImagePixels(np.asarray(image), True)
    except ImageReadError as error:
        raise error.at(row) from error
    except FileNotFoundError as error:
        raise ImageReadError(str(error).removeprefix("Row 0: "), row) from error


def as_gray(pixels):
    """A small gray copy of an image, with values from 0 to 255."""
    step = max(1, -(-max(pixels.shape[:2]) // _SHOWN))
    pixels = pixels[::step, ::step].astype(float)
    if pixels.ndim == 3:
        pixels = pixels[:, :, :3].mean(axis=2)
    return _stretched(pixels)


def as_uint8(pixels):
    """An image in a form that :class:`sklearn_dl.ImageLoader` accepts."""
    return pixels if pixels.dtype == np.uint8 else np.round(_stretched(pixels)).astype(np.uint8)


def _stretched(pixels):
    """The pixels, with their lowest value at 0 and their highest at 255."""
    low, high = float(pixels.min()), float(pixels.max())
    return 255 * ((pixels - low) / (high - low or 1))
