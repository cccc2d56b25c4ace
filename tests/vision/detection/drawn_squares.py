"""Images of red and blue squares, with their boxes, and small networks that learn to find them."""

import numpy as np

from sklearn_dl.metrics import make_detections

SIZE = 96
COLORS = {"red": (220, 40, 40), "blue": (40, 60, 220)}
# a fit of these parameters takes a fraction of a second
QUICK = {"image_size": SIZE, "max_epochs": 2, "precision": "float32", "random_state": 0}


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


def assert_equal_detections(found, expected):
    """Assert that the predictions for some images are equal, bit for bit."""
    assert len(found) == len(expected)
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one, other)
