"""The rows that the checks run on, and what is compared of an estimator's results."""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any
from unittest import SkipTest
from weakref import WeakKeyDictionary

import numpy as np
from scipy.sparse import issparse
from sklearn.base import clone, is_regressor
from sklearn.utils import get_tags

from sklearn_dl.utils._columns import object_array

TEXTS = (
    "a good film",
    "bad",
    "old music",
    "the red cat",
    "",
    "a very fine book of music",
    "Ü 👍",
    "the cat is old and the film is red",
)
LABELS = ("b", "a", "c", "a", "b", "c", "a", "b")
METHODS = (
    "transform",
    "predict",
    "predict_proba",
    "predict_log_proba",
    "decision_function",
    "score_samples",
)


@dataclass(eq=False)
class CheckData:
    """Rows and targets.

    Parameters
    ----------
    X : list, pandas Series, or ndarray of shape (n_samples, n_columns)
        A list or Series has one item per row, for estimators that take X of one dimension.
    y : array-like of shape (n_samples,) or None
        None: strings for a classifier and other estimators, floats for a regressor.
    atol : float
        How far numbers may differ between calls with other rows.
    """

    X: Any
    y: Any = None
    atol: float = 1e-5
    _fitted: WeakKeyDictionary = field(default_factory=WeakKeyDictionary)

    def __len__(self):
        return len(self.X)

    @property
    def n_columns(self):
        """Number of columns; None where X has one dimension."""
        return self.X.shape[1] if isinstance(self.X, np.ndarray) else None

    def take(self, rows):
        """X of some rows, by position."""
        if hasattr(self.X, "iloc"):
            return self.X.iloc[list(rows)]
        if self.n_columns is None:
            return [self.X[row] for row in rows]
        return self.X[list(rows)]

    def targets(self, estimator):
        """The y that `estimator` is fitted with: ndarray of shape (n_samples,)."""
        if self.y is not None:
            return np.asarray(self.y)
        if is_regressor(estimator):
            return np.linspace(-1.0, 2.0, len(self))
        return np.resize(np.array(LABELS), len(self))

    def fitted(self, estimator):
        """`estimator` after `fit`: one for all checks, which must not change it."""
        if estimator not in self._fitted:
            self._fitted[estimator] = self.fit(estimator)
        return self._fitted[estimator]

    def fit(self, estimator):
        """A new clone of `estimator`, fitted."""
        return fresh(estimator).fit(self.X, self.targets(estimator))

    def containers(self, estimator):
        """What makes the same rows in each container that `estimator` takes, by its name."""
        found: dict[str, Callable[[], Any]] = {}
        one_d_array = get_tags(estimator).input_tags.one_d_array
        if self.n_columns is None or (self.n_columns == 1 and one_d_array):
            cells = list(self.X) if self.n_columns is None else list(self.X[:, 0])
            pandas_series = partial(self._pandas_series, cells)
            if hasattr(self.X, "iloc"):
                found["pandas Series"] = pandas_series
                found["polars Series"] = lambda: _polars().Series(self.X.name or "", cells)
                return found
            found["list"] = lambda: list(cells)
            found["tuple"] = lambda: tuple(cells)
            if self.n_columns is None and all(isinstance(cell, np.ndarray) for cell in cells):
                found["stacked ndarray"] = lambda: np.stack(cells)
            else:
                found["ndarray of objects"] = lambda: object_array(cells)
                found["pandas Series"] = pandas_series
        if self.n_columns is not None:
            found["pandas DataFrame"] = lambda: self.frame("pandas")
            found["polars DataFrame"] = lambda: self.frame("polars")
        return found

    def _pandas_series(self, cells):
        return _pandas().Series(
            object_array(cells), index=odd_index(len(self)), name=getattr(self.X, "name", None)
        )

    def frame(self, library):
        """X as a data frame with columns "f0", "f1", ...; pandas gets an index with repeats.

        Parameters
        ----------
        library : {"pandas", "polars"}
        """
        columns = {f"f{j}": self.X[:, j] for j in range(self.n_columns)}
        if library == "pandas":
            return _pandas().DataFrame(columns, index=odd_index(len(self)))
        polars = _polars()
        if self.X.dtype != object:
            return polars.DataFrame(columns)
        dtype = polars.String if all(isinstance(c, str) for c in self.X.flat) else polars.Object
        series = [polars.Series(name, list(cells), dtype) for name, cells in columns.items()]
        return polars.DataFrame(series)


def _pandas():
    try:
        import pandas
    except ImportError:
        raise SkipTest("pandas is not installed") from None
    return pandas


def _polars():
    try:
        import polars
    except ImportError:
        raise SkipTest("polars is not installed") from None
    return polars


def text_data(n_columns=None, atol=1e-5):
    """Eight short texts, as a list, or in columns of an array."""
    if n_columns is None:
        return CheckData(list(TEXTS), atol=atol)
    columns = [np.roll(np.array(TEXTS, dtype=object), j) for j in range(n_columns)]
    return CheckData(np.stack(columns, axis=1), atol=atol)


def image_data(n_columns=None, atol=1e-5):
    """Eight images of random pixels, as a list, or in the column of an array."""
    generator = np.random.default_rng(0)
    images = [generator.integers(0, 256, (24, 32, 3), dtype=np.uint8) for _ in range(8)]
    return CheckData(
        images if n_columns is None else object_array(images).reshape(-1, 1), atol=atol
    )


def odd_index(n_rows):
    """Row labels that repeat, have gaps and do not start at 0."""
    return np.resize([50, 3, 3, -1, 9, 7, 8], n_rows)


def fresh(estimator):
    """A clone with a fixed `random_state`, where the estimator has one."""
    copied = clone(estimator)
    return copied.set_params(random_state=0) if "random_state" in copied.get_params() else copied


def methods(estimator):
    """Names of the methods that give results for X."""
    return [name for name in METHODS if hasattr(estimator, name)]


def results(estimator, X):
    """What each method of `estimator` gives for X: dict of name to ndarray."""
    return {name: as_array(getattr(estimator, name)(X)) for name in methods(estimator)}


def as_array(result):
    """Numbers, labels, or an object array whose cells are arrays; frames and sparse ones, too."""
    if issparse(result):
        return result.toarray()
    if hasattr(result, "to_numpy"):
        result = result.to_numpy()
    array = result if isinstance(result, np.ndarray) else _ragged(result)
    if array.dtype != object or all(isinstance(cell, str) for cell in array.flat):
        return array
    # images, detections, lists: by their content
    cells = object_array([np.asarray(cell) for cell in array.flat])
    return cells.reshape(array.shape)


def _ragged(result):
    try:
        return np.asarray(result)
    except ValueError:
        return object_array(list(result))


def assert_same(actual, expected, atol=0.0, where=""):
    """Raise AssertionError where two arrays of `as_array` differ; numbers may by `atol`."""
    assert actual.shape == expected.shape, f"{where}: shape {actual.shape}, not {expected.shape}"
    if expected.dtype == object:
        for row, (cell, other) in enumerate(zip(actual.flat, expected.flat, strict=True)):
            assert_same(np.asarray(cell), np.asarray(other), atol, f"{where} cell {row}")
    elif expected.dtype.names:
        for name in expected.dtype.names:
            assert_same(actual[name], expected[name], atol, f"{where} field {name!r}")
    elif expected.dtype.kind == "f":
        rtol = 1e-6 if atol else 0
        np.testing.assert_allclose(actual, expected, rtol=rtol, atol=atol, err_msg=where)
    else:
        np.testing.assert_array_equal(actual, expected, err_msg=where)


def assert_same_results(actual, expected, atol=0.0):
    """`assert_same` for each method of two dicts of `results`."""
    assert actual.keys() == expected.keys(), f"methods {list(actual)}, not {list(expected)}"
    for name, array in expected.items():
        assert_same(actual[name], array, atol, name)


def needs_fit(estimator):
    """Whether the tags say that methods work after `fit` only."""
    return get_tags(estimator).requires_fit


def assert_refused(what, call, *args, errors=ValueError, match="", **kwargs):
    """Raise AssertionError unless a call raises one of `errors` whose message matches.

    Parameters
    ----------
    what : str
        The bad argument in words, for the message.
    call : callable
    errors : exception class or tuple of them, default=ValueError
    match : str, default=""
        A regular expression to find in the message of the error.
    """
    try:
        call(*args, **kwargs)
    except errors as error:
        if not re.search(match, str(error)):
            raise AssertionError(f"{what}: the error does not match {match!r}") from error
    else:
        raise AssertionError(f"{what} was taken without an error")
