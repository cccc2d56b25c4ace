"""Formats: what the outputs of pretrained detectors mean, and which input they need."""

from typing import Any, NamedTuple

import numpy as np
from scipy.special import expit, softmax

from sklearn_dl.vision._finite import check_outputs


class Candidates(NamedTuple):
    """Boxes that a network proposes for one image, in pixels of its input.

    Attributes
    ----------
    boxes : float ndarray of shape (n, 4)
        x0, y0, x1, y1.
    scores : float ndarray of shape (n,)
    classes : int ndarray of shape (n,)
    """

    boxes: np.ndarray
    scores: np.ndarray
    classes: np.ndarray


class Format:
    """How to read the outputs of a family of detectors, and the defaults of their input.

    Attributes
    ----------
    size : int
        Width and height of the input in pixels, used if the graph does not state them.
    resize_mode : {"pad", "pad_end", "fill"}
    fill_color : int
        Grey level of the border in the modes "pad" and "pad_end".
    colors : str
    offset, scale : float or tuple of float
        The network gets ``(pixel - offset) * scale``.
    anchors : tuple of (float, float) or None
        Widths and heights in grid cells. None: the format has no anchors.
    suppresses : bool
        Whether candidates that overlap with better candidates are left out.
    infinities : tuple of float
        Infinities that the outputs may contain.
    expects : str
        Shapes of the outputs of one image, in messages.
    """

    size = 640
    resize_mode = "pad"
    fill_color = 114
    colors = "RGB"
    offset: Any = 0.0
    scale: Any = 1 / 255
    anchors: Any = None
    suppresses = True
    infinities: tuple = ()
    expects: str

    def choose(self, shapes, size, anchors):
        """Return the positions of the outputs to decode; None if the shapes do not match.

        Parameters
        ----------
        shapes : dict of str to tuple
            Shape of each output for one image, by name. A size is None if it is not known yet.
        size : tuple of int
            (width, height) of the network's input.
        anchors : sequence or None
        """
        raise NotImplementedError

    def n_classes(self, shapes, anchors):
        """Return the number of classes, from the shapes of the chosen outputs; None: not known."""
        raise NotImplementedError

    def decode(self, outputs, size, anchors, threshold):
        """Return the Candidates whose score is at least `threshold`.

        Parameters
        ----------
        outputs : list of ndarray
            The chosen outputs of one image.
        size : tuple of int
            (width, height) of the network's input.
        anchors : float ndarray of shape (n_anchors, 2) or None
        threshold : float
        """
        raise NotImplementedError


class Yolov2(Format):
    """One grid: raw tx, ty, tw, th, objectness and classes of each cell and anchor.

    Raw means that no sigmoid, softmax or exponential is applied yet. Redmon and Farhadi, YOLO9000,
    2017. The defaults are the settings of Tiny YOLOv2 in ML.NET's sample: 416 pixels, levels 0 to
    255, 5 anchors in grid cells.
    """

    size = 416
    resize_mode = "fill"
    scale = 1.0
    anchors = ((1.08, 1.19), (3.42, 4.41), (6.63, 11.38), (9.42, 5.11), (16.62, 10.52))
    expects = "one output of shape (n_anchors * (5 + n_classes), rows, columns)"

    def choose(self, shapes, size, anchors):
        if len(shapes) != 1:
            return None
        (shape,) = shapes.values()
        if len(shape) != 3 or (shape[0] is not None and shape[0] % len(anchors)):
            return None
        return None if shape[0] is not None and shape[0] // len(anchors) <= 5 else [0]

    def n_classes(self, shapes, anchors):
        depth = shapes[0][0]
        return None if depth is None else depth // len(anchors) - 5

    def decode(self, outputs, size, anchors, threshold):
        """Decode the cells; the score is the objectness times the probability of the class."""
        _, rows, columns = outputs[0].shape
        grid = outputs[0].astype(np.float64).reshape(len(anchors), -1, rows, columns)
        _refuse_probabilities("yolov2", grid[:, 4])
        objectness = expit(grid[:, 4])
        anchor, row, column = np.nonzero(objectness >= threshold)
        found = grid[anchor, :, row, column]
        classes = softmax(found[:, 5:], axis=1)
        best = classes.argmax(axis=1)
        scores = objectness[anchor, row, column] * classes[np.arange(len(best)), best]
        centers = expit(found[:, :2]) + np.stack([column, row], axis=1)
        sides = _exp(found[:, 2:4]) * anchors[anchor]
        cell = np.array([size[0] / columns, size[1] / rows])
        kept = scores >= threshold
        _refuse_decoded("yolov2", (sides * cell)[kept], size, most=1000)
        return Candidates(_corners(centers * cell, sides * cell)[kept], scores[kept], best[kept])


class Yolov8(Format):
    """One table: each column has a center and sides in pixels, and class probabilities.

    Ultralytics' YOLOv8 and later heads of its shape (v9, v11, v12), exported without non-maximum
    suppression. There is no objectness.
    """

    expects = "one output of shape (4 + n_classes, n_boxes)"

    def choose(self, shapes, size, anchors):
        shape = _only_table(shapes)
        if shape is None or (shape[0] is not None and shape[0] < 5):
            return None
        return None if None not in shape and shape[0] >= shape[1] else [0]

    def n_classes(self, shapes, anchors):
        return None if shapes[0][0] is None else shapes[0][0] - 4

    def decode(self, outputs, size, anchors, threshold):
        table = outputs[0]
        _check_probabilities("yolov8", table[4:])
        scores = table[4:].max(axis=0)
        kept = np.flatnonzero(scores >= threshold)
        best = table[4:, kept].argmax(axis=0)
        boxes = table[:4, kept].T.astype(np.float64)
        if len(kept) and table[:4].max() <= 2:
            raise ValueError(
                f'format="yolov8" reads boxes in pixels, but no number of the {table.shape[1]} '
                "boxes is above 2: they look like fractions of the input. Set `format` to a "
                "callable that decodes them."
            )
        return Candidates(_corners(boxes[:, :2], boxes[:, 2:]), scores[kept], best)


class Yolox(Format):
    """One table: each row has the center, sides, objectness and classes of a cell of three grids.

    The centers are relative to their cells, and the sides are logarithms; the unit is the stride
    of the grid (8, 16 or 32). Objectness and classes are probabilities. Ge et al., YOLOX, 2021.
    Pixels are BGR levels 0 to 255, and the image is in the upper left corner.
    """

    resize_mode = "pad_end"
    colors = "BGR"
    scale = 1.0
    expects = (
        "one output of shape (n_boxes, 5 + n_classes), with one box for each cell of the grids "
        "with the strides 8, 16 and 32"
    )
    _strides = (8, 16, 32)

    def choose(self, shapes, size, anchors):
        shape = _only_table(shapes)
        if shape is None or (shape[1] is not None and shape[1] < 6):
            return None
        n_cells = sum((size[0] // s) * (size[1] // s) for s in self._strides)
        return None if shape[0] not in (None, n_cells) else [0]

    def n_classes(self, shapes, anchors):
        return None if shapes[0][1] is None else shapes[0][1] - 5

    def decode(self, outputs, size, anchors, threshold):
        """Decode the table; the score is the objectness times the probability of the class."""
        table = outputs[0]
        _check_probabilities("yolox", table[:, 4:])
        cells, strides = self.cells(np.arange(len(table)), size)
        if _follows(table[:, :2], cells * strides):
            raise _decoded("yolox", "centers follow the grid")
        kept = np.flatnonzero(table[:, 4] >= threshold)
        raw = table[kept].astype(np.float64)
        best = raw[:, 5:].argmax(axis=1)
        scores = raw[:, 4] * raw[np.arange(len(kept)), 5 + best]
        certain = scores >= threshold
        kept, raw = kept[certain], raw[certain]
        farthest = np.abs(raw[:, :2]).max(initial=0)
        if farthest > 8:
            raise _decoded("yolox", f"a center is {farthest:.4g} cells from its cell")
        sides = _exp(raw[:, 2:4]) * strides[kept]
        _refuse_decoded("yolox", sides, size, most=8)
        boxes = _corners((raw[:, :2] + cells[kept]) * strides[kept], sides)
        return Candidates(boxes, scores[certain], best[certain])

    def cells(self, positions, size):
        """Return (column, row) of the cells at `positions` of the table, and their strides."""
        shapes = [(size[0] // s, size[1] // s) for s in self._strides]
        starts = np.cumsum([0] + [columns * rows for columns, rows in shapes])
        level = np.searchsorted(starts, positions, side="right") - 1
        row, column = np.divmod(positions - starts[level], np.array([c for c, _ in shapes])[level])
        strides = np.array(self._strides)[level]
        return np.stack([column, row], axis=1), strides[:, None]


class Ssd(Format):
    """Class probabilities, the background first, and boxes x0, y0, x1, y1 from 0 to 1.

    This is the format of SSD (Liu et al., 2016), exported with its priors applied, and of
    UltraFace. By default, pixels are scaled as for UltraFace, (RGB - 127) / 128, and images are
    stretched.
    """

    size = 300
    resize_mode = "fill"
    offset = 127.0
    scale = 1 / 128
    expects = "scores of shape (n_boxes, 1 + n_classes) and boxes of shape (n_boxes, 4)"

    def choose(self, shapes, size, anchors):
        return _scores_and_boxes(shapes)

    def n_classes(self, shapes, anchors):
        return None if shapes[0][1] is None else shapes[0][1] - 1

    def decode(self, outputs, size, anchors, threshold):
        probabilities, boxes = outputs
        _check_probabilities("ssd", probabilities)
        best = probabilities[:, 1:].argmax(axis=1)
        scores = probabilities[np.arange(len(best)), best + 1]
        kept = np.flatnonzero(scores >= threshold)
        boxes = _fractions("ssd", boxes[kept]) * np.array([*size, *size])
        return Candidates(boxes, scores[kept], best[kept])


class Detr(Format):
    """Logits, the last one for "no object", and boxes (center, sides) from 0 to 1.

    Carion et al., DETR, 2020. Each query finds one object, so boxes that overlap are kept. Pixels
    are scaled with ImageNet's mean and standard deviation.
    """

    size = 800
    resize_mode = "fill"
    offset = (123.675, 116.28, 103.53)
    scale = (1 / 58.395, 1 / 57.12, 1 / 57.375)
    suppresses = False
    infinities = (-np.inf,)  # the logit of an impossible class
    expects = "logits of shape (n_queries, n_classes + 1) and boxes of shape (n_queries, 4)"
    name = "detr"

    def choose(self, shapes, size, anchors):
        return _scores_and_boxes(shapes)

    def n_classes(self, shapes, anchors):
        return None if shapes[0][1] is None else shapes[0][1] - 1

    def decode(self, outputs, size, anchors, threshold):
        logits, boxes = outputs
        _refuse_probabilities(self.name, logits)
        with np.errstate(invalid="ignore"):
            probabilities = self._probabilities(logits.astype(np.float64))
        check_outputs({"probabilities": probabilities})  # NaN if all classes are impossible
        best = probabilities.argmax(axis=1)
        scores = probabilities[np.arange(len(best)), best]
        kept = scores >= threshold
        boxes = _fractions(self.name, boxes[kept]) * np.array([*size, *size])
        return Candidates(_corners(boxes[:, :2], boxes[:, 2:]), scores[kept], best[kept])

    def _probabilities(self, logits):
        return softmax(logits, axis=1)[:, :-1]


class RtDetr(Detr):
    """Logits of independent classes, and boxes (center, sides) from 0 to 1.

    Zhao et al., RT-DETR, 2024: 640 pixels, RGB / 255. Like Detr, but each class has its own
    sigmoid, and there is no logit for "no object".
    """

    size = 640
    offset = 0.0  # type: ignore[assignment]
    scale = 1 / 255  # type: ignore[assignment]
    name = "rt-detr"
    expects = "logits of shape (n_queries, n_classes) and boxes of shape (n_queries, 4)"

    def choose(self, shapes, size, anchors):
        return _scores_and_boxes(shapes, least=1)

    def n_classes(self, shapes, anchors):
        return shapes[0][1]

    def _probabilities(self, logits):
        return expit(logits)


FORMATS: dict[str, Format] = {
    "yolov2": Yolov2(),
    "yolov8": Yolov8(),
    "yolox": Yolox(),
    "ssd": Ssd(),
    "detr": Detr(),
    "rt-detr": RtDetr(),
}


class CallableFormat(Format):
    """A callable of the user that decodes. By default, pixels are RGB / 255, stretched."""

    resize_mode = "fill"
    expects = "outputs that the callable can decode"

    def __init__(self, decode):
        self.decode_image = decode


def fitting_formats(shapes, size):
    """Return the names of the formats that match outputs of these shapes for one image."""
    return [name for name, f in FORMATS.items() if f.choose(shapes, size, f.anchors) is not None]


def _only_table(shapes):
    """Return the shape of the only output, if it is a table; else None."""
    if len(shapes) != 1:
        return None
    (shape,) = shapes.values()
    return shape if len(shape) == 2 else None


def _scores_and_boxes(shapes, least=2):
    """Return the positions of scores (at least `least` per box) and boxes, or None."""
    if len(shapes) != 2 or any(len(shape) != 2 for shape in shapes.values()):
        return None
    names, tables = list(shapes), list(shapes.values())
    boxes = [i for i in range(2) if tables[i][1] == 4]
    boxes = boxes or [i for i in range(2) if tables[i][1] is None]
    if len(boxes) == 2:  # four scores per box, or sizes that are not stated: the names decide
        boxes = [i for i in boxes if "box" in names[i].lower()]
    if len(boxes) != 1:
        return None
    scores = 1 - boxes[0]
    n_boxes = {tables[i][0] for i in range(2)} - {None}
    if len(n_boxes) > 1 or (tables[scores][1] is not None and tables[scores][1] < least):
        return None
    return [scores, boxes[0]]


def _exp(logarithms):
    return np.exp(np.minimum(logarithms, 50.0))  # no overflow; sides of that size raise an error


def _check_probabilities(name, scores):
    """Raise a ValueError if scores are not in 0 to 1; quantized scores may be 0.01 outside."""
    low, high = scores.min(initial=0.0), scores.max(initial=0.0)
    if low < -0.01 or high > 1.01:
        raise ValueError(
            f'format="{name}" reads probabilities, but the scores go from {low:.3g} to '
            f"{high:.3g}. Set `format` to a callable that decodes them."
        )


def _refuse_probabilities(name, logits):
    """Raise a ValueError if all logits are in 0 to 1, because they look like probabilities."""
    low, high = logits.min(initial=np.inf), logits.max(initial=-np.inf)
    if 0 <= low < high <= 1:
        raise ValueError(
            f'format="{name}" reads logits, but all of them lie from {low:.3g} to {high:.3g}: they '
            "look like probabilities. Set `format` to a callable that decodes them."
        )


def _refuse_decoded(name, sides, size, most):
    """Raise a ValueError if a side in pixels is over `most` times the side of the input."""
    largest = (sides / size).max(initial=0)
    if largest > most:
        raise _decoded(name, f"a side would be {largest:.3g} times the side of the input")


def _decoded(name, why):
    """Return the error for boxes that the graph has decoded already."""
    return ValueError(
        f'format="{name}" reads centers and sides that are not decoded yet, but {why}: the graph '
        "seems to decode them itself. Set `format` to a callable for them."
    )


def _follows(values, grid):
    """Whether both columns of values rise with the columns of a grid, as decoded centers do."""
    with np.errstate(invalid="ignore", divide="ignore"):
        values = values - values.mean(axis=0, dtype=np.float64)
        grid = grid - grid.mean(axis=0)
        products = (values * grid).sum(axis=0)
        correlation = products / np.sqrt((values**2).sum(axis=0) * (grid**2).sum(axis=0))
    return bool((correlation > 0.9).all())


def _fractions(name, boxes):
    """Return boxes as float64; raise a ValueError if they look like pixels, not 0 to 1."""
    largest = np.abs(boxes).max(initial=0)
    if 10 < largest < np.inf:
        raise ValueError(
            f'format="{name}" reads boxes from 0 to 1, but they reach {largest:.4g}: they look '
            "like pixels. Set `format` to a callable that decodes them."
        )
    return boxes.astype(np.float64)


def _corners(centers, sides):
    """Return the boxes (x0, y0, x1, y1) with these centers and sides."""
    return np.concatenate([centers - sides / 2, centers + sides / 2], axis=1)
