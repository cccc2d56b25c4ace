"""Batches of one input of a graph, cast to what it takes."""

import numpy as np
from sklearn.utils.validation import check_array

from sklearn_dl.images import LazyImage
from sklearn_dl.utils._columns import is_missing


class PixelSource:
    """Batches from a PixelArray."""

    shapes = None

    def __init__(self, pixels, spec):
        self.pixels, self.spec = pixels, spec
        check_row_shape(pixels.row_shape, spec)

    def read(self, rows):
        """The rows that can be read, and the messages of those that cannot."""
        values, errors = self.pixels.read(rows)
        good = [row for row in rows if row not in errors] if errors else rows
        return cast(values, self.spec, good), errors


class ArraySource:
    """Batches from an array in memory."""

    shapes = None

    def __init__(self, values, spec):
        self.values, self.spec = fit_rank(values, spec), spec

    def read(self, rows):
        """Rows, cast to what the graph wants."""
        key = slice(rows.start, rows.stop) if isinstance(rows, range) else rows
        return cast(self.values[key], self.spec, rows), {}


class RaggedSource:
    """Batches from rows of unequal shapes; a batch has rows of one shape only."""

    def __init__(self, cells, spec):
        self.cells, self.spec = cells, spec
        self.shapes = [cell.shape for cell in cells]
        for row, cell in enumerate(cells):
            check_row_shape(cell.shape, spec, row)

    def read(self, rows):
        """Rows of one shape, stacked and cast."""
        return cast(np.stack([self.cells[row] for row in rows]), self.spec, rows), {}


def make_source(columns, spec, estimator, *, allow_nan):
    """A source for one input of the graph from columns of X.

    Parameters
    ----------
    columns : list of ndarray of shape (n_samples,)
    spec : TensorSpec
    estimator : estimator, for messages
    allow_nan : bool

    Raises
    ------
    ValueError
        If the cells are of a kind that the input cannot take.
    """
    if len(columns) == 1 and columns[0].dtype == object:
        cells = columns[0]
        if any(isinstance(cell, LazyImage) for cell in cells):
            raise ValueError(
                f"{type(estimator).__name__} got images, not numbers: put a PixelExtractor before."
            )
        if any(isinstance(cell, (np.ndarray, list, tuple)) for cell in cells):
            return _nested_source(cells, spec, allow_nan)
    if spec.dtype == object:
        return ArraySource(_strings(columns, spec), spec)
    block = np.column_stack(columns)
    if block.dtype == object:  # pandas.NA is no number to numpy
        block = np.array([[np.nan if is_missing(c) else c for c in row] for row in block])
    block = check_numbers(block, estimator, allow_nan=allow_nan)
    return ArraySource(block, spec)


def _nested_source(cells, spec, allow_nan):
    arrays = []
    for row, cell in enumerate(cells):
        if not isinstance(cell, (np.ndarray, list, tuple)):
            raise ValueError(
                f"Row {row} is {type(cell).__name__}, where other rows of this column are arrays."
            )
        array = np.asarray(cell, dtype=object if spec.dtype == object else None)
        if array.dtype.kind not in ("biuf" if spec.dtype != object else "OUT"):
            raise ValueError(
                f"Row {row}: an array of dtype {array.dtype} cannot be the input {spec}."
            )
        if array.dtype.kind == "f" and not allow_nan and not np.isfinite(array).all():
            raise ValueError(f"Row {row} contains NaN or infinity.")
        arrays.append(_string_cells(array, row, spec) if spec.dtype == object else array)
    if len({array.shape for array in arrays}) == 1:
        return ArraySource(np.stack(arrays), spec)
    return RaggedSource(arrays, spec)


def _strings(columns, spec):
    for column in columns:
        for row, cell in enumerate(column):
            _check_string(cell, row, spec)
    return np.column_stack([column.astype(object) for column in columns])


def _string_cells(array, row, spec):
    for cell in array.flat:
        _check_string(cell, row, spec)
    return array.astype(object)


def _check_string(cell, row, spec):
    if not isinstance(cell, str):
        what = "missing" if is_missing(cell) else f"{cell}, a {type(cell).__name__}"
        raise ValueError(f"Row {row}: the input {spec} takes strings, got {what}.")


def check_numbers(X, estimator, *, allow_nan):
    """2-D or N-D numbers, as scikit-learn checks them (dtype kept, no copy where possible)."""
    values = check_array(
        X,
        dtype="numeric",
        allow_nd=True,
        ensure_all_finite=False,
        estimator=estimator,
        input_name="X",
    )
    # a finite sum is that of finite numbers: rows are looked for only where it is not
    with np.errstate(over="ignore", invalid="ignore"):
        suspect = not allow_nan and values.dtype.kind == "f" and not np.isfinite(values.sum())
    if suspect and not (finite := np.isfinite(values)).all():
        where = tuple(np.argwhere(~finite)[0])
        kind = "NaN" if np.isnan(values[where]) else "infinity"
        raise ValueError(
            f"Row {where[0]}: X contains {kind}, which {type(estimator).__name__} accepts only for "
            "graphs with operators that give it a meaning. Impute it, or leave the row out."
        )
    return values


def fit_rank(values, spec):
    """Reshape rows to what the input declares, where that is unambiguous.

    A 2-D X, the only shape that most of scikit-learn knows, is reshaped if the graph states every
    size of a row and their product is the number of columns.

    Raises
    ------
    ValueError
        If the shape does not fit: it states the shape expected and that seen.
    """
    row = spec.row_shape
    if row is not None and values.ndim == 2 and values.ndim != len(row) + 1:
        if row == () and values.shape[1] == 1:
            return values[:, 0]
        if row and None not in row and values.shape[1] == np.prod(row):
            return values.reshape(len(values), *row)
    check_row_shape(values.shape[1:], spec)
    return values


def check_row_shape(seen, spec, row=None):
    """Raise if rows of shape `seen` cannot be the input."""
    expected = spec.row_shape
    if expected is None:
        return
    if len(seen) != len(expected) or any(
        e is not None and s != e for s, e in zip(seen, expected, strict=True)
    ):
        where = "rows" if row is None else f"row {row}"
        raise ValueError(f"The graph expects {spec}; X has {where} of shape {tuple(seen)}.")


def cast(values, spec, rows):
    """Cast numbers to the input's dtype.

    What numpy's "same_kind" allows, plus numbers to integers where every value is integral; a
    value that is out of the new type's range is an error, never wrapped or made infinite.

    Parameters
    ----------
    values : ndarray
    spec : TensorSpec
    rows : sequence of int
        Row numbers of `values`, for messages.
    """
    dtype = spec.dtype
    if dtype is None:
        raise ValueError(f"The input {spec} has a type that numpy does not know.")
    if values.dtype == dtype:
        return np.ascontiguousarray(values)
    if dtype.kind == "O" or values.dtype.kind not in "biuf":
        raise ValueError(f"The graph expects {spec}; X has dtype {values.dtype}.")
    bad = _unfit(values, dtype)
    if bad.any():
        where = np.argwhere(bad)[0]
        raise ValueError(
            f"Row {rows[where[0]]}: the value {values[tuple(where)]} cannot be {dtype} without "
            f"loss; the graph expects {spec}."
        )
    return np.ascontiguousarray(values, dtype=dtype)


def _unfit(values, dtype):
    """Which numbers the dtype cannot hold: out of range, or not integral."""
    if values.dtype.kind == "b":
        return np.zeros(values.shape, bool)
    if dtype.kind == "b":
        return (values != 0) & (values != 1)
    if dtype.kind == "f":
        with np.errstate(over="ignore"):
            return np.isinf(values.astype(dtype)) & ~np.isinf(values)
    info = np.iinfo(dtype)
    if values.dtype.kind != "f":
        return (values < info.min) | (values > info.max)
    # powers of two are exact in float64, the largest int64 is not
    wide = values.astype(np.float64)
    too_large = wide >= 2.0 ** (info.bits - (dtype.kind == "i"))
    return (wide < info.min) | too_large | (wide != np.rint(wide))
