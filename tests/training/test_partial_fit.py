"""`partial_fit`: one pass over more rows, from the present weights."""

import pickle

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from sklearn.base import clone
from sklearn.callback import ProgressBar
from sklearn.model_selection import learning_curve

from sklearn_dl import (
    ImageClassifier,
    ImageRegressor,
    SentenceSimilarityRegressor,
    TextClassifier,
    TextRegressor,
)
from sklearn_dl.training import _training_loop
from tests.text.three_classes import PAIRS, X, Y
from tests.vision.backbones import SIZE, tiny_module, versioned_module

CLASSES = ["no", "red", "yes"]
NUMBERS = np.linspace(-50.0, 120.0, 24)
LABELS = np.column_stack([Y == "yes", Y == "red", np.arange(24) % 2]).astype(int)
IMAGES = list(np.random.default_rng(0).integers(0, 256, (24, SIZE, SIZE, 3), dtype=np.uint8))


@pytest.fixture
def clf(encoder):
    return TextClassifier(
        encoder, learning_rate=1e-3, max_length=32, precision="float32", random_state=0
    )


@pytest.fixture(params=["classes", "labels", "numbers", "pairs", "cross", "images", "shades"])
def case(request, encoder):
    """An estimator that trains, its rows and targets, and what the first call needs."""
    text = {"max_length": 32, "precision": "float32", "random_state": 0}
    image = {"image_size": SIZE, "trainable_layers": "all", "random_state": 0}
    pairs = SentenceSimilarityRegressor(encoder, **text)
    return {
        "classes": (TextClassifier(encoder, **text), X, Y, {"classes": CLASSES}),
        "labels": (TextClassifier(encoder, **text), X, LABELS, {}),
        "numbers": (TextRegressor(encoder, **text), X, NUMBERS, {}),
        "pairs": (pairs, PAIRS, NUMBERS, {}),
        "cross": (clone(pairs).set_params(architecture="cross-encoder"), PAIRS, NUMBERS, {}),
        "images": (ImageClassifier(versioned_module, **image), IMAGES, Y, {"classes": CLASSES}),
        "shades": (ImageRegressor(versioned_module, **image), IMAGES, NUMBERS, {}),
    }[request.param]


def some(rows, positions):
    positions = list(positions)
    return rows[positions] if isinstance(rows, np.ndarray) else [rows[at] for at in positions]


def test_a_call_is_one_epoch_more(case):
    estimator, rows, y, first = case
    assert estimator.partial_fit(rows, y, **first) is estimator
    before = estimator.predict(rows)
    estimator.partial_fit(some(rows, range(9)), y[:9])
    assert estimator.history_["epoch"] == [1, 2]
    assert estimator.best_epoch_ == 2
    assert estimator.history_["learning_rate"][0] == estimator.history_["learning_rate"][1]
    assert estimator.predict(rows).shape == before.shape
    assert estimator.predict(rows).dtype == before.dtype


@pytest.mark.slow
def test_calls_are_repeatable_and_a_pickle_goes_on_the_same_way(case):
    estimator, rows, y, first = case
    other = clone(estimator).partial_fit(rows, y, **first)
    estimator.partial_fit(rows, y, **first)
    assert_array_equal(estimator.predict(rows), other.predict(rows))
    other = pickle.loads(pickle.dumps(other))
    estimator.partial_fit(rows, y)
    assert_array_equal(estimator.predict(rows), other.partial_fit(rows, y).predict(rows))


def test_it_goes_on_from_a_fit(case):
    estimator, rows, y, _ = case
    estimator.set_params(max_epochs=2).fit(rows, y)
    before = estimator.predict(rows)
    estimator.partial_fit(some(rows, [0, 1]), y[:2])
    assert estimator.history_["epoch"] == [1, 2, 3]
    if before.dtype.kind == "f":
        assert not np.array_equal(estimator.predict(rows), before)


@pytest.mark.slow
def test_it_learns(clf):
    for _ in range(6):
        for chunk in np.array_split(np.arange(24), 4):
            clf.partial_fit(X[chunk], Y[chunk], classes=CLASSES)
    assert clf.score(X, Y) > 0.9


@pytest.mark.slow
def test_classes_that_come_late_are_learned(clf):
    clf.set_params(batch_size=4)
    known = np.flatnonzero(Y != "red")
    clf.partial_fit(X[known], Y[known], classes=CLASSES)
    for _ in range(8):
        clf.partial_fit(X, Y)
    assert clf.score(X, Y) > 0.9
    assert clf.predict_proba(X[:2]).shape == (2, 3)


def test_one_class_alone(clf):
    one = np.flatnonzero(Y == "red")
    clf.partial_fit(X[one], Y[one], classes=CLASSES)
    assert clf.classes_.tolist() == CLASSES
    assert np.isfinite(clf.predict_log_proba(X)).all()


@pytest.mark.slow
def test_labels_that_come_late(clf):
    clf.set_params(batch_size=8, learning_rate=5e-3)
    clf.partial_fit(X[:4], LABELS[[1, 1, 1, 1], :2])  # no row has a label
    for _ in range(8):
        clf.partial_fit(X, LABELS[:, :2])
    assert (clf.predict(X) == LABELS[:, :2]).mean() > 0.9


def test_the_learning_rate_is_constant(clf, monkeypatch):
    rates = []
    step = _training_loop._Run.step
    monkeypatch.setattr(
        _training_loop._Run,
        "step",
        lambda run, batch, rate, seeds: rates.append(rate) or step(run, batch, rate, seeds),
    )
    clf.set_params(batch_size=4).partial_fit(X, Y, classes=CLASSES)
    assert rates == [1e-3] * 6


def test_classes_must_be_passed_once(clf):
    with pytest.raises(ValueError, match="classes must be passed in the first call"):
        clf.partial_fit(X, Y)
    with pytest.raises(ValueError, match=r"y has classes that `classes` does not have: \['yes'\]"):
        clf.partial_fit(X, Y, classes=["no", "red"])
    assert not clf.__sklearn_is_fitted__()
    clf.partial_fit(X, Y, classes=[*CLASSES, "more"])
    clf.partial_fit(X, Y).partial_fit(X, Y, classes=["more", *CLASSES])
    with pytest.raises(ValueError, match="are not those of the earlier calls"):
        clf.partial_fit(X, Y, classes=CLASSES)
    with pytest.raises(ValueError, match=r"partial_fit cannot change the classes.*Call fit to"):
        clf.partial_fit(X[:1], ["new"])
    with pytest.raises(ValueError, match=r"partial_fit cannot change the number of columns"):
        clf.partial_fit(X, LABELS)
    with pytest.raises(ValueError, match="Unknown label type: continuous"):
        clone(clf).partial_fit(X[:2], [0.5, 1.5], classes=[0.5, 1.5])


def test_labels_need_no_classes(clf):
    with pytest.raises(ValueError, match=r"y has 3 columns.*`classes` has length 2"):
        clf.partial_fit(X, LABELS, classes=["a", "b"])
    clone(clf).partial_fit(X, LABELS, classes=["a", "b", "c"])
    clf.partial_fit(X, LABELS, classes=[0, 1])
    with pytest.raises(ValueError, match="number of columns of y: it was 3 and is now 2"):
        clf.partial_fit(X, LABELS[:, :2])


@pytest.mark.slow
def test_learning_curves_learn_in_steps(clf):
    for y in (Y, LABELS):
        _, _, scores = learning_curve(
            clf,
            np.array(X, dtype=object),
            y,
            cv=2,
            train_sizes=[0.5, 1.0],
            exploit_incremental_learning=True,
            error_score="raise",
        )
        assert np.isfinite(scores).all()


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"early_stopping": True}, "does not support early_stopping=True"),
        ({"class_weight": "balanced"}, 'does not support class_weight="balanced"'),
        ({"trainable_layers": 0}, "trainable_layers=0 or max_epochs=0 forbids training"),
    ],
)
def test_what_it_refuses(clf, params, message):
    clf.set_params(**params)
    with pytest.raises(ValueError, match=message):
        clf.partial_fit(X, Y, classes=CLASSES)
    assert not hasattr(clf, "classes_")


def test_it_does_not_go_on_from_a_frozen_fit(clf):
    clf.set_params(trainable_layers=0).fit(X, Y)
    before = clf.decision_function(X)
    with pytest.raises(ValueError, match="only from a network that was trained"):
        clf.set_params(trainable_layers="all").partial_fit(X, Y)
    assert_array_equal(clf.decision_function(X), before)


def test_a_line_of_cosines_is_kept(encoder):
    scaled = SentenceSimilarityRegressor(
        encoder, max_epochs=0, max_length=32, precision="float32"
    ).fit(PAIRS, NUMBERS)
    slope = scaled.slope_
    scaled.set_params(max_epochs=1).partial_fit(PAIRS, NUMBERS)
    assert scaled.slope_ == slope


def test_class_weights_of_a_dict_may_name_absent_classes(clf):
    clf.set_params(class_weight={"yes": 2.0, "no": 1.0, "red": 0.5})
    clf.partial_fit(X, Y, classes=CLASSES)
    rows = np.flatnonzero(Y != "yes")
    clf.partial_fit(X[rows], Y[rows])


def test_the_first_call_of_a_regressor_sets_the_scale(encoder):
    regressor = TextRegressor(encoder, max_length=32, precision="float32", random_state=0)
    with pytest.raises(ValueError, match="All 24 targets are equal"):
        regressor.partial_fit(X, np.ones(24))
    regressor.partial_fit(X, NUMBERS)
    scale = regressor._problem.slope
    regressor.partial_fit(X, np.full(24, 80.0))
    assert regressor._problem.slope == scale
    with pytest.raises(ValueError, match="partial_fit cannot change the number of columns of y"):
        regressor.partial_fit(X, NUMBERS[:, None].repeat(2, axis=1))


def test_columns_must_be_those_of_the_first_call(clf):
    clf.partial_fit(X, Y, classes=CLASSES)
    with pytest.raises(ValueError, match="2 columns"):
        clf.partial_fit(PAIRS, Y)
    clf.partial_fit(X, Y, sample_weight=np.arange(24))


def test_an_error_leaves_the_estimator_as_it_was(clf):
    clf.partial_fit(X, Y, classes=CLASSES)
    before = clf.decision_function(X)
    with pytest.raises(ValueError, match="lower learning_rate"):
        clf.set_params(learning_rate=1e30).partial_fit(X, Y)
    clf.set_params(learning_rate=1e-3)
    assert_array_equal(clf.decision_function(X), before)
    assert clf.history_["epoch"] == [1]


def test_a_model_without_a_version_goes_on_only_where_it_was_trained():
    clf = ImageClassifier(tiny_module, image_size=SIZE, trainable_layers="all", random_state=0)
    clf.partial_fit(IMAGES, Y, classes=CLASSES).partial_fit(IMAGES, Y)
    other = (
        clone(clf).partial_fit(IMAGES, Y, classes=CLASSES).set_params(model=lambda: tiny_module())
    )
    for stale in (pickle.loads(pickle.dumps(clf)), other):
        with pytest.raises(ValueError, match=r"A fit cannot continue with model=.*no version"):
            stale.partial_fit(IMAGES, Y)


def test_each_call_has_random_views():
    clf = ImageClassifier(
        versioned_module, image_size=SIZE, trainable_layers="all", augment="standard"
    )
    clf.set_params(random_state=0).partial_fit(IMAGES, Y, classes=CLASSES)
    augmented, plain = pickle.loads(pickle.dumps(clf)), pickle.loads(pickle.dumps(clf))
    augmented.partial_fit(IMAGES, Y)
    plain.set_params(augment=None).partial_fit(IMAGES, Y)
    assert (augmented.decision_function(IMAGES) != plain.decision_function(IMAGES)).any()
    with pytest.raises(ValueError, match="augment"):
        clf.set_params(augment=("flip", "spin")).partial_fit(IMAGES, Y)


def test_a_call_does_not_resume_with_code_that_may_have_changed(tmp_path):
    (tmp_path / "checkpoint-0.safetensors").touch()
    clf = ImageClassifier(tiny_module, image_size=SIZE, trainable_layers=1, checkpoint_dir=tmp_path)
    with pytest.raises(ValueError, match="but `fit` cannot resume from it"):
        clf.partial_fit(IMAGES, Y, classes=CLASSES)


def test_callbacks_are_for_fit(clf):
    clf.set_callbacks(ProgressBar()).partial_fit(X, Y, classes=CLASSES)


@pytest.mark.slow
def test_a_killed_call_resumes(clf, tmp_path, monkeypatch):
    clf.set_params(batch_size=4)
    clf.partial_fit(X, Y, classes=CLASSES)
    saved = pickle.dumps(clf)
    expected = clf.partial_fit(X, Y).decision_function(X)

    class Killed(BaseException):
        pass

    step, n = _training_loop._Run.step, iter(range(100))

    def killed(run, *args):
        if next(n) == 3:
            raise Killed
        loss = step(run, *args)
        run.saved = -1e9  # save after each batch
        return loss

    clf = pickle.loads(saved).set_params(checkpoint_dir=tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(_training_loop._Run, "step", killed)
        with pytest.raises(Killed):
            clf.partial_fit(X, Y)
    assert list(tmp_path.glob("checkpoint*"))
    with pytest.raises(ValueError, match="checkpoint"):
        clone(clf).fit(X, Y)
    assert_array_equal(clf.partial_fit(X, Y).decision_function(X), expected)
