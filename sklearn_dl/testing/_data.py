"""The rows and targets that the checks run on."""

import copy
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any
from unittest import SkipTest

import numpy as np
from sklearn.base import clone, is_classifier, is_regressor
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


class CheckData:
    """Rows and targets for all checks, and the estimators that were fitted on them.

    Parameters
    ----------
    X : list, ndarray, pandas Series or DataFrame
        One item or row for each sample.
    y : array-like of shape (n_samples,) or (n_samples, n_outputs), or None
        None: positive floats for a regressor, and strings for all other estimators.
    atol : float
        Largest difference between numbers that should be the same.
    """

    def __init__(self, X, y=None, atol=1e-5):
        self._X = X
        self._y = y
        self.atol = atol
        self._fitted: dict[int, Any] = {}

    def __len__(self):
        return len(self._X)

    @property
    def X(self):
        """A new copy of X, so that no check sees changes by another check or an estimator."""
        return copy.deepcopy(self._X)

    @property
    def is_frame(self):
        return hasattr(self._X, "columns")

    @property
    def is_table(self):
        """Whether X is an ndarray of two dimensions."""
        return isinstance(self._X, np.ndarray) and self._X.ndim == 2

    @property
    def may_miss_cells(self):
        """Whether the cells of X can hold NaN; those of an integer array cannot."""
        return not isinstance(self._X, np.ndarray) or self._X.dtype.kind in "fcO"

    @property
    def n_columns(self):
        """Number of columns; None where X is neither an array of two dimensions nor a frame."""
        return self._X.shape[1] if self.is_table or self.is_frame else None

    def take(self, rows):
        """Some rows of X, by position."""
        rows = list(rows)
        X = self.X
        if hasattr(X, "iloc"):
            return X.iloc[rows]
        return [X[row] for row in rows] if isinstance(X, list) else X[rows]

    def targets(self, estimator):
        """The y that `estimator` is fitted with: 1-D or 2-D ndarray."""
        if self._y is not None:
            return np.array(self._y)
        if is_regressor(estimator):
            return np.linspace(1.0, 4.0, len(self))
        y = np.resize(np.array(LABELS), len(self))
        if is_classifier(estimator) and not get_tags(estimator).classifier_tags.multi_class:
            y[y == "c"] = "a"
        return y

    def fitted(self, estimator):
        """A fitted clone of `estimator`, which all checks share and must not change."""
        if id(estimator) not in self._fitted:
            self._fitted[id(estimator)] = self.fit(estimator)
        return self._fitted[id(estimator)]

    def fit(self, estimator):
        """A new clone of `estimator`, fitted."""
        unfitted = fresh(estimator)
        unfitted.fit(self.X, self.targets(estimator))
        return unfitted

    def containers(self, estimator) -> Mapping[str, Callable[[], Any]]:
        """Functions that build the same rows in several containers, by the container's name."""
        X = self.X
        if self.is_frame:
            return {"a pandas DataFrame": lambda: self.frame("pandas"), **self._polars_frame()}
        if hasattr(X, "iloc"):
            name = X.name
            return {
                "a pandas Series": lambda: _pandas_series(list(X), name),
                "a polars Series": lambda: library_or_skip("polars").Series(name or "", list(X)),
            }
        if not self.is_table:
            return _one_dimensional(list(X), stacked=True)
        frames = {"a pandas DataFrame": lambda: self.frame("pandas"), **self._polars_frame()}
        if X.shape[1] == 1 and get_tags(estimator).input_tags.one_d_array:
            return _one_dimensional(list(X[:, 0]), stacked=False) | frames
        return frames

    def _polars_frame(self):
        return {"a polars DataFrame": lambda: self.frame("polars")}

    def frame(self, library):
        """X as a data frame: an array gets columns "f0", "f1", ..., pandas gets an `odd_index`.

        Parameters
        ----------
        library : {"pandas", "polars"}
        """
        frame = library_or_skip(library)
        X = self.X
        if self.is_frame:
            columns = {name: X[name].to_numpy() for name in X.columns}
        else:
            columns = {f"f{j}": X[:, j] for j in range(X.shape[1])}
        if library == "pandas":
            return frame.DataFrame(columns, index=odd_index(len(X)))
        return frame.DataFrame(
            [_polars_series(frame, name, cells) for name, cells in columns.items()]
        )


def _one_dimensional(cells, stacked):
    found: dict[str, Callable[[], Any]] = {
        "a list": lambda: list(cells),
        "a tuple": lambda: tuple(cells),
    }
    if stacked and len({getattr(cell, "shape", None) for cell in cells} - {None}) == 1:
        return found | {"an array of all images": lambda: np.stack(cells)}
    return found | {
        "an array of objects": lambda: object_array(cells),
        "a pandas Series": lambda: _pandas_series(cells),
    }


def _pandas_series(cells, name=None):
    return library_or_skip("pandas").Series(
        object_array(cells), index=odd_index(len(cells)), name=name
    )


def _polars_series(polars, name, cells):
    if cells.dtype != object:
        return polars.Series(name, cells)
    is_text = all(isinstance(cell, str) for cell in cells)
    return polars.Series(name, list(cells), polars.String if is_text else polars.Object)


def library_or_skip(name):
    """Import an optional library; raise a SkipTest if it is not installed."""
    try:
        return import_module(name)
    except ImportError:
        raise SkipTest(f"{name} is not installed") from None


def odd_index(n_rows):
    """Row labels that repeat, have gaps and do not start at 0."""
    return np.resize([50, 3, 3, -1, 9, 7, 8], n_rows)


def text_data(n_columns=None, atol=1e-5):
    """Eight short texts, as a list or in the columns of an array."""
    if n_columns is None:
        return CheckData(list(TEXTS), atol=atol)
    columns = [np.roll(np.array(TEXTS, dtype=object), j) for j in range(n_columns)]
    return CheckData(np.stack(columns, axis=1), atol=atol)


def image_data(n_columns=None, atol=1e-5):
    """Eight images of random pixels, as a list or in the only column of an array."""
    generator = np.random.default_rng(0)
    images = [generator.integers(0, 256, (24, 32, 3), dtype=np.uint8) for _ in range(8)]
    X = images if n_columns is None else object_array(images).reshape(-1, 1)
    return CheckData(X, atol=atol)


def fresh(estimator):
    """A clone of `estimator` in which each `random_state`, even those of its steps, is 0."""
    copied = clone(estimator)
    names = [n for n in copied.get_params() if n.split("__")[-1] == "random_state"]
    return copied.set_params(**dict.fromkeys(names, 0))


def needs_fit(estimator):
    """Whether the tags say that the methods of `estimator` work only after `fit`."""
    return get_tags(estimator).requires_fit
