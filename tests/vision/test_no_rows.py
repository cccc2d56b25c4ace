"""Estimators of images predict for an X without rows, and load no network if possible."""

import numpy as np
import pandas as pd
import pytest

from sklearn_dl import DetectionScorer, ImageClassifier, ImageRegressor, ObjectDetector
from sklearn_dl.testing._compare import assert_no_rows_like
from sklearn_dl.training._fitted_network import FittedNetwork
from tests.vision.backbones import versioned_module
from tests.vision.detection.detectors import ANCHORS, color_detector, squares
from tests.vision.detection.drawn_squares import QUICK, drawn_images, small_maps

METHODS = ["predict", "predict_proba", "predict_log_proba", "decision_function", "transform"]
NO_ROWS = [[], np.empty((0, 16, 16, 3), dtype=np.uint8), pd.Series([], dtype=object)]


@pytest.mark.parametrize("trainable_layers", [0, "all"])
@pytest.mark.parametrize("several", [False, True], ids=["one target", "several targets"])
@pytest.mark.parametrize("estimator_class", [ImageClassifier, ImageRegressor])
def test_each_method(estimator_class, several, trainable_layers, data, params):
    images, labels = data
    params = {k: v for k, v in params.items() if k != "C"} | {"trainable_layers": trainable_layers}
    codes = np.unique(labels, return_inverse=True)[1]
    y = np.column_stack([codes % 2, codes // 2]) if several else codes
    fitted = estimator_class(versioned_module, **params).fit(images, y)
    for name in METHODS:
        if hasattr(fitted, name):
            method = getattr(fitted, name)
            for no_rows in NO_ROWS:
                assert_no_rows_like(method(no_rows), method(images), name)


def test_a_frozen_network_is_not_loaded(onnx_file, data, params, monkeypatch):
    images, labels = data
    clf = ImageClassifier(onnx_file, **params).fit(images, labels)
    expected = {name: getattr(clf, name)(images) for name in METHODS}
    monkeypatch.setattr(FittedNetwork, "outputs", lambda *_: pytest.fail("it is loaded"))
    for name in METHODS:
        assert_no_rows_like(getattr(clf, name)([]), expected[name], name)


@pytest.mark.parametrize("missing", [None, "unread"])
def test_masked_rows_do_not_change_the_dtype(onnx_file, data, params, missing):
    images, labels = data
    clf = ImageClassifier(onnx_file, on_error="nan", missing=missing, **params).fit(images, labels)
    assert_no_rows_like(clf.predict([]), clf.predict(images), "predict")


@pytest.mark.parametrize("on_error", ["raise", "nan"])
def test_a_detector_that_learns(on_error):
    images, objects = drawn_images(4)
    detector = ObjectDetector(small_maps, on_error=on_error, score_threshold=0.0, **QUICK)
    detector.fit(images, objects)
    for name in ("predict", "predict_frame"):
        method = getattr(detector, name)
        for no_rows in NO_ROWS:
            assert_no_rows_like(method(no_rows), method(images), name)
    with pytest.raises(ValueError, match=r"0 sample\(s\)"):
        detector.fit([], [])


@pytest.mark.parametrize("tile", [None, 160])
def test_a_detector_that_does_not_learn(tile):
    images = [squares((0, 1, 2)), squares((2, 4, 4))]
    scorer = DetectionScorer(color_detector(), format="yolov2", anchors=ANCHORS, tile=tile)
    scorer.set_params(classes=["red", "green", "blue"])
    for name in ("predict", "predict_frame"):
        method = getattr(scorer, name)
        for no_rows in NO_ROWS:
            assert_no_rows_like(method(no_rows), method(images), name)
    frame = scorer.predict_frame(pd.Series([], index=pd.Index(["a"])[:0], dtype=object))
    assert frame["image"].dtype == pd.Index(["a"]).dtype
