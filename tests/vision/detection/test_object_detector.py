"""ObjectDetector learns to find drawn squares."""

import copy
import os
import pickle
from concurrent.futures import ThreadPoolExecutor

import joblib
import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch
from sklearn.base import clone
from sklearn.callback import ScoringMonitor
from sklearn.model_selection import GridSearchCV, cross_validate
from sklearn.pipeline import make_pipeline

from sklearn_dl import ImageLoader, ObjectDetector, clear_sessions
from sklearn_dl.images import ImageReadError, ImageResizer
from sklearn_dl.metrics import make_detections, mean_average_precision_score
from sklearn_dl.training import _training_loop
from sklearn_dl.utils._columns import object_array
from sklearn_dl.vision.detection import _losses
from sklearn_dl.vision.detection._detection_rows import DetectionRows
from sklearn_dl.vision.detection._head import DetectionHead
from tests.training.children import die_at_call, in_child
from tests.vision.detection.drawn_squares import (
    QUICK,
    SIZE,
    assert_equal_detections,
    drawn_images,
    small_maps,
)


@pytest.fixture
def detector():
    return ObjectDetector(small_maps, **QUICK)


@pytest.fixture(params=[0, "all"], ids=["frozen", "tuned"])
def either(request, detector):
    return detector.set_params(trainable_layers=request.param)


@pytest.fixture(scope="module")
def data():
    return drawn_images(6)


@pytest.fixture(scope="module")
def new():
    return drawn_images(4, seed=1)


@pytest.fixture(scope="module")
def fitted(data):
    return ObjectDetector(small_maps, **QUICK).fit(*data)


def state_of(detector):
    return {k: t.clone() for k, t in detector._predictor.network.live.state_dict().items()}


def same(first, second):
    return all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.slow
def test_learns():
    X, y = drawn_images(16)
    new, objects = drawn_images(8, seed=1)
    detector = ObjectDetector(small_maps, **QUICK | {"max_epochs": 40}).fit(X, y)
    assert detector.classes_.tolist() == ["blue", "red"]
    assert detector.score(new, objects) > 0.5
    history = detector.history_
    assert history["epoch"] == list(range(1, 41))
    assert history["train_loss"][-1] < history["train_loss"][0] / 2
    assert detector.best_epoch_ == 40
    assert detector.device_ == "cpu"


def test_detections(fitted, new):
    found = fitted.predict(new[0])
    assert found.shape == (4,)
    assert found.dtype == object
    for objects in found:
        assert objects.dtype == make_detections([[0, 0, 1, 1]], ["blue"]).dtype
        assert (np.diff(objects["score"]) <= 0).all()
        assert objects["score"].min() >= 0.05
        assert (objects["x1"] > objects["x0"]).all()
        assert (objects["y1"] > objects["y0"]).all()
        assert objects["x0"].min() >= 0
        assert objects["y1"].max() <= SIZE
    assert fitted.score(*new) == mean_average_precision_score(new[1], found)
    # dicts are objects too
    as_dicts = [
        {"boxes": np.array([list(o)[:4] for o in image.tolist()]), "labels": image["label"]}
        for image in new[1]
    ]
    assert fitted.score(new[0], as_dicts) == fitted.score(*new)


def test_parameters_of_predictions(fitted, new):
    detector = copy.deepcopy(fitted)
    expected = fitted.predict(new[0])
    detector.set_params(score_threshold=0.12)
    for one, other in zip(detector.predict(new[0]), expected, strict=True):
        np.testing.assert_array_equal(one, other[other["score"] >= np.float32(0.12)])
    detector.set_params(score_threshold=0.05, max_detections=3)
    for one, other in zip(detector.predict(new[0]), expected, strict=True):
        np.testing.assert_array_equal(one, other[:3])
    detector.set_params(max_detections=300, iou_threshold=1.0)
    assert all(map(len, detector.predict(new[0])))
    assert sum(map(len, detector.predict(new[0]))) > sum(map(len, expected))
    detector.set_params(score_threshold=1.0)
    assert [len(objects) for objects in detector.predict(new[0])] == [0] * 4
    assert len(detector.predict_frame(new[0])) == 0


def test_frames(fitted, new):
    images = pd.Series(new[0], index=list("abcd"))
    frame = fitted.predict_frame(images)
    assert frame.columns.tolist() == ["image", "label", "score", "x0", "y0", "x1", "y1"]
    found = fitted.predict(new[0])
    assert frame.image.value_counts(sort=False).tolist() == [len(objects) for objects in found]
    assert fitted.score(images, frame) == fitted.score(new[0], found)


@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_columns_of_frames(detector, fitted, data, new, library):
    def column(images):
        if library == "pandas":
            return pd.DataFrame({"photo": pd.Series(images, index=range(5, 5 + len(images)))})
        return pl.DataFrame({"photo": pl.Series(images, dtype=pl.Object)})

    detector.fit(column(data[0]), data[1])
    assert detector.feature_names_in_.tolist() == ["photo"]
    assert_equal_detections(detector.predict(column(new[0])), fitted.predict(new[0]))
    y = np.empty(6, dtype=object)
    y[:] = data[1]
    if library == "pandas":
        detector.fit(column(data[0]), pd.Series(y, index=range(6)))
        assert_equal_detections(detector.predict(column(new[0])), fitted.predict(new[0]))


def images_of_several_sizes():
    rng = np.random.default_rng(3)
    sizes = [(96, 96), (50, 120), (120, 50), (96, 96), (200, 190), (31, 17), (50, 120)]
    return [rng.integers(0, 255, (height, width, 3), dtype=np.uint8) for width, height in sizes]


@pytest.mark.parametrize("image_size", [96, (64, 128), [64, 128], np.int64(96)], ids=str)
def test_sizes(either, data, image_size):
    X = images_of_several_sizes()
    y = [make_detections([[0, 0, 16, 16.5]], ["a"])] * len(X)
    either.set_params(image_size=image_size).fit(X, y)
    together = either.predict(X)
    for image, objects in zip(X, together, strict=True):
        (alone,) = either.predict([image])
        assert len(alone) == len(objects)
        np.testing.assert_array_equal(alone["label"], objects["label"])
        for name in ("score", "x0", "y0", "x1", "y1"):
            np.testing.assert_allclose(alone[name], objects[name], rtol=1e-6, atol=1e-5)
        height, width = image.shape[:2]
        assert objects["x1"].max() <= width
        assert objects["y1"].max() <= height
    for one, other in zip(either.predict(X[::-1])[::-1], together, strict=True):
        np.testing.assert_allclose(one["score"], other["score"], rtol=1e-6)


def test_more_rows_than_are_predicted_at_once(fitted, new, monkeypatch):
    expected = fitted.predict(new[0])
    monkeypatch.setattr("sklearn_dl.vision.detection._object_detector._CHUNK", 3)
    found = fitted.predict(new[0])
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one["label"], other["label"])
        np.testing.assert_allclose(one["x0"], other["x0"], atol=1e-4)


@pytest.mark.slow
def test_the_same_seed_gives_the_same_bits(either, data):
    before = torch.get_rng_state(), np.random.get_state()[1].copy(), torch.get_num_threads()  # noqa: NPY002
    first, second = clone(either).fit(*data), clone(either).fit(*data)
    assert same(state_of(first), state_of(second))
    assert_equal_detections(first.predict(data[0]), second.predict(data[0]))
    other = clone(either).set_params(random_state=1).fit(*data)
    assert not same(state_of(first), state_of(other))
    assert torch.equal(torch.get_rng_state(), before[0])
    np.testing.assert_array_equal(np.random.get_state()[1], before[1])  # noqa: NPY002
    assert torch.get_num_threads() == before[2]
    assert not torch.is_inference_mode_enabled()
    # a RandomState and None are seeds too
    seeds = [np.random.RandomState(3), np.random.RandomState(3), None, None]
    states = [state_of(clone(either).set_params(random_state=s).fit(*data)) for s in seeds]
    assert same(states[0], states[1])
    assert not same(states[2], states[3])


@pytest.mark.slow
def test_views_change_what_is_learned(either, data):
    plain = clone(either).set_params(augment=None).fit(*data)
    seen = clone(either).set_params(augment=("flip",)).fit(*data)
    assert not same(state_of(plain), state_of(seen))
    expected = plain.predict(data[0])
    assert_equal_detections(plain.set_params(augment=("no kind",)).predict(data[0]), expected)
    with pytest.raises(ValueError, match="augment="):
        plain.fit(*data)


def test_n_threads(either, data):
    one = clone(either).set_params(n_threads=1).fit(*data).predict(data[0])
    two = clone(either).set_params(n_threads=2).fit(*data).predict(data[0])
    for first, second in zip(one, two, strict=True):
        assert len(first) == pytest.approx(len(second), abs=3)
        np.testing.assert_allclose(first["score"][:2], second["score"][:2], atol=1e-2)


@pytest.mark.slow
def test_early_stopping(either, data, new):
    either.set_params(early_stopping=True, n_iter_no_change=2, max_epochs=8, learning_rate=0.01)
    either.fit(*data, X_val=new[0], y_val=new[1])
    scores = either.history_["validation_score"]
    assert len(either.history_["validation_loss"]) == len(scores) <= 8
    assert np.isfinite(either.history_["validation_loss"]).all()
    assert scores[either.best_epoch_ - 1] == max(scores)
    assert either.score(*new) == pytest.approx(max(scores), abs=1e-6)
    either.set_params(validation_fraction=2, max_epochs=2).fit(*data)
    assert len(either.history_["validation_loss"]) == 2
    # which rows are held out is drawn from the seed
    assert (
        either.history_["validation_score"] == clone(either).fit(*data).history_["validation_score"]
    )


def test_the_validation_loss_is_that_of_the_problem(detector, data):
    """With the rows themselves, no views and no progress, it is the loss of the training."""
    detector.set_params(
        early_stopping=True, augment=None, max_epochs=1, learning_rate=1e-12, batch_size=3
    )
    weights = np.array([1.0, 2, 1, 0.5, 1, 1])
    detector.fit(
        *data, sample_weight=weights, X_val=data[0], y_val=data[1], sample_weight_val=weights
    )
    history = detector.history_
    assert history["validation_loss"][0] == pytest.approx(history["train_loss"][0], rel=1e-4)


def test_scoring(detector, data, new):
    seen = []

    def scorer(estimator, X, y):
        seen.append((len(X), y[0].dtype.names, len(estimator.predict(X))))
        return -len(seen)

    detector.set_params(early_stopping=True, scoring=scorer)
    detector.fit(*data, X_val=new[0], y_val=new[1])
    assert seen == [(4, new[1][0].dtype.names, 4)] * 2
    assert detector.history_["validation_score"] == [-1, -2]
    assert detector.best_epoch_ == 1


def test_strata_hold_out_the_rare(detector):
    """One of the two images with a red square is held out, and the other is learned from."""
    X, _ = drawn_images(12)
    y = [make_detections([[0, 0, 20, 20]], ["red" if i in (3, 8) else "blue"]) for i in range(12)]
    held_out = []

    def scorer(estimator, X, y):
        held_out.append([image["label"][0] for image in y])
        return 1.0

    detector.set_params(
        early_stopping=True, scoring=scorer, validation_fraction=0.5, max_epochs=1
    ).fit(X, y)
    assert sorted(held_out[0]) == ["blue"] * 5 + ["red"]


def test_weights_of_zero_change_nothing(either, data):
    X, y = data
    weights = np.array([1.0, 0, 1, 1, 0, 1])
    kept = np.flatnonzero(weights)
    first = clone(either).fit(X, y, sample_weight=weights)
    second = clone(either).fit([X[i] for i in kept], [y[i] for i in kept])
    assert same(state_of(first), state_of(second))


def test_a_weight_of_two_is_two_rows(detector, data, monkeypatch):
    X, y = data
    # its numbers come from rows, not from their weights
    monkeypatch.setattr(DetectionHead, "standardise", lambda self, means, spreads: None)
    detector.set_params(augment=None, batch_size=12)
    weighted = clone(detector).fit(X, y, sample_weight=[2, 1, 1, 2, 1, 1])
    repeated = clone(detector).fit([*X, X[0], X[3]], [*y, y[0], y[3]])
    assert weighted.history_["train_loss"] == pytest.approx(
        repeated.history_["train_loss"], rel=1e-4
    )
    for one, other in zip(weighted.predict(X), repeated.predict(X), strict=True):
        np.testing.assert_allclose(one["score"][:3], other["score"][:3], rtol=1e-3)


@pytest.mark.slow
def test_class_weight(detector, data, monkeypatch):
    seen = []
    losses = _losses.detection_losses
    monkeypatch.setattr(
        _losses, "detection_losses", lambda *args: seen.append(args[2].tolist()) or losses(*args)
    )
    X, y = data
    n_blue, n_red = (sum((image["label"] == c).sum() for image in y) for c in ("blue", "red"))
    states = []
    # a fold may lack a class that class_weight has
    for weight in (None, "balanced", {"red": 3.0}, {"red": 1.0, "blue": 1, "green": 5}):
        seen.clear()
        states.append(state_of(clone(detector).set_params(class_weight=weight).fit(X, y)))
        n = n_blue + n_red
        expected = {"balanced": [n / (2 * n_blue), n / (2 * n_red)]}.get(
            weight if isinstance(weight, str) else None,
            [1.0, 3.0] if weight == {"red": 3.0} else [1.0, 1.0],
        )
        assert all(one == pytest.approx(expected) for one in seen)
        assert seen
    assert same(states[0], states[3])
    assert not same(states[0], states[1])
    assert not same(states[0], states[2])
    for wrong, message in [
        ({"green": 2}, "are not in class_weight"),
        ({"red": -1}, "must have positive weights"),
        ({"red": np.nan}, "must have positive weights"),
    ]:
        with pytest.raises(ValueError, match=message):
            clone(detector).set_params(class_weight=wrong).fit(X, y)


@pytest.mark.slow
def test_warm_start(either, data):
    X, y = data
    either.set_params(warm_start=True).fit(X, y)
    before = state_of(either)
    either.fit(X, y)
    assert either.history_["epoch"] == [1, 2, 3, 4]
    assert not same(before, state_of(either))
    # some of the labels are enough
    reds = [image[image["label"] == "red"] for image in y]
    assert either.fit(X, reds).classes_.tolist() == ["blue", "red"]
    others = [make_detections([[0, 0, 30, 30]], ["green"])] * 6
    with pytest.raises(ValueError, match=r"cannot change the labels: .*\['blue', 'red'\], but y"):
        either.fit(X, others)
    assert either.classes_.tolist() == ["blue", "red"]
    assert either.set_params(warm_start=False).fit(X, others).classes_.tolist() == ["green"]


@pytest.mark.slow
def test_a_warm_start_from_frozen_to_tuned_and_back(detector, data):
    detector.set_params(warm_start=True, learning_rate=1e-9, augment=None).fit(*data)
    head = state_of(detector)
    expected = detector.predict(data[0])
    for layers in ("all", 0, 1):
        detector.set_params(trainable_layers=layers).fit(*data)
        after = state_of(detector)
        assert all(torch.allclose(after[name], head[name], atol=1e-5) for name in head)
        for one, other in zip(detector.predict(data[0]), expected, strict=True):
            np.testing.assert_allclose(one["score"][:5], other["score"][:5], rtol=1e-3)
    assert detector.history_["epoch"] == list(range(1, 9))
    # what is frozen stays as it was tuned
    detector.set_params(trainable_layers="all", learning_rate=1e-2).fit(*data)
    tuned = state_of(detector)
    after = state_of(detector.set_params(trainable_layers=0).fit(*data))
    changed = {name for name in tuned if not torch.equal(after[name], tuned[name])}
    assert changed
    assert all(name.startswith("head.") for name in changed)
    assert torch.equal(after["body.first.weight"], tuned["body.first.weight"])
    copied = pickle.loads(pickle.dumps(detector))
    assert_equal_detections(copied.predict(data[0]), detector.predict(data[0]))


def test_callbacks(either, data):
    monitor = ScoringMonitor(scoring={"map": lambda estimator, X, y: estimator.score(X, y)})
    either.set_callbacks(monitor).fit(*data)
    log = monitor.get_logs().data_as_pandas
    epochs = log[log.task_name == "epoch"]
    assert len(epochs) == 2
    assert epochs.iloc[-1]["map"] == either.score(*data)


@pytest.mark.slow
def test_copies(either, data, new, tmp_path):
    unfitted = pickle.loads(pickle.dumps(either))
    assert unfitted.get_params() == either.get_params()
    expected = either.fit(*data).predict(new[0])
    assert_equal_detections(unfitted.fit(*data).predict(new[0]), expected)
    joblib.dump(either, tmp_path / "detector.joblib")
    copies = [
        pickle.loads(pickle.dumps(either)),
        pickle.loads(pickle.dumps(either.set_params(embed_model=False))),
        copy.deepcopy(either),
        copy.copy(either),
        joblib.load(tmp_path / "detector.joblib"),
    ]
    clear_sessions()
    for copied in copies:
        assert_equal_detections(copied.predict(new[0]), expected)
        assert copied.history_ == either.history_
        assert_equal_detections(copied.fit(*data).predict(new[0]), expected)
    with pytest.raises(ValueError, match="not fitted yet"):
        clone(either).predict(new[0])


def unversioned_maps():
    return small_maps()


def test_a_callable_without_a_version(data, new, tmp_path):
    detector = ObjectDetector(unversioned_maps, **QUICK).fit(*data)
    expected = detector.predict(new[0])
    assert_equal_detections(pickle.loads(pickle.dumps(detector)).predict(new[0]), expected)
    with pytest.raises(ValueError, match="this callable has no version"):
        detector.set_params(warm_start=True).fit(*data)
    (tmp_path / "checkpoint-0.safetensors").write_bytes(b"")
    with pytest.raises(ValueError, match="has no version"):
        detector.set_params(warm_start=False, checkpoint_dir=tmp_path).fit(*data)


def test_an_error_leaves_the_estimator_as_it_was(either, data, monkeypatch):
    either.fit(*data)
    expected = either.predict(data[0])

    def interrupt(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr(_training_loop._Run, "step", interrupt)
    with pytest.raises(KeyboardInterrupt):
        either.fit(data[0], [make_detections([[0, 0, 9, 9]], ["other"])] * 6)
    assert_equal_detections(either.predict(data[0]), expected)


@pytest.mark.slow
def test_model_selection(detector, data):
    detector.set_params(max_epochs=1)
    found = cross_validate(detector, *data, cv=2, error_score="raise")
    assert found["test_score"].shape == (2,)
    grid = {"learning_rate": [1e-3, 1e-2]}
    search = GridSearchCV(detector, grid, cv=2, error_score="raise").fit(*data)
    assert len(search.predict(data[0])) == 6


@pytest.mark.slow
def test_objects_that_numpy_stacks(detector, data):
    """With one object in each image, y becomes an array of two dimensions."""
    one_each = [image[:1] for image in data[1]]
    y = np.stack(one_each)
    expected = cross_validate(detector, data[0], one_each, cv=2, error_score="raise")
    found = cross_validate(detector, data[0], y, cv=2, error_score="raise")
    np.testing.assert_array_equal(found["test_score"], expected["test_score"])
    predicted = detector.fit(data[0], y).predict(data[0])
    assert mean_average_precision_score(y, predicted) == detector.score(data[0], y)


@pytest.mark.slow
def test_fits_in_threads_give_the_bits_of_one(detector, data):
    network = small_maps()  # its seed is not drawn in threads
    detector.set_params(model=lambda: copy.deepcopy(network))
    expected = clone(detector).fit(*data).predict(data[0])
    with ThreadPoolExecutor(3) as pool:
        fits = [pool.submit(clone(detector).fit, *data) for _ in range(3)]
    fitted = [fit.result() for fit in fits]
    with ThreadPoolExecutor(3) as pool:
        for found in pool.map(lambda one: one.predict(data[0]), fitted):
            assert_equal_detections(found, expected)


@pytest.mark.slow
def test_a_pipeline_with_steps_of_images(detector, fitted, data, new):
    pipe = make_pipeline(ImageLoader(), detector).fit(*data)
    assert_equal_detections(pipe.predict(new[0]), fitted.predict(new[0]))
    assert pipe.score(*new) == fitted.score(*new)
    # boxes are in pixels of what the last step makes
    smaller = make_pipeline(ImageLoader(), ImageResizer(48, 48), clone(detector))
    y = [make_detections([[0, 0, 20, 20]], ["a"])] * 6
    found = smaller.fit(data[0], y).predict(new[0])
    assert max(objects["x1"].max() for objects in found) <= 48
    with pytest.raises(ValueError, match="outside its image of 48 x 48 pixels"):
        smaller.fit(data[0], [make_detections([[50, 0, 60, 20]], ["a"])] * 6)


def test_bfloat16(either, data, new):
    rough = either.set_params(precision="bfloat16").fit(*data).predict(new[0])
    fine = either.set_params(precision="float32").predict(new[0])
    for one, other in zip(rough, fine, strict=True):
        np.testing.assert_allclose(one["score"][:1], other["score"][:1], atol=0.05)


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork and SIGKILL")
@pytest.mark.parametrize(
    ("params", "step"), [({}, 3), ({"early_stopping": True, "validation_fraction": 2}, 2)]
)
def test_a_killed_fit_ends_with_the_weights_of_a_whole_one(
    either, data, tmp_path, monkeypatch, params, step
):
    monkeypatch.setattr(_training_loop, "SECONDS_BETWEEN_CHECKPOINTS", -1)
    monkeypatch.setattr("sklearn_dl.runtimes.torch._device.thread_budget", lambda *args: 1)
    monkeypatch.setattr(
        "sklearn_dl.vision.detection._fitted_detection_network.thread_budget", lambda *args: 1
    )
    either.set_params(batch_size=2, max_epochs=2, **params)
    whole = clone(either).set_params(checkpoint_dir=tmp_path / "whole").fit(*data)
    either.set_params(checkpoint_dir=tmp_path / "killed")

    def work():
        _training_loop._Run.step = die_at_call(step, _training_loop._Run.step)
        either.fit(*data)

    assert in_child(work) == -9
    (checkpoint,) = (tmp_path / "killed").iterdir()
    other = [*data[1][:5], make_detections([[0, 0, 30, 31]], ["red"])]
    with pytest.raises(ValueError, match=r"belongs to another fit \(different data\)"):
        clone(either).fit(data[0], other)
    with pytest.raises(ValueError, match=r"belongs to another fit \(different image_size\)"):
        clone(either).set_params(image_size=64).fit(*data)
    either.fit(*data)
    assert same(state_of(either), state_of(whole))
    history = [{k: v for k, v in d.history_.items() if "second" not in k} for d in (either, whole)]
    assert history[0] == history[1]
    assert not checkpoint.exists()


def test_the_validation_loss_is_that_of_the_images_themselves(detector, data):
    """Held-out rows have no random views, whether `fit` splits them off or gets them."""
    X, y = data
    detector.set_params(trainable_layers="all", early_stopping=True, max_epochs=1)
    detector.set_params(validation_fraction=2)
    split = clone(detector).fit(X, y)
    views = []
    rows = DetectionRows.view

    def view(self, rng):
        views.append(self.numbers.tolist())
        return rows(self, rng)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(DetectionRows, "view", view)
        clone(detector).fit(X, y)
    trained = {number for batch in views for number in batch}
    assert len(trained) == len(X) - 2
    held_out = sorted(set(range(len(X))) - trained)
    given = clone(detector).fit(
        [X[i] for i in sorted(trained)],
        [y[i] for i in sorted(trained)],
        X_val=[X[i] for i in held_out],
        y_val=[y[i] for i in held_out],
    )
    assert given.history_["validation_loss"] == pytest.approx(split.history_["validation_loss"])


def test_a_row_of_weight_0_is_not_read(detector, data, tmp_path):
    X, y = data
    path = tmp_path / "damaged.jpg"
    path.write_bytes(b"no image")
    images = object_array([*X[:4], str(path)])
    detector.set_params(max_epochs=1).fit(images, [*y[:4], y[0]], [1, 1, 1, 1, 0])
    with pytest.raises(ImageReadError, match="Row 4"):
        detector.fit(images, [*y[:4], y[0]])
