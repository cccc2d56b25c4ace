"""Decode the outputs of pretrained detectors in a graph, as `sklearn_dl.vision` does."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from sklearn_dl.export._number import Number
from sklearn_dl.vision.detection.formats._boxes import cells
from sklearn_dl.vision.detection.formats._paddle import PicoDet
from sklearn_dl.vision.detection.formats._yolox import Yolox

# as the end of a slice, it means the end of an axis
_END = np.iinfo(np.int64).max


class Candidates(NamedTuple):
    """Boxes that a network proposes for one image, in pixels of its input.

    Attributes
    ----------
    boxes : Number
        x0, y0, x1, y1: float64 of shape (n, 4).
    scores : Number
        float64 of shape (n,).
    classes : Number
        int64 of shape (n,).
    kept : Number
        Whether the scores are high enough: bool of shape (n,).
    """

    boxes: Number
    scores: Number
    classes: Number
    kept: Number


class Decoding:
    """What decoders need besides the outputs.

    Parameters
    ----------
    graph : Graph
    size : tuple of int
        (width, height) of the network's input.
    anchors : float ndarray of shape (n_anchors, 2) or None
    threshold : float
    shapes, dtypes : list of tuple, list of dtype
        Shape for one image, and dtype, of the outputs that are decoded.
    n_classes : int or None, default=None
    """

    def __init__(self, graph, size, anchors, threshold, shapes, dtypes, n_classes=None):
        self.graph, self.size, self.anchors = graph, size, anchors
        self.threshold = threshold
        self.shapes, self.dtypes = shapes, dtypes
        self.n_classes = n_classes

    def decode(self, name, outputs):
        """Add what the format `name` computes from the outputs for one image.

        Parameters
        ----------
        name : str
        outputs : list of Value
            With a batch dimension of 1.

        Returns
        -------
        candidates : Candidates
        """
        tables = [
            Number(self.graph, self.graph.Squeeze(output, [0]), dtype).cast(np.float64)
            for output, dtype in zip(outputs, self.dtypes, strict=True)
        ]
        return _DECODERS[name](self, *tables)

    def reaches(self, scores, dtype=np.float64):
        """Whether scores reach the threshold, after it is rounded as numpy does for this dtype."""
        return scores >= np.asarray(self.threshold, np.result_type(dtype, self.threshold))


def _yolov2(decoding, grid):
    n_anchors = len(decoding.anchors)
    depth, rows, columns = decoding.shapes[0]
    depth //= n_anchors
    cells = _shaped(grid, n_anchors, depth, rows, columns)
    table = _shaped(grid.apply("Transpose", cells, perm=[0, 2, 3, 1]), -1, depth)
    anchor, row, column = np.indices((n_anchors, rows, columns)).reshape(3, -1)
    cell = np.array([decoding.size[0] / columns, decoding.size[1] / rows])
    centers = (_sigmoid(_columns(table, 0, 2)) + np.stack([column, row], axis=1)) * cell
    sides = _exp(_columns(table, 2, 4)) * decoding.anchors[anchor] * cell
    objectness = _shaped(_rounded(_sigmoid(_columns(table, 4, 5))), -1)
    probabilities = table.apply("Softmax", _columns(table, 5), axis=1)
    best, classes = _best(_rounded(probabilities))
    scores = objectness * best
    return Candidates(_corners(centers, sides), scores, classes, decoding.reaches(scores))


def _yolov8(decoding, table):
    table = table.apply("Transpose", table, perm=[1, 0])
    scores, classes = _best(_columns(table, 4, 4 + decoding.n_classes))
    boxes = _corners(_columns(table, 0, 2), _columns(table, 2, 4))
    return Candidates(boxes, scores, classes, decoding.reaches(scores, decoding.dtypes[0]))


def _yolox(decoding, table):
    places, strides = cells(decoding.size, Yolox.strides)
    centers = (_columns(table, 0, 2) + places) * strides
    sides = _exp(_columns(table, 2, 4)) * strides
    objectness = _shaped(_columns(table, 4, 5), -1)
    best, classes = _best(_columns(table, 5))
    scores = objectness * best
    kept = decoding.reaches(objectness, decoding.dtypes[0]) & decoding.reaches(scores)
    return Candidates(_corners(centers, sides), scores, classes, kept)


def _yolov10(decoding, table):
    scores, classes = (_shaped(_columns(table, i, i + 1), -1) for i in (4, 5))
    kept = decoding.reaches(scores, decoding.dtypes[0])
    return Candidates(_columns(table, 0, 4), scores, classes.cast(np.int64), kept)


def _decoded(decoding, table):
    boxes = _corners(_columns(table, 0, 2), _columns(table, 2, 4))
    objectness = _shaped(_columns(table, 4, 5), -1)
    best, classes = _best(_columns(table, 5))
    scores = objectness * best
    kept = decoding.reaches(objectness, decoding.dtypes[0]) & decoding.reaches(scores)
    return Candidates(boxes, scores, classes, kept)


def _ssd(decoding, probabilities, boxes):
    scores, classes = _best(_columns(probabilities, 1))
    kept = decoding.reaches(scores, decoding.dtypes[0])
    return Candidates(_in_pixels(decoding, boxes), scores, classes, kept)


def _detr(decoding, logits, boxes):
    probabilities = logits.apply("Softmax", logits, axis=1)
    return _queries(decoding, _columns(probabilities, 0, -1), boxes)


def _rt_detr(decoding, logits, boxes):
    return _queries(decoding, _sigmoid(logits), boxes)


def _rt_detr_decoded(decoding, labels, boxes, scores):
    kept = decoding.reaches(scores, decoding.dtypes[2])
    return Candidates(boxes, scores, labels.cast(np.int64), kept)


def _ppyoloe(decoding, boxes, *scores):
    probabilities = _columns(boxes, 4)
    if scores:
        probabilities = boxes.apply("Transpose", scores[0], perm=[1, 0])
    best, classes = _best(probabilities)
    kept = decoding.reaches(best, decoding.dtypes[-1])
    return Candidates(_columns(boxes, 0, 4), best, classes, kept)


def _picodet(decoding, *tables):
    n_grids = len(tables) // 2
    scores, classes = _best(tables[0].apply("Concat", *tables[:n_grids], axis=0))
    logits = tables[0].apply("Concat", *tables[n_grids:], axis=0)
    n_bins = decoding.shapes[-1][1] // 4
    weights = logits.apply("Softmax", _shaped(logits, -1, 4, n_bins), axis=2)
    distances = _shaped((weights * np.arange(n_bins)).sum(2), -1, 4)
    places, strides = cells(decoding.size, PicoDet.strides[:n_grids])
    boxes = (distances * [-1, -1, 1, 1] + np.tile(places + 0.5, 2)) * strides
    return Candidates(boxes, scores, classes, decoding.reaches(scores, decoding.dtypes[0]))


def _queries(decoding, probabilities, boxes):
    scores, classes = _best(_rounded(probabilities))
    boxes = _in_pixels(decoding, boxes)
    boxes = _corners(_columns(boxes, 0, 2), _columns(boxes, 2))
    return Candidates(boxes, scores, classes, decoding.reaches(scores))


_DECODERS: dict[str, Callable[..., Candidates]] = {
    "yolov2": _yolov2,
    "yolov5": _decoded,
    "yolov6": _decoded,
    "yolov8": _yolov8,
    "yolov8-seg": _yolov8,
    "yolov8-pose": _yolov8,
    "yolov10": _yolov10,
    "yolox": _yolox,
    "yolox-decoded": _decoded,
    "ppyoloe": _ppyoloe,
    "picodet": _picodet,
    "ssd": _ssd,
    "detr": _detr,
    "rt-detr": _rt_detr,
    "rt-detr-decoded": _rt_detr_decoded,
}


def _shaped(number, *shape):
    return number.apply("Reshape", number, number.graph.constant(list(shape)))


def _columns(table, start, stop=_END):
    """The columns of a table from `start` to `stop`."""
    sliced = table.graph.Slice(table.value, [start], [stop], [1])
    return Number(table.graph, sliced, table.dtype)


def _best(probabilities):
    """The largest of each row's probabilities, and its position."""
    graph = probabilities.graph
    largest = graph.ReduceMax(probabilities.value, [1], keepdims=0)
    position = graph.ArgMax(probabilities.value, axis=1, keepdims=0)
    return Number(graph, largest), Number(graph, position, np.int64)


def _corners(centers, sides):
    """The boxes (x0, y0, x1, y1) with these centers and sides."""
    half = sides / 2
    return centers.apply("Concat", centers - half, centers + half, axis=1)


def _in_pixels(decoding, fractions):
    return fractions * [*decoding.size, *decoding.size]


def _exp(logarithms):
    """The sides with these logarithms."""
    return logarithms.apply("Exp", logarithms.at_most(50))


def _sigmoid(logits):
    # an operator Sigmoid of float64 is missing in some builds of ONNX Runtime
    return 1 / (1 + logits.apply("Exp", 0 - logits))


def _rounded(probabilities):
    """Round probabilities to multiples of 2**-40.

    ONNX Runtime may compute exponentials of equal numbers with different last bits, depending on
    their positions. Without rounding, ties of scores would break at random.
    """
    unit = 2.0**-40
    return (probabilities / unit).round() * unit
