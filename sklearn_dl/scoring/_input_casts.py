"""Fit numbers to an input of a graph: to its dtype, and to the shape of its rows."""

from decimal import Decimal

import numpy as np

from sklearn_dl.utils._columns import MAX_EXACT_INTEGER


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
        raise _unfit_value(rows[where[0]], values[tuple(where)], spec)
    return np.ascontiguousarray(values, dtype=dtype)


def exact_integers(numbers, originals, spec):
    """Numbers for the input, with the integers that float64 rounds as they were.

    Parameters
    ----------
    numbers : ndarray
        What numpy makes of `originals`.
    originals : ndarray or nested list of the same shape
        Read only if rounding is possible.
    spec : TensorSpec

    Returns
    -------
    numbers : ndarray of the same shape
        As given where nothing can be rounded, else of the dtype of `spec`.

    Raises
    ------
    ValueError
        If a number does not fit into that dtype.
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
            raise _unfit_value(position[0], originals[position], spec)
        out[position] = whole
    return out


def may_round(numbers, spec):
    return spec.dtype is not None and spec.dtype.kind in "iu" and numbers.dtype == np.float64


def _unfit_value(row, value, spec):
    return ValueError(
        f"Row {row}: the value {value} cannot be {spec.dtype} without loss; the graph expects "
        f"{spec}."
    )


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
    wide = values.astype(np.result_type(values, np.float64))
    too_large = wide >= 2.0 ** (info.bits - (dtype.kind == "i"))
    return (wide < info.min) | too_large | (wide != np.rint(wide))
