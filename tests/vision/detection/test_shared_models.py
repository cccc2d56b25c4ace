"""YOLOX-Nano and UltraFace on images, where ../shared/data is."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
import skimage.data
from PIL import Image

from sklearn_dl import DetectionScorer
from sklearn_dl.metrics import box_iou, mean_average_precision_score
from tests.metrics.test_average_precision import coco, coco_mean

ROOT = Path(__file__).parents[2]
DATA = Path(os.environ.get("SKLEARN_DL_SHARED", ROOT.parent / "shared")) / "data"
pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(not DATA.is_dir(), reason=f"{DATA} is not there"),
]


@pytest.fixture(scope="module")
def expected():
    return json.loads((DATA / "expected.json").read_text())


def edges(found):
    return np.array([[one[n].item() for n in ("x0", "y0", "x1", "y1")] for one in found])


def assert_found(found, wanted, threshold):
    """Each wanted object is found once, within 3 pixels and 0.02; and nothing else is."""
    left = list(found)
    for one in wanted:
        same = [i for i, other in enumerate(left) if other["label"] == one["label"]]
        i = same[int(box_iou([one["box_xyxy"]], edges([left[i] for i in same]))[0].argmax())]
        assert np.abs(edges([left[i]])[0] - one["box_xyxy"]).max() <= 3
        assert abs(left[i]["score"] - one["score"]) <= 0.02
        left.pop(i)
    assert all(other["score"] < threshold + 0.02 for other in left)


def test_yolox_nano(expected):
    classes = (DATA / "onnx/yolox_nano/coco_classes.txt").read_text().split("\n")
    detector = DetectionScorer(
        DATA / "onnx/yolox_nano/yolox_nano.onnx",
        format="yolox",
        classes=[name for name in classes if name],
        score_threshold=0.38,
    )
    images = expected["yolox_nano"]["images"]
    found = detector.predict([DATA / "images/detection" / name for name in images])
    for one, wanted in zip(found, images.values(), strict=True):
        assert_found(one, wanted, 0.4)
    # real detections against moved ones: our metric is pycocotools'
    truth = [one[one["score"] > 0.5] for one in found]
    moved = [one.copy() for one in found]
    for one in moved:
        one["x1"] += 4
    precision, _ = coco(truth, moved)
    score = mean_average_precision_score(truth, moved, iou_thresholds="coco")
    assert score == pytest.approx(coco_mean(precision), abs=1e-6)
    assert 0.5 < score < 1


def test_ultraface():
    """Against a session run and decoded here, image by image."""
    import onnxruntime

    path = DATA / "onnx/ultraface/version-RFB-320.onnx"
    detector = DetectionScorer(path, format="ssd", classes=["face"], score_threshold=0.7)
    images = [skimage.data.astronaut(), skimage.data.camera()]
    images[1] = np.stack([images[1]] * 3, axis=2)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(path, options)
    for image, found in zip(images, detector.predict(images), strict=True):
        height, width = image.shape[:2]
        small = Image.fromarray(image).resize((320, 240), Image.Resampling.BILINEAR)
        pixels = (np.asarray(small, np.float32) - 127) / 128
        scores, boxes = session.run(["scores", "boxes"], {"input": pixels.transpose(2, 0, 1)[None]})
        best = [i for i in np.argsort(-scores[0, :, 1]) if scores[0, i, 1] >= 0.7]
        kept: list = []
        for i in best:
            if all(box_iou([boxes[0, i]], [boxes[0, k]])[0, 0] <= 0.45 for k in kept):
                kept.append(i)
        assert len(found) == len(kept)
        for one, i in zip(found, kept, strict=True):
            wanted = (boxes[0, i] * [width, height, width, height]).clip(0, [width, height] * 2)
            assert np.abs(edges([one])[0] - wanted).max() <= 3
            assert abs(one["score"] - scores[0, i, 1]) <= 0.02
    (face, *_) = detector.predict(images)[0]
    # the astronaut's face
    assert 170 < face["x0"] < 215
    assert 60 < face["y0"] < 110
