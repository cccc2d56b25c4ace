"""Formats of Ultralytics' YOLOv8 and its successors."""

import numpy as np

from sklearn_dl.vision.detection.formats._base import Candidates, Format
from sklearn_dl.vision.detection.formats._boxes import corners, only_table
from sklearn_dl.vision.detection.formats._checks import (
    check_probabilities,
    refuse_centers,
    refuse_fractions,
)


class Yolov8(Format):
    """One table: each column has a center and sides in pixels, and class probabilities.

    Ultralytics' YOLOv8 and later heads of its shape (v9, v11, v12), exported without non-maximum
    suppression. There is no objectness.
    """

    name = "yolov8"
    expects = "one output of shape (4 + n_classes, n_boxes)"
    _task = "detect"

    def choose(self, facts):
        shape = only_table(facts.shapes)
        return [0] if shape is not None and _has_columns(shape, 5) else None

    def n_classes(self, facts, chosen):
        (shape,) = facts.shapes.values()
        return None if shape[0] is None else shape[0] - 4

    def is_likely(self, facts):
        """Whether the number of rows is known, and the task in the metadata is this one."""
        rows = list(facts.shapes.values())[self.choose(facts)[0]][0]
        return rows is not None and facts.task in (None, self._task)

    def decode(self, outputs, context):
        (table,) = outputs.values()
        table = table[: 4 + context.n_classes]
        check_probabilities(self.name, table[4:])
        scores = table[4:].max(axis=0)
        kept = np.flatnonzero(scores >= context.threshold)
        best = table[4:, kept].argmax(axis=0)
        boxes = table[:4, kept].T.astype(np.float64)
        refuse_fractions(self.name, table[:4], len(kept))
        return Candidates(corners(boxes[:, :2], boxes[:, 2:]), scores[kept], best)


class Yolov8Seg(Yolov8):
    """As Yolov8, with 32 more rows of mask coefficients, and mask prototypes as another output.

    Boxes and classes are read; coefficients and prototypes are ignored.
    """

    name = "yolov8-seg"
    expects = (
        "outputs of shape (4 + n_classes + n_masks, n_boxes) and (n_masks, rows, columns); n_masks "
        "is 32"
    )
    _task = "segment"

    def choose(self, facts):
        shapes = list(facts.shapes.values())
        tables = [i for i in range(len(shapes)) if len(shapes[i]) == 2]
        prototypes = [i for i in range(len(shapes)) if len(shapes[i]) == 3]
        if len(shapes) != 2 or len(tables) != 1 or len(prototypes) != 1:
            return None
        least = 5 + (shapes[prototypes[0]][0] or 0)
        return tables if _has_columns(shapes[tables[0]], least) else None

    def n_classes(self, facts, chosen):
        shapes = list(facts.shapes.values())
        rows, n_masks = shapes[chosen[0]][0], shapes[1 - chosen[0]][0]
        return None if None in (rows, n_masks) else rows - 4 - n_masks


class Yolov8Pose(Yolov8):
    """As Yolov8, with more rows of keypoint coordinates, which are ignored.

    The shape does not show the number of classes.
    """

    name = "yolov8-pose"
    expects = "one output of shape (4 + n_classes + n_keypoints * (2 or 3), n_boxes)"
    needs_classes = True
    _task = "pose"

    def choose(self, facts):
        shape = only_table(facts.shapes)
        if shape is None or not _has_columns(shape, 6 + (facts.n_labels or 1)):
            return None
        if None in (shape[0], facts.n_labels):
            return [0]
        n_numbers = shape[0] - 4 - facts.n_labels
        return [0] if n_numbers % 2 == 0 or n_numbers % 3 == 0 else None

    def n_classes(self, facts, chosen):
        return facts.n_labels

    def is_likely(self, facts):
        """Whether the metadata has this task. By the shape, keypoints could be classes."""
        return facts.task == self._task


class Yolov10(Format):
    """One table: each row has x0, y0, x1, y1 in pixels, a score and the number of a class.

    YOLOv10 and YOLO26, which find each object once, have such outputs, and so have the exports of
    Ultralytics with ``nms=True``. Wang et al., YOLOv10, 2024. Boxes that overlap are kept.
    """

    name = "yolov10"
    suppresses = False
    expects = "one output of shape (n_boxes, 6)"

    def choose(self, facts):
        shape = only_table(facts.shapes)
        return [0] if shape is not None and shape[1] in (None, 6) else None

    def n_classes(self, facts, chosen):
        """Return the number of labels, because the outputs do not show the number of classes."""
        return facts.n_labels

    def is_likely(self, facts):
        """Whether the number of columns is known, and the task in the metadata is detection."""
        (shape,) = facts.shapes.values()
        return shape[1] is not None and facts.task in (None, "detect")

    def decode(self, outputs, context):
        (table,) = outputs.values()
        check_probabilities(self.name, table[:, 4])
        kept = table[table[:, 4] >= context.threshold]
        refuse_fractions(self.name, table[:, :4], len(kept))
        refuse_centers(self.name, kept[:, :4])
        return Candidates(kept[:, :4].astype(np.float64), kept[:, 4], kept[:, 5])


def _has_columns(shape, least):
    """Whether a table has at least `least` rows, and more columns than rows."""
    rows, columns = shape
    return rows is None or (rows >= least and (columns is None or rows < columns))
