"""A model that is changed on disk after `fit` is an error at the next call, never other results."""

import pickle
import shutil
from functools import partial
from pathlib import Path

import numpy as np
import onnx
import pytest
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from sklearn_dl import (
    DetectionScorer,
    ImageClassifier,
    ObjectDetector,
    OnnxScorer,
    SentenceSimilarityRegressor,
    TensorFlowScorer,
    TextClassifier,
    TextEncoder,
    clear_sessions,
)
from sklearn_dl.metrics import make_detections
from tests.scoring.onnx_graphs import WEIGHTS, external, two_layers
from tests.scoring.tensorflow_models import affine
from tests.text.tiny_encoders import tiny_bert
from tests.vision.backbones import (
    SIZE,
    colored_images,
    feature_map_graph,
    mean_color_graph,
    tiny_folder,
)
from tests.vision.detection.detectors import constant_detector

NUMBERS = np.arange(12, dtype=np.float32).reshape(4, 3) - 5
TEXTS = ["a good film", "the bad book", "fine music", "poor plot"]
LABELS = [0, 1, 0, 1]


def onnx_file(folder):
    path = folder / "model.onnx"
    path.write_bytes(two_layers().SerializeToString())
    other = path.read_bytes().replace(WEIGHTS.tobytes(), (-WEIGHTS).tobytes())
    return OnnxScorer(path), NUMBERS, lambda: path.write_bytes(other)


def external_data(folder):
    scorer = OnnxScorer(external(folder))
    return scorer, NUMBERS, lambda: (folder / "weights.bin").write_bytes((-WEIGHTS).tobytes())


def saved_model(folder):
    def change():
        shutil.rmtree(folder / "model")
        affine(folder / "model", 5.0)

    return TensorFlowScorer(affine(folder / "model", 2.0)), NUMBERS, change


def detector(folder):
    path = Path(folder / "detector.onnx")
    table = np.float32([[8, 8, 4, 4, 0.9, 0.1]] * 20).T

    def graph(shift):
        return constant_detector({"output0": table + np.float32(shift)})

    path.write_bytes(graph(0))
    images, _ = colored_images(4)
    made = DetectionScorer(path, format="yolov8", classes=["a", "b"])
    return made, images, lambda: path.write_bytes(graph(0.01))


def text_folder(folder):
    path = tiny_bert(folder / "bert")
    return str(path), lambda: shutil.copytree(
        tiny_bert(folder / "other", seed=1), path, dirs_exist_ok=True
    )


def encoder(folder):
    path, change = text_folder(folder)
    return TextEncoder(path, max_length=16), TEXTS, change


def frozen_classifier(folder):
    path, change = text_folder(folder)
    return TextClassifier(path, max_length=16, trainable_layers=0), TEXTS, change


def cosines(folder):
    path, change = text_folder(folder)
    pairs = list(zip(TEXTS, TEXTS[::-1], strict=True))
    return SentenceSimilarityRegressor(path, max_length=16, max_epochs=0), pairs, change


def images_on_onnx(folder):
    path = folder / "colors.onnx"
    path.write_bytes(mean_color_graph())
    images, _ = colored_images(4)
    changed = onnx.load_from_string(mean_color_graph())
    changed.doc_string = "another"
    change = partial(path.write_bytes, changed.SerializeToString())
    return ImageClassifier(path, image_size=SIZE), images, change


def images_on_a_folder(folder):
    path = tiny_folder(folder / "resnet")

    def change():
        shutil.copytree(tiny_folder(folder / "other", seed=1), path, dirs_exist_ok=True)

    images, _ = colored_images(4)
    return ImageClassifier(str(path), image_size=SIZE), images, change


DETECTING = {"image_size": 32, "max_epochs": 1, "random_state": 0}


def objects_on_onnx(folder):
    path = folder / "maps.onnx"
    path.write_bytes(feature_map_graph(stride=8))
    images, _ = colored_images(4)
    changed = onnx.load_from_string(feature_map_graph(stride=8))
    changed.doc_string = "another"
    change = partial(path.write_bytes, changed.SerializeToString())
    return ObjectDetector(path, **DETECTING), images, change


def objects_on_a_folder(folder):
    _, images, change = images_on_a_folder(folder)
    return ObjectDetector(str(folder / "resnet"), **DETECTING), images, change


KINDS = [
    onnx_file,
    external_data,
    saved_model,
    detector,
    encoder,
    frozen_classifier,
    cosines,
    images_on_onnx,
    images_on_a_folder,
    objects_on_onnx,
    objects_on_a_folder,
]
CHANGED = r"has changed since this estimator was fitted|not the one that this estimator was fitted"


def results(estimator, rows):
    method = "transform" if hasattr(estimator, "transform") else "predict"
    return getattr(estimator, method)(rows)


def targets(estimator):
    """A y for four rows."""
    if isinstance(estimator, ObjectDetector):
        return [make_detections([[0, 0, 9, 9]], ["square"])] * 4
    return LABELS


@pytest.mark.parametrize("kind", KINDS)
def test_a_change_is_an_error_until_it_is_fitted_again(kind, tmp_path):
    estimator, rows, change = kind(tmp_path)
    estimator.fit(rows, targets(estimator))
    results(estimator, rows)
    embedded = pickle.loads(pickle.dumps(estimator))
    expected = results(embedded, rows)
    change()
    with pytest.raises(ValueError, match=CHANGED):
        results(estimator, rows)
    clear_sessions()
    with pytest.raises(ValueError, match=CHANGED):
        results(estimator, rows)
    with pytest.raises(ValueError, match=CHANGED):
        pickle.dumps(estimator)
    # a pickle has the model that it was made with
    for one, other in zip(results(embedded, rows), expected, strict=True):
        np.testing.assert_array_equal(one, other)
    results(clone(estimator).fit(rows, targets(estimator)), rows)
    results(estimator.fit(rows, targets(estimator)), rows)


def test_a_pipeline(tmp_path):
    scorer, rows, change = onnx_file(tmp_path)
    pipe = make_pipeline(scorer, LogisticRegression()).fit(rows, LABELS)
    change()
    with pytest.raises(ValueError, match=CHANGED):
        pipe.predict(rows)


def test_another_model_may_be_set_without_a_fit(tmp_path):
    scorer, rows, change = onnx_file(tmp_path)
    expected = scorer.fit(rows).transform(rows)
    other = tmp_path / "other.onnx"
    shutil.copy(scorer.model, other)
    change()
    np.testing.assert_array_equal(scorer.set_params(model=other).transform(rows), expected)


def test_a_trained_network_is_all_that_it_needs(tmp_path):
    path, change = text_folder(tmp_path)
    clf = TextClassifier(path, max_length=16, max_epochs=1, random_state=0).fit(TEXTS, LABELS)
    expected = clf.predict_proba(TEXTS)
    change()
    np.testing.assert_array_equal(clf.predict_proba(TEXTS), expected)


def test_what_was_trained_can_be_saved(tmp_path):
    path, change = text_folder(tmp_path)
    clf = TextClassifier(path, max_length=16, max_epochs=1, random_state=0, embed_model=False)
    expected = clf.fit(TEXTS, LABELS).predict_proba(TEXTS)
    change()
    loaded = pickle.loads(pickle.dumps(clf))
    np.testing.assert_array_equal(loaded.predict_proba(TEXTS), expected)
    with pytest.raises(ValueError, match="not the one that this estimator was pickled with"):
        loaded.fit(TEXTS, LABELS)


def test_a_fit_that_fails_leaves_what_was_noted(tmp_path):
    scorer, rows, change = onnx_file(tmp_path)
    scorer.fit(rows)
    change()
    with pytest.raises(ValueError, match=r"features|columns|shape"):
        scorer.fit(rows[:, :2])
    with pytest.raises(ValueError, match=CHANGED):
        scorer.transform(rows)


def frozen_text(folder):
    path, _ = text_folder(folder)
    return TextClassifier(path, max_length=16, trainable_layers=0).fit(TEXTS, LABELS)


def test_files_that_no_estimator_reads_change_nothing(tmp_path):
    clf = frozen_text(tmp_path)
    encoder = TextEncoder(clf.model, max_length=16).fit(TEXTS)
    for name in ("README.txt", "eval_results.json", "generation_config.json"):
        Path(clf.model, name).write_text("{}")
    clf.predict(TEXTS)
    encoder.transform(TEXTS)


def test_a_folder_that_has_moved(tmp_path):
    clf = frozen_text(tmp_path)
    expected = clf.predict_proba(TEXTS)
    moved = shutil.move(clf.model, tmp_path / "moved")
    np.testing.assert_array_equal(clf.predict_proba(TEXTS), expected)  # it is loaded
    clear_sessions()
    with pytest.raises(FileNotFoundError):
        clf.predict_proba(TEXTS)
    with pytest.raises(FileNotFoundError):
        clf.embed(TEXTS)
    for model in (str(moved), Path(moved)):
        clf.set_params(model=model)
        np.testing.assert_array_equal(clf.predict_proba(TEXTS), expected)
        assert clf.embed(TEXTS).shape == (4, 32)
        clear_sessions()


def test_a_relative_path_is_that_of_the_fit(tmp_path, monkeypatch):
    path, _ = text_folder(tmp_path)
    monkeypatch.chdir(tmp_path)
    clf = TextClassifier(Path(path).name, max_length=16, trainable_layers=0).fit(TEXTS, LABELS)
    expected = clf.predict_proba(TEXTS)
    monkeypatch.chdir("/")
    clear_sessions()
    np.testing.assert_array_equal(clf.predict_proba(TEXTS), expected)


def test_a_path_and_its_string_are_one_model(tmp_path):
    scorer, rows, change = onnx_file(tmp_path)
    scorer.fit(rows)
    change()
    with pytest.raises(ValueError, match=CHANGED):
        scorer.set_params(model=str(scorer.model)).transform(rows)
