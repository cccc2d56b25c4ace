"""The loss of ObjectDetector's head, against a plain computation for one object after the other."""

import math

import numpy as np
import pytest
import torch

from sklearn_dl.training._ragged import Ragged
from sklearn_dl.vision.detection import _losses
from sklearn_dl.vision.detection._losses import Output, _goals, _visible, detection_losses

STRIDE, WIDTH, HEIGHT, N_CLASSES = 8, 12, 9, 3
CANVAS = (WIDTH * STRIDE, HEIGHT * STRIDE)
SAME = np.array([1.0, 1.0, 0.0, 0.0])


def some_objects(rng, n, canvas=CANVAS):
    """Objects anywhere on the canvas, of all sizes: x0, y0, x1, y1, class."""
    center, sides = rng.random((n, 2)) * canvas, np.exp(rng.uniform(0, 4.5, (n, 2)))
    boxes = np.concatenate([center - sides / 2, center + sides / 2], axis=1)
    boxes = boxes.reshape(n, 2, 2).clip(0, canvas).reshape(n, 4)
    return np.column_stack([boxes, rng.integers(N_CLASSES, size=n)])


def plain_goals(objects, class_weights):
    """What `_goals` computes, cell by cell, for objects that the canvas shows whole."""
    heat = np.zeros((N_CLASSES, HEIGHT, WIDTH))
    importance, weights = np.zeros_like(heat), np.zeros((HEIGHT, WIDTH))
    of_class = np.zeros_like(weights)
    target, smallest = np.zeros((4, HEIGHT, WIDTH)), np.full((HEIGHT, WIDTH), np.inf)
    for x0, y0, x1, y1, number in objects:
        number = int(number)
        middle = (x0 + x1) / 2 / STRIDE, (y0 + y1) / 2 / STRIDE
        column, row = (min(int(m), n - 1) for m, n in zip(middle, (WIDTH, HEIGHT), strict=True))
        spread = [
            max(_losses._SPREAD * side / STRIDE, _losses._LEAST_SPREAD)
            for side in (x1 - x0, y1 - y0)
        ]
        bell = np.zeros((HEIGHT, WIDTH))
        for y in range(HEIGHT):
            for x in range(WIDTH):
                distance = ((x - column) / spread[0]) ** 2 + ((y - row) / spread[1]) ** 2
                bell[y, x] = math.exp(-distance / 2)
        bell[bell < _losses._END] = 0
        heat[number] = np.maximum(heat[number], bell)
        importance[number, row, column] = class_weights[number]
        area = (x1 - x0) * (y1 - y0)
        shares = math.log(max(area, math.e)) * bell / bell.sum()
        for y, x in zip(*np.nonzero(bell), strict=True):
            if area < smallest[y, x]:
                smallest[y, x], weights[y, x] = area, shares[y, x]
                of_class[y, x] = class_weights[number]
                target[:, y, x] = np.array([x0, y0, x1, y1]) / STRIDE
    return heat, importance, weights, of_class, target


def plain_giou(a, b):
    def area(box):
        return max(0, box[2] - box[0]) * max(0, box[3] - box[1])

    shared = area([*np.maximum(a[:2], b[:2]), *np.minimum(a[2:], b[2:])])
    around = area([*np.minimum(a[:2], b[:2]), *np.maximum(a[2:], b[2:])])
    union = area(a) + area(b) - shared
    return shared / union - (around - union) / around


def plain_loss(logits, distances, heat, importance, weights, of_class, target):
    p = 1 / (1 + np.exp(-logits))
    centers = importance > 0
    focal = -(importance * (1 - p) ** 2 * np.log(p))[centers].sum()
    focal -= ((1 - heat) ** 4 * p**2 * np.log(1 - p))[~centers].sum()
    boxes = 0.0
    for y, x in zip(*np.nonzero(weights), strict=True):
        left, up, right, down = distances[:, y, x]
        made = np.array([x + 0.5 - left, y + 0.5 - up, x + 0.5 + right, y + 0.5 + down])
        boxes += weights[y, x] * of_class[y, x] * (1 - plain_giou(made, target[:, y, x]))
    boxes /= max(1, weights.sum())
    return focal / max(1, centers.sum()) + _losses._BOX_WEIGHT * boxes


def outputs_of(rng, n, requires_grad=False):
    logits = torch.tensor(rng.normal(-1, 2, (n, N_CLASSES, HEIGHT, WIDTH)), dtype=torch.float32)
    distances = torch.tensor(rng.random((n, 4, HEIGHT, WIDTH)) * 5, dtype=torch.float32)
    return logits.requires_grad_(requires_grad), distances.requires_grad_(requires_grad)


def losses_of(logits, distances, objects, class_weights=None, moves=None):
    n = len(objects)
    moves = np.tile(SAME, (n, 1)) if moves is None else moves
    goals = Ragged(np.concatenate([np.empty((0, 5)), *objects]), [len(some) for some in objects])
    output = Output(np.arange(n), logits, distances, moves, STRIDE)
    weights = np.ones(N_CLASSES) if class_weights is None else class_weights
    return detection_losses([output], goals, weights)


@pytest.mark.parametrize("class_weights", [np.ones(3), np.array([0.2, 1.0, 5.0])], ids=["1", "3"])
@pytest.mark.parametrize("n", [0, 1, 2, 9])
def test_against_a_plain_computation(n, class_weights):
    rng = np.random.default_rng(n)
    objects = some_objects(rng, n)
    found = _goals(objects, SAME, STRIDE, HEIGHT, WIDTH, class_weights)
    expected = plain_goals(objects, class_weights)
    for one, other in zip(found, expected, strict=True):
        assert one.dtype == np.float32
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)
    logits, distances = outputs_of(rng, 1)
    (loss,) = losses_of(logits, distances, [objects], class_weights).tolist()
    plain = plain_loss(logits[0].double().numpy(), distances[0].double().numpy(), *expected)
    assert loss == pytest.approx(plain, rel=1e-4)


def test_the_loss_of_a_row_does_not_depend_on_other_rows():
    rng = np.random.default_rng(0)
    objects = [some_objects(rng, n) for n in (3, 0, 1, 7)]
    logits, distances = outputs_of(rng, 4)
    together = losses_of(logits, distances, objects)
    assert together.shape == (4,)
    for i in range(4):
        alone = losses_of(logits[i : i + 1], distances[i : i + 1], objects[i : i + 1])
        torch.testing.assert_close(together[i], alone[0], rtol=1e-6, atol=1e-6)
    # two sizes of canvas in one batch: each row has the loss of its own output
    goals = Ragged(np.concatenate(objects), [len(some) for some in objects])
    parts = [
        Output(np.array(at), logits[at], distances[at], np.tile(SAME, (2, 1)), STRIDE)
        for at in ([3, 1], [0, 2])
    ]
    torch.testing.assert_close(detection_losses(parts, goals, np.ones(3)), together)


def test_goals_follow_the_view():
    rng = np.random.default_rng(1)
    objects = some_objects(rng, 4)
    # flipped: what the logits say is flipped too
    logits, distances = outputs_of(rng, 1)
    expected = losses_of(logits, distances, [objects])
    moves = np.array([[-0.5, 2.0, CANVAS[0], 0.0]])
    stretched = objects.copy()
    stretched[:, [0, 2]], stretched[:, [1, 3]] = objects[:, [0, 2]] * 2, objects[:, [1, 3]] / 2
    other = losses_of(logits.flip(3), distances.flip(3)[:, [2, 1, 0, 3]], [stretched], None, moves)
    torch.testing.assert_close(other, expected)


def test_an_object_counts_if_a_third_of_it_is_seen():
    objects = np.array([[0.0, 0, 10, 10, 0], [0, 20, 10, 30, 1], [-60, 0, -50, 10, 2]])
    move = np.array([1.0, 1.0, -6.5, 0.0])  # it shows 35 % of the first two
    boxes, classes = _visible(objects, move, np.array(CANVAS))
    assert boxes.tolist() == [[0, 0, 3.5, 10], [0, 20, 3.5, 30]]
    assert classes.tolist() == [0, 1]
    boxes, _ = _visible(objects, np.array([1.0, 1.0, -7.5, 0.0]), np.array(CANVAS))
    assert len(boxes) == 0


@pytest.mark.parametrize(
    "box",
    [
        [0, 0, 1e-3, 1e-3],
        [0, 0, *CANVAS],
        [CANVAS[0] - 0.01, CANVAS[1] - 0.01, *CANVAS],
        [0, 40, CANVAS[0], 40.001],
    ],
    ids=["tiny", "all", "corner", "line"],
)
@pytest.mark.parametrize("size", [1e-30, 1.0, 1e4])
def test_gradients_are_finite(box, size):
    rng = np.random.default_rng(0)
    logits, distances = (tensor.mul(size).detach() for tensor in outputs_of(rng, 1))
    logits, distances = logits.requires_grad_(), distances.requires_grad_()
    losses = losses_of(logits, distances, [np.array([[*box, 1.0]])])
    losses.sum().backward()
    assert losses.item() > 0
    assert losses.isfinite().all()
    for tensor in (logits, distances):
        assert tensor.grad.isfinite().all()


def test_rows_without_objects_learn_that_there_are_none():
    rng = np.random.default_rng(0)
    logits, distances = outputs_of(rng, 2, requires_grad=True)
    losses = losses_of(logits, distances, [np.empty((0, 5))] * 2)
    losses.sum().backward()
    assert (logits.grad > 0).all()
    assert not distances.grad.any()


def test_class_weights_do_not_cancel():
    """Objects of a class of weight 3 count three times, in an image that has no other class too."""
    rng = np.random.default_rng(2)
    objects = some_objects(rng, 3)
    objects[:, 4] = 1
    logits, distances = outputs_of(rng, 1)
    one, two, three = (
        losses_of(logits, distances, [objects], np.array([1.0, weight, 1.0]))
        for weight in (1, 2, 3)
    )
    torch.testing.assert_close(three - two, two - one)
    assert (two > one).all()
