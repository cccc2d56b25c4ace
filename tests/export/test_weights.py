"""Weights that are stored as float16 or int8."""

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import numpy_helper

from sklearn_dl.export._weights import compress


def product(weights):
    """A model that multiplies rows by a matrix."""
    kind = onnx.helper.np_dtype_to_tensor_dtype(weights.dtype)
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node("MatMul", ["x", "w"], ["y"])],
        "product",
        [onnx.helper.make_tensor_value_info("x", kind, ["N", len(weights)])],
        [onnx.helper.make_tensor_value_info("y", kind, ["N", weights.shape[1]])],
        [numpy_helper.from_array(weights, "w")],
    )
    opset = onnx.helper.make_opsetid("", 18)
    return onnx.helper.make_model(graph, opset_imports=[opset], ir_version=8)


def restored(model, size, dtype):
    """The matrix that the model multiplies by."""
    onnx.checker.check_model(model, full_check=True)
    session = ort.InferenceSession(model.SerializeToString())
    return session.run(None, {"x": np.eye(size, dtype=dtype)})[0]


# 37 columns: the last block is not full
@pytest.mark.parametrize("shape", [(64, 64), (50, 37)])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_int8_is_at_most_half_a_step_off(shape, dtype):
    weights = np.random.default_rng(0).normal(size=shape).astype(dtype)
    weights[0, :32] = 0
    model = product(weights)
    before = model.ByteSize()
    compress(model, "int8")
    seen = restored(model, len(weights), dtype)
    assert seen.dtype == dtype
    padded = np.zeros(-(-weights.size // 32) * 32)
    padded[: weights.size] = weights.ravel()
    steps = np.repeat(np.abs(padded.reshape(-1, 32)).max(axis=1) / 127, 32)[: weights.size]
    # the scale is rounded to float16: 127 steps may be off by 127 / 2048 of a step
    assert (np.abs(seen - weights).ravel() <= steps * (0.5 + 127 / 2048) + 1e-7).all()
    assert (seen[0, :32] == 0).all()
    assert model.ByteSize() < before * (0.33 if dtype == np.float32 else 0.17) + 400


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_float16_is_rounded_once(dtype):
    weights = np.random.default_rng(0).normal(size=(64, 64)).astype(dtype)
    model = product(weights)
    compress(model, "float16")
    assert (restored(model, 64, dtype) == weights.astype(np.float16).astype(dtype)).all()


@pytest.mark.parametrize("value", [1e5, np.inf, np.nan])
@pytest.mark.parametrize("kind", ["float16", "int8"])
def test_weights_that_float16_cannot_hold_stay_as_they_are(value, kind):
    weights = np.zeros((64, 64), np.float32)
    weights[3, 4] = value
    model = product(weights)
    before = model.SerializeToString()
    compress(model, kind)
    assert model.SerializeToString() == before


@pytest.mark.parametrize("kind", ["float16", "int8"])
def test_small_constants_stay_as_they_are(kind):
    model = product(np.random.default_rng(0).normal(size=(31, 33)).astype(np.float32))
    before = model.SerializeToString()
    compress(model, kind)
    assert model.SerializeToString() == before


def test_tiny_weights_of_a_block_become_zero():
    weights = np.full((64, 64), 1e-12, np.float32)
    model = product(weights)
    compress(model, "int8")
    assert (restored(model, 64, np.float32) == 0).all()
