"""The images of X, one at a time, and their conversion back to rows of X after a change."""

import math
import os
from dataclasses import replace
from io import BytesIO
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import narwhals.stable.v1 as nw
import numpy as np
from narwhals.stable.v1.dependencies import is_pyarrow_chunked_array, is_pyarrow_table
from PIL import ExifTags, Image
from sklearn.compose import ColumnTransformer

from sklearn_dl.images import ImageLoader, ImageReadError, LazyImage
from sklearn_dl.inspection._column import Column
from sklearn_dl.utils._base import DeepEstimator
from sklearn_dl.utils._columns import as_table, is_frame, object_array
from sklearn_dl.utils._sklearn import safe_indexing

_SHOWN = 320  # pixels of the longer side
_PNG_MODES = ("1", "L", "LA", "I;16", "RGB", "RGBA")


class ImageRows:
    """The images of X. It is a context, because changed copies of files are temporary files.

    Parameters
    ----------
    X, column, image_shape
        As in :meth:`ImageExplanationDisplay.from_estimator`.
    estimator : estimator
        It decides how images are read, and what changed copies of paths and encoded images are:
        files or encoded images in general, and PIL images for an estimator of this package, unless
        X is a container of pyarrow, which cannot hold them.
    """

    def __init__(self, X, column, image_shape, estimator):
        X = as_table(X)
        self._X, self._shape = X, image_shape
        self._cells = X if image_shape is None else as_images(X, image_shape)
        self._are_numbers = (
            isinstance(self._cells, np.ndarray)
            and self._cells.ndim > 2
            and self._cells.dtype != object
        )
        self._column: Any = None
        if not self._are_numbers:
            self._column = Column(X, column, estimator)
            self._cells = self._column.cells
        step = image_step(estimator, self._column)
        self._is_ours = isinstance(step, DeepEstimator)
        self._can_hold_images = not (is_pyarrow_table(X) or is_pyarrow_chunked_array(X))
        self._has_loader = isinstance(step, ImageLoader)
        self._loader = loader_like(step if self._has_loader else ImageLoader(), on_error="raise")
        self._orientation: int | None = None  # that of the last image, if it was not applied
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
        """The pixels of an image, of shape (H, W) or (H, W, C), as the estimator reads them.

        If the estimator is not of this package, they are those of the file. The EXIF orientation is
        not applied, because changed copies contain it too. Modes that PNG does not have become RGB
        or RGBA.

        Raises
        ------
        ImageReadError
            If the image cannot be read.
        """
        cell = self._cells[row]
        if isinstance(cell, np.ndarray):
            return cell
        self._orientation = None
        try:
            if isinstance(cell, LazyImage) and not self._has_loader:
                return np.asarray(cell)
            pixels = np.asarray(self._loader.transform(object_array([cell]))[0, 0])
        except ImageReadError as error:
            raise error.at(row) from error
        except FileNotFoundError as error:
            raise ImageReadError(str(error).removeprefix("Row 0: "), row) from error
        if self._is_ours or not isinstance(cell, (Image.Image, str, os.PathLike, bytes)):
            return pixels
        if isinstance(cell, Image.Image):
            return self._as_opened(cell)
        with Image.open(BytesIO(cell) if isinstance(cell, bytes) else cell) as image:
            return self._as_opened(image)

    def _as_opened(self, image):
        """The pixels of an image that Pillow has opened; the orientation is noted."""
        image.load()  # applies the orientation of a TIFF file, and removes it
        self._orientation = image.getexif().get(ExifTags.Base.Orientation)
        if image.mode not in _PNG_MODES:
            image = image.convert("RGBA" if image.has_transparency_data else "RGB")
        return np.asarray(image)

    def given(self, row):
        """One row of X if its copies are made by reading and writing an image, else None."""
        is_copied = self._are_numbers or isinstance(self._cells[row], np.ndarray)
        return None if is_copied else self._column.row(row)

    def copies(self, row, images):
        """The X of changed copies of a row; `images` are their pixels."""
        if self._are_numbers:
            if self._shape is None:
                return np.stack(images)
            return _rows_like(self._X, row, np.stack([image.ravel() for image in images]))
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
        if isinstance(cell, LazyImage):
            return replace(cell, source=pixels, steps=())
        image = Image.fromarray(pixels)
        if self._orientation is not None:
            image.getexif()[ExifTags.Base.Orientation] = self._orientation
        if isinstance(cell, Image.Image) or (self._is_ours and self._can_hold_images):
            return image
        if isinstance(cell, (str, os.PathLike)) and not self._is_ours:
            # a name of its own for each copy: an estimator may keep results by their paths
            path = Path(self._folder.name) / f"{next(self._names)}.png"
            image.save(path, compress_level=1, exif=image.getexif())
            self._files.append(path)
            return str(path) if isinstance(cell, str) else path
        encoded = BytesIO()
        image.save(encoded, "PNG", compress_level=1, exif=image.getexif())
        return encoded.getvalue()


def image_step(estimator, column=None):
    """The first step that gets the images, also inside a search, or in a table's transformers.

    Parameters
    ----------
    estimator : estimator
    column : Column or None
        The column of the images, which chooses among the transformers of a ColumnTransformer.

    Returns
    -------
    step : estimator
        The estimator itself, if it has no such steps.
    """
    if isinstance(estimator, DeepEstimator):
        return estimator
    if isinstance(estimator, ColumnTransformer):
        transformers = getattr(estimator, "transformers_", estimator.transformers)
        steps = [
            step
            for _, step, columns in transformers
            if column is not None and column.is_in(columns)
        ]
    else:
        # pipelines, unions, votes and stacks; then searches and other meta-estimators
        lists = ("steps", "transformer_list", "estimators")
        steps = [step for name in lists for _, step in getattr(estimator, name, [])]
        single = ("best_estimator_", "estimator", "regressor")
        steps += [getattr(estimator, name, None) for name in single]
    steps = [step for step in steps if hasattr(step, "fit")]
    return image_step(steps[0], column) if steps else estimator


def loader_like(loader, on_error):
    """An ImageLoader with the parameters of another one, but for `on_error`.

    It is not a clone: a filesystem that cannot be copied is shared.
    """
    params = loader.get_params(deep=False) | {"on_error": on_error}
    return ImageLoader(**params).set_output(transform="default")


def as_images(X, image_shape):
    """Rows of pixels as an array of images of a shape.

    Raises
    ------
    ValueError
        If `image_shape` is not a shape, or not that of the rows.
    """
    if not isinstance(image_shape, (tuple, list)) or len(image_shape) not in (2, 3):
        raise ValueError(f"image_shape={image_shape!r} must be (H, W) or (H, W, C).")
    pixels = np.asarray(X)
    if pixels.dtype == object:  # a frame of pandas with dtypes that numpy does not have
        pixels = pixels.astype(float)
    n_pixels = math.prod(image_shape)
    if pixels.ndim != 2 or pixels.shape[1] != n_pixels:
        raise ValueError(
            f"image_shape={image_shape!r} needs an X of shape (n_samples, {n_pixels}), but X has "
            f"shape {pixels.shape}."
        )
    return pixels.reshape(-1, *image_shape)


def _rows_like(X, row, pixels):
    """Rows of pixels, as a frame if X is a frame; its columns keep their names."""
    if not is_frame(X):
        return pixels
    taken = safe_indexing(X, [row] * len(pixels))
    if hasattr(taken, "iloc"):
        return type(taken)(pixels, columns=taken.columns, index=taken.index)
    frame = nw.from_native(taken, eager_only=True)
    return nw.from_numpy(pixels, frame.columns, backend=frame.implementation).to_native()


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
    """The pixels, with their lowest value at 0 and their highest at 255; NaN is 0."""
    low, high = float(np.nanmin(pixels)), float(np.nanmax(pixels))
    return np.nan_to_num(255 * ((pixels - low) / (high - low or 1)))
