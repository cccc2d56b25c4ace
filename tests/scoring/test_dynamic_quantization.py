"""Graphs whose scales depend on all rows of a run: a row's scores must not depend on other rows."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from sklearn_dl import OnnxScorer, TensorFlowScorer
from sklearn_dl.models import _onnx as _onnx_model
from tests.scoring.onnx_graphs import helper, model, node
from tests.scoring.tensorflow_models import frozen, tf, v1

rng = np.random.default_rng(0)
X = rng.normal(size=(50, 4)).astype(np.float32)
X[40] *= 100  # one large row makes the common scale coarse
F32 = np.float32

QUANTIZED = [
    node("DynamicQuantizeLinear", ["x"], ["q", "scale", "zero"]),
    node("DequantizeLinear", ["q", "scale", "zero"], ["y"]),
]
# what some exporters write in place of DynamicQuantizeLinear
SPELLED_OUT = [
    node("Abs", ["x"], ["size"]),
    node("ReduceMax", ["size"], ["largest"], keepdims=0),
    node("Div", ["largest", "steps"], ["scale"]),
    node("QuantizeLinear", ["x", "scale", "zero"], ["q"]),
    node("DequantizeLinear", ["q", "scale", "zero"], ["y"]),
]
CONSTANTS = {"steps": F32(127), "zero": np.int8(0)}


def graph(nodes, constants=None, n_rows="N"):
    shape = (F32, [n_rows, 4])
    return model(nodes, {"x": shape}, {"y": shape}, constants)


def in_a_branch():
    """The quantization is in both branches of an If."""
    branch = helper.make_graph(
        [
            node("DynamicQuantizeLinear", ["x"], ["q", "scale", "zero"]),
            node("DequantizeLinear", ["q", "scale", "zero"], ["z"]),
        ],
        "branch",
        [],
        [helper.make_tensor_value_info("z", 1, None)],
    )
    chosen = node("If", ["always"], ["y"], then_branch=branch, else_branch=branch)
    return graph([chosen], {"always": np.array(True)})


DYNAMIC = {
    "operator": graph(QUANTIZED),
    "spelled out": graph(SPELLED_OUT, CONSTANTS),
    "in a branch": in_a_branch(),
    "fixed batch": graph(QUANTIZED, n_rows=8),
}


@pytest.mark.parametrize("kind", DYNAMIC)
def test_rows_do_not_depend_on_their_neighbours(kind):
    scorer = OnnxScorer(DYNAMIC[kind])
    together = scorer.transform(X)
    assert_array_equal(
        together, np.concatenate([scorer.transform(X[i : i + 1]) for i in range(50)])
    )
    assert_array_equal(together[::-1], scorer.transform(X[::-1]))
    # 255 steps from the smallest to the largest value of the row
    steps = (np.maximum(X.max(1), 0) - np.minimum(X.min(1), 0)) / 127
    assert (np.abs(together - X) <= steps[:, None]).all()


def test_a_batch_size_that_is_asked_for_is_taken():
    scorer = OnnxScorer(DYNAMIC["operator"], batch_size=50)
    assert np.abs(scorer.transform(X) - X)[:40].max() > 0.2


def test_what_onnxruntime_quantizes(tmp_path):
    quantization = pytest.importorskip("onnxruntime.quantization")
    weights = rng.normal(size=(4, 3)).astype(F32)
    product = model(
        [node("MatMul", ["x", "w"], ["y"])],
        {"x": (F32, ["N", 4])},
        {"y": (F32, ["N", 3])},
        {"w": weights},
    )
    (tmp_path / "float.onnx").write_bytes(product.SerializeToString())
    quantization.quantize_dynamic(tmp_path / "float.onnx", tmp_path / "int8.onnx")
    scorer = OnnxScorer(tmp_path / "int8.onnx")
    assert_array_equal(scorer.transform(X)[:5], scorer.transform(X[:5]))
    np.testing.assert_allclose(scorer.transform(X)[:5], X[:5] @ weights, atol=0.05)


def test_static_quantization_keeps_its_batches():
    static = graph(
        [
            node("Constant", [], ["scale"], value_float=0.1),
            node("QuantizeLinear", ["x", "scale", "zero"], ["q"]),
            node("DequantizeLinear", ["q", "scale", "zero"], ["y"]),
        ],
        CONSTANTS,
    )
    assert not _onnx_model.graph_facts(_onnx_model.find_onnx(static)).mixes_rows
    scorer = OnnxScorer(static)
    assert scorer._batch_size(scorer._session()) == 1024


def by_range_of_the_batch():
    """What the Graph Transform Tool's quantize_nodes writes."""
    x = v1.placeholder(tf.float32, (None, 4), name="x")
    low, high = tf.reduce_min(x), tf.reduce_max(x)
    quantized = tf.raw_ops.QuantizeV2(input=x, min_range=low, max_range=high, T=tf.quint8)
    values = tf.raw_ops.Dequantize(
        input=quantized.output, min_range=quantized.output_min, max_range=quantized.output_max
    )
    tf.identity(values, name="y")


def by_range_inside():
    x = v1.placeholder(tf.float32, (None, 4), name="x")
    zero = tf.zeros(())
    fake = tf.raw_ops.QuantizeAndDequantizeV2(
        input=x, input_min=zero, input_max=zero, range_given=False
    )
    tf.identity(fake, name="y")


@pytest.mark.parametrize("build", [by_range_of_the_batch, by_range_inside])
def test_tensorflow(tmp_path, build):
    scorer = TensorFlowScorer(frozen(tmp_path / "model.pb", build))
    together = scorer.transform(X)
    assert_array_equal(
        together, np.concatenate([scorer.transform(X[i : i + 1]) for i in range(50)])
    )
    assert np.abs(together - X)[:40].max() < 0.1


def test_tensorflow_in_a_function_and_with_defaults_left_out(tmp_path):
    class Quantized(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec((None, 4), tf.float32, name="x")])
        def score(self, x):
            return {"y": tf.quantization.quantize_and_dequantize_v2(x, 0.0, 0.0)}

    module = Quantized()
    tf.saved_model.save(module, str(tmp_path), signatures=module.score)
    scorer = TensorFlowScorer(tmp_path)
    assert_array_equal(scorer.transform(X)[:5], scorer.transform(X[:5]))


def test_tensorflow_with_a_range_of_its_own_keeps_its_batches(tmp_path):
    def build():
        x = v1.placeholder(tf.float32, (None, 4), name="x")
        tf.identity(tf.quantization.fake_quant_with_min_max_vars(x, -4.0, 4.0), name="y")

    scorer = TensorFlowScorer(frozen(tmp_path / "model.pb", build))
    assert scorer._batch_size(scorer._session()) == 1024
