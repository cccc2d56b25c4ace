"""The format of YOLOv2."""

import numpy as np
from scipy.special import expit, softmax

from sklearn_dl.vision.detection.formats._base import Candidates, Format
from sklearn_dl.vision.detection.formats._boxes import corners, exp
from sklearn_dl.vision.detection.formats._checks import (
    refuse_decoded,
    refuse_probabilities,
)


class Yolov2(Format):
    """One grid: raw tx, ty, tw, th, objectness and classes of each cell and anchor.

    Raw means that no sigmoid, softmax or exponential was applied. Redmon and Farhadi, YOLO9000,
    2017. The defaults are the settings of Tiny YOLOv2 in ML.NET's sample: 416 pixels, levels from 0
    to 255, 5 anchors in grid cells.
    """

    name = "yolov2"
    size = 416
    resize_mode = "fill"
    scale = 1.0
    anchors = ((1.08, 1.19), (3.42, 4.41), (6.63, 11.38), (9.42, 5.11), (16.62, 10.52))
    expects = "one output of shape (n_anchors * (5 + n_classes), rows, columns)"
    _stride = 32

    def choose(self, facts):
        if len(facts.shapes) != 1:
            return None
        (shape,) = facts.shapes.values()
        n_anchors = self._n_anchors(facts)
        if len(shape) != 3 or (shape[0] is not None and shape[0] % n_anchors):
            return None
        return None if shape[0] is not None and shape[0] // n_anchors <= 5 else [0]

    def n_classes(self, facts, chosen):
        (shape,) = facts.shapes.values()
        return None if shape[0] is None else shape[0] // self._n_anchors(facts) - 5

    def is_likely(self, facts):
        """Whether the grid has the stride of YOLOv2, and the anchors are known.

        The default anchors are right only for the 20 classes of Tiny YOLOv2.
        """
        (shape,) = facts.shapes.values()
        grid = (facts.size[1] // self._stride, facts.size[0] // self._stride)
        known = facts.anchors is not None or self.n_classes(facts, [0]) == 20
        return super().is_likely(facts) and shape[1:] == grid and known

    def _n_anchors(self, facts):
        return len(self.anchors if facts.anchors is None else facts.anchors)

    def decode(self, outputs, context):
        """Decode the cells; the score is the objectness times the probability of the class."""
        (output,) = outputs.values()
        anchors, size = context.anchors, context.size
        _, rows, columns = output.shape
        grid = output.astype(np.float64).reshape(len(anchors), -1, rows, columns)
        refuse_probabilities(self.name, grid[:, 4])
        objectness = expit(grid[:, 4])
        anchor, row, column = np.nonzero(objectness >= context.threshold)
        found = grid[anchor, :, row, column]
        classes = softmax(found[:, 5:], axis=1)
        best = classes.argmax(axis=1)
        scores = objectness[anchor, row, column] * classes[np.arange(len(best)), best]
        centers = expit(found[:, :2]) + np.stack([column, row], axis=1)
        sides = exp(found[:, 2:4]) * anchors[anchor]
        cell = np.array([size[0] / columns, size[1] / rows])
        kept = scores >= context.threshold
        refuse_decoded(self.name, (sides * cell)[kept], size, most=1000)
        return Candidates(corners(centers * cell, sides * cell)[kept], scores[kept], best[kept])
