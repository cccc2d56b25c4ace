"""Checks of X: its containers, columns and rows."""

import copy
import re
import warnings
from functools import partial
from typing import Any
from unittest import SkipTest

import numpy as np
from sklearn.utils import get_tags

from sklearn_dl.testing._compare import (
    as_rows,
    assert_no_rows_like,
    assert_refused,
    assert_same,
    assert_same_results,
    methods,
    result,
    results,
)
from sklearn_dl.testing._data import fresh, library_or_skip, needs_fit, odd_index


def check_methods_sample_order_invariance(estimator, data):
    """In another order of the rows, each row has the same results."""
    fitted = data.fitted(estimator)
    order = np.random.default_rng(0).permutation(len(data))
    expected = {name: rows[order] for name, rows in results(fitted, data.X).items()}
    where = "rows in another order: "
    assert_same_results(results(fitted, data.take(order)), expected, data.atol, where)


def check_methods_subset_invariance(estimator, data):
    """A row has the same results alone as among the other rows."""
    fitted = data.fitted(estimator)
    whole = results(fitted, data.X)
    for row in range(len(data)):
        expected = {name: rows[[row]] for name, rows in whole.items()}
        where = f"row {row} alone: "
        assert_same_results(results(fitted, data.take([row])), expected, data.atol, where)


def check_methods_on_no_rows(estimator, data):
    """If X has no rows, methods raise a ValueError, or return a result of the same kind.

    Its type, dtypes, columns and axes after the first are the same as for an X with rows.
    """
    fitted = data.fitted(estimator)
    for name in methods(estimator):
        _check_no_rows(getattr(fitted, name), data.X, name)


def _check_no_rows(method, X, where):
    """Check the result of a method of an estimator for X without its rows."""
    try:
        found = method(X.iloc[:0] if hasattr(X, "iloc") else X[:0])
    except ValueError:
        return  # as scikit-learn's own estimators do
    expected = method(X)
    if isinstance(expected, list) and where in ("predict_proba", "predict_log_proba"):
        for j, (one, other) in enumerate(zip(found, expected, strict=True)):
            assert_no_rows_like(one, other, f"{where} without rows, output {j}")
    else:
        assert_no_rows_like(found, expected, f"{where} without rows")


def check_readonly_input(estimator, data):
    """`fit` and the other methods take read-only arrays, and do not change X and y."""
    X, y = data.X, data.targets(estimator)
    held = list(X.flat) if isinstance(X, np.ndarray) and X.dtype == object else [X, *X]
    for array in (X, y, *held):
        if isinstance(array, np.ndarray):
            array.flags.writeable = False
    fitted = fresh(estimator)
    fitted.fit(X, y)
    results(fitted, X)
    assert_same(as_rows(X), as_rows(data.X), where="X after fit and the other methods")
    assert_same(y, data.targets(estimator), where="y after fit")


def check_containers_mean_the_same(estimator, data):
    """Lists, tuples, arrays, Series and frames of the same rows give the same results."""
    expected = results(data.fitted(estimator), data.X)
    not_installed = None
    for container, make in data.containers(estimator).items():
        try:
            X = make()
        except SkipTest as error:
            not_installed = error
            continue
        fitted = fresh(estimator)
        fitted.fit(X, data.targets(estimator))
        where = f"X is {container}: "
        assert_same_results(results(fitted, X), expected, data.atol, where)
    if not_installed:
        raise not_installed  # the other containers were checked


def check_what_is_not_rows(estimator, data):
    """`fit` and the other methods raise an error for a string, bytes, None and a dict as X."""
    wrong: list[Any] = ["a string", b"bytes", None]
    if not get_tags(estimator).input_tags.dict:
        wrong.append({"a": 1})
    for X in wrong:
        if needs_fit(estimator):
            y = data.targets(estimator)
            assert_refused(f"fit with X={X!r}", fresh(estimator).fit, X, y, errors=Exception)
        for name in methods(estimator):
            method = getattr(data.fitted(estimator), name)
            assert_refused(f"{name} of X={X!r}", method, X, errors=Exception)


def check_missing_cells(estimator, data):
    """`fit` and the other methods raise an error for None and NaN in X."""
    for missing in (None, np.nan):
        X = with_cell(data.X, missing)
        if needs_fit(estimator):
            y = data.targets(estimator)
            what = f"fit with {missing} in row 1 of X"
            assert_refused(what, fresh(estimator).fit, X, y, errors=Exception)
        for name in methods(estimator):
            method = getattr(data.fitted(estimator), name)
            what = f"{name} with {missing} in row 1 of X"
            assert_refused(what, method, copy.deepcopy(X), errors=Exception)


def check_errors_name_the_index(estimator, data):
    """An error or warning that names a row of a frame by its position also names its label."""
    library_or_skip("pandas")
    labels = [f"label{row}" for row in range(len(data))]
    for missing in (None, np.nan):
        frame = with_cell(data.frame("pandas"), missing).set_axis(labels)
        fitted, y = data.fitted(estimator), data.targets(estimator)
        calls = {name: partial(getattr(fitted, name), frame) for name in methods(estimator)}
        calls["fit"] = partial(fresh(estimator).fit, frame, y)
        for name, call in calls.items():
            for message in messages_of(call):
                named = re.search(r"\brows?\b[^.:;]*\b1\b", message, flags=re.IGNORECASE)
                assert not named or labels[1] in message, (
                    f"{name} names row 1 of a frame, but not its label {labels[1]!r}: {message}"
                )


def messages_of(call):
    """The messages of the warnings and of the error of a call."""
    found = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            call()
        except Exception as error:
            found.append(str(error))
    return [*found, *(str(warning.message) for warning in caught)]


def with_cell(X, value):
    """X with `value` in the first cell of row 1; an array of numbers gets NaN."""
    if hasattr(X, "columns"):
        X = X.astype({X.columns[0]: object})
        X.iloc[1, 0] = value
    elif hasattr(X, "iloc"):
        X = X.astype(object)
        X.iloc[1] = value
    elif isinstance(X, np.ndarray) and X.dtype != object:
        X[(1, *[0] * (X.ndim - 1))] = np.nan
    else:
        X[1 if isinstance(X, list) or X.ndim == 1 else (1, 0)] = value
    return X


def check_n_features_in(estimator, data):
    """`n_features_in_` is the number of columns; an X with another number raises a ValueError."""
    fitted = data.fitted(estimator)
    found = getattr(fitted, "n_features_in_", None)
    assert found == data.n_columns, f"n_features_in_ is {found}, but X has {data.n_columns} columns"
    wider = np.hstack([data.X, data.X])
    for name in methods(estimator):
        what = f"{name} of X with {wider.shape[1]} columns"
        assert_refused(what, getattr(fitted, name), wider, says="column|feature")


def check_dataframe_column_names_consistency(estimator, data):
    """Only frames set `feature_names_in_`; a frame with other names raises a ValueError."""
    frame = data.frame("pandas")
    named = fresh(estimator)
    named.fit(frame, data.targets(estimator))
    names = getattr(named, "feature_names_in_", None)
    expected = np.array(frame.columns, dtype=object)
    assert_same(names, expected, where="feature_names_in_")
    if not data.is_frame:
        unnamed = data.fitted(estimator)
        assert not hasattr(unnamed, "feature_names_in_"), "feature_names_in_ without names in X"
    renamed = frame.rename(columns={frame.columns[0]: "another"})
    for name in methods(estimator):
        result(named, name, frame)  # a warning about names would be wrong
        what = f"{name} of a frame with other names"
        assert_refused(what, getattr(named, name), renamed, says="feature names|column")


def check_set_output_pandas(estimator, data):
    """After `set_output`, a pandas output has the feature names and the index of X."""
    X = data.frame("pandas") if data.n_columns is not None else data.X
    for out in _transformed_into("pandas", estimator, data, X):
        if data.n_columns is not None:
            expected = odd_index(len(data))
            assert_same(np.asarray(out.index), expected, where="the index of the frame")


def check_set_output_polars(estimator, data):
    """After `set_output`, a polars output has the feature names."""
    X = data.frame("polars") if data.n_columns is not None else data.X
    list(_transformed_into("polars", estimator, data, X))


def _transformed_into(container, estimator, data, X):
    """Yield the checked frames of `transform` and `fit_transform`, if their output is 2-D."""
    library = library_or_skip(container)
    expected = as_rows(data.fitted(estimator).transform(data.X))
    y = data.targets(estimator)
    try:
        transformer = fresh(estimator).set_output(transform=container)
        both = {"fit_transform": transformer.fit_transform(X, y)}
        both["transform"] = transformer.transform(X)
    except ValueError as error:
        # scikit-learn refuses frames of sparse matrices, and steps without `set_output`
        if "sparse" in str(error) or "Unable to configure output" in str(error):
            return
        raise
    for name, out in both.items():
        where = f'{name} after set_output(transform="{container}")'
        assert_same(as_rows(out), expected, data.atol, where)
        if expected.ndim == 2:
            assert isinstance(out, library.DataFrame), f"{where} returns a {type(out).__name__}"
            names = list(transformer.get_feature_names_out())
            found = list(out.columns)
            assert found == names, f"{where} returns the columns {found}, not {names}"
            yield out
    _check_no_rows(transformer.transform, X, f'transform after set_output(transform="{container}")')


def check_transformer_get_feature_names_out(estimator, data):
    """`get_feature_names_out` of a fitted estimator names each column that `transform` returns."""
    names = data.fitted(estimator).get_feature_names_out()
    is_array = isinstance(names, np.ndarray) and names.dtype == object
    assert is_array, f"names are a {type(names).__name__}, not an ndarray of dtype object"
    assert all(isinstance(name, str) for name in names), f"names are not strings: {names!r:.200}"
    out = as_rows(data.fitted(estimator).transform(data.X))
    if out.ndim == 2:
        assert len(names) == out.shape[1], f"{len(names)} names for {out.shape[1]} columns"
        assert len(set(names)) == len(names), f"names repeat: {names!r:.200}"
