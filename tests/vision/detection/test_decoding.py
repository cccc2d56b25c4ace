"""From heat maps to detections, against a plain computation."""

import numpy as np
import pytest
import torch

from sklearn_dl.metrics import box_iou
from sklearn_dl.vision.detection import _decoding
from sklearn_dl.vision.detection._decoding import candidates_of, detections_of
from sklearn_dl.vision.detection._losses import _goals

STRIDE = 8


def plain_candidates(logits, distances, move, size):
    """The candidates of one image, cell by cell; the best first."""
    found = []
    n_classes, height, width = logits.shape
    for number in range(n_classes):
        for y in range(height):
            for x in range(width):
                around = logits[number, max(0, y - 1) : y + 2, max(0, x - 1) : x + 2]
                if logits[number, y, x] < around.max():
                    continue
                left, up, right, down = distances[:, y, x]
                box = np.array([x + 0.5 - left, y + 0.5 - up, x + 0.5 + right, y + 0.5 + down])
                box = (box * STRIDE - [*move[2:], *move[2:]]) / [*move[:2], *move[:2]]
                box = box.clip(0, [*size, *size])
                score = 1 / (1 + np.exp(-logits[number, y, x]))
                found.append([*box, score, number])
    found = sorted(found, key=lambda one: -one[4])[: _decoding.N_CANDIDATES]
    kept = [one for one in found if one[2] > one[0] and one[3] > one[1]]
    return np.array(kept).reshape(-1, 6)


@pytest.mark.parametrize(("height", "width"), [(4, 6), (1, 1), (30, 40)])
def test_candidates(height, width):
    rng = np.random.default_rng(0)
    logits, distances = rng.normal(-2, 3, (3, 2, height, width)), rng.random((3, 4, height, width))
    distances *= 3
    moves = np.array([[1.0, 1, 0, 0], [0.5, 0.25, 0, 0], [2.0, 3, 4, -5]])
    sizes = np.array([[40, 30], [90, 100], [20, 9]])
    logits, distances = logits.astype(np.float32), distances.astype(np.float32)
    tensors = torch.from_numpy(logits), torch.from_numpy(distances)
    found = candidates_of(*tensors, STRIDE, moves, sizes)
    for i in range(3):
        expected = plain_candidates(
            *(a[i].astype(float) for a in (logits, distances)), moves[i], sizes[i]
        )
        np.testing.assert_allclose(found[i], expected, rtol=1e-4, atol=1e-4)
        assert found[i].dtype == np.float64


def test_equal_scores_are_all_candidates():
    """A heat map that is flat has no peak that is higher than its neighbours."""
    logits, distances = torch.zeros(1, 1, 2, 3), torch.ones(1, 4, 2, 3)
    (found,) = candidates_of(
        logits, distances, STRIDE, np.array([[1.0, 1, 0, 0]]), np.array([[24, 16]])
    )
    assert len(found) == 6


def test_what_the_goals_say_is_found():
    """Goals that the head meets exactly are decoded to the boxes that they were made of."""
    rng = np.random.default_rng(0)
    size, canvas = np.array([500, 300]), np.array([320, 192])
    move = np.array([*(canvas / size), 0.0, 0.0])
    low = np.array([[20.0, 30], [250.5, 40.25], [60, 180], [300, 170]])
    boxes = np.concatenate([low, low + rng.uniform(20, 120, (4, 2))], axis=1)
    objects = np.column_stack([boxes, [0, 1, 1, 0]])
    width, height = canvas // STRIDE
    heat, _, _, _, target = _goals(objects, move, STRIDE, height, width, np.ones(2))
    y, x = np.mgrid[:height, :width] + 0.5
    distances = np.stack([x - target[0], y - target[1], target[2] - x, target[3] - y])
    logits = np.log(heat.clip(1e-6, 1 - 1e-3) / (1 - heat.clip(1e-6, 1 - 1e-3)))
    tensors = (torch.from_numpy(a[None].astype(np.float32)) for a in (logits, distances))
    (found,) = candidates_of(*tensors, STRIDE, move[None], size[None])
    found = detections_of(found, np.array(["a", "b"]), 0.5, 0.6, 10)
    assert len(found) == 4
    made = np.array([list(one)[:4] for one in found.tolist()])
    overlap = box_iou(boxes, made)
    assert (overlap.max(axis=1) > 0.999).all()
    assert found["label"][overlap.argmax(axis=1)].tolist() == ["a", "b", "b", "a"]


def test_detections():
    candidates = np.array(
        [
            [0, 0, 10, 10, 0.9, 1],
            [0, 0, 10, 9, 0.8, 1],  # suppressed
            [0, 0, 10, 9, 0.7, 0],  # of another class
            [20, 20, 30, 30, 0.5, 1],
            [40, 40, 50, 50, 0.2, 0],
        ]
    )
    classes = np.array(["cat", "dog"])
    found = detections_of(candidates, classes, 0.2, 0.6, 300)
    assert found["label"].tolist() == ["dog", "cat", "dog", "cat"]
    np.testing.assert_allclose(found["score"], [0.9, 0.7, 0.5, 0.2])
    assert found["x1"].tolist() == [10, 10, 30, 50]
    assert detections_of(candidates, classes, 0.5, 0.6, 300)["score"].min() == np.float32(0.5)
    assert len(detections_of(candidates, classes, 0.2, 0.95, 300)) == 5
    assert len(detections_of(candidates, classes, 0.0, 0.6, 2)) == 2
    assert len(detections_of(candidates[:0], classes, 0.0, 0.6, 2)) == 0
