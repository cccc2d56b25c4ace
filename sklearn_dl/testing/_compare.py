"""Comparison of the results of estimators."""

import re
from numbers import Number

import numpy as np
from scipy.sparse import issparse

from sklearn_dl.utils._columns import object_array

METHODS = (
    "transform",
    "predict",
    "predict_proba",
    "predict_log_proba",
    "decision_function",
    "score_samples",
)
# relative difference that numbers may have in addition to `atol`: float32 has seven digits
RTOL = 1e-6


def methods(estimator):
    """Names of the methods of `estimator` that return results for X."""
    return [name for name in METHODS if hasattr(estimator, name)]


def result(estimator, name, X):
    """The result of a method of `estimator` for X, converted by `as_rows`."""
    with np.errstate(divide="ignore"):  # the logarithm of a probability of 0
        found = getattr(estimator, name)(X)
    if name in ("predict_proba", "predict_log_proba") and isinstance(found, list):
        found = np.hstack(found)  # some classifiers return an array for each column of y
    return as_rows(found)


def results(estimator, X):
    """The `result` of each method of `estimator`, by the name of the method."""
    return {name: result(estimator, name, X) for name in methods(estimator)}


def as_rows(result):
    """Convert `result` to an ndarray with one row for each row of X.

    Parameters
    ----------
    result : ndarray, sparse matrix, data frame, Series, PixelArray, list or tuple
    """
    if issparse(result):
        return result.toarray()
    if hasattr(result, "to_numpy"):
        result = result.to_numpy()
    if isinstance(result, (list, tuple)):
        plain = all(isinstance(cell, (str, Number, np.generic)) for cell in result)
        return np.asarray(result) if plain else object_array(list(result))
    return np.asarray(result)


def assert_same(actual, expected, atol=0.0, where="result"):
    """Raise an AssertionError if two results differ; numbers may differ by `atol` and `RTOL`.

    Parameters
    ----------
    actual, expected : ndarray, dict, list, tuple, or anything else that `numpy.asarray` takes
    atol : float
        0: numbers must be equal.
    where : str
        Name of the result in the message.
    """
    if isinstance(expected, dict):
        _assert(
            isinstance(actual, dict) and actual.keys() == expected.keys(), where, actual, expected
        )
        for key in expected:
            assert_same(actual[key], expected[key], atol, f"{where}[{key!r}]")
        return
    if isinstance(expected, (list, tuple)):
        same = isinstance(actual, (list, tuple)) and len(actual) == len(expected)
        _assert(same, where, actual, expected)
        for position, pair in enumerate(zip(actual, expected, strict=True)):
            assert_same(*pair, atol, f"{where}[{position}]")
        return
    actual, expected = np.asarray(actual), np.asarray(expected)
    _assert(actual.shape == expected.shape, f"shape of {where}", actual.shape, expected.shape)
    if expected.dtype == object:
        if not expected.ndim:
            _assert(actual.item() == expected.item(), where, actual.item(), expected.item())
        for position, cell in enumerate(expected.flat if expected.ndim else []):
            assert_same(actual.flat[position], cell, atol, f"{where}[{position}]")
    elif expected.dtype.names:
        for name in expected.dtype.names:
            assert_same(actual[name], expected[name], atol, f"{where}[{name!r}]")
    elif expected.dtype.kind in "fc":
        _assert(actual.dtype == expected.dtype, f"dtype of {where}", actual.dtype, expected.dtype)
        rtol = RTOL if atol else 0
        np.testing.assert_allclose(actual, expected, rtol=rtol, atol=atol, err_msg=where)
    else:
        np.testing.assert_array_equal(actual, expected, err_msg=where)


def _assert(same, where, actual, expected):
    if not same:
        raise AssertionError(f"{where} is {actual!r:.200}, not {expected!r:.200}")


def assert_same_results(actual, expected, atol=0.0, where=""):
    """Apply `assert_same` to each method in two dicts of `results`."""
    for name, array in expected.items():
        assert_same(actual[name], array, atol, f"{where}{name}(X)")


def assert_no_rows_like(actual, expected, where):
    """Raise an AssertionError unless `actual` is `expected` without its rows.

    Parameters
    ----------
    actual : object
        What a method returned for an X without rows.
    expected : object
        What it returned for an X with rows. Both must have the same type, number of dimensions,
        sizes of the axes after the first, columns and dtypes.
    where : str
        Name of the result in the message.
    """
    kind, wanted = _kind(actual), _kind(expected)
    for what, value in (wanted | {"n_rows": 0}).items():
        _assert(kind.get(what) == value, f"{what} of {where}", kind.get(what), value)


def _kind(result):
    """The properties of `result` that do not depend on the rows, and its number of rows."""
    if not hasattr(result, "shape"):
        return {"type": type(result).__name__, "n_rows": len(result)}
    n_rows, *row_shape = result.shape
    kind = {"type": type(result).__name__, "n_rows": n_rows, "shape of a row": tuple(row_shape)}
    if hasattr(result, "columns"):
        kind |= {"columns": list(result.columns), "dtypes": list(map(str, result.dtypes))}
        return kind | ({"index": result.index.dtype} if hasattr(result, "index") else {})
    # an array of strings is as wide as its longest string
    dtype = result.dtype
    is_text = getattr(dtype, "kind", "") in ("S", "U")
    return kind | {"dtype": dtype.kind if is_text else str(dtype)}


def assert_refused(what, call, *args, errors=ValueError, says="", **kwargs):
    """Raise an AssertionError unless a call raises one of `errors` with a message like `says`.

    Parameters
    ----------
    what : str
        Describes the call in the message of the AssertionError.
    call : callable
    errors : exception class or tuple of them, default=ValueError
    says : str, default=""
        A regular expression: words separated by "|". It must match somewhere in the error's
        message; upper and lower case are the same.
    """
    try:
        call(*args, **kwargs)
    except Exception as error:
        if not isinstance(error, errors):
            raise AssertionError(f"{what} raises {type(error).__name__}: {error}") from error
        assert_says(error, says, what)
    else:
        raise AssertionError(f"{what} raises no error")


def assert_says(error, says, what):
    """Raise an AssertionError unless the message of `error` contains one of the words."""
    if not re.search(says, str(error), flags=re.IGNORECASE):
        words = " or ".join(f'"{word}"' for word in says.split("|"))
        message = f"{what} raises an error that does not contain {words}: {error}"
        raise AssertionError(message) from error
