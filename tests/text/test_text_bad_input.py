"""Every text estimator checks X, y and weights, and does not change if a check fails.

What the check of X finds is in test_texts.py.
"""

import sys

import numpy as np
import pandas as pd
import pytest

from sklearn_dl import clear_sessions
from tests.text.small_estimators import (
    CLASSIFIERS,
    KINDS,
    LEARNERS,
    REGRESSORS,
    TEXTS,
    learned_attributes,
    outputs,
    rows_of,
    small_estimator,
    targets_of,
)


@pytest.fixture(params=KINDS)
def kind(request):
    return request.param


@pytest.fixture(params=LEARNERS)
def learner(request):
    """The kind of an estimator that learns from y."""
    return request.param


@pytest.fixture
def assert_fit_refuses(encoder, fitted_estimators):
    """A function: `fit` raises, and leaves an estimator as it was, fitted or not."""

    def check(kind, X, y, message, **fit_params):
        fitted, rows = fitted_estimators[kind], rows_of(kind)
        expected = outputs(fitted, rows)
        for estimator in (small_estimator(kind, encoder), fitted):
            before = learned_attributes(estimator)
            assert bool(before) == (estimator is fitted)
            with pytest.raises(ValueError, match=message):
                estimator.fit(X, y, **fit_params)
            assert learned_attributes(estimator) == before
        np.testing.assert_array_equal(outputs(fitted, rows), expected)

    return check


METHODS = ["predict", "predict_proba", "predict_log_proba", "decision_function", "transform"]


def assert_predictions_refuse(kind, fitted, X, message):
    """Each method that reads X raises, and changes nothing."""
    before, expected = learned_attributes(fitted), outputs(fitted, rows_of(kind))
    methods = [getattr(fitted, name) for name in METHODS if hasattr(fitted, name)]
    if kind in CLASSIFIERS:
        methods.append(fitted.embed)
    assert methods
    for method in methods:
        with pytest.raises(ValueError, match=message):
            method(X)
        assert learned_attributes(fitted) == before
    np.testing.assert_array_equal(outputs(fitted, rows_of(kind)), expected)


def with_cells(rows, cells):
    """`rows` with other cells in its only column, else in column 1."""
    for row, cell in cells.items():
        rows[row if rows.ndim == 1 else (row, 1)] = cell
    return rows


# what is done to good rows, and the message; NAME is the estimator's
BAD_ROWS = {
    "missing cells": (
        lambda rows: with_cells(rows, {2: None, 5: np.nan}),
        "NAME expects text, but each of rows 2, 5( of column 1)? is not text: row 2 is missing",
    ),
    "bytes": (
        lambda rows: with_cells(rows, {2: b"bytes"}),
        r"NAME expects text, but row 2( of column 1)? is not text: row 2 is b'bytes' \(bytes\)",
    ),
    "half a surrogate pair": (
        lambda rows: with_cells(rows, {4: "good \ud83d film"}),
        r"NAME: row 4( of column 1)? contains half of a surrogate pair \(row 4: U\+D83D at "
        r"position 5",
    ),
    "numbers": (
        lambda rows: np.arange(float(rows.size)).reshape(rows.shape),
        "NAME expects text, but each of rows 0, 1, 2, 3, 4 and 7 more",
    ),
    "three columns": (
        lambda rows: np.column_stack([TEXTS, TEXTS, TEXTS]),
        "NAME expects .*, got 3 columns",
    ),
    "a single text": (lambda rows: "one text", "NAME expects a column of values"),
    "rows of unequal width": (
        lambda rows: [["a"], *[["a", "b"]] * 11],
        "Row 1 has 2 columns, but row 0 has 1",
    ),
}


@pytest.mark.parametrize("bad", BAD_ROWS)
def test_bad_rows_are_refused(kind, bad, assert_fit_refuses, fitted_estimators):
    fitted = fitted_estimators[kind]
    damage, message = BAD_ROWS[bad]
    message = f"^{message.replace('NAME', type(fitted).__name__)}"
    X = damage(rows_of(kind))
    assert_fit_refuses(kind, X, targets_of(kind), message)
    assert_predictions_refuse(kind, fitted, X, message)


@pytest.mark.parametrize("regressor", REGRESSORS)
def test_one_column_is_refused_by_the_regressor(regressor, assert_fit_refuses, fitted_estimators):
    message = r"expects two columns of texts .*, got 1 column[.]"
    assert_fit_refuses(regressor, TEXTS, targets_of(regressor), message)
    assert_predictions_refuse(regressor, fitted_estimators[regressor], TEXTS, message)


def test_an_estimator_fits_after_a_refusal(kind, encoder, fitted_estimators):
    estimator, rows = small_estimator(kind, encoder), rows_of(kind)
    with pytest.raises(ValueError, match="expects text"):
        estimator.fit(with_cells(rows.copy(), {2: None}), targets_of(kind))
    estimator.fit(rows, targets_of(kind))
    expected = outputs(fitted_estimators[kind], rows)
    np.testing.assert_array_equal(outputs(estimator, rows), expected)


def test_unequal_lengths(learner, assert_fit_refuses):
    X, y = rows_of(learner), targets_of(learner)
    assert_fit_refuses(learner, X, y[:-1], "inconsistent numbers of samples")
    weights = np.ones(3)
    assert_fit_refuses(learner, X, y, r"\(3,\), expected \(12,\)", sample_weight=weights)


@pytest.mark.parametrize("missing", [np.nan, None, pd.NA], ids=["NaN", "None", "pandas.NA"])
def test_missing_targets_are_named(learner, missing, assert_fit_refuses):
    y = targets_of(learner).astype(object)
    y[[3, 7]] = missing
    message = r"y is missing \(NaN or None\) in row\(s\) 3, 7: drop these rows"
    assert_fit_refuses(learner, rows_of(learner), y, message)


def test_a_missing_label_among_strings_is_named(assert_fit_refuses):
    y = np.where(targets_of("classifier"), "yes", "no").astype(object)
    y[2] = None
    assert_fit_refuses("classifier", rows_of("classifier"), y, r"in row\(s\) 2: drop")


@pytest.mark.parametrize("regressor", REGRESSORS)
def test_targets_that_are_not_finite_numbers(regressor, assert_fit_refuses):
    X, y = rows_of(regressor), targets_of(regressor)
    words = np.where(y, "high", "low")
    assert_fit_refuses(regressor, X, words, "y must contain numbers: .*'high'")
    y[4] = np.inf
    assert_fit_refuses(regressor, X, y, "y is infinite in row 4")


# a scaled cosine needs no targets
@pytest.mark.parametrize("learner", [*CLASSIFIERS, "bi-encoder", "cross-encoder"])
def test_no_targets(learner, assert_fit_refuses):
    assert_fit_refuses(learner, rows_of(learner), None, "requires y to be passed")


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        pytest.param(np.full(12, -1.0), "Negative values", id="negative"),
        pytest.param(np.full(12, np.nan), "NaN", id="NaN"),
        pytest.param(["a"] * 12, "could not convert", id="strings"),
    ],
)
def test_bad_weights(learner, weights, message, assert_fit_refuses):
    X, y = rows_of(learner), targets_of(learner)
    assert_fit_refuses(learner, X, y, message, sample_weight=weights)


@pytest.mark.parametrize("package", ["torch", "transformers"])
def test_a_package_that_is_not_installed(kind, encoder, package, monkeypatch):
    for module in ("sklearn_dl.text._text_network", "sklearn_dl.models._transformers"):
        monkeypatch.delitem(sys.modules, module, raising=False)
    clear_sessions()
    monkeypatch.setitem(sys.modules, package, None)
    estimator, rows = small_estimator(kind, encoder), rows_of(kind)
    with pytest.raises(ImportError, match=rf'needs {package}: pip install "sklearn-dl\[text\]"'):
        outputs(estimator.fit(rows, targets_of(kind)), rows)
    learned = learned_attributes(estimator)
    assert not any(name.startswith(("classes", "_predictor")) for name in learned)
