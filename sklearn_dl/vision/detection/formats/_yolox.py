"""Formats with one row per cell of three grids: YOLOX."""

import numpy as np

from sklearn_dl.vision.detection.formats._base import Candidates, Format
from sklearn_dl.vision.detection.formats._boxes import (
    cells,
    corners,
    exp,
    n_cells,
    only_table,
)
from sklearn_dl.vision.detection.formats._checks import (
    check_probabilities,
    decoded,
    follows,
    refuse_decoded,
)


class Yolox(Format):
    """One table: each row has the center, sides, objectness and classes of a cell.

    The centers are relative to their cells, and the sides are logarithms; the unit is the stride
    of the grid (8, 16 or 32). Objectness and classes are probabilities. Ge et al., YOLOX, 2021.
    Pixels are BGR levels 0 to 255, and the image is in the upper left corner.
    """

    name = "yolox"
    resize_mode = "pad_end"
    colors = "BGR"
    scale = 1.0
    expects = (
        "one output of shape (n_boxes, 5 + n_classes), with one box for each cell of the grids "
        "with the strides 8, 16 and 32"
    )
    strides = (8, 16, 32)

    def choose(self, facts):
        shape = only_table(facts.shapes)
        if shape is None or (shape[1] is not None and shape[1] < 6):
            return None
        n_boxes = n_cells(facts.size, self.strides)
        return None if shape[0] not in (None, n_boxes) else [0]

    def n_classes(self, facts, chosen):
        (shape,) = facts.shapes.values()
        return None if shape[1] is None else shape[1] - 5

    def is_likely(self, facts):
        """Whether the name of the output is not that of YOLOv6, whose output has the same shape."""
        return super().is_likely(facts) and "outputs" not in facts.shapes

    def decode(self, outputs, context):
        """Decode the table; the score is the objectness times the probability of the class."""
        (table,) = outputs.values()
        check_probabilities(self.name, table[:, 4:])
        places, strides = cells(context.size, self.strides)
        if follows(table[:, :2], places * strides):
            raise decoded(self.name, "centers follow the grid")
        kept = np.flatnonzero(table[:, 4] >= context.threshold)
        raw = table[kept].astype(np.float64)
        best = raw[:, 5:].argmax(axis=1)
        scores = raw[:, 4] * raw[np.arange(len(kept)), 5 + best]
        certain = scores >= context.threshold
        kept, raw = kept[certain], raw[certain]
        farthest = np.abs(raw[:, :2]).max(initial=0)
        if farthest > 8:
            raise decoded(self.name, f"a center is {farthest:.4g} cells from its cell")
        sides = exp(raw[:, 2:4]) * strides[kept]
        refuse_decoded(self.name, sides, context.size, most=8)
        boxes = corners((raw[:, :2] + places[kept]) * strides[kept], sides)
        return Candidates(boxes, scores[certain], best[certain])
