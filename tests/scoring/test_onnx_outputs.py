import numpy as np
import pandas as pd
import polars as pl
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from onnx import TensorProto, helper
from sklearn.exceptions import NotFittedError

from sklearn_dl import OnnxScorer
from sklearn_dl.runtimes._scoring_loop import TensorSpec
from sklearn_dl.runtimes.onnx import _graph as _onnx_graph
from tests.scoring.onnx_graphs import (
    SHARED,
    WEIGHTS,
    add_and_multiply,
    model,
    needs_shared,
    negate,
    node,
    row_sum,
    same,
    two_layers,
    value,
)

X = np.array([[1.0, 2.0, 3.0], [-3.0, 0.0, 1.0], [5.0, 6.0, -9.0], [0.0, 0.5, 0.25]])
HIDDEN = X @ WEIGHTS
AB = pd.DataFrame({"a": [1.0, 2.0, 3.0], "b": [4.0, 5.0, 6.0]}, index=[9, 4, 7])
PAIRS = {"a": ["a"], "b": ["b"]}


def pair_graph():
    """total = a + b, product = a * b, each of one column."""
    made = add_and_multiply()
    for tensor in (*made.graph.input, *made.graph.output):
        tensor.type.tensor_type.shape.dim[1].dim_value = 1
    return made


def test_inner_tensor():
    hidden = OnnxScorer(two_layers(), outputs="hidden")
    assert_allclose(hidden.transform(X), HIDDEN, rtol=1e-6)
    assert_allclose(OnnxScorer(two_layers()).transform(X), HIDDEN.clip(0), rtol=1e-6)
    assert hidden.outputs_ == (TensorSpec("hidden", ("N", 2), np.dtype(np.float32)),)
    assert hidden.inputs_ == (TensorSpec("x", ("N", 3), np.dtype(np.float32)),)
    assert hidden.get_feature_names_out().tolist() == ["hidden_0", "hidden_1"]


def test_several_outputs_in_the_order_asked_for():
    scorer = OnnxScorer(two_layers(), outputs=["y", "hidden"])
    assert_allclose(scorer.transform(X), np.hstack([HIDDEN.clip(0), HIDDEN]), rtol=1e-6)
    assert scorer.get_feature_names_out().tolist() == ["y_0", "y_1", "hidden_0", "hidden_1"]
    native = scorer.set_params(output_shape="native").transform(X)
    assert list(native) == ["y", "hidden"]
    assert_allclose(native["hidden"], HIDDEN, rtol=1e-6)


def test_the_graph_is_cut():
    made = add_and_multiply()
    _onnx_graph.cut(made, ("product",))
    assert [n.op_type for n in made.graph.node] == ["Mul"]
    assert [o.name for o in made.graph.output] == ["product"]
    made = two_layers()
    made.graph.node.add(op_type="Neg", input=["z"], output=["unused"])
    made.graph.input.append(value("z", np.float32, ["N"]))
    _onnx_graph.cut(made, ("hidden",))
    assert [n.op_type for n in made.graph.node] == ["MatMul"]
    assert [i.name for i in made.graph.input] == ["x"]
    assert [i.name for i in made.graph.initializer] == ["w"]


@pytest.mark.parametrize(
    ("outputs", "message"),
    [
        (
            "hiden",
            r"no output 'hiden'; its outputs are \['y'\]; tensors with .* names: \['hidden'\]",
        ),
        (["y", "q"], r"no output 'q'; its outputs are \['y'\]\. `outputs` can name any tensor"),
        (["y", "y"], r"outputs=\['y', 'y'\] must name at least one tensor, and each only once"),
        ([], r"outputs=\[\] must name at least one tensor"),
        ("x", "no output 'x'"),
    ],
    ids=["misspelled", "unknown", "twice", "empty", "an input"],
)
def test_wrong_outputs(outputs, message):
    with pytest.raises(ValueError, match=message):
        OnnxScorer(two_layers(), outputs=outputs).transform(X)


def test_outputs_that_need_no_input():
    made = two_layers()
    constant = node("Constant", [], ["c"], value_floats=[1.0, 2.0])
    made.graph.node.append(constant)
    with pytest.raises(ValueError, match="do not depend on any input"):
        OnnxScorer(made, outputs="c").transform(X)


def branch(name, operator, outer):
    """A branch of an If that uses tensors of the outer graph."""
    out = helper.make_tensor_value_info(name, TensorProto.FLOAT, None)
    return helper.make_graph([node(operator, outer, [name])], name, [], [out])


def test_if_whose_branches_use_outer_tensors():
    nodes = [
        node("Abs", ["x"], ["a"]),
        node("Neg", ["x"], ["b"]),
        node("Exp", ["x"], ["unused"]),
        node("ReduceSum", ["x"], ["s"], keepdims=0),
        node("Cast", ["s"], ["positive"], to=TensorProto.BOOL),
        node("If", ["positive"], ["chosen"], then_branch=branch("t", "Add", ["a", "b"]),
             else_branch=branch("e", "Identity", ["b"])),
        node("Sqrt", ["chosen"], ["y"]),
    ]  # fmt: skip
    shape = (np.float32, ["N", "F"])
    made = model(nodes, {"x": shape}, {"y": shape})
    scorer = OnnxScorer(made, outputs="chosen", output_shape="native")
    assert_array_equal(scorer.transform([[1.0, -2.0]]), [[0, 4]])
    assert_array_equal(scorer.transform([[1.0, -1.0]]), [[-1, 1]])
    _onnx_graph.cut(made, ("chosen",))
    assert [n.op_type for n in made.graph.node] == ["Abs", "Neg", "ReduceSum", "Cast", "If"]


def test_loop_whose_body_uses_an_outer_tensor():
    body = helper.make_graph(
        [node("Add", ["state", "step"], ["next"]), node("Identity", ["go"], ["continue_from"])],
        "body",
        [value("i", np.int64, []), value("go", bool, []), value("state", np.float32, ["N", "F"])],
        [value("continue_from", bool, []), value("next", np.float32, ["N", "F"])],
    )
    nodes = [
        node("Abs", ["x"], ["step"]),
        node("Loop", ["times", "", "x"], ["looped"], body=body),
        node("Exp", ["looped"], ["y"]),
    ]
    shape = (np.float32, ["N", "F"])
    made = model(nodes, {"x": shape}, {"y": shape}, {"times": np.array(3)})
    assert_array_equal(OnnxScorer(made, outputs="looped").transform([[1.0, -2.0]]), [[4, 4]])


def test_initializers_that_are_inputs_in_old_files():
    made = two_layers()
    made.ir_version = 3
    made.opset_import[0].version = 8
    made.graph.input.append(value("w", np.float32, [3, 2]))
    for outputs in (None, "hidden"):
        scorer = OnnxScorer(made, outputs=outputs)
        assert [spec.name for spec in scorer.inputs_] == ["x"]
        assert scorer.transform(X).shape == (4, 2)


@pytest.mark.slow
@needs_shared
def test_ultraface_has_initializers_as_inputs():
    path = SHARED / "ultraface" / "version-RFB-320.onnx"
    image = np.zeros((1, 3, 240, 320), np.float32)
    whole = OnnxScorer(path, output_shape="native").transform(image)
    assert {name: array.shape for name, array in whole.items()} == {
        "scores": (1, 4420, 2),
        "boxes": (1, 4420, 4),
    }
    boxes = OnnxScorer(path, outputs="boxes", output_shape="native").transform(image)
    assert_array_equal(boxes, whole["boxes"])


def test_names_known_after_fit():
    scorer = OnnxScorer(negate())
    with pytest.raises(NotFittedError, match="call fit, which scores a row"):
        scorer.get_feature_names_out()
    assert scorer.fit(X).get_feature_names_out().tolist() == ["y_0", "y_1", "y_2"]
    assert OnnxScorer(row_sum()).get_feature_names_out().tolist() == ["y"]


def test_names_follow_the_outputs_after_fit():
    scorer = OnnxScorer(negate()).fit(X)
    assert scorer.fit(X[:, :1]).get_feature_names_out().tolist() == ["y"]


def test_output_of_unknown_rank():
    made = negate()
    made.graph.input[0].type.tensor_type.ClearField("shape")
    made.graph.output[0].type.tensor_type.ClearField("shape")
    scorer = OnnxScorer(made).fit(X)
    assert scorer.outputs_[0].shape is None
    assert scorer.get_feature_names_out().tolist() == ["y_0", "y_1", "y_2"]


def zip_map(keys, batch):
    kind = (
        {"classlabels_int64s": keys} if isinstance(keys[0], int) else {"classlabels_strings": keys}
    )
    zip_node = helper.make_node("ZipMap", ["x"], ["y"], domain="ai.onnx.ml", **kind)
    key_type = TensorProto.INT64 if isinstance(keys[0], int) else TensorProto.STRING
    table = helper.make_map_type_proto(key_type, helper.make_tensor_type_proto(1, []))
    out = helper.make_value_info("y", helper.make_sequence_type_proto(table))
    return model([zip_node], {"x": (np.float32, [batch, 3])}, [out], ml=True)


@pytest.mark.parametrize("batch", ["N", 1, 3])
@pytest.mark.parametrize("keys", [[94, 17, 36], ["C", "A", "B"]], ids=["integers", "strings"])
def test_zip_map_keys_are_columns(keys, batch):
    scorer = OnnxScorer(zip_map(keys, batch)).fit(X)
    names = [str(key) for key in sorted(keys)]
    assert scorer.get_feature_names_out().tolist() == names
    out = scorer.transform(X)
    assert out.dtype == np.float32
    assert_array_equal(out, X[:, [1, 2, 0]])
    frame = scorer.set_output(transform="pandas").transform(X)
    assert frame.columns.tolist() == names


@pytest.mark.parametrize(
    ("nodes", "shape"),
    [
        ([node("ReduceSum", ["x"], ["y"], keepdims=0)], []),
        ([node("ReduceMean", ["x"], ["y"], axes=[0])], [1, 3]),
        ([node("Transpose", ["x"], ["y"])], [3, "N"]),
    ],
    ids=["a sum", "a mean of columns", "transposed"],
)
@pytest.mark.parametrize("n_rows", [3, 4])
def test_output_that_is_not_per_row(nodes, shape, n_rows):
    made = model(nodes, {"x": (np.float32, ["N", 3])}, {"y": (np.float32, shape)})
    with pytest.raises(ValueError, match=r"'y' has shape .* does not have one result per row"):
        OnnxScorer(made).transform(X[:n_rows])


def test_message_of_an_output_with_a_fixed_first_size():
    made = model(
        [node("Transpose", ["x"], ["y"])],
        {"x": (np.float32, ["N", 3])},
        {"y": (np.float32, [3, "N"])},
    )
    with pytest.raises(
        ValueError, match=r"has shape \(3, 'N'\) with a fixed first size, 3: it does"
    ):
        OnnxScorer(made).transform(X)


def test_two_dimensional_and_native_shape():
    shape = (np.float32, ["N", 2, 3])
    made = model([node("Neg", ["x"], ["y"])], {"x": shape}, {"y": shape})
    cube = np.arange(24.0).reshape(4, 2, 3)
    assert_array_equal(OnnxScorer(made).transform(cube), -cube.reshape(4, 6))
    assert_array_equal(OnnxScorer(made, output_shape="native").transform(cube), -cube)


def test_rows_of_unequal_output():
    scorer = OnnxScorer(negate())
    rows = [np.ones(1), np.ones(2), np.zeros(1)]
    with pytest.raises(ValueError, match=r'different shapes .* use output_shape="native"'):
        scorer.transform(rows)
    native = scorer.set_params(output_shape="native").transform(rows)
    assert native.shape == (3,)
    assert [row.tolist() for row in native] == [[-1], [-1, -1], [0]]


def test_output_without_columns():
    shape = (np.float32, ["N", "F"])
    made = model(
        [node("Slice", ["x", "zero", "zero", "one"], ["y"])],
        {"x": shape}, {"y": shape}, {"zero": np.array([0]), "one": np.array([1])},
    )  # fmt: skip
    assert OnnxScorer(made).transform(X).shape == (4, 0)


def test_mixed_dtypes():
    inputs = {"x": (np.float32, ["N", 2])}
    nodes = [node("ArgMax", ["x"], ["best"], axis=1), node("Neg", ["x"], ["minus"])]
    outputs = {"best": (np.int64, ["N", 1]), "minus": (np.float32, ["N", 2])}
    out = OnnxScorer(model(nodes, inputs, outputs)).transform([[1, 2], [4, 3]])
    assert out.dtype == np.float64
    assert_array_equal(out, [[1, -1, -2], [0, -4, -3]])


def test_strings_beside_numbers():
    nodes = [node("Identity", ["s"], ["t"]), node("Neg", ["x"], ["y"])]
    one = ["N", 1]
    made = model(
        nodes,
        {"s": (str, one), "x": (np.float32, one)},
        {"t": (str, one), "y": (np.float32, one)},
    )
    out = OnnxScorer(made).transform(pd.DataFrame({"s": ["a", "b"], "x": [1, 2]}))
    assert out.dtype == object
    assert out.tolist() == [["a", -1.0], ["b", -2.0]]


@pytest.mark.parametrize("dtype", [np.float16, np.float64, np.int8, np.uint64, bool])
def test_output_dtype_is_the_graphs(dtype):
    out = OnnxScorer(same(dtype)).transform([[0, 1]])
    assert out.dtype == dtype
    assert out.tolist() == [[0, 1]]


def test_pandas_and_polars_output():
    scorer = OnnxScorer(pair_graph(), inputs=PAIRS).fit(AB)
    pandas = scorer.set_output(transform="pandas").transform(AB)
    assert pandas.index.tolist() == [9, 4, 7]
    assert pandas.to_dict("list") == {"total": [5, 7, 9], "product": [4, 10, 18]}
    polars = scorer.set_output(transform="polars").transform(pl.DataFrame(AB.to_dict("list")))
    assert polars.to_dict(as_series=False) == {"total": [5, 7, 9], "product": [4, 10, 18]}
    native = scorer.set_params(output_shape="native").transform(AB)
    assert native["total"].ravel().tolist() == [5, 7, 9]
