import contextlib
import io

import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from sklearn.exceptions import UndefinedMetricWarning

from sklearn_dl.metrics import (
    average_precision_per_class,
    make_detections,
    mean_average_precision_score,
)

CLASSES = ["bird", "cat", "dog", "egg"]


def random_case(seed, n_images=12, ties=False):
    """Objects, and detections: some are moved objects, and some match nothing."""
    rng = np.random.default_rng(seed)
    y_true, y_pred = [], []
    for _ in range(n_images):
        n = rng.integers(0, 7)
        corners = rng.uniform(0, 80, (n, 2))
        boxes = np.hstack([corners, corners + rng.uniform(5, 40, (n, 2))])
        labels = rng.choice(CLASSES[:3], n)
        y_true.append(make_detections(boxes, labels))
        moved = boxes + rng.normal(0, 3, boxes.shape)
        moved = np.hstack([np.minimum(moved[:, :2], moved[:, 2:]), moved[:, 2:]])
        more = rng.uniform(0, 60, (rng.integers(0, 6), 2))
        false = np.hstack([more, more + rng.uniform(5, 40, more.shape)])
        found = np.concatenate([moved, moved + 0.5, false])
        names = np.concatenate([labels, labels, rng.choice(CLASSES, len(false))])
        kept = rng.random(len(found)) < 0.8
        scores = rng.random(len(found))
        if ties:
            scores = np.round(scores, 1)
        y_pred.append(make_detections(found[kept], names[kept], scores[kept]))
    return y_true, y_pred


def coco(y_true, y_pred, max_detections=100):
    """pycocotools' precisions of shape (n_thresholds, 101, n_classes), and the class names."""
    names = sorted({label for image in (*y_true, *y_pred) for label in image["label"].tolist()})

    def annotation(i, row, image):
        x0, y0, x1, y1, score, label = row.tolist()
        return {
            "id": i,
            "image_id": image + 1,
            "category_id": names.index(label) + 1,
            "bbox": [x0, y0, x1 - x0, y1 - y0],
            "area": (x1 - x0) * (y1 - y0),
            "iscrowd": 0,
            "score": score,
        }

    def annotations(images):
        rows = [(row, i) for i, image in enumerate(images) for row in image]
        return [annotation(k + 1, row, i) for k, (row, i) in enumerate(rows)]

    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO()
        truth.dataset = {
            "images": [{"id": i + 1} for i in range(len(y_true))],
            "categories": [{"id": k + 1, "name": n} for k, n in enumerate(names)],
            "annotations": annotations(y_true),
        }
        truth.createIndex()
        evaluation = COCOeval(truth, truth.loadRes(annotations(y_pred)), "bbox")
        evaluation.params.maxDets = [max_detections]
        evaluation.evaluate()
        evaluation.accumulate()
    return evaluation.eval["precision"][:, :, :, 0, 0], names


def coco_mean(precision):
    return precision[precision > -1].mean()


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("max_detections", [100, 3])
@pytest.mark.parametrize("seed", range(6))
def test_agrees_with_pycocotools(seed, max_detections, ties):
    y_true, y_pred = random_case(seed, ties=ties)
    precision, names = coco(y_true, y_pred, max_detections)
    options = {"max_detections": max_detections}
    score = mean_average_precision_score(y_true, y_pred, **options)
    assert score == pytest.approx(coco_mean(precision[:1]), abs=1e-6)
    score = mean_average_precision_score(y_true, y_pred, iou_thresholds="coco", **options)
    assert score == pytest.approx(coco_mean(precision), abs=1e-6)
    assert 0.1 < score < 0.95
    per_class = average_precision_per_class(y_true, y_pred, iou_thresholds=[0.5, 0.75], **options)
    assert list(per_class) == names
    for k, name in enumerate(names):
        expected = precision[[0, 5], :, k]
        if (expected == -1).all():
            assert np.isnan(per_class[name])
        else:
            assert per_class[name] == pytest.approx(expected.mean(), abs=1e-6)


def test_averages():
    boxes = [[0, 0, 10, 10], [20, 20, 40, 40], [50, 50, 60, 60]]
    y_true = [make_detections(boxes, ["a", "a", "b"])]
    y_pred = [make_detections(boxes[:2], ["a", "a"], [0.9, 0.8])]
    assert mean_average_precision_score(y_true, y_pred) == pytest.approx(0.5)
    weighted = mean_average_precision_score(y_true, y_pred, average="weighted")
    assert weighted == pytest.approx(2 / 3)
    micro = mean_average_precision_score(y_true, y_pred, average="micro")
    assert micro == pytest.approx(67 / 101)  # 67 of the recalls 0, 0.01, ... are at most 2 / 3


def test_a_detection_is_right_once():
    y_true = [make_detections([[0, 0, 10, 10]], ["a"])]
    twice = make_detections([[0, 0, 10, 10], [0, 0, 10, 10]], ["a", "a"], [0.9, 0.8])
    assert mean_average_precision_score(y_true, [twice]) == 1.0
    wrong_first = make_detections([[50, 50, 60, 60], [0, 0, 10, 10]], ["a", "a"], [0.9, 0.8])
    assert mean_average_precision_score(y_true, [wrong_first]) == pytest.approx(0.5)


def test_perfect_and_empty():
    y_true, _ = random_case(0)
    assert mean_average_precision_score(y_true, y_true, iou_thresholds=1.0) == 1.0
    nothing = [image[:0] for image in y_true]
    assert mean_average_precision_score(y_true, nothing) == 0.0
    with pytest.warns(UndefinedMetricWarning, match="has no objects"):
        assert np.isnan(mean_average_precision_score(nothing, y_true))


@pytest.mark.parametrize(
    ("y_true", "y_pred", "options", "message"),
    [
        ([make_detections([], [])], [], {}, "inconsistent numbers of samples"),
        ([make_detections([], [])], [None], {}, r"y_pred\[0\] is None"),
        ([np.zeros((2, 4))], [make_detections([], [])], {}, r"y_true\[0\] must be a structured"),
        ([make_detections([], [])] * 2, [make_detections([], [])] * 2, {"average": "x"}, "average"),
        ([], [], {"iou_thresholds": "x"}, "must be numbers or 'coco'"),
        ([], [], {"iou_thresholds": 0}, "must be above 0"),
        ([], [], {"iou_thresholds": [0.5, 1.5]}, "must be above 0"),
        ([], [], {"max_detections": 0}, "at least 1"),
    ],
    ids=[
        "lengths",
        "None",
        "plain array",
        "average",
        "thresholds",
        "zero threshold",
        "large threshold",
        "no detections",
    ],
)
def test_wrong_input_is_an_error(y_true, y_pred, options, message):
    with pytest.raises(ValueError, match=message):
        mean_average_precision_score(y_true, y_pred, **options)


def test_nan_is_named():
    bad = make_detections([[0, 0, 1, 1]], ["a"], [np.nan])
    with pytest.raises(ValueError, match=r"y_pred\[1\] has NaN"):
        mean_average_precision_score([bad[:0]] * 2, [bad[:0], bad])
