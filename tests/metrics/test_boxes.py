import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sklearn_dl.metrics import box_iou, make_detections, non_max_suppression

edges = st.integers(0, 30)


@st.composite
def box_lists(draw, max_size=8):
    boxes = draw(st.lists(st.tuples(edges, edges, edges, edges), max_size=max_size))
    return [(min(a, c), min(b, d), max(a, c), max(b, d)) for a, b, c, d in boxes]


def plain_iou(a, b):
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    shared = max(width, 0) * max(height, 0)
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (a, b)]
    union = sum(areas) - shared
    return shared / union if union else 0.0


@given(box_lists(), box_lists())
def test_iou(a, b):
    expected = [[plain_iou(one, other) for other in b] for one in a]
    got = box_iou(a, b)
    assert got.shape == (len(a), len(b))
    np.testing.assert_allclose(got, np.reshape(expected, got.shape))


@given(box_lists(), st.data())
def test_suppression(boxes, data):
    n = len(boxes)
    scores = data.draw(st.lists(st.integers(0, 5), min_size=n, max_size=n))
    labels = data.draw(st.lists(st.sampled_from("ab"), min_size=n, max_size=n))
    threshold = data.draw(st.sampled_from([0.0, 0.3, 0.5, 1.0]))
    expected = []
    for i in sorted(range(n), key=lambda i: -scores[i]):
        if all(
            labels[i] != labels[k] or plain_iou(boxes[i], boxes[k]) <= threshold for k in expected
        ):
            expected.append(i)
    kept = non_max_suppression(boxes, scores, labels, iou_threshold=threshold)
    assert kept.tolist() == expected
    few = non_max_suppression(boxes, scores, labels, iou_threshold=threshold, max_detections=2)
    assert few.tolist() == expected[:2]


def test_without_labels_all_are_of_one():
    boxes = [[0, 0, 10, 10], [1, 0, 10, 10]]
    assert non_max_suppression(boxes, [0.8, 0.9]).tolist() == [1]
    assert non_max_suppression(boxes, [0.8, 0.9], [0, 1]).tolist() == [1, 0]
    assert non_max_suppression([], []).tolist() == []


@pytest.mark.parametrize(
    ("boxes", "message"),
    [
        ([[1, 2, 3]], r"shape \(n, 4\)"),
        ([1, 2, 3, 4], r"shape \(n, 4\)"),
        ([[0, 0, 1, 1], [5, 0, 1, 1]], r"Box 1 is \[5.0, 0.0, 1.0, 1.0\]"),
        ([[0, 0, np.nan, 1]], "must be finite"),
    ],
    ids=["three edges", "one list", "turned around", "nan"],
)
def test_what_is_not_a_box_is_an_error(boxes, message):
    for call in (
        lambda: box_iou(boxes, [[0, 0, 1, 1]]),
        lambda: non_max_suppression(boxes, [1] * len(boxes)),
        lambda: make_detections(boxes, ["a"] * len(boxes)),
    ):
        with pytest.raises(ValueError, match=message):
            call()


def test_make_detections():
    found = make_detections([[0, 1, 2, 3]], [7], [0.5])
    assert found.dtype.names == ("x0", "y0", "x1", "y1", "score", "label")
    assert found[0].tolist() == (0, 1, 2, 3, 0.5, 7)
    assert make_detections([[0, 1, 2, 3]], ["cat"])["score"].tolist() == [1.0]
    assert make_detections([], []).shape == (0,)
    with pytest.raises(ValueError, match=r"1 boxes, labels of shape \(2,\)"):
        make_detections([[0, 0, 1, 1]], ["a", "b"])
    with pytest.raises(ValueError, match="scores of shape"):
        non_max_suppression([[0, 0, 1, 1]], [1, 2])
