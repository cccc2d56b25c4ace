"""The dictionaries of `LabelKeyMapper`, and the conversion of columns to cells for them."""

from datetime import UTC, date, datetime, time, timedelta
from numbers import Number
from typing import Any

import numpy as np

from sklearn_dl.utils._columns import (
    MAX_EXACT_INTEGER,
    is_missing,
    natural_array,
    object_array,
    reject_non_column,
    require_columns,
    require_rows,
    split_columns,
    time_cells,
)
from sklearn_dl.utils._messages import RowsError

_KIND_OF_DTYPE = {
    "b": "booleans",
    "i": "numbers",
    "u": "numbers",
    "f": "numbers",
    "U": "strings",
    "T": "strings",
    "S": "bytes",
    "M": "dates",
    "m": "durations",
}
# bool before Number: a bool is an int
_KIND_OF_TYPE: dict = {
    (bool, np.bool_): "booleans",
    Number: "numbers",
    str: "strings",
    bytes: "bytes",
    (date, np.datetime64): "dates",
    (timedelta, np.timedelta64): "durations",
}


def hashable_cells(column):
    """The cells of `column` as Python objects, so that equal values have equal hashes.

    Dates become `datetime.datetime`, so that a date in days equals the same date in nanoseconds.
    Dates with a time zone are converted to UTC, so that one moment has one key.

    Parameters
    ----------
    column : ndarray of shape (n,)

    Returns
    -------
    cells : list of length n
    """
    if column.dtype.kind == "c":
        raise ValueError("Complex data not supported: complex numbers have no key.")
    if column.dtype.kind in "Mm":
        return time_cells(column)
    cells = column.tolist()
    times = (date, timedelta, np.datetime64, np.timedelta64)
    if column.dtype.kind == "O" and any(issubclass(t, times) for t in set(map(type, cells))):
        # convert each object once: rows with the same moment often share one object
        others = {
            id(cell): cell
            for cell in cells
            if type(cell) is not datetime or cell.tzinfo not in (None, UTC)
        }
        changed = {i: _time_cell(cell) for i, cell in others.items()}
        return [changed.get(id(cell), cell) for cell in cells] if changed else cells
    return cells


def _time_cell(cell):
    """The hashable cell of a date or duration, equal for equal values of different types."""
    if is_missing(cell):
        return cell
    if type(cell) is date:
        return datetime.combine(cell, time())
    # pandas objects may have nanoseconds, which objects of datetime cannot hold
    if getattr(cell, "nanosecond", 0):
        return cell.to_datetime64()
    if getattr(cell, "nanoseconds", 0):
        return cell.to_timedelta64()
    if isinstance(cell, datetime) and cell.tzinfo not in (None, UTC):
        try:
            return cell.astimezone(UTC)
        except OverflowError:  # at the ends of the calendar; the cell still compares as a moment
            return cell
    if isinstance(cell, (np.datetime64, np.timedelta64)):
        return time_cells(np.asarray([cell]))[0]
    return cell


def first_rows(column, where):
    """The first row of each distinct value, in ascending order.

    Parameters
    ----------
    column : ndarray of shape (n,)
    where : str
        Name of the column in messages ("column 0").

    Returns
    -------
    rows : ndarray of int
        Missing values and the empty string are left out.
    """
    if column.dtype.kind in "biufMm":
        values, rows = np.unique(column, return_index=True)
        return np.sort(rows[values == values])  # NaN and NaT differ from themselves
    first: dict = {}
    for i, cell in enumerate(hashable_cells(column)):
        try:
            first.setdefault(cell, i)
        except TypeError:
            raise ValueError(
                f"Row {i} of {where} has a {type(cell).__name__}, which cannot have a key: "
                "pass strings, numbers, booleans or dates."
            ) from None
    return np.array([i for cell, i in first.items() if not has_no_key(cell)], dtype=np.intp)


def has_no_key(cell):
    """Whether a cell is missing, or the empty string, which ML.NET counts as missing."""
    return cell == "" if isinstance(cell, str) else is_missing(cell)


def kind_of(column, cells):
    """The kind of the values in a column, as a word for messages.

    Parameters
    ----------
    column : ndarray of shape (n,)
    cells : list of length n
        The `hashable_cells` of the column.

    Returns
    -------
    kind : str or None
        "strings", "numbers", ...; "mixed" for several kinds; None if all values are missing.
    """
    if all(map(has_no_key, cells)):
        return None
    if column.dtype.kind in _KIND_OF_DTYPE:
        return _KIND_OF_DTYPE[column.dtype.kind]
    types = set(map(type, cells))
    if types != {str}:
        types = {t for t in types if any(type(c) is t and not has_no_key(c) for c in cells)}
    kinds = {_kind_of_type(t) for t in types}
    if kinds == {"dates"}:
        if any(getattr(cell, "tzinfo", None) is not None for cell in cells):
            return "dates with a time zone"
        if types == {np.datetime64}:  # with nanoseconds: they may have had a time zone before
            return "mixed"
    return kinds.pop() if len(kinds) == 1 else "mixed"


def _kind_of_type(t):
    for base, kind in _KIND_OF_TYPE.items():
        if issubclass(t, base):
            return kind
    return f"{t.__name__} objects"


def in_value_order(column, cells, where):
    """Argsort of a column of distinct values: numbers by size, strings by code points."""
    if column.dtype.kind != "O":
        return np.argsort(column, kind="stable")
    try:
        if any(isinstance(cell, (np.datetime64, np.timedelta64)) for cell in cells):
            cells = _sortable_times(cells)
        return sorted(range(len(cells)), key=cells.__getitem__)
    except TypeError as error:
        raise ValueError(
            f"The values of {where} cannot be sorted ({error}): use order='occurrence'."
        ) from error


def _sortable_times(cells):
    """Sort keys of dates or durations of numpy and Python, which cannot be compared directly."""
    origin: Any = timedelta()
    numpy_origin: Any = np.timedelta64(0, "us")
    if isinstance(cells[0], (datetime, np.datetime64)):
        zoned = any(getattr(cell, "tzinfo", None) is not None for cell in cells)
        origin = datetime(1970, 1, 1, tzinfo=UTC if zoned else None)
        numpy_origin = np.datetime64(0, "us")
    keys = []
    for cell in cells:
        if isinstance(cell, (np.datetime64, np.timedelta64)):
            since = cell - numpy_origin
            micro = since.astype("m8[us]")
            rest = float((since - micro) / np.timedelta64(1, "ns"))
            keys.append((int(micro.astype(np.int64)), rest))
        else:
            keys.append(((cell - origin) // timedelta(microseconds=1), 0.0))
    return keys


def decode(dictionary, keys):
    """Replace keys by their values, and 0 by NaN, NaT or (if the dtype has neither) None.

    Parameters
    ----------
    dictionary : ndarray of shape (n_keys,)
        The values of the keys 1, 2, ..., n_keys.
    keys : ndarray of shape (n,), int64, from 0 to n_keys

    Returns
    -------
    values : ndarray of shape (n,)
        If a key is 0, integers become float64 if that keeps them exact, and objects otherwise.
    """
    if keys.all():
        return dictionary[keys - 1]
    dtype: np.dtype = dictionary.dtype
    fill: object = np.nan
    if dtype.kind in "iu" and _exact_as_float(dictionary):
        dtype = np.dtype(np.float64)
    elif dtype.kind in "Mm":
        fill = np.array("NaT", dtype=dtype)
    elif dtype.kind != "f":
        dtype, fill = np.dtype(object), None
    padded = np.empty(len(dictionary) + 1, dtype=dtype)
    padded[0] = fill
    padded[1:] = dictionary
    return padded[keys]


def side_by_side(columns):
    """Stack columns into a 2-D array; its dtype is object if no other keeps all values unchanged.

    Parameters
    ----------
    columns : list of ndarray of shape (n,)

    Returns
    -------
    table : ndarray of shape (n, n_columns)
    """
    kinds = {_KIND_OF_DTYPE.get(c.dtype.kind) for c in columns}
    if len(kinds) == 1 and None not in kinds:
        dtype = np.result_type(*columns)
        if dtype.kind != "f" or all(c.dtype.kind == "f" or _exact_as_float(c) for c in columns):
            return np.stack(columns, axis=1).astype(dtype, copy=False)
    # astype(object) would turn dates in nanoseconds into integers
    columns = [object_array(list(c)) if c.dtype.kind in "Mm" else c.astype(object) for c in columns]
    return np.stack(columns, axis=1)


def _exact_as_float(integers):
    limit = MAX_EXACT_INTEGER
    return not integers.size or (integers.max() <= limit and integers.min() >= -limit)


def split(X, estimator, *, needs_rows=False):
    """Return the result of `split_columns`, with a `natural_array` for each column of a list.

    Raises
    ------
    ValueError
        If X has no columns, more than two dimensions, or no rows although it `needs_rows`.
    """
    reject_non_column(X, estimator)
    if getattr(X, "ndim", 1) not in (1, 2):
        raise ValueError(f"Expected a 1-D or 2-D array, got an array of {X.ndim} dimensions.")
    columns, names, one_dimensional = split_columns(X, estimator)
    require_columns(columns, X, estimator)
    if needs_rows:
        require_rows(len(columns[0]), estimator)
    if isinstance(X, (list, tuple)):
        columns = [natural_array(column) for column in columns]
    return columns, names, one_dimensional


def whole_numbers(column, n_keys, where):
    """Return `column` as int64 keys.

    Raises
    ------
    ValueError
        If a value is not a whole number from 0 to `n_keys`.
    """
    numbers = natural_array(column) if column.dtype.kind == "O" else column
    if numbers.dtype.kind in "iuf":
        valid = (numbers >= 0) & (numbers <= n_keys) & (numbers == np.floor(numbers))
    else:
        # cell by cell, so that the message names the cell that is not a number
        valid = np.array([_is_key(cell, n_keys) for cell in numbers])
    if not valid.all():
        row = int(np.argmin(valid))
        raise RowsError(
            f"Row {row} of {where} has {numbers[row]!r}, which is not a key: keys are the whole "
            f"numbers from 0 to {n_keys}.",
            row,
        )
    return numbers.astype(np.int64)


def _is_key(cell, n_keys):
    number = isinstance(cell, (int, float, np.number)) and not isinstance(cell, bool)
    return number and 0 <= cell <= n_keys and cell == int(cell)
