"""Checks of y and of sample weights."""

from unittest import SkipTest

import numpy as np
from sklearn.base import is_classifier
from sklearn.metrics import r2_score

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
    if y.ndim == 2:
        return _check_labels(fitted, data.X, y)
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


def check_classifiers_multilabel(estimator, data):
    """With several labels, results have one column per label; `predict` keeps y's kind of dtype."""
    for n_labels in (2, 3):
        for dtype in (int, bool, float):
            y = _indicators(len(data), n_labels).astype(dtype)
            fitted = fresh(estimator)
            fitted.fit(data.X, y)
            _check_labels(fitted, data.X, y)


def _indicators(n_rows, n_labels):
    """A matrix of 0 and 1 whose first row has no label, and whose columns are different."""
    return (np.arange(n_rows)[:, None] >> np.arange(n_labels)) % 2


def _check_labels(fitted, X, y):
    """The results for y of shape (n_samples, n_labels) have its shape and agree with each other."""
    where = f"y of {y.dtype} with {y.shape[1]} labels: "
    predicted = fitted.predict(X)
    assert predicted.shape == y.shape, f"{where}predict returns shape {predicted.shape}"
    same_kind = predicted.dtype.kind == y.dtype.kind
    assert same_kind, f"{where}predict returns {predicted.dtype}"
    assert np.isin(predicted, (0, 1)).all(), f"{where}predict returns {predicted!r:.100}"
    assert len(fitted.classes_) == y.shape[1], f"{where}classes_ is {fitted.classes_!r:.100}"
    score, accuracy = fitted.score(X, y), (predicted == y).all(axis=1).mean()
    assert np.isclose(score, accuracy), f"{where}score is {score}, not {accuracy}"
    if hasattr(fitted, "decision_function"):
        decision = fitted.decision_function(X)
        assert decision.shape == y.shape, f"{where}decision_function returns {decision.shape}"
        agree = ((decision > 0) == predicted).all()
        assert agree, f"{where}predict is not 1 exactly where decision_function is positive"
    if not hasattr(fitted, "predict_proba"):
        return
    probabilities = _one_array(fitted.predict_proba(X))
    assert probabilities.shape == y.shape, f"{where}predict_proba returns {probabilities.shape}"
    is_probability = ((probabilities >= 0) & (probabilities <= 1)).all()
    assert is_probability, f"{where}a probability is not between 0 and 1"
    agree = ((probabilities > 0.5) == predicted).all()
    assert agree, f"{where}predict is not 1 exactly where the probability exceeds 0.5"
    if hasattr(fitted, "predict_log_proba"):
        with np.errstate(divide="ignore"):
            found, expected = _one_array(fitted.predict_log_proba(X)), np.log(probabilities)
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-12, err_msg=where)


def _one_array(result):
    """The probabilities of all labels in one array; some estimators return a list of arrays."""
    return np.column_stack([p[:, 1] for p in result]) if isinstance(result, list) else result


def check_classifiers_multilabel_representation_invariance(estimator, data):
    """A list of lists, a list of arrays or a frame as y gives the same results as an array."""
    y = _indicators(len(data), 3)
    expected = fresh(estimator)
    expected.fit(data.X, y)
    expected = results(expected, data.X)
    containers = {
        "a list of lists": y.tolist,
        "a list of arrays": lambda: list(y),
        "a pandas DataFrame": lambda: library_or_skip("pandas").DataFrame(y, odd_index(len(y))),
    }
    for container, make in containers.items():
        fitted = fresh(estimator)
        fitted.fit(data.X, make())
        where = f"labels in {container}: "
        assert_same_results(results(fitted, data.X), expected, data.atol, where)


def check_classifiers_multioutput_refused(estimator, data):
    """Several columns of classes, and lists of labels, raise a ValueError."""
    y = np.column_stack([np.arange(len(data)) % 3, np.arange(len(data)) % 2])
    assert_refused("fit with two columns of classes", fresh(estimator).fit, data.X, y)
    lists = [["a", "b"][: 1 + row % 2] for row in range(len(data))]
    assert_refused("fit with lists of labels", fresh(estimator).fit, data.X, lists)


def check_decision_proba_consistency(estimator, data):
    """With two classes, a higher decision value means a higher probability of the second class."""
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
    """`predict` returns floats in the shape of y, and `score` is R²."""
    _check_numbers(data.fitted(estimator), data.X, data.targets(estimator))


def check_regressors_multioutput(estimator, data):
    """With two columns of y, `predict` returns two columns, and `score` is their mean R²."""
    y = np.linspace(1.0, 4.0, len(data))
    y = np.column_stack([y, np.cos(5 * y)])
    fitted = fresh(estimator)
    fitted.fit(data.X, y)
    _check_numbers(fitted, data.X, y)


def _check_numbers(fitted, X, y):
    predicted = fitted.predict(X)
    assert predicted.shape == y.shape, f"predict returns shape {predicted.shape}, y has {y.shape}"
    assert predicted.dtype.kind == "f", f"predict returns {predicted.dtype}"
    score, r2 = fitted.score(X, y), r2_score(y, predicted)
    assert np.isclose(score, r2, rtol=1e-4), f"score is {score}, but predict's R² is {r2}"


def check_regressors_int(estimator, data):
    """Integer targets give the same results as equal floats."""
    y = np.arange(len(data)) % 3 + 1
    whole, floats = fresh(estimator), fresh(estimator)
    whole.fit(data.X, y)
    floats.fit(data.X, y.astype(float))
    where = "integers as y: "
    assert_same_results(results(whole, data.X), results(floats, data.X), data.atol, where)


def check_target_containers_mean_the_same(estimator, data):
    """A list, a Series or a data frame as y gives the same results as an ndarray."""
    y = data.targets(estimator)
    expected = results(data.fitted(estimator), data.X)
    kind = "Series" if y.ndim == 1 else "DataFrame"
    containers = {
        "a list": y.tolist,
        f"a pandas {kind}": lambda: getattr(library_or_skip("pandas"), kind)(y, odd_index(len(y))),
    }
    for container, make in containers.items():
        fitted = fresh(estimator)
        fitted.fit(data.X, make())
        where = f"y is {container}: "
        assert_same_results(results(fitted, data.X), expected, data.atol, where)


def check_partial_fit(estimator, data):
    """`partial_fit` fits a new estimator; a second call changes results and keeps the classes."""
    y, stepped = data.targets(estimator), fresh(estimator)
    first = {}
    if is_classifier(estimator):
        first = {"classes": np.unique(y) if y.ndim == 1 else np.arange(y.shape[1])}
    half = range(len(data) // 2)
    try:
        returned = stepped.partial_fit(data.take(half), y[list(half)], **first)
    except ValueError as error:
        assert_says(error, "partial_fit", "the first partial_fit")
        raise SkipTest(f"partial_fit is refused: {error}") from None
    assert returned is stepped, f"partial_fit returns {returned!r:.200}, not the estimator"
    before = results(stepped, data.X)
    stepped.partial_fit(data.X, y)
    after = results(stepped, data.X)
    for name, result in after.items():
        shapes = f"{before[name].shape}, then {result.shape}"
        assert before[name].shape == result.shape, f"{name} returns shapes {shapes}"
    unchanged = all(np.array_equal(before[name], after[name]) for name in after)
    assert not unchanged, "a second partial_fit changes no result"
    if is_classifier(estimator) and y.ndim == 1:
        assert stepped.classes_.tolist() == np.unique(y).tolist()
        missing = fresh(estimator)
        assert_refused("partial_fit without classes", missing.partial_fit, data.X, y)
        other = np.array(["other"] * len(data))
        assert_refused("partial_fit on another class", stepped.partial_fit, data.X, other)


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
    """Weights of 1, in a read-only array or a list, do not change the results."""
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
    if is_classifier(estimator) and y.ndim == 1:  # no class may lose its only row
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
