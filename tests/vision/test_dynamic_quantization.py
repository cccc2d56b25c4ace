"""Dynamic quantization computes one scale per run: an image is scored alone."""

import numpy as np
import onnx
from numpy.testing import assert_array_equal

from sklearn_dl import DetectionScorer, ImageClassifier
from tests.scoring.onnx_graphs import model, node
from tests.vision.detection.detectors import ANCHORS, color_detector, squares

F32 = np.float32
rng = np.random.default_rng(0)


def test_image_classifier(tmp_path):
    quantized = model(
        [
            node("DynamicQuantizeLinear", ["x"], ["q", "scale", "zero"]),
            node("DequantizeLinear", ["q", "scale", "zero"], ["z"]),
            node("ReduceMean", ["z"], ["features"], axes=[2, 3], keepdims=0),
        ],
        {"x": (F32, ["N", 3, "H", "W"])},
        {"features": (F32, ["N", 3])},
    )
    (tmp_path / "model.onnx").write_bytes(quantized.SerializeToString())
    images = [rng.integers(0, 255 if i % 2 else 20, (8, 8, 3), np.uint8) for i in range(12)]
    classifier = ImageClassifier(tmp_path / "model.onnx")
    classifier.fit(images, [0, 1] * 6)
    alone = np.concatenate([classifier.predict_proba([image]) for image in images])
    np.testing.assert_allclose(classifier.predict_proba(images), alone, atol=1e-7)


def test_detection_scorer():
    detector = onnx.load_from_string(color_detector())
    image, pooling = detector.graph.input[0], detector.graph.node[0]
    nodes = [
        node("DynamicQuantizeLinear", [image.name], ["q", "scale", "zero"]),
        node("DequantizeLinear", ["q", "scale", "zero"], ["coarse"]),
    ]
    pooling.input[0] = "coarse"
    for made in reversed(nodes):
        detector.graph.node.insert(0, made)
    dim, bright = squares((0, 1, 1), (1, 4, 6)), squares((2, 5, 5))
    dim[:160], dim[160:] = dim[:160] // 255 * 215, dim[160:] // 255 * 230
    settings = {"format": "yolov2", "anchors": ANCHORS, "classes": ["red", "green", "blue"]}
    detector = DetectionScorer(detector.SerializeToString(), **settings)
    together = detector.predict([dim, bright])
    for found, seen in zip(together, (dim, bright), strict=True):
        assert_array_equal(found, detector.predict([seen])[0])
    assert [len(found) for found in together] == [2, 1]
