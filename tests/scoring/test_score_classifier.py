import copy
import pickle

import numpy as np
import pandas as pd
import polars as pl
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.special import expit
from sklearn.base import clone, is_classifier
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_validate
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils import get_tags

from sklearn_dl import ScoreClassifier
from sklearn_dl.scoring import top_k

LOGITS = np.array([[2.0, 0.0, 1.0], [0.0, 0.5, 3.0], [1.0, 4.0, -1.0], [0.2, 0.1, 0.0]])
LABELS = ["dog", "cat", "bird"]
METHODS = ["predict", "predict_proba", "predict_log_proba", "decision_function"]


def test_softmax():
    clf = ScoreClassifier(LABELS, activation="softmax")
    e = np.exp(LOGITS)[:, ::-1]
    expected = e / e.sum(axis=1, keepdims=True)
    assert clf.classes_.tolist() == ["bird", "cat", "dog"]
    assert_allclose(clf.predict_proba(LOGITS), expected, rtol=1e-14)
    assert_allclose(clf.predict_log_proba(LOGITS), np.log(expected), rtol=1e-13)
    assert_array_equal(clf.decision_function(LOGITS), LOGITS[:, ::-1])
    assert clf.predict(LOGITS).tolist() == ["dog", "bird", "cat", "dog"]
    assert clf.predict(LOGITS).dtype == np.dtype("U4")
    assert clf.score(LOGITS, ["dog", "bird", "dog", "dog"]) == 0.75
    assert clf.score(LOGITS, ["dog", "bird", "dog", "dog"], sample_weight=[1, 1, 6, 1]) == 3 / 9


def test_sigmoid_of_several_columns():
    clf = ScoreClassifier(LABELS, activation="sigmoid")
    s = expit(LOGITS)[:, ::-1]
    assert_allclose(clf.predict_proba(LOGITS), s / s.sum(axis=1, keepdims=True), rtol=1e-13)
    low = clf.predict_log_proba([[-1000.0, -1001.0, -3000.0]])
    assert_allclose(low, [[-2000.3132617, -1.3132617, -0.3132617]], rtol=1e-7)


@pytest.mark.parametrize(
    ("classes", "in_order"),
    [(["ham", "spam"], True), (["spam", "ham"], False)],
    ids=["in order", "in reverse"],
)
def test_one_column(classes, in_order):
    """The scores belong to the second label given, in any order of classes_."""
    clf = ScoreClassifier(classes, activation="sigmoid")
    X = np.array([[3.0], [-1.0], [0.0], [-2000.0]])
    p = expit(X)
    expected = np.hstack([1 - p, p])[:, :: 1 if in_order else -1]
    assert clf.classes_.tolist() == ["ham", "spam"]
    assert_allclose(clf.predict_proba(X), expected, rtol=1e-14)
    assert_array_equal(clf.decision_function(X), X[:, 0] * (1 if in_order else -1))
    assert clf.predict(X)[:2].tolist() == classes[::-1]
    assert clf.predict(X)[2] == "ham"  # a tie: the first of classes_
    assert clf.predict_log_proba(X)[3].tolist() == ([0, -2000] if in_order else [-2000, 0])

    clf.set_params(activation=None)
    assert_allclose(clf.predict_proba(p), expected, rtol=1e-14)
    assert_allclose(clf.decision_function(p), (p[:, 0] - 0.5) * (1 if in_order else -1))
    with pytest.raises(ValueError, match=r"Row 0 of X .* from 3 to 3, .*activation='sigmoid'\."):
        clf.predict(X)
    with pytest.raises(ValueError, match="'softmax' of one column"):
        clf.set_params(activation="softmax").predict(X)


@pytest.mark.parametrize("activation", [None, "softmax", "sigmoid"])
@pytest.mark.parametrize("n_columns", [1, 2])
def test_sign_of_decision_function_is_the_prediction(activation, n_columns):
    X = np.random.default_rng(0).random((200, n_columns))
    if activation is None:
        X = X / X.sum(axis=1, keepdims=True) if n_columns == 2 else X
    elif n_columns == 1:
        activation, X = "sigmoid", X - 0.5
    for classes in ([0, 1], [1, 0]):
        clf = ScoreClassifier(classes, activation=activation)
        assert clf.decision_function(X).shape == (200,)
        assert_array_equal(clf.decision_function(X) > 0, clf.predict(X) == 1)
        assert set(clf.predict(X)) == {0, 1}


def test_probabilities_are_checked():
    good = [[0.2, 0.3, 0.5]]
    clf = ScoreClassifier(LABELS)
    assert_allclose(clf.predict_proba(good), [[0.5, 0.3, 0.2]])
    assert clf.predict(good).tolist() == ["bird"]
    rounded = np.array([[0.2, 0.302, 0.5]])
    assert clf.predict_proba(rounded).sum() == pytest.approx(1, abs=1e-15)
    for bad, seen in (
        ([0.2, 0.3, 0.6], "their sum is 1.1"),
        ([-0.1, 0.5, 0.6], "from -0.1 to 0.6"),
        ([2.0, 0.0, 1.0], "from 0 to 2, and their sum is 3"),
    ):
        for method in ("predict", "predict_proba", "predict_log_proba"):
            with pytest.raises(ValueError, match=f"Row 1 of X.*{seen}.*'softmax' or 'sigmoid'"):
                getattr(clf, method)([*good, bad])
        with pytest.raises(ValueError, match="Row 1 of X"):
            clf.top_k([*good, bad], 1)
        assert_array_equal(clf.decision_function([*good, bad])[1], bad[::-1])


def test_log_of_zero_is_quiet():
    log = ScoreClassifier([0, 1]).predict_log_proba([[1.0, 0.0]])
    assert log.tolist() == [[0, -np.inf]]


@pytest.mark.parametrize(
    ("dtype", "expected"),
    [("f2", "f4"), ("f4", "f4"), ("f8", "f8"), ("i4", "f8"), ("u1", "f8"), ("O", "f8")],
    ids=["float16", "float32", "float64", "int32", "uint8", "object"],
)
@pytest.mark.parametrize("activation", ["softmax", "sigmoid"])
def test_dtypes(dtype, expected, activation):
    clf = ScoreClassifier(LABELS, activation=activation)
    X = np.array([[2, 0, 100], [0, 7, 3]]).astype(dtype)
    X.flags.writeable = False
    for method in METHODS[1:]:
        assert getattr(clf, method)(X).dtype == np.dtype(expected)
    assert_allclose(clf.predict_proba(X), clf.predict_proba(X.astype("f8")), rtol=1e-6, atol=1e-37)
    assert clf.top_k(X, 1)[1].dtype == np.dtype(expected)


@pytest.mark.parametrize("activation", ["softmax", "sigmoid"])
def test_scores_at_the_ends_of_float32(activation):
    clf = ScoreClassifier([0, 1], activation=activation)
    X = np.array([[-3.4e38, 3.4e38], [-3.4e38, -3.4e38]], dtype="f4")
    assert clf.predict_proba(X).tolist() == [[0, 1], [0.5, 0.5]]


def test_float16_probabilities_of_many_classes():
    X = np.random.default_rng(0).dirichlet(np.ones(1000), size=50).astype("f2")
    proba = ScoreClassifier(range(1000)).predict_proba(X)
    assert proba.dtype == np.float32
    assert_allclose(proba.sum(axis=1), 1, rtol=1e-5)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_columns_with_equal_labels_are_one_class(dtype):
    classes = ["dog", "crane", "ant", "crane", "dog"]
    P = np.array([[0.25, 0.25, 0.125, 0.25, 0.125], [0.0, 0.0, 0.75, 0.25, 0.0]], dtype=dtype)
    expected = [[0.125, 0.5, 0.375], [0.75, 0.25, 0.0]]
    clf = ScoreClassifier(classes)
    assert clf.classes_.tolist() == ["ant", "crane", "dog"]
    assert_allclose(clf.predict_proba(P), expected)
    assert clf.predict(P).tolist() == ["crane", "ant"]
    assert_allclose(clf.decision_function(P), expected)
    labels, scores = clf.top_k(P, 2)
    assert labels.tolist() == [["crane", "dog"], ["ant", "crane"]]
    assert scores.tolist() == [[0.5, 0.375], [0.75, 0.25]]
    with np.errstate(divide="ignore"):
        logits = np.log(P[:1].astype(np.float64)).astype(dtype) + dtype(3)
    clf.set_params(activation="softmax")
    proba = clf.predict_proba(logits)
    assert proba.dtype == (np.float64 if dtype is np.float64 else np.float32)
    assert_allclose(proba, expected[:1], rtol=2e-3)
    assert_allclose(np.exp(clf.predict_log_proba(logits)), proba, rtol=1e-5)
    assert clf.decision_function(logits).argmax() == proba.argmax()


def test_equal_labels_of_independent_scores():
    clf = ScoreClassifier([1, 0, 1], activation="sigmoid")
    assert clf.predict([[-1.0, 0.5, -1.0], [2.0, 0.5, -9.0]]).tolist() == [0, 1]
    assert clf.decision_function([[-1.0, 0.5, 0.0]]).tolist() == [-0.5]
    assert_allclose(clf.predict_proba([[2.0, 0.0, -9.0]])[0, 1], expit(2) / (expit(2) + 0.5))


def test_equal_labels_with_missing_rows():
    clf = ScoreClassifier(["a", "b", "a"], activation="softmax", on_error="nan", missing="?")
    X = [[1.0, 0.0, 1.0], [np.nan, 5.0, 0.0], [0.0, 9.0, 0.0]]
    assert clf.predict(X).tolist() == ["a", "?", "b"]
    assert np.isnan(clf.predict_proba(X)[1]).all()
    clf.fit(np.array(X)[[0, 2]], ["a", "b"])
    with pytest.raises(ValueError, match=r"X has 2 column\(s\) of scores, but there are 3 classes"):
        ScoreClassifier(["a", "b", "a"]).predict([[0.5, 0.5]])


def test_a_missing_label_is_named():
    clf = ScoreClassifier(LABELS, activation="softmax")
    y = ["dog", "bird", np.nan, "dog"]
    with pytest.raises(ValueError, match=r"y is missing \(NaN or None\) in row\(s\) 2"):
        clf.fit(LOGITS, y)
    with pytest.raises(ValueError, match=r"y is missing \(NaN or None\) in row\(s\) 2"):
        clf.score(LOGITS, y)
    assert clf.score(LOGITS, ["dog", "bird", "cow", "dog"]) == 0.75
    assert clf.score(LOGITS, ["dog", "bird", "cat", "dog"], sample_weight=[1, 0, 0, 0]) == 1


def test_top_k_behind_a_pipeline():
    X = np.array([[2.0, 1.0, 0.0], [0.0, 1.0, 2.0], [np.nan, 0.0, 0.0]])
    clf = ScoreClassifier(["dog", "cat", "bird"], activation="softmax", on_error="nan", missing="?")
    pipeline = make_pipeline(FunctionTransformer(), clf)
    labels, scores = top_k(pipeline, X, 2)
    assert labels.tolist() == [["dog", "cat"], ["bird", "cat"], ["?", "?"]]
    assert_array_equal(scores, clf.top_k(X, 2)[1])
    search = GridSearchCV(
        make_pipeline(FunctionTransformer(), LogisticRegression()), {"logisticregression__C": [1.0]}
    ).fit([[0.0], [1.0]] * 5, ["b", "a"] * 5)
    assert top_k(search, [[0.0]], 2)[0].tolist() == [["b", "a"]]


def test_top_k():
    X = np.array([[0.2, 0.4, 0.4], [0.5, 0.25, 0.25]])
    clf = ScoreClassifier([3, 2, -1])
    labels, scores = clf.top_k(X, 3)
    assert labels.tolist() == [[-1, 2, 3], [3, -1, 2]]
    assert scores.tolist() == [[0.4, 0.4, 0.2], [0.5, 0.25, 0.25]]
    assert_array_equal(clf.top_k(X, 1)[0][:, 0], clf.predict(X))
    assert clf.top_k(X, np.int64(2))[0].shape == (2, 2)
    for k in (0, 4, -1, 1.0, True, "1"):
        with pytest.raises(ValueError, match="k must be an int from 1 to 3, the number of classes"):
            clf.top_k(X, k)


@pytest.mark.parametrize(
    ("classes", "in_order"),
    [
        (["b", "a", "c"], ["a", "b", "c"]),
        (np.array(["b", "a", "c"], dtype=np.dtypes.StringDType()), ["a", "b", "c"]),
        (np.array(["b", "a", "c"], dtype=object), ["a", "b", "c"]),
        (pd.Series(["b", "a", "c"], index=[4, 4, 4]), ["a", "b", "c"]),
        (pl.Series(["b", "a", "c"]), ["a", "b", "c"]),
        ([1, -5, 3], [-5, 1, 3]),
        ((2.0, -5, 3), [-5, 2.0, 3]),
    ],
    ids=[
        "list of str",
        "numpy StringDType",
        "numpy objects",
        "pandas Series",
        "polars Series",
        "integers",
        "tuple of int and float",
    ],
)
def test_kinds_of_classes(classes, in_order):
    clf = ScoreClassifier(classes, activation="softmax")
    assert clf.classes_.tolist() == in_order
    assert clf.predict(LOGITS[:3]).tolist() == [in_order[1], in_order[2], in_order[0]]
    y = np.asarray(list(classes))[[0, 2, 1, 0]]
    learned = ScoreClassifier(activation="softmax").fit(LOGITS, y)
    assert learned.classes_.tolist() == in_order
    assert learned.predict(LOGITS).tolist() == [in_order[k] for k in (0, 2, 1, 0)]


def test_bool_classes():
    clf = ScoreClassifier([False, True], activation="sigmoid")
    assert clf.predict([[1.0], [-1.0]]).dtype == bool
    assert clf.predict([[1.0], [-1.0]]).tolist() == [True, False]
    clf = ScoreClassifier(activation="sigmoid").fit([[1.0], [-1.0]], [True, False])
    assert clf.predict([[1.0], [-1.0]]).tolist() == [True, False]


@pytest.mark.parametrize(
    ("classes", "message"),
    [
        (["crane", "crane", "crane"], "`classes` contains only one label, 'crane'"),
        (["crane", None, "dog"], r"`classes\[1\]` is missing"),
        (["crane", 1, "dog"], "must be of one type"),
        ([["a"], ["b"], ["c"]], "`classes` must be 1-D"),
        (["a", "b"], r"X has 3 column\(s\) of scores, but there are 2 classes: 'a', 'b'"),
        (range(1000), r"0, 1, 2, 3, 4 and 995 more"),
        ([], "there are 0 classes"),
    ],
    ids=["one label", "a missing label", "two types", "2-D", "too few", "too many", "none"],
)
def test_bad_classes(classes, message):
    clf = ScoreClassifier(classes, activation="softmax")
    with pytest.raises(ValueError, match=message):
        clf.predict(LOGITS)
    assert clf._repr_html_()


def test_one_column_needs_two_classes():
    with pytest.raises(ValueError, match=r"X has 1 column.*3 classes.*One column needs two"):
        ScoreClassifier(LABELS, activation="sigmoid").predict([[1.0]])
    with pytest.raises(ValueError, match="1 classes"):
        ScoreClassifier(activation="sigmoid").fit([[1.0]], ["a"])


def test_fit():
    clf = ScoreClassifier(LABELS, activation="softmax")
    assert clf.fit(LOGITS, ["cat", "cat", "dog", "dog"]) is clf
    assert clf.classes_.tolist() == ["bird", "cat", "dog"]
    assert clf.n_features_in_ == 3
    with pytest.raises(ValueError, match="not in `classes`: 'cow', 'owl'"):
        clf.fit(LOGITS, ["owl", "cat", "cow", "dog"])
    with pytest.raises(ValueError, match=r"X has 3 column\(s\) .* 2 classes: 'cat', 'dog'"):
        ScoreClassifier(activation="softmax").fit(LOGITS, ["cat", "cat", "dog", "dog"])
    with pytest.raises(ValueError, match="requires y to be passed"):
        clf.fit(LOGITS, None)
    with pytest.raises(ValueError, match="Unknown label type"):
        clf.fit(LOGITS, [0.5, 1.5, 2.5, 3.5])
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        clf.fit(LOGITS, ["cat"])
    with pytest.raises(ValueError, match="'activation' parameter"):
        ScoreClassifier(LABELS, activation="relu").fit(LOGITS, ["cat"] * 4)


@pytest.mark.parametrize("method", METHODS)
def test_predictions_fitted_or_not(method):
    with pytest.raises(NotFittedError):
        getattr(ScoreClassifier(activation="softmax"), method)(LOGITS)
    assert not hasattr(ScoreClassifier(), "classes_")
    assert get_tags(ScoreClassifier()).requires_fit
    assert not get_tags(ScoreClassifier(LABELS)).requires_fit
    assert is_classifier(ScoreClassifier())
    stateless = ScoreClassifier(LABELS, activation="softmax")
    expected = getattr(stateless, method)(LOGITS)
    assert vars(stateless) == vars(clone(stateless))
    fitted = clone(stateless).fit(LOGITS, ["cat"] * 4)
    for same in (fitted, copy.deepcopy(fitted), pickle.loads(pickle.dumps(stateless))):
        assert_array_equal(getattr(same, method)(LOGITS), expected)
    with pytest.raises(ValueError, match="'activation' parameter"):
        getattr(stateless.set_params(activation="relu"), method)(LOGITS)


@pytest.mark.parametrize("method", METHODS)
def test_rows_do_not_depend_on_the_batch(method):
    call = getattr(
        ScoreClassifier(LABELS, activation="sigmoid", on_error="nan", missing="?"), method
    )
    X = np.vstack([LOGITS, [[np.nan, 1, 2]]]).astype("f4")
    X.flags.writeable = False
    whole = call(X)
    order = [3, 0, 4, 2, 1]
    assert_array_equal(call(X[order]), whole[order])
    for i in range(len(X)):
        one = call(X[i : i + 1])
        assert_array_equal(one[0], whole[i])
        assert one.dtype == whole.dtype


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    ("X", "message"),
    [
        ([1.0, 2.0, 3.0], "Expected 2D array, got 1D array"),
        ([["a", "b", "c"]], "strings|could not convert"),
        ([[np.inf, 0.0, 1.0]], "infinity"),
        (
            [[0.0, 1.0, 2.0], [np.nan, 0, 1]],
            r"NaN in row\(s\) 1: leave these rows out, or set on_error='nan'",
        ),
        (np.full((9, 3), np.nan), r"row\(s\) 0, 1, 2, 3, 4 and 4 more"),
    ],
    ids=["1-D", "strings", "infinity", "NaN", "NaN in many rows"],
)
def test_bad_X(method, X, message):
    clf = ScoreClassifier(LABELS, activation="softmax")
    with pytest.raises(ValueError, match=message):
        getattr(clf, method)(X)
    with pytest.raises(ValueError, match=message):
        clf.fit(X, ["cat"] * len(X))


@pytest.mark.parametrize(
    ("classes", "missing", "dtype"),
    [
        (["a", "b"], "unreadable", "U10"),
        (["a", "b"], -1, object),
        ([1, 2], -1, np.int64),
        ([1, 2], "unreadable", object),
        ([False, True], "unreadable", object),
        (np.array(["a", "b"], dtype=object), "unreadable", "U10"),
    ],
    ids=[
        "str and str",
        "str and int",
        "int and int",
        "int and str",
        "bool and str",
        "objects and str",
    ],
)
@pytest.mark.parametrize("activation", [None, "softmax", "sigmoid"])
def test_missing(classes, missing, dtype, activation):
    clf = ScoreClassifier(classes, activation=activation, on_error="nan", missing=missing)
    X = np.array([[0.25, 0.75], [np.nan, 0.5], [np.nan, np.nan], [0.75, 0.25]], dtype="f4")
    predicted = clf.predict(X)
    assert predicted.tolist() == [classes[1], missing, missing, classes[0]]
    assert predicted.dtype == dtype == clf.predict(X[:1]).dtype
    labels, scores = clf.top_k(X, 2)
    assert labels[:2].tolist() == [[classes[1], classes[0]], [missing, missing]]
    for values in (clf.predict_proba(X), clf.predict_log_proba(X), scores):
        assert np.isnan(values).all(axis=1).tolist() == [False, True, True, False]
    assert np.isnan(clf.decision_function(X)).tolist() == [False, True, True, False]
    assert clf.predict(X[1:3]).tolist() == [missing, missing]
    with pytest.raises(ValueError, match="infinity"):
        clf.predict([[np.inf, 0.5]])
    assert clf.fit(X, [classes[0]] * 4).predict(X).tolist() == predicted.tolist()


def test_missing_with_three_classes_and_one_column():
    three = ScoreClassifier(LABELS, activation="softmax", on_error="nan", missing="?")
    scores = three.decision_function([[np.nan, 1, 2], [1, 2, 3]])
    assert np.isnan(scores[0]).all()
    assert scores[1].tolist() == [3, 2, 1]
    one = ScoreClassifier(["b", "a"], activation="sigmoid", on_error="nan", missing="?")
    assert one.predict([[np.nan], [1.0]]).tolist() == ["?", "a"]
    assert np.isnan(one.decision_function([[np.nan], [1.0]])).tolist() == [True, False]


@pytest.mark.parametrize("frame", [pd.DataFrame, pl.DataFrame], ids=["pandas", "polars"])
def test_frames(frame):
    X = frame(dict(zip("xyz", LOGITS.T, strict=True)))
    clf = ScoreClassifier(LABELS, activation="softmax")
    expected = clf.predict(LOGITS)
    assert_array_equal(clf.predict(X), expected)
    clf.fit(X, ["cat"] * 4)
    assert clf.feature_names_in_.tolist() == ["x", "y", "z"]
    assert_array_equal(clf.predict(X), expected)
    with pytest.raises(ValueError, match="feature names should match"):
        clf.predict(X[["y", "x", "z"]])
    clf.fit(LOGITS, ["cat"] * 4)
    assert not hasattr(clf, "feature_names_in_")
    with pytest.raises(ValueError, match="X has 2 features, but ScoreClassifier is expecting 3"):
        clf.predict(LOGITS[:, :2])


def test_last_step_of_a_pipeline_without_fit():
    pipe = make_pipeline(FunctionTransformer(), ScoreClassifier(LABELS, activation="softmax"))
    assert pipe.predict(LOGITS).tolist() == ["dog", "bird", "cat", "dog"]
    assert pipe.classes_.tolist() == ["bird", "cat", "dog"]


@pytest.mark.parametrize("classes", [LABELS, None], ids=["given", "learned"])
def test_metrics_follow_classes(classes):
    rng = np.random.default_rng(0)
    columns = LABELS if classes else sorted(LABELS)
    k = np.arange(60) % 3
    X = (np.eye(3)[k] * 2 + rng.normal(size=(60, 3))).astype("f4")
    scores = cross_validate(
        ScoreClassifier(classes, activation="softmax"),
        X,
        np.array(columns)[k],
        cv=3,
        scoring=["accuracy", "neg_log_loss", "roc_auc_ovr"],
        error_score="raise",
    )
    proba = np.exp(X) / np.exp(X).sum(axis=1, keepdims=True)
    assert scores["test_accuracy"].mean() == pytest.approx((X.argmax(axis=1) == k).mean())
    expected = np.log(proba[np.arange(60), k]).mean()
    assert scores["test_neg_log_loss"].mean() == pytest.approx(expected, rel=1e-5)
    assert scores["test_roc_auc_ovr"].min() > 0.8


def test_binary_roc_auc():
    X = np.array([[0.9], [0.2], [0.7], [0.1]])
    y = np.array(["a", "z", "a", "z"])
    scores = cross_validate(
        ScoreClassifier(["z", "a"]),
        X,
        y,
        cv=2,
        scoring=["roc_auc", "f1_macro"],
        error_score="raise",
    )
    assert scores["test_roc_auc"].tolist() == [1, 1]
    assert scores["test_f1_macro"].tolist() == [1, 1]


def test_probabilities_rounded_outside_0_to_1_are_accepted():
    X = np.array([[-1e-8, 1.0], [0.25, 0.75]], dtype=np.float32)
    assert ScoreClassifier(["a", "b"]).predict_proba(X).tolist() == [[0, 1], [0.25, 0.75]]
    one = np.array([[1.0000001]], dtype=np.float32)
    assert ScoreClassifier(["a", "b"]).predict_proba(one).tolist() == [[0, 1]]


def test_a_set_of_classes_has_no_order():
    with pytest.raises(ValueError, match="got a set"):
        ScoreClassifier({"a", "b"}).predict([[0.5, 0.5]])


@pytest.mark.parametrize(
    "classes", [None, ["a", "b", "c"]], ids=["learned classes", "given classes"]
)
@pytest.mark.parametrize("fitted", [False, True], ids=["not fitted", "fitted"])
def test_a_fit_that_fails_leaves_the_classifier_as_it_was(classes, fitted):
    clf = ScoreClassifier(classes, activation="softmax")
    if fitted:
        clf.fit(np.eye(3), ["a", "b", "c"])
    before = dict(vars(clf))
    for X, y in [(np.eye(4), list("dede")), (np.eye(4)[:, :3], list("abcd")), (np.eye(3), [1, 2])]:
        with pytest.raises(ValueError, match=r"classes|inconsistent"):
            clf.fit(X, y)
        assert vars(clf) == before
    if fitted:
        assert clf.classes_.tolist() == ["a", "b", "c"]


def test_labels_that_can_be_read_only_once():
    with pytest.raises(ValueError, match=r"^y is a generator, .* pass a list or an array"):
        ScoreClassifier().fit(np.eye(3), (label for label in "abc"))
