"""Non-maximum suppression in a graph, as in `sklearn_dl.metrics.non_max_suppression`.

It does not use ONNX's NonMaxSuppression, which computes in float32 and does not sort its result.
"""

import numpy as np

from sklearn_dl.export._graph import Graph
from sklearn_dl.export._number import Number


def sorted_by_score(graph, scores):
    """Positions by decreasing score. Equal scores keep their order.

    Parameters
    ----------
    graph : Graph
    scores : Value
        float64 of shape (n,).

    Returns
    -------
    order : Value
        int64 of shape (n,).
    """
    _, order = graph.TopK(scores, graph.Shape(scores), axis=0, n_outputs=2)
    return order


def suppressed(graph, boxes, scores, classes, iou_threshold, max_detections):
    """Positions of the boxes that are kept, by decreasing score.

    Parameters
    ----------
    graph : Graph
    boxes : Value
        x0, y0, x1, y1: float64 of shape (n, 4).
    scores : Value
        float64 of shape (n,).
    classes : Value
        int64 of shape (n,). Boxes of different classes do not suppress each other.
    iou_threshold : float
    max_detections : int

    Returns
    -------
    kept : Value
        int64 of shape (n_kept,).
    """
    order = sorted_by_score(graph, scores)
    boxes, classes = graph.Gather(boxes, order), graph.Gather(classes, order)
    *_, kept = graph.Loop(
        max_detections,
        _any(graph, order),
        boxes,
        classes,
        order,
        body=_step(graph.opset, iou_threshold),
        n_outputs=4,
    )
    return kept


def _any(graph, values):
    """Whether there is a value: a bool scalar."""
    return graph.Greater(graph.Squeeze(graph.Shape(values, start=0, end=1)), 0)


def _step(opset, iou_threshold):
    """The body of the loop: keep the first box, and drop the boxes that it suppresses."""
    body = Graph(opset)
    body.input("iteration", np.int64, ())
    body.input("go_on", bool, ())
    # sizes have no names: they change from step to step
    state = {
        "boxes": body.input("boxes", np.float64, (None, 4)),
        "classes": body.input("classes", np.int64, (None,)),
        "order": body.input("order", np.int64, (None,)),
    }
    best = {name: body.Slice(value, [0], [1], [0]) for name, value in state.items()}
    last = np.iinfo(np.int64).max
    others = {name: body.Slice(value, [1], [last], [0]) for name, value in state.items()}

    overlap = _iou(Number(body, best["boxes"]), Number(body, others["boxes"]))
    same_class = body.Equal(others["classes"], best["classes"])
    rivals = body.And(same_class, (overlap > iou_threshold).value)
    left = {name: body.Compress(value, body.Not(rivals), axis=0) for name, value in others.items()}
    body.output("any_left", _any(body, left["order"]), bool, ())
    body.output("boxes_left", left["boxes"], np.float64, (None, 4))
    body.output("classes_left", left["classes"], np.int64, (None,))
    body.output("order_left", left["order"], np.int64, (None,))
    body.output("kept", body.Squeeze(best["order"], [0]), np.int64, ())
    return body


def _iou(box, boxes):
    """Intersection over union of one box with each of n boxes: shape (n,)."""
    (low, high), (lows, highs) = _edges(box), _edges(boxes)
    shared = _area((high.at_most(highs) - low.at_least(lows)).at_least(0))
    return shared / (_area(high - low) + _area(highs - lows) - shared)


def _edges(boxes):
    """The edges (x0, y0) and (x1, y1) of boxes."""
    halves = boxes.graph.Split(boxes.value, axis=1, num_outputs=2, n_outputs=2)
    return [Number(boxes.graph, half) for half in halves]


def _area(sides):
    across, down = sides.graph.Split(sides.value, axis=1, num_outputs=2, n_outputs=2)
    return Number(sides.graph, sides.graph.Squeeze(sides.graph.Mul(across, down), [1]))
