"""Decoders of exported detectors; test_detection.py compares all of them with `predict`."""

import numpy as np
import onnxruntime
import pytest

from sklearn_dl.export._graph import Graph
from sklearn_dl.export.vision._detection_formats import Decoding
from sklearn_dl.export.vision._suppression import sorted_by_score


@pytest.mark.parametrize("name", ["detr", "rt-detr"])
def test_equal_logits_are_ties(name):
    """Also where ONNX Runtime computes exponentials of equal numbers in two ways."""
    graph = Graph(18)
    logits = graph.input("logits", np.float32, (1, "n", 3))
    boxes = graph.input("boxes", np.float32, (1, "n", 4))
    shapes, dtypes = [(None, 3), (None, 4)], [np.dtype(np.float32)] * 2
    found = Decoding(graph, (64, 64), None, 0.3, shapes, dtypes).decode(name, [logits, boxes])
    order = sorted_by_score(graph, found.scores.value)
    graph.output("order", order, np.int64, ("n",))
    graph.output("classes", found.classes.value, np.int64, ("n",))
    graph.output("boxes_in_pixels", found.boxes.value, np.float64, ("n", 4))
    session = onnxruntime.InferenceSession(graph.model().SerializeToString())
    rng = np.random.default_rng(0)
    for _ in range(300):
        n = rng.integers(1, 30)
        logits = np.float32(np.full((1, n, 3), rng.normal(0, 3)))
        feeds = {"logits": logits, "boxes": np.zeros((1, n, 4), np.float32)}
        order, classes, _ = session.run(None, feeds)
        assert order.tolist() == list(range(n))
        assert not classes.any()
