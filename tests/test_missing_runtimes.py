"""An error about a missing package names the extra of the estimator that needs it."""

import pickle
import sys

import numpy as np
import pytest

from sklearn_dl import (
    DetectionScorer,
    ImageClassifier,
    ObjectDetector,
    OnnxScorer,
    TensorFlowScorer,
    TextClassifier,
    TextEncoder,
    clear_sessions,
)
from sklearn_dl.metrics import make_detections
from sklearn_dl.models._onnx import _external_files, _from_path
from tests.scoring.onnx_graphs import two_layers
from tests.text.tiny_encoders import tiny_bert
from tests.vision.backbones import (
    SIZE,
    colored_images,
    feature_map_graph,
    mean_color_graph,
    tiny_folder,
)

IMAGES, COLORS = colored_images(6)
TEXTS, LABELS = ["a good film", "the bad book"], [0, 1]
NUMBERS = np.ones((2, 3), np.float32)


def onnx_graph(folder):
    path = folder / "graph.onnx"
    path.write_bytes(two_layers().SerializeToString())
    return OnnxScorer(path), NUMBERS


def detector(folder):
    path = folder / "colors.onnx"
    path.write_bytes(mean_color_graph())
    return DetectionScorer(path, format="yolov8"), IMAGES


def saved_model(folder):
    (folder / "graph.pb").write_bytes(b"\x0a\x00")
    return TensorFlowScorer(folder / "graph.pb"), NUMBERS


def texts(folder):
    return TextClassifier(str(tiny_bert(folder / "bert")), max_length=16), TEXTS


def encoder(folder):
    return TextEncoder(str(tiny_bert(folder / "bert")), max_length=16), TEXTS


def images_on_onnx(folder):
    path = folder / "colors.onnx"
    path.write_bytes(mean_color_graph())
    return ImageClassifier(path, image_size=SIZE), IMAGES


def images_on_a_folder(folder):
    return ImageClassifier(str(tiny_folder(folder / "resnet")), image_size=SIZE), IMAGES


def learning_detector(folder):
    path = folder / "maps.onnx"
    path.write_bytes(feature_map_graph(stride=8))
    return ObjectDetector(path, image_size=32, max_epochs=1), IMAGES


def learning_detector_on_a_folder(folder):
    return ObjectDetector(str(tiny_folder(folder / "resnet")), image_size=32, max_epochs=1), IMAGES


CASES = [
    (onnx_graph, "onnx", "onnx"),
    (onnx_graph, "onnxruntime", "onnx"),
    (detector, "onnx", "onnx"),
    (detector, "onnxruntime", "onnx"),
    (saved_model, "tensorflow", "tensorflow"),
    (texts, "torch", "text"),
    (texts, "transformers", "text"),
    (encoder, "transformers", "text"),
    (images_on_onnx, "onnx", "vision"),
    (images_on_onnx, "onnxruntime", "vision"),
    (images_on_a_folder, "torch", "vision"),
    (images_on_a_folder, "transformers", "vision"),
    (learning_detector, "onnx", "vision"),
    (learning_detector, "onnxruntime", "vision"),
    (learning_detector, "torch", "vision"),
    (learning_detector_on_a_folder, "torch", "vision"),
    (learning_detector_on_a_folder, "transformers", "vision"),
]
# modules that import a runtime when they are imported
IMPORTERS = (
    "sklearn_dl.models._transformers",
    "sklearn_dl.text._text_network",
    "sklearn_dl.vision._folder_network",
    "sklearn_dl.vision._image_network",
    "sklearn_dl.vision.detection._detection_network",
    "sklearn_dl.vision.detection._feed",
    "sklearn_dl.vision.detection._head",
    "sklearn_dl.vision.detection._losses",
)


def targets(estimator, n_rows):
    """A y for some rows."""
    if isinstance(estimator, ObjectDetector):
        return [make_detections([[0, 0, 9, 9]], ["square"])] * n_rows
    return np.resize(LABELS, n_rows)


@pytest.fixture
def without(monkeypatch):
    """Make a package look as if it were not installed."""

    def without(package):
        clear_sessions()
        for memo in (_external_files, _from_path):
            memo.cache_clear()
        for module in IMPORTERS:
            monkeypatch.delitem(sys.modules, module, raising=False)
        monkeypatch.setitem(sys.modules, package, None)

    return without


@pytest.mark.parametrize(("make", "package", "extra"), [c for c in CASES if c[0] is not encoder])
def test_a_fit_names_the_estimators_extra(make, package, extra, tmp_path, without):
    estimator, X = make(tmp_path)
    without(package)
    message = rf'^{type(estimator).__name__} needs {package}: pip install "sklearn-dl\[{extra}\]"'
    with pytest.raises(ImportError, match=message):
        estimator.fit(X, targets(estimator, len(X)))


@pytest.mark.parametrize(
    ("make", "package", "extra"), [c for c in CASES if c[0] not in (detector, saved_model)]
)
def test_a_prediction_of_a_pickle_names_it_too(make, package, extra, tmp_path, without):
    estimator, X = make(tmp_path)
    estimator.fit(X, targets(estimator, len(X)))
    loaded = pickle.loads(pickle.dumps(estimator))
    without(package)
    message = rf'^{type(estimator).__name__} needs {package}: pip install "sklearn-dl\[{extra}\]"'
    with pytest.raises(ImportError, match=message):
        (loaded.transform if hasattr(loaded, "transform") else loaded.predict)(X)
