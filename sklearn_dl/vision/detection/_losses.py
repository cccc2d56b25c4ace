"""The loss of ObjectDetector's head. Importing this module imports torch.

The goals are those of TTFNet (Liu et al., 2020). A Gaussian around the center of each object is the
goal of the heat map of its class. It is also the weight of the loss of its box.
"""

import math
from typing import Any, NamedTuple

import numpy as np
import torch
from torch.nn import functional

from sklearn_dl.vision.detection._views import moved

# the standard deviation of a Gaussian, as a share of the object's side, and its minimum in cells
_SPREAD, _LEAST_SPREAD = 0.54 / 6, 0.35
# a Gaussian ends where it is below this number
_END = 0.01
# a view has an object if it shows at least this share of the object's area
_LEAST_VISIBLE = 0.3
_BOX_WEIGHT = 5.0
# the Gaussians of at most this number of objects are in memory at once
_OBJECTS_AT_ONCE = 32


class Output(NamedTuple):
    """The outputs of the head for those rows of a batch whose canvases have equal sizes.

    Attributes
    ----------
    positions : int ndarray of shape (n,)
        The positions of the rows in the batch.
    logits, distances : Tensor
        As DetectionHead returns them.
    moves : float64 ndarray of shape (n, 4)
        How each image was moved onto its canvas.
    stride : int
        Width of a cell in pixels of the canvas.
    """

    positions: Any
    logits: Any
    distances: Any
    moves: Any
    stride: int


def detection_losses(outputs, goals, class_weights):
    """The loss of each row: Tensor of shape (n_rows,).

    It is the focal loss of the heat map per object, plus 5 times the mean loss of the boxes
    (1 - GIoU; Rezatofighi et al., 2019).

    Parameters
    ----------
    outputs : list of Output
    goals : Ragged
        For each row, the boxes and class numbers of its objects, of shape (n_objects, 5).
    class_weights : float64 ndarray of shape (n_classes,)
    """
    losses = torch.zeros(len(goals), device=outputs[0].logits.device)
    rows = goals.rows()
    for output in outputs:
        *_, height, width = output.logits.shape
        wanted = [
            _goals(rows[position], move, output.stride, height, width, class_weights)
            for position, move in zip(output.positions.tolist(), output.moves, strict=True)
        ]
        tensors = (
            torch.from_numpy(np.stack(parts)).to(losses.device)
            for parts in zip(*wanted, strict=True)
        )
        some = _losses(output.logits, output.distances, *tensors)
        losses = losses.index_copy(0, torch.from_numpy(output.positions).to(losses.device), some)
    return losses


def _goals(objects, move, stride, height, width, class_weights):
    """The goals of one image.

    Returns
    -------
    heat : float32 ndarray of shape (n_classes, height, width)
        1 in the cells with the center of an object, and smaller around them.
    importance : float32 ndarray of shape (n_classes, height, width)
        The weight of an object's class in the cell of its center, and 0 elsewhere.
    shares : float32 ndarray of shape (height, width)
        The share of each cell in the loss of the boxes, before class weights.
    of_class : float32 ndarray of shape (height, width)
        The weight of the class of the box that each cell should predict.
    boxes : float32 ndarray of shape (4, height, width)
        The box that each cell should predict, in cells.
    """
    heat = np.zeros((len(class_weights), height, width), dtype=np.float32)
    importance = np.zeros_like(heat)
    shares = np.zeros((height, width), dtype=np.float32)
    of_class = np.zeros_like(shares)
    target = np.zeros((4, height, width), dtype=np.float32)
    boxes, classes = _visible(objects, move, np.array([width, height]) * stride)
    if not len(boxes):
        return heat, importance, shares, of_class, target
    boxes = boxes / stride
    sides = boxes[:, 2:] - boxes[:, :2]
    cells = ((boxes[:, :2] + boxes[:, 2:]) / 2).astype(np.int64)
    cells = np.minimum(cells, [width - 1, height - 1])
    importance[classes, cells[:, 1], cells[:, 0]] = class_weights[classes]
    spread = np.maximum(_SPREAD * sides, _LEAST_SPREAD)
    areas = sides.prod(axis=1)
    smallest = np.full((height, width), np.inf)
    for start in range(0, len(boxes), _OBJECTS_AT_ONCE):
        some = slice(start, start + _OBJECTS_AT_ONCE)
        across = (np.arange(width) - cells[some, :1]) / spread[some, :1]
        down = (np.arange(height) - cells[some, 1:]) / spread[some, 1:]
        bells = np.exp(-(down[:, :, None] ** 2 + across[:, None, :] ** 2) / 2)
        bells[bells < _END] = 0.0
        for number in np.unique(classes[some]):
            of_number = bells[classes[some] == number].max(axis=0)
            np.maximum(heat[number], of_number, out=heat[number], casting="same_kind")
        # a cell should predict the smallest of the objects around it
        sizes = np.where(bells > 0, areas[some, None, None], np.inf)
        owner = sizes.argmin(axis=0)
        rows, columns = np.nonzero(sizes.min(axis=0) < smallest)
        owner = owner[rows, columns]
        smallest[rows, columns] = areas[some][owner]
        of_object = np.log(np.maximum(areas[some] * stride**2, math.e)) / bells.sum(axis=(1, 2))
        shares[rows, columns] = bells[owner, rows, columns] * of_object[owner]
        of_class[rows, columns] = class_weights[classes[some][owner]]
        target[:, rows, columns] = boxes[some][owner].T
    return heat, importance, shares, of_class, target


def _visible(objects, move, size):
    """Boxes and classes of the objects that a canvas shows; the boxes end at its edges."""
    boxes = moved(objects[:, :4], move)
    shown = boxes.reshape(-1, 2, 2).clip(0, size).reshape(-1, 4)
    area, whole = ((b[:, 2:] - b[:, :2]).prod(axis=1) for b in (shown, boxes))
    kept = area > _LEAST_VISIBLE * whole
    return shown[kept], objects[kept, 4].astype(np.int64)


def _losses(logits, distances, heat, importance, shares, of_class, boxes):
    probabilities = logits.sigmoid()
    found = -functional.logsigmoid(logits) * (1 - probabilities) ** 2 * importance
    is_center = importance > 0
    missed = -functional.logsigmoid(-logits) * probabilities**2 * (1 - heat) ** 4 * ~is_center
    n_centers = is_center.sum((1, 2, 3)).clamp(min=1)
    per_object = (found + missed).sum((1, 2, 3)) / n_centers
    row, y, x = torch.nonzero(shares, as_tuple=True)
    near = distances[row, :, y, x]
    center = torch.stack([x, y], dim=1) + 0.5
    made = torch.cat([center - near[:, :2], center + near[:, 2:]], dim=1)
    weights = shares * of_class
    weighted = (1 - _giou(made, boxes[row, :, y, x])) * weights[row, y, x]
    of_boxes = torch.zeros_like(per_object).index_add(0, row, weighted)
    return per_object + _BOX_WEIGHT * of_boxes / shares.sum((1, 2)).clamp(min=1)


def _giou(a, b):
    """Generalised intersection over union of pairs of boxes."""
    inner = (torch.minimum(a[:, 2:], b[:, 2:]) - torch.maximum(a[:, :2], b[:, :2])).clamp(min=0)
    shared = inner.prod(1)
    union = sum((boxes[:, 2:] - boxes[:, :2]).prod(1) for boxes in (a, b)) - shared
    outer = torch.maximum(a[:, 2:], b[:, 2:]) - torch.minimum(a[:, :2], b[:, :2])
    around = outer.prod(1)
    return shared / (union + 1e-6) - (around - union) / (around + 1e-6)
