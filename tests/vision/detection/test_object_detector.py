"""ObjectDetector learns to find drawn squares."""

import pickle

import numpy as np
import pytest

from sklearn_dl import ObjectDetector
from sklearn_dl.metrics import make_detections

SIZE = 96
COLORS = {"red": (220, 40, 40), "blue": (40, 60, 220)}


def drawn_images(n_images, seed=0):
    """Images with one to two squares each, and their boxes."""
    rng = np.random.default_rng(seed)
    images, objects = [], []
    for number in range(n_images):
        image = np.full((SIZE, SIZE, 3), 90, dtype=np.uint8)
        boxes, labels = [], []
        for column in range(1 + number % 2):
            x, y = rng.integers(0, 24) + 48 * column, rng.integers(0, SIZE - 24)
            label = list(COLORS)[rng.integers(2)]
            image[y : y + 24, x : x + 24] = COLORS[label]
            boxes.append([x, y, x + 24, y + 24])
            labels.append(label)
        images.append(image)
        objects.append(make_detections(boxes, labels))
    return images, objects


def small_maps():
    """A callable that makes a network with maps of the strides 8 and 16."""
    import torch

    class Maps(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.first = torch.nn.Conv2d(3, 8, 8, 8)
            self.second = torch.nn.Conv2d(8, 8, 2, 2)

        def forward(self, pixels):
            fine = self.first(pixels).relu()
            return [fine, self.second(fine).relu()]

    with torch.random.fork_rng([]):
        torch.manual_seed(0)
        return Maps()


small_maps.version = 1


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
