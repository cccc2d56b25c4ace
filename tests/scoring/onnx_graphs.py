"""Tiny ONNX graphs for the tests of OnnxScorer, and the real ones where they are at hand."""

import os
from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

SHARED = Path(
    os.environ.get("SKLEARN_DL_SHARED", Path(__file__).resolve().parents[3] / "shared")
).joinpath("data", "onnx")
needs_shared = pytest.mark.skipif(
    not SHARED.is_dir(), reason=f"the real ONNX files are not at {SHARED} (SKLEARN_DL_SHARED)"
)

node = helper.make_node


def value(name, dtype, shape):
    kind = TensorProto.STRING if dtype is str else helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    return helper.make_tensor_value_info(name, kind, shape)


def model(nodes, inputs, outputs, constants=None, ir_version=8, ml=False, extra_inputs=()):
    """ModelProto; `inputs` and `outputs` are {name: (dtype, shape)}, or ready-made ValueInfos."""
    constants = [numpy_helper.from_array(np.asarray(v), k) for k, v in (constants or {}).items()]
    inputs = [value(name, *spec) for name, spec in inputs.items()]
    if isinstance(outputs, dict):
        outputs = [value(name, *spec) for name, spec in outputs.items()]
    graph = helper.make_graph(nodes, "tiny", [*inputs, *extra_inputs], outputs, constants)
    opsets = [helper.make_opsetid("", 17)] + [helper.make_opsetid("ai.onnx.ml", 3)] * ml
    return helper.make_model(graph, opset_imports=opsets, ir_version=ir_version)


def same(dtype=np.float32, shape=("N", "F")):
    """y = x, whatever the type."""
    return model([node("Identity", ["x"], ["y"])], {"x": (dtype, shape)}, {"y": (dtype, shape)})


def negate(shape=("N", "F")):
    """y = -x."""
    return model(
        [node("Neg", ["x"], ["y"])], {"x": (np.float32, shape)}, {"y": (np.float32, shape)}
    )


WEIGHTS = np.arange(6, dtype=np.float32).reshape(3, 2) - 2


def two_layers():
    """hidden = x @ WEIGHTS, y = relu(hidden); x has 3 columns."""
    return model(
        [node("MatMul", ["x", "w"], ["hidden"]), node("Relu", ["hidden"], ["y"])],
        {"x": (np.float32, ["N", 3])},
        {"y": (np.float32, ["N", 2])},
        {"w": WEIGHTS},
    )


def add_and_multiply():
    """total = a + b, product = a * b."""
    shape = (np.float32, ["N", 2])
    return model(
        [node("Add", ["a", "b"], ["total"]), node("Mul", ["a", "b"], ["product"])],
        {"a": shape, "b": shape},
        {"total": shape, "product": shape},
    )


def row_sum():
    """y = sum over the columns, of rows of any length."""
    return model(
        [node("ReduceSum", ["x", "axis"], ["y"], keepdims=1)],
        {"x": (np.float32, ["N", "L"])},
        {"y": (np.float32, ["N", 1])},
        {"axis": np.array([1])},
    )


def mean_color(batch="N"):
    """A mean per channel of images of any size."""
    return model(
        [node("ReduceMean", ["x"], ["y"], axes=[2, 3], keepdims=0)],
        {"x": (np.float32, [batch, 3, "H", "W"])},
        {"y": (np.float32, [batch, 3])},
    )


def external(folder, weights=WEIGHTS, location="weights.bin", name="model.onnx"):
    """`two_layers` as a file whose weights are in another file; returns its path."""
    made = two_layers()
    tensor = made.graph.initializer[0]
    data = weights.tobytes()
    target = Path(folder, location)
    if not target.exists() and target.parent.is_dir():
        target.write_bytes(data)
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    for key, entry in {"location": location, "offset": "0", "length": str(len(data))}.items():
        tensor.external_data.add(key=key, value=entry)
    path = Path(folder, name)
    path.write_bytes(made.SerializeToString())
    return path
