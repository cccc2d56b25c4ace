"""Formats whose graph decodes its boxes: rows of a center, sides, objectness and classes."""

import numpy as np

from sklearn_dl.vision.detection.formats._base import Candidates, Format
from sklearn_dl.vision.detection.formats._boxes import cells, corners, n_cells, only_table
from sklearn_dl.vision.detection.formats._checks import (
    MisreadError,
    check_probabilities,
    refuse_corners,
    refuse_fractions,
    refuse_negative_sides,
)


class DecodedTable(Format):
    """One table: each row has a center and sides in pixels, objectness and class probabilities.

    Attributes
    ----------
    grids : tuple of tuple of int
        Strides of the grids that a network of this family may have.
    n_anchors : int
        Number of boxes of a cell.
    """

    grids: tuple = ((8, 16, 32), (8, 16, 32, 64))
    n_anchors = 1

    def choose(self, facts):
        shape = only_table(facts.shapes)
        if shape is None or (shape[1] is not None and shape[1] < 6):
            return None
        sizes = [self.n_anchors * n_cells(facts.size, strides) for strides in self.grids]
        return [0] if shape[0] in (None, *sizes) else None

    def n_classes(self, facts, chosen):
        (shape,) = facts.shapes.values()
        return None if shape[1] is None else shape[1] - 5

    def decode(self, outputs, context):
        """Decode the table; the score is the objectness times the probability of the class."""
        (table,) = outputs.values()
        check_probabilities(self.name, table[:, 4:])
        refuse_corners(self.name, table[:, 2:4], self._places(len(table), context.size))
        raw = table[table[:, 4] >= context.threshold].astype(np.float64)
        best = raw[:, 5:].argmax(axis=1)
        scores = raw[:, 4] * raw[np.arange(len(raw)), 5 + best]
        kept = scores >= context.threshold
        raw = raw[kept]
        refuse_fractions(self.name, table[:, :4], len(raw))
        refuse_negative_sides(self.name, raw[:, 2:4])
        self.check_found(table, raw)
        return Candidates(corners(raw[:, :2], raw[:, 2:4]), scores[kept], best[kept])

    def check_found(self, table, found):
        """Raise an error if the rows that were found look like those of another family.

        Parameters
        ----------
        table, found : ndarray of shape (n, 5 + n_classes)
        """

    def _places(self, n_boxes, size):
        """Return the cells' places in pixels: an int ndarray of shape (n_boxes, 2)."""
        for strides in self.grids:
            if n_boxes == self.n_anchors * n_cells(size, strides):
                places, steps = cells(size, strides, self.n_anchors)
                return places * steps
        raise AssertionError(n_boxes)  # `choose` has checked it


class Yolov5(DecodedTable):
    """YOLOv5 and YOLOv7, exported with their grids: three boxes for each cell.

    Jocher, YOLOv5, 2020; Wang et al., YOLOv7, 2022.
    """

    name = "yolov5"
    grids = ((8, 16, 32), (8, 16, 32, 64), (4, 8, 16, 32), (16, 32))
    n_anchors = 3
    expects = "one output of shape (n_boxes, 5 + n_classes), with three boxes for each cell"

    def is_likely(self, facts):
        """Whether the metadata has no task; these files do not state one."""
        return facts.task is None


class YoloxDecoded(DecodedTable):
    """YOLOX, exported with ``decode_in_inference``. Its pixels are those of Yolox."""

    name = "yolox-decoded"
    resize_mode = "pad_end"
    colors = "BGR"
    scale = 1.0
    grids = ((8, 16, 32),)
    expects = "one output of shape (n_boxes, 5 + n_classes), with one box for each cell"

    def is_likely(self, facts):
        """Whether the name of the output is not that of YOLOv6, whose output has the same shape."""
        return super().is_likely(facts) and "outputs" not in facts.shapes

    def check_found(self, table, found):
        if len(found) and table[:, :4].max() <= 8:
            raise MisreadError(
                f'format="{self.name}" reads boxes in pixels, but no coordinate of the '
                f"{len(table)} boxes is above 8: they look like numbers that are not decoded yet."
            )
        if len(found) and table[:, 4].min() > 0.99:
            raise MisreadError(
                f'format="{self.name}" reads an objectness, but it is 1 for all {len(table)} boxes.'
            )


class Yolov6(DecodedTable):
    """YOLOv6, which has no objectness: the column for it contains 1.

    Li et al., YOLOv6, 2022; releases from 2.0 on.
    """

    name = "yolov6"
    expects = (
        "one output of shape (n_boxes, 5 + n_classes), with one box for each cell and an "
        "objectness of 1"
    )

    def is_likely(self, facts):
        """Whether the name of the output is not that of YOLOX, whose output has the same shape."""
        return super().is_likely(facts) and "output" not in facts.shapes

    def check_found(self, table, found):
        least = found[:, 4].min(initial=1)
        if least < 0.99:
            raise MisreadError(
                f'format="{self.name}" reads an objectness of 1, but a box that was found has '
                f"{least:.3g}."
            )
