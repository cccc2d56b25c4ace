"""Checks of y and of sample weights."""

from unittest import SkipTest

import numpy as np
from sklearn.base import is_classifier

from sklearn_dl.testing._compare import (
    assert_refused,
    assert_same,
    assert_same_results,
    assert_says,
    results,
)
from sklearn_dl.testing._data import fresh, library_or_skip, odd_index

# two classes of every kind
BINARY_LABELS = {
    "strings": np.array(["no", "yes"]),
    "objects": np.array(["no", "yes"], dtype=object),
    "booleans": np.array([False, True]),
    "negative integers": np.array([-1, 1]),
    "whole floats": np.array([1.0, 2.0]),
}


def check_classifiers_classes(estimator, data):
    """For labels of any kind, `classes_` is sorted, and `predict` returns labels of that kind."""
    for kind, classes in BINARY_LABELS.items():
        fitted = fresh(estimator)
        fitted.fit(data.X, classes[np.arange(len(data)) % 2])
        predicted = fitted.predict(data.X)
        same_kind = _kind(predicted) == _kind(classes)
        assert same_kind, f"y of {kind}: predict returns {predicted.dtype}, y is {classes.dtype}"
        assert np.isin(predicted, classes).all(), f"y of {kind}: predict returns {predicted!r:.100}"
        found = fitted.classes_.tolist()
        assert found == classes.tolist(), f"y of {kind}: classes_ is {found}"


def _kind(array):
    return array.dtype.kind.replace("U", "O").replace("T", "O")


def check_classifiers_train(estimator, data):
    """The results of a classifier have the right shapes and agree with each other."""
    fitted, y = data.fitted(estimator), data.targets(estimator)
    classes, n_rows = fitted.classes_, len(data)
    assert classes.tolist() == np.unique(y).tolist(), f"classes_ is {classes.tolist()}"
    predicted = fitted.predict(data.X)
    assert predicted.shape == (n_rows,), f"predict returns shape {predicted.shape}"
    score, accuracy = fitted.score(data.X, y), np.mean(predicted == y)
    assert np.isclose(score, accuracy), f"score is {score}, but predict's accuracy is {accuracy}"
    if hasattr(fitted, "decision_function"):
        decision = fitted.decision_function(data.X)
        shape = (n_rows, len(classes)) if len(classes) > 2 else (n_rows,)
        assert decision.shape == shape, f"decision_function returns shape {decision.shape}"
        best = decision.argmax(axis=1) if decision.ndim == 2 else (decision > 0).astype(int)
        agree = (classes[best] == predicted).all()
        assert agree, "predict is not the class with the highest decision_function"
    if hasattr(fitted, "predict_proba"):
        probabilities = fitted.predict_proba(data.X)
        shape = (n_rows, len(classes))
        assert probabilities.shape == shape, f"predict_proba returns shape {probabilities.shape}"
        assert (probabilities >= 0).all(), "a probability is negative"
        sums = probabilities.sum(axis=1)
        assert_same(sums, np.ones_like(sums), 1e-5, "the sum of a row of predict_proba")
        agree = (classes[probabilities.argmax(axis=1)] == predicted).all()
        assert agree, "predict is not the class with the highest probability"
        if hasattr(fitted, "predict_log_proba"):
            with np.errstate(divide="ignore"):
                found, expected = fitted.predict_log_proba(data.X), np.log(probabilities)
            np.testing.assert_allclose(found, expected, rtol=1e-4, err_msg="predict_log_proba")


def check_decision_proba_consistency(estimator, data):
    """With two classes, a higher decision value is a higher probability of the second class."""
    fitted = fresh(estimator)
    fitted.fit(data.X, np.arange(len(data)) % 2)
    decision = fitted.decision_function(data.X)
    probabilities = fitted.predict_proba(data.X)[:, 1]
    order = np.argsort(decision, kind="stable")
    steps = np.diff(probabilities[order])
    assert (steps >= -1e-6).all(), (
        f"probabilities {probabilities[order]} do not rise with the decision values "
        f"{decision[order]}"
    )


def check_classifiers_one_label(estimator, data):
    """With one class, `fit` raises a ValueError about it, or `predict` returns that class."""
    y = np.full(len(data), "only")
    fitted = fresh(estimator)
    try:
        fitted.fit(data.X, y)
    except ValueError as error:
        assert_says(error, "class", "fit on one class")
    else:
        assert_same(np.asarray(fitted.predict(data.X), dtype=str), y, where="predict of one class")


def check_classifiers_regression_target(estimator, data):
    """Labels that are fractions raise a ValueError."""
    y = np.linspace(0.1, 0.9, len(data))
    says = "Unknown label type|continuous"
    assert_refused("fit with fractions as labels", fresh(estimator).fit, data.X, y, says=says)


def check_regressors_train(estimator, data):
    """`predict` returns one float per row, and `score` is R²."""
    fitted, y = data.fitted(estimator), data.targets(estimator)
    predicted = fitted.predict(data.X)
    assert predicted.shape == (len(data),), f"predict returns shape {predicted.shape}"
    assert predicted.dtype.kind == "f", f"predict returns {predicted.dtype}"
    r2 = 1 - ((y - predicted) ** 2).sum() / ((y - y.mean()) ** 2).sum()
    score = fitted.score(data.X, y)
    assert np.isclose(score, r2, rtol=1e-4), f"score is {score}, but predict's R² is {r2}"


def check_regressors_int(estimator, data):
    """Integer targets lead to the same results as equal floats."""
    y = np.arange(len(data)) % 3 + 1
    whole, floats = fresh(estimator), fresh(estimator)
    whole.fit(data.X, y)
    floats.fit(data.X, y.astype(float))
    where = "integers as y: "
    assert_same_results(results(whole, data.X), results(floats, data.X), data.atol, where)


def check_target_containers_mean_the_same(estimator, data):
    """A list or a Series as y leads to the same results as an ndarray."""
    y = data.targets(estimator)
    expected = results(data.fitted(estimator), data.X)
    containers = {
        "a list": lambda: y.tolist(),
        "a pandas Series": lambda: library_or_skip("pandas").Series(y, odd_index(len(data))),
    }
    for container, make in containers.items():
        fitted = fresh(estimator)
        fitted.fit(data.X, make())
        where = f"y is {container}: "
        assert_same_results(results(fitted, data.X), expected, data.atol, where)


def check_requires_y_none(estimator, data):
    """Without y, `fit` raises a ValueError about y."""
    says = r"\by\b|None"
    assert_refused("fit with y=None", fresh(estimator).fit, data.X, None, says=says)


def check_supervised_y_no_nan(estimator, data):
    """A y that contains NaN or infinity raises a ValueError."""
    for value in (np.nan, np.inf):
        y = np.arange(len(data)) % 2 * 1.0
        y[1] = value
        assert_refused(f"fit with {value} in y", fresh(estimator).fit, data.X, y)


def check_consistent_length(estimator, data):
    """A y whose length differs from X raises a ValueError."""
    y = data.targets(estimator)[:-1]
    assert_refused("fit with y whose length differs from X", fresh(estimator).fit, data.X, y)


def check_sample_weights(estimator, data):
    """Weights of 1, in an array or a list, do not change the results, and `fit` only reads them."""
    y = data.targets(estimator)
    expected = results(data.fitted(estimator), data.X)
    weights = np.ones(len(data))
    weights.flags.writeable = False
    for container in (weights, weights.tolist()):
        fitted = fresh(estimator)
        fitted.fit(data.X, y, sample_weight=container)
        where = f"weights of 1 in a {type(container).__name__}: "
        assert_same_results(results(fitted, data.X), expected, data.atol, where)


def check_sample_weight_zero(estimator, data):
    """A row with weight 0 has no effect, as if it were left out."""
    y = data.targets(estimator)
    rows = np.arange(len(data))
    if is_classifier(estimator):  # no class may lose its only row
        rows = rows[[np.sum(y == label) > 1 for label in y]]
        if not len(rows):
            raise SkipTest("each class has one row")
    weights = np.ones(len(data))
    weights[rows[-1]] = 0
    kept = np.flatnonzero(weights)
    weighted, without = fresh(estimator), fresh(estimator)
    weighted.fit(data.X, y, sample_weight=weights)
    without.fit(data.take(kept), y[kept])
    where = f"row {rows[-1]} with weight 0: "
    assert_same_results(results(weighted, data.X), results(without, data.X), data.atol, where)


def check_sample_weights_shape(estimator, data):
    """Weights whose shape is not (n_samples,) raise a ValueError."""
    y = data.targets(estimator)
    for wrong in (np.ones(2 * len(data)), np.ones((len(data), 2))):
        what = f"fit with sample_weight of shape {wrong.shape}"
        assert_refused(what, fresh(estimator).fit, data.X, y, sample_weight=wrong)


def check_all_zero_sample_weights_error(estimator, data):
    """Weights that are all 0 raise a ValueError about weights of zero."""
    y, zeros = data.targets(estimator), np.zeros(len(data))
    what, says = "fit with weights of 0 only", "weight.*(zero|0)|(zero|0).*weight"
    assert_refused(what, fresh(estimator).fit, data.X, y, sample_weight=zeros, says=says)
