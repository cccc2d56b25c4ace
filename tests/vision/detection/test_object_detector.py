"""ObjectDetector learns to find drawn squares."""

import pickle

import numpy as np
import pytest

from sklearn_dl import ObjectDetector
from tests.vision.detection.drawn_squares import SIZE, drawn_images, small_maps


@pytest.fixture
def detector():
    return ObjectDetector(
        small_maps, image_size=SIZE, max_epochs=40, precision="float32", random_state=0
    )


@pytest.fixture(scope="module")
def data():
    return drawn_images(24)


def test_learns(detector, data):
    X, y = data
    detector.fit(X, y)
    new, objects = drawn_images(8, seed=1)
    assert detector.classes_.tolist() == ["blue", "red"]
    assert detector.score(new, objects) > 0.5
    assert detector.history_["train_loss"][-1] < detector.history_["train_loss"][0]
    copied = pickle.loads(pickle.dumps(detector))
    for a, b in zip(detector.predict(new), copied.predict(new), strict=True):
        np.testing.assert_array_equal(a, b)
