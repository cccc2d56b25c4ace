"""Checks of y and of sample weights: classes, numbers, and what is refused."""

import numpy as np

from sklearn_dl.testing._data import assert_refused, assert_same_results, fresh, results

# two classes of every kind
BINARY_LABELS = {
    "strings": ["no", "yes"],
    "objects": np.array(["no", "yes"], dtype=object),
    "booleans": [False, True],
    "negative integers": [-1, 1],
    "whole floats": [1.0, 2.0],
}


def check_classifiers_classes(estimator, data):
    """Labels of any kind come back: `classes_` is sorted, and `predict` gives its members."""
    for kind, labels in BINARY_LABELS.items():
        classes = np.asarray(labels)
        y = classes[np.arange(len(data)) % 2]
        fitted = fresh(estimator).fit(data.X, y)
        np.testing.assert_array_equal(fitted.classes_, classes, err_msg=kind)
        assert np.isin(fitted.predict(data.X), classes).all(), kind
        assert fitted.predict(data.X).dtype.kind == classes.dtype.kind, kind


def check_classifiers_train(estimator, data):
    """Shapes of the results of more than two classes, and that they agree with each other."""
    fitted = data.fitted(estimator)
    n_rows, n_classes = len(data), len(fitted.classes_)
    np.testing.assert_array_equal(fitted.classes_, np.unique(data.targets(estimator)))
    predicted = fitted.predict(data.X)
    assert predicted.shape == (n_rows,)
    assert fitted.score(data.X, data.targets(estimator)) == np.mean(
        predicted == data.targets(estimator)
    )
    if hasattr(fitted, "decision_function"):
        decision = fitted.decision_function(data.X)
        assert decision.shape == ((n_rows, n_classes) if n_classes > 2 else (n_rows,))
    if hasattr(fitted, "predict_proba"):
        probabilities = fitted.predict_proba(data.X)
        assert probabilities.shape == (n_rows, n_classes)
        np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-5)
        best = fitted.classes_[probabilities.argmax(axis=1)]
        np.testing.assert_array_equal(best, predicted)
    if hasattr(fitted, "predict_log_proba"):
        with np.errstate(divide="ignore"):
            logarithms = np.log(probabilities)
        np.testing.assert_allclose(fitted.predict_log_proba(data.X), logarithms, rtol=1e-4)


def check_classifiers_one_label(estimator, data):
    """With one class, `fit` raises a ValueError that says so, or `predict` gives that class."""
    y = np.full(len(data), "only")
    try:
        fitted = fresh(estimator).fit(data.X, y)
    except ValueError as error:
        if "class" not in str(error):
            raise AssertionError("the error does not speak of classes") from error
    else:
        np.testing.assert_array_equal(fitted.predict(data.X), y)


def check_classifiers_regression_target(estimator, data):
    """Labels that are fractions raise a ValueError."""
    y = np.linspace(0.1, 0.9, len(data))
    said = "Unknown label type|continuous"
    assert_refused("y of fractions", fresh(estimator).fit, data.X, y, match=said)


def check_regressors_train(estimator, data):
    """`predict` gives one float per row, and `score` is R²."""
    fitted = data.fitted(estimator)
    predicted = fitted.predict(data.X)
    assert predicted.shape == (len(data),)
    assert predicted.dtype.kind == "f"
    y = data.targets(estimator)
    r2 = 1 - ((y - predicted) ** 2).sum() / ((y - y.mean()) ** 2).sum()
    np.testing.assert_allclose(fitted.score(data.X, y), r2, rtol=1e-6)


def check_regressors_int(estimator, data):
    """Whole numbers as targets give what the same floats give."""
    y = np.arange(len(data)) % 3
    whole = fresh(estimator).fit(data.X, y)
    floats = fresh(estimator).fit(data.X, y.astype(float))
    assert_same_results(results(whole, data.X), results(floats, data.X))


def check_requires_y_none(estimator, data):
    """Without y, `fit` raises a ValueError that speaks of y."""
    assert_refused("y=None", fresh(estimator).fit, data.X, None, match=r"\by\b|None")


def check_supervised_y_no_nan(estimator, data):
    """A y that holds NaN, or infinity, raises a ValueError."""
    for value in (np.nan, np.inf):
        y = np.arange(len(data)) % 2 * 1.0
        y[1] = value
        assert_refused(f"{value} in y", fresh(estimator).fit, data.X, y)


def check_consistent_length(estimator, data):
    """A y of another length than X raises a ValueError."""
    y = data.targets(estimator)[:-1]
    assert_refused("y of another length than X", fresh(estimator).fit, data.X, y)


def check_sample_weights(estimator, data):
    """Weights of 1 change nothing, in any container, and are not changed."""
    y = data.targets(estimator)
    expected = results(data.fitted(estimator), data.X)
    weights = np.ones(len(data))
    weights.flags.writeable = False
    for container in (weights, weights.tolist()):
        fitted = fresh(estimator).fit(data.X, y, sample_weight=container)
        assert_same_results(results(fitted, data.X), expected, data.atol)


def check_sample_weights_shape(estimator, data):
    """Weights of another shape than (n_samples,) raise a ValueError."""
    y = data.targets(estimator)
    for wrong in (np.ones(2 * len(data)), np.ones((len(data), 2))):
        what = f"sample_weight of shape {wrong.shape}"
        assert_refused(what, fresh(estimator).fit, data.X, y, sample_weight=wrong)


def check_all_zero_sample_weights_error(estimator, data):
    """Weights that are all 0 raise a ValueError that says so."""
    said = "(?i)weight.*(zero|0)|(zero|0).*weight"
    y, zeros = data.targets(estimator), np.zeros(len(data))
    assert_refused("weights of 0", fresh(estimator).fit, data.X, y, sample_weight=zeros, match=said)
