"""One network in both formats gives the same numbers through the two scorers."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest

from sklearn_dl import ImageLoader, ImageResizer, OnnxScorer, PixelExtractor, TensorFlowScorer
from tests.scoring.onnx_graphs import model, node
from tests.scoring.tensorflow_models import frozen, tf, v1

rng = np.random.default_rng(0)
KERNEL = rng.normal(size=(4, 3, 3, 3)).astype(np.float32)
DENSE = rng.normal(size=(4, 5)).astype(np.float32)


def in_onnx():
    return model(
        [
            node("Conv", ["x", "kernel"], ["conv"], strides=[2, 2]),
            node("Relu", ["conv"], ["hidden"]),
            node("ReduceMean", ["hidden"], ["mean"], axes=[2, 3], keepdims=0),
            node("MatMul", ["mean", "dense"], ["scores"]),
        ],
        {"x": (np.float32, ["N", 3, "H", "W"])},
        {"scores": (np.float32, ["N", 5])},
        {"kernel": KERNEL, "dense": DENSE},
    ).SerializeToString()


def in_tensorflow():
    x = v1.placeholder(tf.float32, (None, None, None, 3), name="x")
    kernel = tf.constant(KERNEL.transpose(2, 3, 1, 0))
    hidden = tf.nn.relu(tf.nn.conv2d(x, kernel, 2, "VALID"), name="hidden")
    tf.matmul(tf.reduce_mean(hidden, (1, 2)), tf.constant(DENSE), name="scores")


def test_images_through_both(tmp_path):
    photos = [rng.integers(0, 256, (30 + i, 40, 3), dtype=np.uint8) for i in range(9)]
    images = ImageResizer(24, 20).transform(ImageLoader().transform(photos))
    path = frozen(tmp_path / "model.pb", in_tensorflow)
    results = [
        scorer.transform(PixelExtractor(layout=layout, offset=127, scale=1 / 128).transform(images))
        for scorer, layout in (
            (OnnxScorer(in_onnx()), "NCHW"),
            (TensorFlowScorer(path, outputs="scores"), "NHWC"),
        )
    ]
    np.testing.assert_allclose(results[0], results[1], atol=1e-5)
    assert np.ptp(results[0], axis=0).min() > 0


@pytest.mark.real
def test_basic_pitch():
    found = importlib.util.find_spec("basic_pitch")
    if found is None:
        pytest.skip("basic-pitch is not installed (pip install --no-deps basic-pitch==0.4.0)")
    folder = Path(found.submodule_search_locations[0], "saved_models", "icassp_2022")
    # noise: the logarithm in the network makes rounding visible where there is silence
    X = rng.normal(scale=0.1, size=(2, 43844, 1)).astype(np.float32)
    ours = TensorFlowScorer(folder / "nmp", output_shape="native").transform(X)
    theirs = OnnxScorer(folder / "nmp.onnx", output_shape="native").transform(X)
    for name, twin in (("contour", 0), ("note", 1), ("onset", 2)):
        twin = theirs[f"StatefulPartitionedCall:{twin}"]
        assert np.abs(ours[name] - twin).mean() < 1e-5
        # 1.4e-6 at most on a processor with AVX-512, 4.5e-5 seen on one with AVX2
        np.testing.assert_allclose(ours[name], twin, atol=1e-4)
