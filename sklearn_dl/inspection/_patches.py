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
        if pixels.ndim not in (2, 3):
            raise ValueError(
                f"An image must have shape (H, W) or (H, W, C), but one has {pixels.shape}."
            )
        counts = (n_patches, n_patches) if isinstance(n_patches, Integral) else tuple(n_patches)
        if len(counts) != 2 or min(counts) < 1:
            raise ValueError(f"n_patches={n_patches!r} must be one or two integers from 1 on.")
        edges = [
            patch_edges(size, min(count, size)).astype(int)
            for size, count in zip(pixels.shape, counts, strict=False)
        ]
        if isinstance(fill_color, str):
            if fill_color != "mean":
                raise ValueError(f'fill_color={fill_color!r} must be "mean" or a color in numbers.')
            color = pixels.mean(axis=(0, 1))
            color = np.round(color) if pixels.dtype.kind in "iub" else color
        else:
            color = np.asarray(fill_color)
        if color.shape not in ((), pixels.shape[2:]):
            raise ValueError(
                f"fill_color={fill_color!r} needs one number per channel of images of shape "
                f"{pixels.shape}."
            )
        rows, columns = edges
        return cls(rows, columns, color.astype(pixels.dtype))

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


def patch_edges(size, n_patches):
    """Where patches start and end, in pixels."""
    return np.round(np.linspace(0, size, n_patches + 1))
