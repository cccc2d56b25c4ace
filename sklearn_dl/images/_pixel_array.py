"""PixelArray: a 4-D array that is computed batch by batch, when a scorer asks for it."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from sklearn_dl.images._faults import naming
from sklearn_dl.images._lazy import ImageReadError
from sklearn_dl.images._sources import source_name
from sklearn_dl.utils._messages import RowError, warn_of_failed_rows
from sklearn_dl.utils._threads import for_each_batch, thread_budget


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class PixelArray:
    """Pixels of n images of one size, not computed yet.

    :class:`PixelExtractor` makes it. It is immutable and picklable. Rows are selected as in numpy:
    a slice, a mask or an array of integers returns a new PixelArray, and an integer computes one
    row. ``np.asarray`` computes the whole array.

    Parameters
    ----------
    images : ndarray of LazyImage, of shape (n_samples,)
    height, width : int
        Size of every image, in pixels. 0 if there are no images, and their size is unknown.
    colors : str
        Channels in order, from "R", "G", "B" and "A"; or "L".
    layout : {"NCHW", "NHWC"}
        Order of the axes.
    offset, scale : ndarray of shape (n_channels,), dtype float32
        Each value is ``(pixel - offset) * scale``.
    dtype : numpy.dtype
        Type of the values.
    index : pandas.Index or None, default=None
        Index of the data frame that the rows came from.
    numbers : int ndarray of shape (n_samples,) or None, default=None
        Row numbers for messages: positions in the X that the rows came from. None: 0, 1, 2, ...

    Attributes
    ----------
    shape : tuple of int
        (n, C, H, W) or (n, H, W, C).
    ndim : int
        4.
    """

    images: np.ndarray
    height: int
    width: int
    colors: str
    layout: str
    offset: np.ndarray
    scale: np.ndarray
    dtype: np.dtype
    index: Any = None
    numbers: Any = None

    @property
    def shape(self):
        """Shape of the array that `np.asarray` returns."""
        return (len(self.images), *self.row_shape)

    @property
    def row_shape(self):
        """Shape of one row."""
        if self.layout == "NHWC":
            return self.height, self.width, len(self.colors)
        return len(self.colors), self.height, self.width

    @property
    def ndim(self):
        """Number of dimensions, 4."""
        return 4

    def __len__(self):
        return len(self.images)

    def __getitem__(self, key):
        rows, rest = (key[0], key[1:]) if isinstance(key, tuple) and key else (key, ())
        if isinstance(rows, (list, tuple)):
            rows = np.asarray(rows, dtype=None if rows else int)
        if any(part is not Ellipsis for part in rest) or len(rest) > 1:
            return np.asarray(self)[key]
        if isinstance(rows, (int, np.integer)) and not isinstance(rows, bool):
            return self._compute([range(len(self))[rows]])[0]
        if not isinstance(rows, slice) and np.ndim(rows) != 1:
            return np.asarray(self)[key]
        index = None if self.index is None else self.index[rows]
        numbers = None if self.numbers is None else self.numbers[rows]
        return replace(self, images=self.images[rows], index=index, numbers=numbers)

    def __iter__(self):
        return (self[row] for row in range(len(self)))

    def __array__(self, dtype=None, copy=None):
        if copy is False:
            raise ValueError("The pixels of a PixelArray need a copy: leave out copy=False.")
        return self.compute().astype(dtype or self.dtype, copy=False)

    def __repr__(self):
        return f"PixelArray(shape={self.shape}, dtype={self.dtype}, {self.layout}, lazy)"

    def read(self, rows):
        """Compute some rows.

        Parameters
        ----------
        rows : sequence of int
            Positions of the rows in this array (not their `numbers`).

        Returns
        -------
        pixels : ndarray of shape (n_read, ...), dtype `dtype`
            The rows that could be read, in order.
        errors : dict of int to ImageReadError
            Errors of the rows that could not be read, by position in this array. With
            ``on_error="raise"`` it is empty.

        Raises
        ------
        ImageReadError
            If a row cannot be read and its loader has ``on_error="raise"``.
        OSError or MemoryError
            If the machine fails, even with ``on_error="nan"``.
        """
        out = np.empty((len(rows), *self.row_shape), self.dtype)
        errors = {}
        n_read = 0
        for row in rows:
            image = self.images[row]
            number = row if self.numbers is None else self.numbers[row]
            try:
                with naming(f"Row {number}"):
                    self._write(image.to_pil(), out[n_read])
            except ImageReadError as error:
                named = error.at(number, source_name(image.source))
                if image.decoding.on_error == "raise":
                    raise named from error
                errors[row] = named
            else:
                n_read += 1
        return out[:n_read], errors

    def compute(self, n_threads=None, *, done=None):
        """Compute the whole array.

        Parameters
        ----------
        n_threads : int, default=None
            Number of threads that decode. None: as many as this process may use.
        done : callable(n_rows) or None, default=None
            Called after each batch with its number of rows, by one thread at a time.

        Returns
        -------
        pixels : ndarray of shape `shape`
            Rows that cannot be read are NaN (``on_error="nan"``), with one warning.

        Raises
        ------
        ValueError
            If a row cannot be read, and its loader has ``on_error="raise"`` or `dtype` is uint8.
        """
        return self._compute(range(len(self)), n_threads, done)

    def _compute(self, rows, n_threads=None, done=None):
        """Compute `rows`; with ``on_error="nan"``, rows that cannot be read are NaN."""
        out = np.empty((len(rows), *self.row_shape), self.dtype)
        failed: dict = {}

        def work(start, stop):
            """Compute one batch: the rows from position `start` to `stop`."""
            pixels, errors = self.read(rows[start:stop])
            failed.update(errors)
            if errors and self.dtype == np.uint8:
                first = next(iter(errors.values()))
                raise RowError(
                    f"{first.message}; uint8 pixels cannot be NaN: use a float dtype, or leave the "
                    "row out",
                    first.row,
                    first.source,
                )
            if not errors:
                out[start:stop] = pixels
                return
            good = [position for position in range(start, stop) if rows[position] not in errors]
            out[start:stop] = np.nan
            out[good] = pixels

        for_each_batch(work, len(rows), 8, thread_budget(n_threads), done)
        warn_of_failed_rows(failed, len(self), "image")
        return out

    def _write(self, image, out):
        """Write one PIL image as numbers into `out`, of shape `row_shape`."""
        if image.size != (self.width, self.height):
            raise ImageReadError(
                f"its pixels are {image.size[0]} x {image.size[1]}, but its header says "
                f"{self.width} x {self.height}"
            )
        if self.colors == "L":
            planes = [image.convert("L")]
        else:
            bands = dict(zip(image.getbands(), image.split(), strict=True))
            planes = [bands["L"] if "L" in bands else bands[color] for color in self.colors]
        if self.layout == "NHWC":
            out = np.moveaxis(out, 2, 0)
        for plane, band, offset, scale in zip(out, planes, self.offset, self.scale, strict=True):
            if self.dtype == np.uint8:
                plane[...] = np.asarray(band)
            elif self.dtype == np.float32:
                np.subtract(np.asarray(band), offset, out=plane)
                np.multiply(plane, scale, out=plane)
            else:
                plane[...] = (np.asarray(band) - offset) * scale
