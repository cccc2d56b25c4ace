"""Ensembles and wrappers of scikit-learn in exported files, around steps of many kinds."""

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV, _TemperatureScaling
from sklearn.compose import make_column_transformer
from sklearn.discriminant_analysis import QuadraticDiscriminantAnalysis
from sklearn.ensemble import (
    BaggingClassifier,
    BaggingRegressor,
    GradientBoostingClassifier,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
    StackingClassifier,
    StackingRegressor,
    VotingClassifier,
    VotingRegressor,
)
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LinearRegression, LogisticRegression, RidgeClassifier
from sklearn.model_selection import (
    FixedThresholdClassifier,
    GridSearchCV,
    TunedThresholdClassifierCV,
)
from sklearn.multiclass import OneVsRestClassifier
from sklearn.multioutput import MultiOutputClassifier, MultiOutputRegressor
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.semi_supervised import SelfTrainingClassifier
from sklearn.svm import SVC, LinearSVC

from sklearn_dl import ImageClassifier, ScoreClassifier
from sklearn_dl.export import to_onnx
from sklearn_dl.utils._columns import object_array
from tests.export.exported import assert_exports
from tests.vision.backbones import SIZE, colored_images, mean_color_graph

N = 60
RNG = np.random.default_rng(0)
X = RNG.normal(size=(N, 4))
NUMBER = X @ [1, -2, 0.5, 0] + RNG.normal(size=N)
TWO = np.where(NUMBER > 0, "up", "down")
THREE = np.digitize(NUMBER, [-1, 1]) * 10
LABELS = (X[:, :2] + RNG.normal(scale=0.3, size=(N, 2)) > 0).astype(int)
BOOSTED = HistGradientBoostingClassifier(max_iter=5)
FOREST = RandomForestClassifier(5, random_state=0)
NAMED = [("linear", LogisticRegression()), ("dropped", "drop"), ("boosted", BOOSTED)]
REGRESSORS = [
    ("linear", LinearRegression()),
    ("boosted", HistGradientBoostingRegressor(max_iter=5)),
]


@pytest.mark.slow
@pytest.mark.parametrize("y", [TWO, THREE])
@pytest.mark.parametrize("weights", [None, [2, 7, 1]])
@pytest.mark.parametrize("voting", ["hard", "soft"])
def test_votes(y, weights, voting):
    classifier = VotingClassifier([*NAMED, ("bayes", GaussianNB())], voting=voting)
    classifier.set_params(weights=weights and [*weights, 2])
    assert_exports(classifier.fit(X, y), X)


def test_the_mean_of_regressors():
    assert_exports(VotingRegressor(REGRESSORS, weights=[1, 3]).fit(X, NUMBER), X)


@pytest.mark.slow
@pytest.mark.parametrize("y", [TWO, THREE])
@pytest.mark.parametrize("method", ["auto", "predict", "decision_function"])
@pytest.mark.parametrize("passthrough", [False, True])
def test_stacks(y, method, passthrough):
    stack = StackingClassifier(NAMED, stack_method=method, passthrough=passthrough, cv=2)
    assert_exports(stack.fit(X, y), X)


def test_a_stack_of_regressors():
    stack = StackingRegressor(REGRESSORS, RandomForestRegressor(3), cv=2, passthrough=True)
    assert_exports(stack.fit(X, NUMBER), X)


@pytest.mark.parametrize("estimator", [BOOSTED, RidgeClassifier(), make_pipeline(FOREST)])
@pytest.mark.parametrize("features", [0.5, 1.0])
def test_bags(estimator, features):
    y = np.where(np.arange(N) < 2, 99, THREE)  # some bags are without the class 99
    bagging = BaggingClassifier(estimator, 5, max_features=features, random_state=0)
    assert_exports(bagging.fit(X, y), X)


def test_bags_of_regressors():
    assert_exports(BaggingRegressor(n_estimators=3).fit(X, NUMBER), X)


CALIBRATED = {
    "sigmoid": [
        LinearSVC(),
        SVC(),
        FOREST,
        GradientBoostingClassifier(n_estimators=3),
        make_pipeline(StandardScaler(), KNeighborsClassifier()),
        make_pipeline(StandardScaler(), GridSearchCV(LogisticRegression(), {"C": [1]}, cv=2)),
        StackingClassifier(NAMED, LogisticRegression(), cv=2),
    ],
    "isotonic": [LogisticRegression(), BOOSTED, FOREST],
}


@pytest.mark.slow
@pytest.mark.parametrize("y", [TWO, THREE, TWO == "up"])
@pytest.mark.parametrize(
    ("method", "estimator"), [(k, each) for k, several in CALIBRATED.items() for each in several]
)
def test_calibration(y, method, estimator):
    calibrated = CalibratedClassifierCV(estimator, method=method, cv=2).fit(X, y)
    assert_exports(calibrated, 10 * X, X)


@pytest.mark.slow
@pytest.mark.parametrize("y", [TWO, THREE])
@pytest.mark.parametrize("estimator", [LogisticRegression(C=0.1), BOOSTED, GaussianNB()])
def test_calibration_by_a_temperature(y, estimator):
    calibrated = CalibratedClassifierCV(estimator, cv=2).fit(X, y)
    # `fit` of scikit-learn 1.9.1 sometimes fails here: it reads memory that nothing has written
    for fold in calibrated.calibrated_classifiers_:
        scaling = _TemperatureScaling()
        scaling.beta_ = 1.7
        fold.method, fold.calibrators = "temperature", [scaling]
    assert_exports(calibrated, X)


def test_calibration_of_a_fitted_classifier():
    frozen = FrozenEstimator(clone(BOOSTED).fit(X, THREE))
    assert_exports(CalibratedClassifierCV(frozen).fit(X, THREE), X)


@pytest.mark.parametrize("activation", ["softmax", "sigmoid"])
@pytest.mark.parametrize("classes", [["a", "c", "b"], ["b", "a"], ["b", "a", "b"]])
def test_calibration_of_scores(activation, classes):
    network = ScoreClassifier(classes, activation=activation)
    scores = X[:, : len(classes)]
    calibrated = CalibratedClassifierCV(FrozenEstimator(network))
    assert_exports(calibrated.fit(scores, network.predict(scores)), scores)


@pytest.mark.parametrize("activation", ["sigmoid", None])
@pytest.mark.parametrize("classes", [["a", "b"], ["b", "a"]])
def test_calibration_of_one_column_of_scores(activation, classes):
    network = ScoreClassifier(classes, activation=activation)
    scores = 1 / (1 + np.exp(-X[:, :1]))
    calibrated = CalibratedClassifierCV(FrozenEstimator(network))
    assert_exports(calibrated.fit(scores, np.where(NUMBER > 0, "a", "b")), scores)


@pytest.mark.parametrize("threshold", ["auto", 0.3])
@pytest.mark.parametrize("response", ["auto", "predict_proba", "decision_function"])
@pytest.mark.parametrize("pos_label", [None, "up", "down"])
def test_thresholds(threshold, response, pos_label):
    classifier = FixedThresholdClassifier(
        LogisticRegression(), threshold=threshold, response_method=response, pos_label=pos_label
    )
    assert_exports(classifier.fit(X, TWO), X)


@pytest.mark.slow
@pytest.mark.parametrize("estimator", [LogisticRegression(), FOREST, LinearSVC()])
@pytest.mark.parametrize("y", [TWO, (TWO == "up").astype(int)])
def test_tuned_thresholds(estimator, y):
    scoring = "balanced_accuracy" if y.dtype.kind == "U" else "f1"
    classifier = TunedThresholdClassifierCV(estimator, cv=2, scoring=scoring)
    assert_exports(classifier.fit(X, y), X)


@pytest.mark.slow
@pytest.mark.parametrize("y", [TWO, THREE, LABELS])
@pytest.mark.parametrize("estimator", [LogisticRegression(), LinearSVC(), FOREST, BOOSTED])
def test_one_vs_rest(y, estimator):
    assert_exports(OneVsRestClassifier(estimator).fit(X, y), X)


@pytest.mark.slow
@pytest.mark.parametrize("estimator", [LogisticRegression(), LinearSVC(), BOOSTED])
def test_several_labels(estimator):
    outputs, _ = assert_exports(MultiOutputClassifier(estimator).fit(X, LABELS), X)
    assert outputs["label"].shape == (N, 2)
    with pytest.raises(ValueError, match="several outputs that are not labels of 0 and 1"):
        to_onnx(MultiOutputClassifier(estimator).fit(X, np.column_stack([THREE, TWO == "up"])), X)


def test_several_targets():
    y = np.column_stack([NUMBER, -NUMBER])
    assert_exports(MultiOutputRegressor(REGRESSORS[1][1]).fit(X, y), X)


def test_self_training():
    y = np.where(np.arange(N) % 3 == 0, -1, THREE)
    assert_exports(SelfTrainingClassifier(BOOSTED).fit(X, y), X)


@pytest.mark.slow
def test_columns_of_a_frame_reach_the_steps_inside():
    frame = pd.DataFrame(X, columns=list("abcd")).assign(word=TWO)
    columns = make_column_transformer(
        (OneHotEncoder(), ["word"]), (StandardScaler(), ["b", "a"]), remainder="passthrough"
    )
    inside = make_pipeline(columns, LogisticRegression())
    voting = VotingClassifier(
        [("a", inside), ("b", make_pipeline(columns, BOOSTED))], voting="soft"
    )
    assert_exports(voting.fit(frame, THREE), frame)
    assert_exports(CalibratedClassifierCV(inside, cv=2).fit(frame, THREE), frame)


@pytest.mark.slow
def test_networks_inside(tmp_path):
    (tmp_path / "colors.onnx").write_bytes(mean_color_graph())
    images, colors = colored_images(12)
    rows = object_array(images).reshape(-1, 1)
    one, other = (ImageClassifier(tmp_path / "colors.onnx", image_size=SIZE, C=C) for C in (1, 9))
    voting = VotingClassifier([("one", one), ("other", other)], voting="soft").fit(rows, colors)
    calibrated = CalibratedClassifierCV(other, cv=2).fit(rows, colors)
    for estimator in (voting, calibrated):
        outputs = [output.name for output in to_onnx(estimator, rows).graph.output]
        assert outputs == ["label", "probabilities"]


def test_a_decision_function_that_skl2onnx_cannot_convert():
    discriminant = QuadraticDiscriminantAnalysis(reg_param=0.1)
    calibrated = CalibratedClassifierCV(discriminant, cv=2).fit(X, THREE)
    with pytest.raises(
        ValueError, match="Analysis cannot be exported: skl2onnx cannot convert its"
    ):
        to_onnx(calibrated, X)
