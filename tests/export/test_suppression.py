"""Non-maximum suppression in a graph against the one in Python."""

import numpy as np
import onnx
import onnxruntime
import pytest

from sklearn_dl.export._graph import Graph
from sklearn_dl.export.vision._suppression import suppressed
from sklearn_dl.metrics import non_max_suppression


def session(iou_threshold, max_detections):
    graph = Graph(18)
    boxes = graph.input("boxes", np.float64, ("n", 4))
    scores = graph.input("scores", np.float64, ("n",))
    classes = graph.input("classes", np.int64, ("n",))
    kept = suppressed(graph, boxes, scores, classes, iou_threshold, max_detections)
    graph.output("kept", kept, np.int64, ("k",))
    model = graph.model()
    onnx.checker.check_model(model, full_check=True)
    return onnxruntime.InferenceSession(model.SerializeToString())


@pytest.mark.parametrize("max_detections", [1, 4, 300])
# overlaps of whole boxes are often 1/4, 1/3, 1/2 or 9/20
@pytest.mark.parametrize("iou_threshold", [0.0, 0.25, 1 / 3, 0.45, 0.5, 1.0])
def test_ties_and_overlaps(iou_threshold, max_detections):
    found = session(iou_threshold, max_detections)
    rng = np.random.default_rng(0)
    dropped = 0
    for n in [0, 1, *range(60)]:
        low = rng.integers(0, 12, (n, 2))
        boxes = np.hstack([low, low + rng.integers(1, 8, (n, 2))]).astype(np.float64)
        scores, classes = rng.integers(0, 6, n) / 6, rng.integers(0, 3, n)
        (kept,) = found.run(None, {"boxes": boxes, "scores": scores, "classes": classes})
        limits = {"iou_threshold": iou_threshold, "max_detections": max_detections}
        expected = non_max_suppression(boxes, scores, classes, **limits)
        assert kept.tolist() == expected.tolist()
        dropped += n - len(kept)
    assert dropped > 0 or (iou_threshold, max_detections) == (1.0, 300)


@pytest.mark.slow
def test_boxes_of_any_size():
    found = session(0.45, 300)
    rng = np.random.default_rng(1)
    for _ in range(50):
        low = rng.normal(0, 1, (200, 2))
        boxes = np.hstack([low, low + rng.exponential(1, (200, 2))]) * 10 ** rng.uniform(-3, 4)
        scores, classes = rng.random(200), rng.integers(0, 2, 200)
        (kept,) = found.run(None, {"boxes": boxes, "scores": scores, "classes": classes})
        assert kept.tolist() == non_max_suppression(boxes, scores, classes).tolist()
        assert 0 < len(kept) < 200
