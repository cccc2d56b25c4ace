"""Put the outputs of batches together into one result."""

from threading import Lock

import numpy as np

from sklearn_dl.utils._columns import MAX_EXACT_INTEGER, object_array
from sklearn_dl.utils._messages import RowError, with_label


class Collector:
    """Put the outputs of batches together, in the order of the rows.

    Parameters
    ----------
    n_rows : int
    specs : sequence of TensorSpec
        The graph's outputs.
    learned : sequence of (shape, dtype), default=None
        Row shape and dtype of each output, known from an earlier call. They are used if no row can
        be scored.

    Attributes
    ----------
    errors : dict of int to Exception
        The errors of rows that could not be read, by their positions in the result.
    """

    def __init__(self, n_rows, specs, learned=None):
        self.n_rows, self.specs, self.learned = n_rows, specs, learned
        self.arrays: list = [None] * len(specs)
        self.keys: dict = {}
        self.errors: dict = {}
        self._lock = Lock()

    def add(self, rows, outputs, n_fed):
        """Add the outputs of a batch.

        Parameters
        ----------
        rows : sequence of int
            Positions in the result for the first ``len(rows)`` rows of each output. The other rows
            of the output are padding.
        outputs : list of ndarray or list of dict
        n_fed : int
            Number of rows that the graph was fed.
        """
        where = slice(rows.start, rows.stop) if isinstance(rows, range) else rows
        for i, output in enumerate(outputs):
            if isinstance(output, list):
                output = self._from_maps(i, output)
            if np.ndim(output) == 0 or len(output) != n_fed:
                raise not_per_row(self.specs[i], np.shape(output), n_fed)
            values = output[: len(rows)]
            with self._lock:
                room = self._room_for(i, output)
                same = room.shape[1:] == values.shape[1:]
                room[where] = values if same else object_array(list(values))

    def _room_for(self, i, output):
        array = self.arrays[i]
        if array is None:
            array = np.empty((self.n_rows, *output.shape[1:]), output.dtype)
        elif array.shape[1:] != output.shape[1:] and array.ndim > 1:
            array = object_array(list(array))  # its rows have different shapes
        self.arrays[i] = array
        return array

    def _from_maps(self, i, maps):
        """Make an array with one column per key from a sequence of maps (the output of ZipMap)."""
        if not all(isinstance(row, dict) for row in maps):
            raise ValueError(
                f"The output {self.specs[i].name!r} is a sequence that is not a table; name other "
                "tensors in `outputs`."
            )
        with self._lock:
            keys = self.keys.setdefault(i, list(maps[0]) if maps else [])
        values = [[row.get(key) for key in keys] for row in maps]
        if any(
            len(row) != len(keys) or None in cells for row, cells in zip(maps, values, strict=True)
        ):
            raise ValueError(
                f"The output {self.specs[i].name!r} has maps with different keys, which do not fit "
                "in one table; name other tensors in `outputs`."
            )
        return np.array(values, dtype=self.specs[i].dtype)

    def result(self):
        """The arrays, in the order of the outputs, with missing values where rows failed."""
        failed = sorted(self.errors)
        for i, (array, spec) in enumerate(zip(self.arrays, self.specs, strict=True)):
            if array is None and self.learned:
                shape, dtype = self.learned[i]
                array = np.empty((self.n_rows, *shape), dtype)
            elif array is None:
                if spec.width is None or spec.dtype is None:
                    raise ValueError(
                        f"{'No row could be scored' if failed else 'X has no rows'}, and the graph "
                        f"does not state the shape and type of its output {spec.name!r}: call fit "
                        "with a row that can be read."
                        + (f" {with_label(self.errors[failed[0]])}" if failed else "")
                    )
                array = np.empty((self.n_rows, *spec.row_shape), spec.dtype)
            if failed:
                if array.dtype.kind in "iub":
                    reason = (
                        "the integers become floats because rows that could not be read get NaN "
                        f"({with_label(self.errors[failed[0]])}). Leave those rows out"
                    )
                    _check_exact(array, spec, reason, masked=failed)
                    array = array.astype(np.float64)
                array[failed] = None if array.dtype == object else np.nan
            self.arrays[i] = array
        return self.arrays

    def table(self):
        """All outputs, flattened per row, side by side: ndarray of shape (n_samples, n_columns)."""
        blocks = []
        for array, spec in zip(self.result(), self.specs, strict=True):
            if array.ndim == 1 and any(isinstance(cell, np.ndarray) for cell in array):
                shapes = sorted({cell.shape for cell in array if cell is not None})
                what = f"rows of different shapes ({shapes[0]}, {shapes[-1]})"
                if len(shapes) == 1:  # a ragged tensor whose rows happen to be equally long
                    what = "rows whose lengths can differ"
                raise ValueError(
                    f"The output {spec.name!r} has {what}, which do not fit in one table; use "
                    'output_shape="native", or name other tensors in `outputs`.'
                )
            blocks.append(array.reshape(self.n_rows, _width(array)))
        if np.result_type(*blocks).kind == "f":  # integers in other blocks become floats
            reason = (
                "a table of several outputs has one dtype, which is a float here. Use "
                'output_shape="native", which keeps the dtype of each, or name fewer `outputs`'
            )
            for block, spec in zip(blocks, self.specs, strict=True):
                _check_exact(block, spec, reason)
        if any(block.dtype == object for block in blocks):
            blocks = [block.astype(object) for block in blocks]
        return blocks[0] if len(blocks) == 1 else np.concatenate(blocks, axis=1)

    def names(self):
        """Names of the table's columns: ndarray of str objects, of shape (n_columns,)."""
        names = []
        for i, (array, spec) in enumerate(zip(self.result(), self.specs, strict=True)):
            names += column_names(spec.name, _width(array), self.keys.get(i))
        return np.array(names, dtype=object)


def _check_exact(array, spec, reason, masked=()):
    """Raise a ValueError if an integer is not exact in float64.

    Parameters
    ----------
    array : ndarray of shape (n_samples, ...)
    spec : TensorSpec
    reason : str
        Why the integers become float64, and what to do: the end of the message.
    masked : sequence of int
        Positions of rows that are not checked.
    """
    if array.dtype.kind not in "iu" or array.dtype.itemsize < 8:
        return
    large = (array > MAX_EXACT_INTEGER) | (array < -MAX_EXACT_INTEGER)
    large[list(masked)] = False
    for position in map(tuple, np.argwhere(large)):
        value = int(array[position])
        if int(np.float64(value)) != value:
            raise RowError(
                f"the value {value} of the output {spec.name!r} is not exact in float64; {reason}.",
                position[0],
            )


def _width(array):
    return int(np.prod(array.shape[1:]))


def not_per_row(spec, shape, n_rows):
    """The error for an output that does not have one result per row.

    Parameters
    ----------
    spec : TensorSpec
    shape : tuple
        Shape of the output.
    n_rows : int or None
        Number of rows in the batch. None: any number.
    """
    seen = f"for a batch of {n_rows} rows" if n_rows else f"with a fixed first size, {shape[0]}"
    return ValueError(
        f"The output {spec.name!r} has shape {shape} {seen}: it does not have one result per row. "
        "Name other tensors in `outputs`."
    )


def column_names(output, width, keys=None):
    """Names of the columns that one output becomes."""
    if keys is not None:
        return [str(key) for key in keys]
    return [output] if width == 1 else [f"{output}_{j}" for j in range(width)]


def static_names(specs):
    """Names of the columns that outputs become, or None if their number depends on the data."""
    if any(spec.width is None for spec in specs):
        return None
    names = [name for spec in specs for name in column_names(spec.name, spec.width)]
    return np.array(names, dtype=object)
