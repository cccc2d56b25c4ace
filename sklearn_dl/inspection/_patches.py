"""Patches: the parts into which a grid divides an image."""

from dataclasses import dataclass
from numbers import Integral

import numpy as np


@dataclass
class Grid:
    """The patches of an image, and the color that covers them.

    Parameters
    ----------
    rows, columns : ndarray of int
        Where the patches start, from top to bottom and from left to right, and where the last one
        ends, in pixels.
    color : ndarray of shape () or (C,)
    """

    rows: np.ndarray
    columns: np.ndarray
    color: np.ndarray

    @classmethod
    def of(cls, pixels, n_patches, fill_color):
        """The grid of an image; the parameters are those of ImageExplanationDisplay."""
        shape = pixels.shape
        if pixels.ndim not in (2, 3) or (pixels.ndim == 3 and shape[0] <= 4 < shape[2]):
            raise ValueError(
                f"An image must have shape (H, W) or (H, W, C), but one has {shape}. If the "
                "channels are the first axis, move them to the end with numpy.moveaxis, and back "
                "in the first step of a pipeline."
            )
        edges = [
            np.round(patch_edges(size, min(count, size))).astype(int)
            for size, count in zip(shape, patch_counts(n_patches), strict=False)
        ]
        rows, columns = edges
        return cls(rows, columns, _color(fill_color, pixels))

    @property
    def shape(self):
        return len(self.rows) - 1, len(self.columns) - 1

    @property
    def n_patches(self):
        return self.shape[0] * self.shape[1]

    def covered(self, pixels, patch):
        """A copy of the image in which the color covers a patch."""
        row, column = divmod(patch, self.shape[1])
        copy = pixels.copy()
        down = slice(self.rows[row], self.rows[row + 1])
        across = slice(self.columns[column], self.columns[column + 1])
        copy[down, across] = self.color
        return copy


def patch_counts(n_patches):
    """The number of patches from top to bottom and from left to right, checked."""
    counts = tuple(n_patches) if np.iterable(n_patches) else (n_patches, n_patches)
    if len(counts) != 2 or not all(isinstance(n, Integral) and int(n) >= 1 for n in counts):
        raise ValueError(f"n_patches={n_patches!r} must be one or two integers from 1 on.")
    return counts


def patch_edges(size, n_patches):
    """Where patches start and end on a side of an image."""
    return np.linspace(0, size, n_patches + 1)


def _color(fill_color, pixels):
    """The color that covers patches of an image, in the dtype of the image."""
    is_integer = pixels.dtype.kind in "iub"
    if isinstance(fill_color, str):
        if fill_color != "mean":
            raise ValueError(f'fill_color={fill_color!r} must be "mean" or a color in numbers.')
        color = np.round(pixels.mean((0, 1))) if is_integer else np.nanmean(pixels, (0, 1))
    else:
        color = np.asarray(fill_color)
        if color.dtype.kind not in "biuf":
            raise ValueError(f'fill_color={fill_color!r} must be "mean" or a color in numbers.')
    if color.shape not in ((), pixels.shape[2:]):
        raise ValueError(
            f"fill_color={fill_color!r} needs one number per channel of images of shape "
            f"{pixels.shape}."
        )
    cast = color.astype(pixels.dtype)
    if is_integer and not np.array_equal(cast, color):
        raise ValueError(
            f"fill_color={fill_color!r} is not a value of images of dtype {pixels.dtype}."
        )
    return cast
