"""TextClassifier with several labels for each row, in scikit-learn's tools."""

import pickle
import warnings

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn.base import clone
from sklearn.metrics import (
    average_precision_score,
    brier_score_loss,
    f1_score,
    get_scorer,
    get_scorer_names,
    log_loss,
    roc_auc_score,
)
from sklearn.model_selection import GridSearchCV, cross_val_predict, cross_val_score
from sklearn.multiclass import OneVsRestClassifier
from sklearn.multioutput import MultiOutputClassifier
from sklearn.utils import get_tags

from sklearn_dl import TextClassifier
from tests.text.three_classes import PAIRS, X
from tests.text.three_classes import Y as CLASSES

# three labels: the class is "yes", the text has the word "film", the class is "red"
Y = np.column_stack([CLASSES == "yes", [("film" in text) for text in X], CLASSES == "red"])
Y = Y.astype(np.int64)
# metrics that are not defined for several labels, with any estimator
NOT_FOR_SEVERAL = {
    "adjusted_mutual_info_score",
    "adjusted_rand_score",
    "balanced_accuracy",
    "completeness_score",
    "f1",
    "fowlkes_mallows_score",
    "homogeneity_score",
    "jaccard",
    "matthews_corrcoef",
    "mutual_info_score",
    "neg_max_error",
    "neg_mean_gamma_deviance",
    "neg_mean_poisson_deviance",
    "neg_negative_likelihood_ratio",
    "normalized_mutual_info_score",
    "positive_likelihood_ratio",
    "precision",
    "rand_score",
    "recall",
    "top_k_accuracy",
    "v_measure_score",
}


@pytest.fixture(scope="module")
def fitted(encoder):
    """Frozen classifiers of the first k labels, which no test changes."""
    params = {"trainable_layers": 0, "max_length": 32, "precision": "float32"}
    return {k: TextClassifier(encoder, **params).fit(X, Y[:, :k]) for k in (2, 3)}


def test_the_tags_say_what_y_may_be(clf):
    tags = get_tags(clf)
    assert tags.classifier_tags.multi_label
    assert not tags.target_tags.multi_output


@pytest.mark.parametrize("layers", [0, "all"])
def test_it_learns_labels(clf, layers):
    clf.set_params(trainable_layers=layers, max_epochs=4).fit(X, Y)
    assert clf.classes_.tolist() == [[0, 1]] * 3
    predicted = clf.predict(X)
    assert predicted.dtype == Y.dtype
    assert f1_score(Y, predicted, average="micro") > 0.9
    assert clf.score(X, Y) == (predicted == Y).all(axis=1).mean()
    assert_array_equal(predicted, clf.decision_function(X) > 0)
    probabilities = clf.predict_proba(X)
    assert probabilities.dtype == np.float64
    assert_allclose(np.log(probabilities), clf.predict_log_proba(X))
    copied = pickle.loads(pickle.dumps(clf))
    assert_array_equal(copied.predict_proba(X), probabilities)


def test_it_learns_labels_of_pairs(frozen):
    frozen.fit(PAIRS, Y)
    assert frozen.predict(PAIRS).shape == Y.shape


@pytest.mark.parametrize("k", [2, 3])
def test_every_scorer_for_several_labels_works(fitted, k):
    y, scores = Y[:, :k], {}
    for name in get_scorer_names():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                scores[name] = get_scorer(name)(fitted[k], X, y)
            except ValueError:
                assert name in NOT_FOR_SEVERAL
    assert set(get_scorer_names()) - set(scores) <= NOT_FOR_SEVERAL
    probabilities, predicted = fitted[k].predict_proba(X), fitted[k].predict(X)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        log, brier = log_loss(y, probabilities), brier_score_loss(y, probabilities)
    expected = {
        "accuracy": (y == predicted).all(axis=1).mean(),
        "average_precision": average_precision_score(y, probabilities),
        "f1_micro": f1_score(y, predicted, average="micro"),
        "neg_brier_score": -brier,
        "neg_log_loss": -log,
        "roc_auc": roc_auc_score(y, probabilities),
        "roc_auc_ovr": roc_auc_score(y, probabilities),
    }
    assert {name: scores[name] for name in expected} == pytest.approx(expected)


@pytest.mark.parametrize("k", [2, 3])
@pytest.mark.parametrize("method", ["predict", "predict_proba", "decision_function"])
def test_cross_val_predict(fitted, k, method):
    y = Y[:, :k]
    found = cross_val_predict(fitted[k], X, y, cv=2, method=method)
    half = clone(fitted[k]).fit(X[12:], y[12:])
    assert_allclose(found[:12], getattr(half, method)(X[:12]), atol=1e-5)


@pytest.mark.parametrize("k", [2, 3])
def test_grid_search(fitted, k):
    scoring = ["f1_micro", "roc_auc", "neg_log_loss"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        search = GridSearchCV(
            fitted[k], {"C": ["auto", 0.001]}, scoring=scoring, refit="roc_auc", cv=2
        ).fit(X, Y[:, :k])
    assert np.isfinite(search.cv_results_["mean_test_neg_log_loss"]).all()
    assert search.predict(X).shape == (24, k)
    assert len(search.classes_) == k


def test_sparse_labels_and_frames(fitted):
    expected = fitted[3].predict_proba(X)
    frame = pd.DataFrame(Y, columns=["good", "film", "red"])
    for y in (sparse.csr_matrix(Y), frame, Y.tolist(), sparse.csc_array(Y)):
        again = clone(fitted[3]).fit(X, y)
        assert_array_equal(again.predict_proba(X), expected)
        assert again.score(X, y) == fitted[3].score(X, Y)
    scores = cross_val_score(fitted[3], X, frame, scoring="f1_micro", cv=2)
    assert_array_equal(scores, cross_val_score(fitted[3], X, Y, scoring="f1_micro", cv=2))


def test_what_is_not_a_matrix_of_labels(frozen):
    with pytest.raises(ValueError, match="MultiLabelBinarizer"):
        frozen.fit(X[:3], [["a"], ["a", "b"], []])
    with pytest.raises(ValueError, match="MultiOutputClassifier"):
        frozen.fit(X[:3], [[0, 2], [1, 1], [0, 0]])
    several = MultiOutputClassifier(frozen).fit(X, np.column_stack([np.arange(24) % 3, Y[:, 0]]))
    assert several.predict(X).shape == (24, 2)


def test_a_missing_label_is_an_error_of_score(fitted):
    y = Y.astype(float)
    y[5, 1] = np.nan
    with pytest.raises(ValueError, match=r"column 1 of y is missing .* in row\(s\) 5"):
        fitted[3].score(X, y)
    with pytest.raises(ValueError, match="y has 1 column, but the y of fit has 3 labels"):
        fitted[3].score(X, Y[:, 0])


def test_one_against_rest_has_the_same_labels(fitted):
    rest = OneVsRestClassifier(clone(fitted[3]).set_params(C=1.0)).fit(X, Y)
    assert (rest.predict(X) == fitted[3].predict(X)).mean() > 0.95


@pytest.mark.parametrize("layers", [0, "all"])
def test_a_label_that_never_changes_is_predicted_so(clf, layers):
    y = np.column_stack([Y, np.zeros(24, int), np.ones(24, int)])
    clf.set_params(trainable_layers=layers, class_weight="balanced").fit(X, y)
    assert (clf.predict(X)[:, 3:] == [0, 1]).all()
    with pytest.raises(ValueError, match=r"needs rows with different labels.*\(24 rows\)"):
        clf.fit(X, y[:, 3:])


def test_class_weights_change_a_trained_network(clf):
    plain = clone(clf).fit(X, Y).decision_function(X)
    ones = clone(clf).set_params(class_weight={0: 1, 1: 1}).fit(X, Y).decision_function(X)
    assert_array_equal(ones, plain)
    more = clone(clf).set_params(class_weight={1: 5}).fit(X, Y).decision_function(X)
    assert (more > plain).mean() > 0.8


@pytest.mark.parametrize("layers", [0, 1])
@pytest.mark.parametrize("weight", [-1, np.nan, np.inf, "2", None])
def test_class_weights_are_finite_and_not_negative(clf, layers, weight):
    clf.set_params(trainable_layers=layers, class_weight={0: 1, 1: weight})
    for y in (Y, Y[:, 0]):
        with pytest.raises(ValueError, match=r"class_weight has .* for 1: a weight must be a"):
            clf.fit(X, y)


def test_early_stopping_uses_micro_f1(clf):
    clf.set_params(early_stopping=True, max_epochs=2, random_state=1)
    clf.fit(X, Y, X_val=X[:9], y_val=Y[:9])
    score = f1_score(Y[:9], clf.predict(X[:9]), average="micro")
    assert clf.history_["validation_score"][clf.best_epoch_ - 1] == pytest.approx(score)
    clf.set_params(scoring="f1_macro").fit(X, Y)
    assert len(clf.history_["validation_score"]) == len(clf.history_["epoch"])
    with pytest.raises(ValueError, match="y_val has 2 columns, but the y of fit has 3 labels"):
        clf.fit(X, Y, X_val=X[:9], y_val=Y[:9, :2])


def test_texts_that_cannot_be_read(frozen):
    frozen.set_params(on_error="nan")
    rows = X.astype(object)
    rows[[2, 7]] = None
    kept = np.setdiff1d(np.arange(24), [2, 7])
    with pytest.warns(match="2 of 24 rows could not be read and were left out"):
        frozen.fit(rows, Y)
    expected = clone(frozen).fit(rows[kept], Y[kept]).predict(rows[kept])
    with pytest.warns(match="2 of 24 rows"):
        predicted = frozen.predict(rows)
    assert np.isnan(predicted[[2, 7]]).all()
    assert_array_equal(predicted[kept], expected)
    with pytest.warns(match="2 of 24 rows"):
        score = frozen.score(rows, Y)
    assert score == (expected == Y[kept]).all(axis=1).sum() / 24
    with pytest.warns(match="2 of 24 rows"):
        assert (frozen.set_params(missing=0).predict(rows)[[2, 7]] == 0).all()


def test_warm_start(clf):
    clf.set_params(warm_start=True).fit(X, Y)
    first = clf.decision_function(X)
    clf.fit(X[:4], Y[[0, 0, 0, 0]])  # every label is constant here, but was not before
    assert abs(clf.decision_function(X) - first).max() > 0
    with pytest.raises(ValueError, match="number of columns of y: it was 3 and is now 2"):
        clf.fit(X, Y[:, :2])
    with pytest.raises(ValueError, match="fitted with a y of several columns"):
        clf.fit(X, CLASSES)
    clf.set_params(warm_start=False).fit(X, CLASSES)
    assert clf.classes_.tolist() == ["no", "red", "yes"]
