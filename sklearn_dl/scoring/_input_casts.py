"""Convert numbers to the dtype of an input of a graph, and to the shape of its rows."""

from decimal import Decimal

import numpy as np

from sklearn_dl.utils._columns import MAX_EXACT_INTEGER
from sklearn_dl.utils._messages import RowError, RowsError


def fit_rank(values, spec):
    """Reshape flat rows to the row shape of the input, and check the shape.

    Most of scikit-learn accepts only a 2-D X. Its rows are reshaped if the graph states every size
    of a row, and the product of these sizes is the number of columns.

    Raises
    ------
    ValueError
        If the rows do not have the shape of the input.
    """
    row = spec.row_shape
    if row is not None and values.ndim == 2 and values.ndim != len(row) + 1:
        if row == () and values.shape[1] == 1:
            return values[:, 0]
        if row and None not in row and values.shape[1] == np.prod(row):
            return values.reshape(len(values), *row)
    check_row_shape(values.shape[1:], spec)
    return values


def check_row_shape(seen, spec, row=None, name="X"):
    """Raise a ValueError if rows of shape `seen` cannot be fed to the input.

    Parameters
    ----------
    seen : tuple of int
    spec : TensorSpec
    row : int or None, default=None
        Number of the row that has this shape. None: all rows have it.
    name : str, default="X"
        What the message calls the array that has the rows.
    """
    expected = spec.row_shape
    if expected is None:
        return
    if len(seen) != len(expected) or any(
        e is not None and s != e for s, e in zip(seen, expected, strict=True)
    ):
        what = f"The graph expects {spec}; {name} has"
        if row is None:
            raise ValueError(f"{what} rows of shape {tuple(seen)}.")
        raise RowsError(f"{what} row {row} of shape {tuple(seen)}.", row)


def cast(values, spec, rows, name="X"):
    """Cast numbers to the input's dtype.

    Floats may be rounded. A number that is out of the range of the dtype, or that is not whole if
    the dtype is an integer, raises an error: it is never wrapped, cut off or made infinite.

    Parameters
    ----------
    values : ndarray
    spec : TensorSpec
    rows : sequence of int
        Row numbers of `values`, for messages.
    name : str, default="X"
        What messages call `values`.

    Returns
    -------
    values : ndarray of the input's dtype, C-contiguous
    """
    dtype = spec.dtype
    if dtype is None:
        raise ValueError(f"The input {spec} has a type that numpy does not know.")
    if values.dtype == dtype:
        return np.ascontiguousarray(values)
    if dtype.kind == "O" or values.dtype.kind not in "biuf":
        raise ValueError(f"The graph expects {spec}; {name} has dtype {values.dtype}.")
    bad = _unfit_mask(values, dtype)
    if bad.any():
        where = np.argwhere(bad)[0]
        raise _unfit_error(rows[where[0]], values[tuple(where)], spec)
    return np.ascontiguousarray(values, dtype=dtype)


def exact_integers(numbers, originals, spec):
    """Restore the integers that float64 may have rounded.

    Parameters
    ----------
    numbers : ndarray
        The array that numpy made of `originals`.
    originals : ndarray or nested list of the same shape
        It is read only if a number may have been rounded.
    spec : TensorSpec
        Only an input of integers needs exact integers.

    Returns
    -------
    numbers : ndarray of the same shape
        `numbers` itself if nothing was rounded, else a new array of the input's dtype.

    Raises
    ------
    ValueError
        If a number cannot be one of the input's dtype.
    """
    kept = isinstance(originals, np.ndarray) and originals.dtype.kind != "O"
    if kept or not may_round(numbers, spec):
        return numbers
    large = np.isfinite(numbers) & (np.abs(numbers) >= MAX_EXACT_INTEGER)
    if not large.any():
        return numbers
    originals = np.asarray(originals, dtype=object)
    out = cast(np.where(large, 0, numbers), spec, range(len(numbers)))
    info = np.iinfo(spec.dtype)
    for position in map(tuple, np.argwhere(large)):
        value = originals[position]
        if isinstance(value, (str, bytes)):
            value = Decimal(value if isinstance(value, str) else value.decode())
        whole = int(value)
        if whole != value or not info.min <= whole <= info.max:
            raise _unfit_error(position[0], originals[position], spec)
        out[position] = whole
    return out


def may_round(numbers, spec):
    """Whether `numbers` are float64, so that integers for the input may have been rounded."""
    return spec.dtype is not None and spec.dtype.kind in "iu" and numbers.dtype == np.float64


def _unfit_error(row, value, spec):
    return RowError(
        f"the value {value} cannot be {spec.dtype} without loss; the graph expects {spec}.", row
    )


def _unfit_mask(values, dtype):
    """Mask of the numbers that are out of the range of the dtype, or not whole for an integer."""
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
    wide = values.astype(np.result_type(values, np.float64))
    too_large = wide >= 2.0 ** (info.bits - (dtype.kind == "i"))
    return (wide < info.min) | too_large | (wide != np.rint(wide))
