"""Types that numpy does not know, the tensors inside a graph, and NaN that a graph gives."""

import numpy as np
import onnx
import pytest
from numpy.testing import assert_array_equal
from onnx import TensorProto, helper

from sklearn_dl import OnnxScorer
from tests.scoring.onnx_graphs import external, model, node, two_layers

X = np.array([[1.0, 1 / 3, -2.5], [0.0, 1e30, 7.0]], dtype=np.float32)
# bfloat16 keeps 8 bits
ROUNDED = np.array([[1.0, 0.333984375, -2.5], [0.0, 1.000256e30, 7.0]], dtype=np.float32)


def cast(start, end, opset=17):
    """A graph that casts `x` to `y`."""
    graph = helper.make_graph(
        [node("Cast", ["x"], ["y"], to=end)],
        "cast",
        [helper.make_tensor_value_info("x", start, ["N", 3])],
        [helper.make_tensor_value_info("y", end, ["N", 3])],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=10)


@pytest.mark.parametrize(
    ("start", "end"),
    [
        (TensorProto.FLOAT, TensorProto.BFLOAT16),
        (TensorProto.BFLOAT16, TensorProto.FLOAT),
        (TensorProto.BFLOAT16, TensorProto.BFLOAT16),
    ],
)
def test_bfloat16_is_float32_outside(start, end):
    scorer = OnnxScorer(cast(start, end))
    assert [str(s) for s in scorer.inputs_] == ["'x': shape ('N', 3), float32"]
    assert [str(s) for s in scorer.outputs_] == ["'y': shape ('N', 3), float32"]
    result = scorer.fit(X).transform(X)
    assert result.dtype == np.float32
    np.testing.assert_allclose(result, ROUNDED, rtol=1e-5)
    assert scorer.get_feature_names_out().tolist() == ["y_0", "y_1", "y_2"]


def test_a_number_that_bfloat16_makes_infinite_is_refused():
    scorer = OnnxScorer(cast(TensorProto.BFLOAT16, TensorProto.FLOAT))
    assert scorer.transform([[3.38e38, -3.39e38, 0]])[0, 1] < -3.38e38
    with pytest.raises(ValueError, match=r"'x' has the type bfloat16, and -3\.4e\+38 is too large"):
        scorer.transform([[1.0, -3.4e38, 0]])


def test_an_inner_tensor_of_bfloat16():
    nodes = [
        node("Cast", ["x"], ["half"], to=TensorProto.BFLOAT16),
        node("Cast", ["half"], ["y"], to=TensorProto.FLOAT),
    ]
    made = model(nodes, {"x": (np.float32, ["N", 3])}, {"y": (np.float32, ["N", 3])})
    both = OnnxScorer(made, outputs=["half", "y"], output_shape="native").transform(X)
    np.testing.assert_allclose(both["half"], ROUNDED, rtol=1e-5)
    assert_array_equal(both["half"], both["y"])


def test_bfloat16_with_external_data_and_a_name_that_is_taken(tmp_path):
    path = external(tmp_path)
    made = onnx.load(path, load_external_data=False)
    made.graph.node.append(node("Cast", ["y"], ["z"], to=TensorProto.BFLOAT16))
    made.graph.node.append(node("Neg", ["y"], ["z_float"]))
    made.graph.output.append(helper.make_tensor_value_info("z", TensorProto.BFLOAT16, ["N", 2]))
    made.graph.output.append(helper.make_tensor_value_info("z_float", TensorProto.FLOAT, None))
    path.write_bytes(made.SerializeToString())
    result = OnnxScorer(path, output_shape="native").transform([[1.0, 2.0, 3.0]])
    assert {name: array.tolist() for name, array in result.items()} == {
        "y": [[4, 10]],
        "z": [[4, 10]],
        "z_float": [[-4, -10]],
    }


def test_a_float8_output():
    scorer = OnnxScorer(cast(TensorProto.FLOAT, TensorProto.FLOAT8E4M3FN, opset=19))
    result = scorer.transform([[1.0, 0.3, -2.5]])
    assert result.dtype == np.float32
    assert result.tolist() == [[1.0, 0.3125, -2.5]]


def test_int4_output():
    scorer = OnnxScorer(cast(TensorProto.FLOAT, TensorProto.INT4, opset=21))
    result = scorer.transform([[1.0, 7.0, -8.0]])
    assert result.dtype == np.int8
    assert result.tolist() == [[1, 7, -8]]


def test_tensors_are_listed():
    scorer = OnnxScorer(two_layers())
    assert scorer.tensors_ == (
        ("hidden", ("N", 2), np.dtype(np.float32)),
        ("y", ("N", 2), np.dtype(np.float32)),
    )
    for spec in scorer.tensors_:
        assert OnnxScorer(two_layers(), outputs=spec.name).transform(X).shape == (2, 2)


def test_tensors_of_unknown_shape_and_odd_types_are_listed():
    nodes = [
        node("Constant", [], ["two"], value_float=2.0),
        node("Mul", ["x", "two"], ["double"]),
        node("Cast", ["double"], ["half"], to=TensorProto.BFLOAT16),
        node("Unknown", ["half"], ["z", ""], domain="nobody"),
        node("Identity", ["z"], ["y"]),
    ]
    made = model(nodes, {"x": (np.float32, ["N", 3])}, {"y": (np.float32, ["N", None])})
    made.opset_import.append(helper.make_opsetid("nobody", 1))
    f32 = np.dtype(np.float32)
    assert OnnxScorer(made).tensors_ == (
        ("double", ("N", 3), f32),
        ("half", ("N", 3), f32),
        ("z", None, None),
        ("y", ("N", None), f32),
    )


def test_nan_is_what_the_graph_gives():
    made = model(
        [node("Log", ["x"], ["y"])],
        {"x": (np.float32, ["N", 3])},
        {"y": (np.float32, ["N", 3])},
    )
    for shape in ("2d", "native"):
        result = OnnxScorer(made, output_shape=shape).fit([[1, 1, 1]]).transform([[1, 0, -1]])
        assert_array_equal(result, np.array([[0, -np.inf, np.nan]], np.float32))
