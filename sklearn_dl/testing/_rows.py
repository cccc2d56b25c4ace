"""Checks of X: its containers, columns and rows."""

from importlib import import_module
from typing import Any
from unittest import SkipTest

import numpy as np
from sklearn.utils import get_tags

from sklearn_dl.testing._data import (
    as_array,
    assert_refused,
    assert_same,
    assert_same_results,
    fresh,
    methods,
    needs_fit,
    odd_index,
    results,
)


def check_methods_sample_order_invariance(estimator, data):
    """Results follow their rows when the rows change places."""
    fitted = data.fitted(estimator)
    order = np.random.default_rng(0).permutation(len(data))
    expected = {name: array[order] for name, array in results(fitted, data.X).items()}
    assert_same_results(results(fitted, data.take(order)), expected, data.atol)


def check_methods_subset_invariance(estimator, data):
    """A row has the same results alone as among the others."""
    fitted = data.fitted(estimator)
    whole = results(fitted, data.X)
    for row in range(len(data)):
        expected = {name: array[[row]] for name, array in whole.items()}
        assert_same_results(results(fitted, data.take([row])), expected, data.atol)


def check_readonly_input(estimator, data):
    """`fit` and the other methods take arrays that are read-only, and change no cell."""
    X, y = data.take(range(len(data))), data.targets(estimator).copy()
    cells = list(X) if data.n_columns is None else list(X.flat)
    arrays = [cell for cell in cells if isinstance(cell, np.ndarray)]
    contents = [cell.copy() for cell in arrays]
    writeable = [cell.flags.writeable for cell in arrays]
    for array in [*arrays, y, *([X] if data.n_columns is not None else [])]:
        array.flags.writeable = False
    try:
        fitted = fresh(estimator).fit(X, y)
        results(fitted, X)
    finally:
        for cell, flag in zip(arrays, writeable, strict=True):
            cell.flags.writeable = flag
    now = list(X) if data.n_columns is None else list(X.flat)
    assert all(a is b or a == b for a, b in zip(now, cells, strict=True)), "X was changed"
    for cell, content in zip(arrays, contents, strict=True):
        np.testing.assert_array_equal(cell, content)


def check_containers_mean_the_same(estimator, data):
    """Lists, tuples, arrays, Series and frames of the same rows give the same results."""
    expected = results(data.fitted(estimator), data.X)
    for container, make in data.containers(estimator).items():
        X = make()
        fitted = fresh(estimator).fit(X, data.targets(estimator))
        for name, array in results(fitted, X).items():
            assert_same(np.squeeze(array), np.squeeze(expected[name]), where=f"{container}: {name}")


def check_what_is_not_rows(estimator, data):
    """A bare string, bytes, None and a mapping are not rows: `fit` and all methods raise."""
    wrong: list[Any] = ["a string", b"bytes", None]
    if not get_tags(estimator).input_tags.dict:
        wrong.append({"a": 1})
    for X in wrong:
        errors = (ValueError, TypeError)
        y = data.targets(estimator)
        assert_refused(f"fit: X={X!r}", fresh(estimator).fit, X, y, errors=errors)
        for name in methods(estimator):
            method = getattr(data.fitted(estimator), name)
            assert_refused(f"{name}: X={X!r}", method, X, errors=errors)


def check_n_features_in(estimator, data):
    """`n_features_in_` is the number of columns; other numbers of columns raise a ValueError."""
    fitted = data.fitted(estimator)
    assert fitted.n_features_in_ == data.n_columns
    assert needs_fit(estimator) is False or not hasattr(fresh(estimator), "n_features_in_")
    wider = np.hstack([data.X, data.X])
    for name in methods(estimator):
        what = f"{name}: X of {wider.shape[1]} columns"
        assert_refused(what, getattr(fitted, name), wider, match="(?i)column|feature")


def check_dataframe_column_names_consistency(estimator, data):
    """`feature_names_in_` comes from frames alone, and frames with other names raise."""
    assert not hasattr(data.fitted(estimator), "feature_names_in_"), "names of an ndarray"
    frame = data.frame("pandas")
    named = fresh(estimator).fit(frame, data.targets(estimator))
    assert named.feature_names_in_.tolist() == list(frame.columns)
    assert named.feature_names_in_.dtype == object
    renamed = frame.rename(columns={"f0": "another"})
    for name in methods(estimator):
        getattr(named, name)(frame)  # a warning here would be wrong
        what = f"{name}: a frame with other names"
        assert_refused(what, getattr(named, name), renamed, match="(?i)feature names|column")


def check_set_output_pandas(estimator, data):
    """`set_output(transform="pandas")` gives a frame with the names and the index of X."""
    frame = data.frame("pandas") if data.n_columns is not None else data.X
    out = _transformed_into("pandas", estimator, data, frame)
    if out is not None and data.n_columns is not None:
        assert list(out.index) == list(odd_index(len(data)))


def check_set_output_polars(estimator, data):
    """`set_output(transform="polars")` gives a frame with the names of the columns."""
    X = data.frame("polars") if data.n_columns is not None else data.X
    _transformed_into("polars", estimator, data, X)


def _transformed_into(container, estimator, data, X):
    """The frame that `transform` gives, checked; None where its results have no tabular form."""
    try:
        library = import_module(container)
    except ImportError:
        raise SkipTest(f"{container} is not installed") from None
    expected = as_array(data.fitted(estimator).transform(data.X))
    transformer = fresh(estimator).set_output(transform=container)
    out = transformer.fit(X, data.targets(estimator)).transform(X)
    assert_same(as_array(out), expected, where=f"set_output(transform={container!r})")
    if expected.ndim != 2:
        return None
    assert isinstance(out, library.DataFrame)
    assert list(out.columns) == list(transformer.get_feature_names_out())
    return out


def check_transformer_get_feature_names_out(estimator, data):
    """`get_feature_names_out` names each column of what `transform` gives."""
    fitted = data.fitted(estimator)
    names = fitted.get_feature_names_out()
    assert isinstance(names, np.ndarray)
    assert names.dtype == object
    assert all(isinstance(name, str) for name in names)
    out = as_array(fitted.transform(data.X))
    if out.ndim == 2:
        assert len(names) == out.shape[1], f"{len(names)} names for {out.shape[1]} columns"
        assert len(set(names)) == len(names), "names repeat"
