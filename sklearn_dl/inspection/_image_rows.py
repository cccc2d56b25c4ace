"""The images of X, one at a time, and their conversion back to rows of X after a change."""

import os
from io import BytesIO
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from PIL import Image
from sklearn.pipeline import Pipeline

from sklearn_dl.images import ImageLoader, ImageReadError, LazyImage
from sklearn_dl.inspection._column import Column
from sklearn_dl.utils._base import DeepEstimator
from sklearn_dl.utils._columns import object_array

_SHOWN = 320  # pixels of the longer side


class ImageRows:
    """The images of X. It is a context, because changed copies of files are temporary files.

    Parameters
    ----------
    X, column, image_shape
        As in :meth:`ImageExplanationDisplay.from_estimator`.
    estimator : estimator
        It decides what changed copies of paths and encoded images are: PIL images for an estimator
        of this package, files or encoded images for any other.
    """

    def __init__(self, X, column, image_shape, estimator):
        self._shape = None
        if image_shape is not None:
            X = np.asarray(X)
            if X.ndim != 2 or X.shape[1] != np.prod(image_shape):
                raise ValueError(
                    f"image_shape={image_shape!r} needs an X of shape (n_samples, "
                    f"{np.prod(image_shape)}), but X has shape {X.shape}."
                )
            self._shape = X.shape[1:]
            X = X.reshape(-1, *image_shape)
        self._are_numbers = isinstance(X, np.ndarray) and X.ndim > 2 and X.dtype != object
        self._column: Any = None
        self._cells = X
        if not self._are_numbers:
            self._column = Column(X, column, estimator)
            self._cells = self._column.cells
        self._takes_pil = isinstance(_first_step(estimator), DeepEstimator)
        self._folder = TemporaryDirectory()
        self._files: list[Path] = []
        self._names = count()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._folder.cleanup()

    def __len__(self):
        return len(self._cells)

    def read(self, row):
        """The pixels of an image, of shape (H, W) or (H, W, C).

        Raises
        ------
        ImageReadError
            If the image cannot be read.
        """
        cell = self._cells[row]
        if isinstance(cell, np.ndarray):
            return cell
        loader = ImageLoader().set_output(transform="default")
        if isinstance(cell, Image.Image) and cell.mode in ("L", "RGB", "RGBA"):
            loader.set_params(colors=cell.mode)
        try:
            return np.asarray(loader.transform(object_array([cell]))[0, 0])
        except ImageReadError as error:
            raise error.at(row) from error
        except FileNotFoundError as error:
            raise ImageReadError(str(error).removeprefix("Row 0: "), row) from error

    def copies(self, row, images):
        """The X of changed copies of a row; `images` are their pixels."""
        if self._are_numbers:
            return np.stack([image if self._shape is None else image.ravel() for image in images])
        cell = self._cells[row]
        while self._files:  # of the last batch
            self._files.pop().unlink()
        return self._column.with_cells(
            [row] * len(images), [self._as_cell(image, cell) for image in images]
        )

    def _as_cell(self, pixels, cell):
        """Pixels in the form of a cell, or in the form that the estimator takes."""
        if isinstance(cell, np.ndarray):
            return pixels
        image = Image.fromarray(pixels)
        if self._takes_pil or isinstance(cell, (Image.Image, LazyImage)):
            return image
        if isinstance(cell, (str, os.PathLike)):
            # a name of its own for each copy: an estimator may keep results by their paths
            path = Path(self._folder.name) / f"{next(self._names)}.png"
            image.save(path, compress_level=1)
            self._files.append(path)
            return str(path) if isinstance(cell, str) else path
        encoded = BytesIO()
        image.save(encoded, "PNG", compress_level=1)
        return encoded.getvalue()


def _first_step(estimator):
    """The first step of a pipeline, also inside a search; otherwise the estimator."""
    estimator = getattr(estimator, "best_estimator_", estimator)
    return _first_step(estimator[0]) if isinstance(estimator, Pipeline) else estimator


def as_gray(pixels):
    """A small gray copy of an image, of shape (height, width), dtype uint8."""
    step = max(1, -(-max(pixels.shape[:2]) // _SHOWN))
    pixels = pixels[::step, ::step].astype(float)
    if pixels.ndim == 3:
        pixels = pixels[:, :, :3].mean(axis=2)
    return np.round(_stretched(pixels)).astype(np.uint8)


def as_uint8(pixels):
    """An image in a form that :class:`sklearn_dl.ImageLoader` accepts."""
    return pixels if pixels.dtype == np.uint8 else np.round(_stretched(pixels)).astype(np.uint8)


def _stretched(pixels):
    """The pixels, with their lowest value at 0 and their highest at 255."""
    low, high = float(pixels.min()), float(pixels.max())
    return 255 * ((pixels - low) / (high - low or 1))
