"""Weights of rows and of classes."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.utils.class_weight import compute_sample_weight

from tests.text.three_classes import TWO, X, Y


@pytest.mark.parametrize("layers", [0, "all"])
@pytest.mark.parametrize(
    "class_weight", ["balanced", {"yes": 3, "no": 0.5}], ids=["balanced", "dict"]
)
def test_class_weight_is_a_sample_weight(clf, layers, class_weight):
    clf.set_params(trainable_layers=layers)
    rows = np.flatnonzero(TWO)[:13]
    weights = compute_sample_weight(class_weight, Y[rows])
    assert len(np.unique(weights)) == 2
    expected = clone(clf).fit(X[rows], Y[rows], sample_weight=weights).decision_function(X)
    clf.set_params(class_weight=class_weight).fit(X[rows], Y[rows])
    assert_array_equal(clf.decision_function(X), expected)
    assert not np.allclose(
        clf.set_params(class_weight=None).fit(X[rows], Y[rows]).decision_function(X), expected
    )


def test_a_class_weight_of_an_unknown_class(frozen):
    with pytest.raises(ValueError, match="are not in class_weight"):
        frozen.set_params(class_weight={"never": 2}).fit(X, Y)


def test_integer_weights_equal_repeated_rows(frozen):
    weights = np.random.default_rng(0).integers(0, 4, len(X))
    weighted = clone(frozen).fit(X, Y, sample_weight=weights)
    repeated = clone(frozen).fit(X.repeat(weights), Y.repeat(weights))
    assert_allclose(weighted._predictor.head.weights, repeated._predictor.head.weights, atol=2e-3)
    assert_allclose(weighted.predict_proba(X), repeated.predict_proba(X), atol=2e-3)


@pytest.mark.parametrize("layers", [0, "all"])
def test_rows_of_weight_zero_change_nothing(clf, layers):
    clf.set_params(trainable_layers=layers)
    expected = clone(clf).fit(X, Y).decision_function(X)
    more = np.concatenate([X, ["slow old film", "xyz"]])
    weights = np.repeat([1.0, 0.0], [24, 2])
    clf.fit(more, np.concatenate([Y, ["yes", "no"]]), sample_weight=weights)
    assert_array_equal(clf.decision_function(X), expected)


@pytest.mark.parametrize("layers", [0, "all"])
@pytest.mark.parametrize("weighted", ["rows", "class"])
def test_a_class_of_weight_zero_is_known_and_never_predicted(clf, layers, weighted):
    clf.set_params(trainable_layers=layers)
    if weighted == "rows":
        clf.fit(X, Y, sample_weight=Y != "red")
    else:
        clf.set_params(class_weight={"red": 0}).fit(X, Y)
    assert clf.classes_.tolist() == ["no", "red", "yes"]
    probabilities = clf.predict_proba(X)
    assert probabilities[:, 1].max() < 1e-2
    assert_allclose(probabilities.sum(1), 1)
    assert set(clf.predict(X)) == {"no", "yes"}


@pytest.mark.parametrize("layers", [0, "all"])
def test_only_one_class_with_a_weight(clf, layers):
    clf.set_params(trainable_layers=layers)
    with pytest.raises(ValueError, match="one class"):
        clf.fit(X, Y, sample_weight=Y == "red")
    assert not hasattr(clf, "classes_")


def test_weights_of_zero_only(clf):
    with pytest.raises(ValueError, match="sample_weight is zero for every row"):
        clf.fit(X, Y, sample_weight=np.zeros(24))
    with pytest.raises(ValueError, match="sample_weight_val is zero for every row"):
        clf.set_params(early_stopping=True).fit(
            X, Y, X_val=X[:2], y_val=Y[:2], sample_weight_val=[0, 0]
        )
    with pytest.raises(ValueError, match="class_weight and sample_weight leave no row"):
        clf.set_params(class_weight=dict.fromkeys(Y, 0)).fit(X, Y)
    clf.set_params(class_weight={"red": 0})
    with pytest.raises(ValueError, match="class_weight and sample_weight_val leave no row"):
        clf.fit(X, Y, X_val=["x"], y_val=["red"])


@pytest.mark.parametrize("layers", [0, "all"])
def test_only_one_class_with_a_class_weight(clf, layers):
    clf.set_params(trainable_layers=layers, class_weight={"yes": 0, "no": 0})
    with pytest.raises(ValueError, match="one class: 'red'"):
        clf.fit(X, Y)
    assert not hasattr(clf, "classes_")
