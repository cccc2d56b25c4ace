"""Columns of the containers that users of scikit-learn pass as X.

A list, a tuple, a 1-D array, a Series, a one-column frame and a one-column 2-D array all mean
the same column. Only frames have column names.
"""

import os
from collections.abc import Mapping, Set
from datetime import UTC, datetime
from decimal import Decimal
from numbers import Number

import narwhals.stable.v1 as nw
import numpy as np
from narwhals.stable.v1.dependencies import get_pyarrow, is_polars_lazyframe
from scipy.sparse import issparse
from sklearn.utils import get_tags
from sklearn.utils.validation import validate_data

# float64 stores every integer up to this one exactly, and rounds some larger ones
MAX_EXACT_INTEGER = 2**53


def object_array(cells):
    """1-D object array of `cells`, filled element by element.

    ``np.array(cells, dtype=object)`` would read the pixels of each lazy image, and would stack
    arrays of equal shape.
    """
    out = np.empty(len(cells), dtype=object)
    for i, cell in enumerate(cells):
        out[i] = cell
    return out


def natural_array(cells):
    """1-D array of `cells`: of numpy's dtype if all are bools, numbers or numpy dates, else object.

    ``np.asarray([True, 2, "a"])`` would turn all cells into strings, and
    ``np.asarray([2**53 + 1, 0.5])`` would round the integer: these become object arrays.
    """
    types = {type(cell) for cell in cells}
    if types and (
        types <= {bool, np.bool_}
        or all(issubclass(t, (int, float, np.number)) and t is not bool for t in types)
        or types in ({np.datetime64}, {np.timedelta64})
    ):
        array = np.asarray(list(cells))
        if array.dtype.kind != "f" or not any(issubclass(t, (int, np.integer)) for t in types):
            return array
        # numpy turns integers into floats if a cell is a float, or if no integer dtype fits them
        integers = [cell for cell in cells if isinstance(cell, (int, np.integer))]
        if len(integers) < len(cells) and all(
            abs(int(cell)) <= MAX_EXACT_INTEGER for cell in integers
        ):
            return array
    return object_array(cells)


def is_missing(cell):
    """Whether a cell is None, NaN, NaT or pandas.NA."""
    if cell is None or type(cell).__name__ in ("NAType", "NaTType"):
        return True
    if isinstance(cell, (float, np.floating)):
        return bool(np.isnan(cell))
    if isinstance(cell, Decimal):
        return cell.is_nan()
    return isinstance(cell, (np.datetime64, np.timedelta64)) and bool(np.isnat(cell))


def missing_mask(cells):
    """Mask of the missing cells, as defined by `is_missing`; fast for most dtypes and types.

    Parameters
    ----------
    cells : ndarray of any shape, or list

    Returns
    -------
    mask : ndarray of bool, of the shape of `cells`
    """
    # StringDType (T) may also hold missing values
    if isinstance(cells, np.ndarray) and cells.dtype.kind not in "TO":
        if cells.dtype.kind in "fMm":
            return cells != cells
        return np.zeros(cells.shape, dtype=bool)
    flat = cells.ravel().tolist() if isinstance(cells, np.ndarray) else cells
    types = set(map(type, flat))
    if not any(map(_may_be_missing, types)):
        return np.zeros(np.shape(cells) if isinstance(cells, np.ndarray) else len(cells), bool)
    array = cells.astype(object) if isinstance(cells, np.ndarray) else object_array(cells)
    if all(t in _COMPARABLE or issubclass(t, (np.integer, np.floating)) for t in types):
        # only NaN differs from itself
        return (array != array) | (array == None)  # noqa: E711
    return np.frompyfunc(is_missing, 1, 1)(array).astype(bool)


_COMPARABLE = {bool, int, float, str, bytes, type(None), np.str_, np.bool_}


def _may_be_missing(t):
    """Whether a cell of type `t` can be missing."""
    named = t is type(None) or t.__name__ in ("NAType", "NaTType")
    values = (float, np.floating, Decimal, np.datetime64, np.timedelta64)
    return named or issubclass(t, values)


def is_frame(X):
    """Whether `X` is a data frame that narwhals knows."""
    return isinstance(_from_native(X), nw.DataFrame)


def is_series(X):
    """Whether `X` is a Series or a pyarrow array."""
    return isinstance(_from_native(X), nw.Series)


def _from_native(X):
    if isinstance(X, (list, tuple, np.ndarray)):
        return X
    arrow = get_pyarrow()
    if arrow is not None and isinstance(X, arrow.Array):
        X = arrow.chunked_array([X])
    elif arrow is not None and isinstance(X, arrow.RecordBatch):
        X = arrow.Table.from_batches([X])
    return nw.from_native(X, eager_only=True, allow_series=True, pass_through=True)


def as_table(X):
    """X, whose rows can be indexed: an array or a batch of pyarrow becomes chunked or a table."""
    native = _from_native(X)
    return native.to_native() if isinstance(native, (nw.DataFrame, nw.Series)) else X


def series_to_numpy(X):
    """The cells of a Series or pyarrow array, as `split_columns` returns them."""
    return _series_to_numpy(_from_native(X))


def frame_to_numpy(X):
    """The columns of a data frame, as `split_columns` returns them."""
    native = _from_native(X)
    return [_series_to_numpy(native[:, j]) for j in range(native.shape[1])]


def named_columns(X, names, optional=()):
    """Columns of a data frame, as `split_columns` returns them.

    Parameters
    ----------
    X : data frame
    names : sequence of str
    optional : sequence of str, default=()
        Names of columns that are also returned if `X` has them.

    Returns
    -------
    columns : dict of str to ndarray of shape (n_samples,)

    Raises
    ------
    ValueError
        If `X` lacks one of the `names`.
    """
    native = _from_native(X)
    missing = [name for name in names if name not in native.columns]
    if missing:
        raise ValueError(f"The frame has no columns {missing}; it has {native.columns}.")
    wanted = [*names, *(name for name in optional if name in native.columns)]
    return {name: _series_to_numpy(native[name]) for name in wanted}


def row_index(X):
    """The pandas index of a frame or Series, else None."""
    return X.index if hasattr(X, "iloc") else None


def count_rows(X):
    """Number of rows of X; 1 if X is an array without axes."""
    if hasattr(X, "__len__") and getattr(X, "ndim", 1) != 0:
        return len(X)
    return (*np.asarray(X).shape, 1)[0]


def is_empty_list(X):
    """Whether `X` is an empty list or tuple, so that its columns and dtypes are not known."""
    return isinstance(X, (list, tuple)) and not X


def reject_non_column(X, estimator):
    """Raise an error for sparse data, a set, a LazyFrame, and a single value such as a string."""
    if is_polars_lazyframe(X):
        raise TypeError(f"{type(estimator).__name__} got a polars LazyFrame: pass X.collect().")
    if issparse(X):
        advice = "needs dense data: use X.toarray()"
        if not get_tags(estimator).input_tags.two_d_array:
            advice = "reads texts or images by itself: leave out the vectorizer before it"
        raise TypeError(f"Sparse data was passed, but {type(estimator).__name__} {advice}.")
    if isinstance(X, Set):
        raise ValueError(f"{type(estimator).__name__} got a set, which has no order: pass a list.")
    single = (Number, str, bytes, bytearray, memoryview, os.PathLike, Mapping, type(None))
    if isinstance(X, single):
        kind = type(X).__name__
        hint = "wrap it in a list"
        if isinstance(X, Mapping):
            hint = (
                "pass one column, or a data frame (only OnnxScorer and TensorFlowScorer accept a "
                "dict of arrays, for a graph with several inputs; a dict cannot be cross-validated)"
            )
        raise ValueError(
            f"{type(estimator).__name__} expects a column of values, one per row, but got a single "
            f"{kind}: {hint}."
        )


def counted(number, noun):
    """A number with its noun, as in "1 column" and "2 columns"."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def split_columns(X, estimator):
    """Split `X` into columns without changing the values in its cells.

    Parameters
    ----------
    X : list, tuple, ndarray, Series or DataFrame
    estimator : estimator
        Error messages contain its name.

    Returns
    -------
    columns : list of ndarray of shape (n_samples,)
        Their dtypes are those of X, with these exceptions of dtype object: all columns of a list;
        columns of arrays; dates with a time zone (as `datetime` in UTC, or as `Timestamp` from
        pandas); and columns with missing values (as None) and integers that float64 would round. An
        empty list has as many columns as `fit` saw, or one.
    names : list of str or None
        Column names, if X is a frame.
    one_dimensional : bool
        Whether X was 1-D (a list of scalars, a 1-D array, a Series).
    """
    reject_non_column(X, estimator)
    native = _from_native(X)
    if isinstance(native, nw.DataFrame):
        return frame_to_numpy(X), list(native.columns), False
    if isinstance(native, nw.Series):
        return [_series_to_numpy(native)], None, True
    if hasattr(X, "__array__") and not hasattr(X, "__iter__"):
        X = np.asarray(X)
    if isinstance(X, np.ndarray):
        if X.ndim == 2:
            return [X[:, j] for j in range(X.shape[1])], None, False
        if X.ndim == 1:
            return [X], None, True
        return [object_array(list(X))] if X.ndim else [], None, True
    cells = list(X)
    if not cells:
        n_columns = getattr(estimator, "n_features_in_", 1)
        return [object_array([])] * n_columns, None, n_columns == 1
    if all(isinstance(cell, (list, tuple)) for cell in cells):
        width = len(cells[0])
        for i, cell in enumerate(cells):
            if len(cell) != width:
                raise ValueError(
                    f"Row {i} has {counted(len(cell), 'column')}, but row 0 has {width}."
                )
        return [object_array([c[j] for c in cells]) for j in range(width)], None, False
    return [object_array(cells)], None, True


def _series_to_numpy(series):
    native = series.to_native()
    exact = _exact_cells(series, native)
    if exact is not None:
        return exact if isinstance(exact, np.ndarray) else object_array(exact)
    # an Object column of polars holds Python objects that narwhals does not convert
    values = np.asarray(native.to_numpy()) if hasattr(native, "to_numpy") else series.to_numpy()
    # a column of arrays of one length (`polars.Array`) becomes a 2-D array
    return values if values.ndim == 1 else object_array(list(values))


def _exact_cells(series, native):
    """Cells of a column whose values a numpy dtype would change; None for other columns."""
    dtype = series.dtype
    if isinstance(dtype, nw.Struct):
        return series.to_list()
    if isinstance(dtype, nw.Datetime) and dtype.time_zone is not None:
        # each moment is converted once, and its rows share one object
        if hasattr(native, "factorize"):
            rows, moments = native.factorize(use_na_sentinel=False)
            return np.asarray(moments, dtype=object)[rows]
        # libraries other than pandas return the time in UTC, without a zone
        moments, rows = np.unique(np.asarray(native.to_numpy()), return_inverse=True)
        return object_array(_in_utc(moments))[rows]
    if dtype.is_integer() and series.null_count():
        if _exact_in_float(series):
            return None
        return [None if is_missing(cell) else cell for cell in series.to_list()]
    if isinstance(dtype, nw.Categorical) and hasattr(native, "to_pylist"):
        return native.to_pylist()
    if isinstance(dtype, nw.Categorical) and hasattr(native, "iloc"):
        # pandas turns integer categories into floats if a value is missing
        categories, codes = native.cat.categories, native.cat.codes
        numeric = categories.dtype.kind in "iu" and len(categories) and codes.min() < 0
        if numeric and not _exact_in_float(categories):
            values = categories.tolist()
            return [values[code] if code >= 0 else None for code in codes]
    return None


def _exact_in_float(integers):
    """Whether float64 stores each value of a Series of integers exactly."""
    lowest, highest = integers.min(), integers.max()
    return is_missing(lowest) or -MAX_EXACT_INTEGER <= lowest <= highest <= MAX_EXACT_INTEGER


def _in_utc(moments):
    """The `time_cells` of `datetime64` values, with UTC as their time zone."""
    return [m.replace(tzinfo=UTC) if isinstance(m, datetime) else m for m in time_cells(moments)]


def time_cells(times):
    """Convert cells of `datetime64` to `datetime`, of `timedelta64` to `timedelta`, NaT to None.

    Values that these types cannot hold (nanoseconds, years beyond 9999) stay numpy scalars.

    Parameters
    ----------
    times : ndarray of shape (n,)

    Returns
    -------
    cells : list of length n
    """
    micro = times.astype(f"{times.dtype.kind}8[us]")
    cells = micro.tolist()
    if int in set(map(type, cells)):
        cells = [micro[row] if type(cell) is int else cell for row, cell in enumerate(cells)]
    for row in np.flatnonzero((micro != times) & ~np.isnat(times)):
        cells[row] = times[row]
    return cells


def require_rows(n_rows, estimator):
    """Raise scikit-learn's ValueError if X has no rows; only `fit` needs rows."""
    if not n_rows:
        raise ValueError(
            "Found array with 0 sample(s) while a minimum of 1 is required by "
            f"{type(estimator).__name__}."
        )


def require_columns(columns, X, estimator):
    """Raise scikit-learn's ValueError if X has no columns."""
    if not columns:
        raise ValueError(
            f"Found array with 0 feature(s) (shape=({count_rows(X)}, 0)) while a minimum of 1 is "
            f"required by {type(estimator).__name__}."
        )


def single_column(X, estimator, *, reset):
    """Return the cells of a one-column `X`, and set or check `n_features_in_`.

    Parameters
    ----------
    X : list, tuple, ndarray, Series or one-column DataFrame
    estimator : estimator
        If `reset`, its `n_features_in_` (and for a frame `feature_names_in_`) are set. If not, X is
        checked against them if they are set, and may have no rows.
    reset : bool

    Returns
    -------
    cells : object ndarray of shape (n_samples,)

    Raises
    ------
    ValueError
        If X is not a column, has more than one column, or, if `reset`, has no rows.
    """
    columns, names, _ = split_columns(X, estimator)
    name = type(estimator).__name__
    if len(columns) != 1:
        raise ValueError(f"{name} expects one column, got {len(columns)}.")
    cells = object_array(columns[0])
    if reset:
        require_rows(len(cells), estimator)
    set_or_check_features(estimator, X if names else cells.reshape(-1, 1), names, reset=reset)
    return cells


def set_or_check_features(estimator, X, names, *, reset):
    """Set or check the number and the names of features, as `validate_data` does.

    If `fit` saw one column with a name, one column without a name is accepted without a warning.
    """
    if not reset:
        if not hasattr(estimator, "n_features_in_"):
            return
        if names is None and estimator.n_features_in_ == 1 and X.shape[1] == 1:
            return
    if names is not None:
        X = _from_native(X).to_native()  # scikit-learn does not know pyarrow's batches
    validate_data(estimator, X, skip_check_array=True, reset=reset)
