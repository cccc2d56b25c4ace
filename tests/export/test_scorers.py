"""Exported OnnxScorers give the scorers' results; `to_onnx` compares them on the sample."""

import numpy as np
import onnx
import onnxruntime as ort
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from onnx import TensorProto, helper
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from sklearn_dl import OnnxScorer, TensorFlowScorer
from sklearn_dl.export import to_onnx
from tests.scoring.onnx_graphs import (
    add_and_multiply,
    external,
    model,
    negate,
    node,
    row_sum,
    same,
    two_layers,
)
from tests.scoring.onnx_graphs import value as value_info

RNG = np.random.default_rng(0)
X = RNG.normal(size=(5, 3)).astype(np.float32)


def run(made, feeds):
    onnx.checker.check_model(made, full_check=True)
    session = ort.InferenceSession(made.SerializeToString())
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, feeds), strict=True))


def test_the_outputs_keep_their_names():
    made = to_onnx(OnnxScorer(add_and_multiply()), {"a": X[:, :2], "b": X[:, 1:]})
    results = run(made, {"a": X[:, :2], "b": X[:, 1:]})
    assert list(results) == ["total", "product"]
    assert_array_equal(results["total"], X[:, :2] + X[:, 1:])


def test_columns_of_a_frame_become_inputs():
    frame = pd.DataFrame(X.astype(np.float64), columns=["a", "b", "c"])
    scorer = OnnxScorer(add_and_multiply(), inputs={"a": ["c", "a"], "b": ["b", "c"]})
    made = to_onnx(scorer, frame)
    assert [value.name for value in made.graph.input] == ["a", "b", "c"]
    results = run(made, {name: frame[[name]].to_numpy() for name in frame})
    assert_array_equal(np.hstack([results["total"], results["product"]]), scorer.transform(frame))


def test_inner_tensors_and_a_step_of_scikit_learn_after_them():
    y = X[:, 0] > 0
    pipe = make_pipeline(OnnxScorer(two_layers(), outputs="hidden"), LogisticRegression())
    made = to_onnx(pipe.fit(X, y), X)
    results = run(made, {"X": X})
    assert results["label"].dtype == bool
    assert_array_equal(results["label"], pipe.predict(X))
    assert_allclose(results["probabilities"], pipe.predict_proba(X), atol=1e-6)


def test_external_data_is_inside(tmp_path):
    path = external(tmp_path)
    scorer = OnnxScorer(path)
    made = to_onnx(scorer, X)
    (tmp_path / "weights.bin").unlink()
    assert_array_equal(run(made, {"X": X})["y"], two_layers_of(X))
    assert str(tmp_path).encode() not in made.SerializeToString()


def two_layers_of(rows):
    return OnnxScorer(two_layers()).transform(rows)


@pytest.mark.parametrize("opset", [9, 11, 13, 17, 21])
def test_graphs_of_any_opset(opset):
    graph = helper.make_graph(
        [helper.make_node("Softmax", ["x"], ["y"], axis=1)],
        "softmax",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 3])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 3])],
    )
    opsets = [helper.make_opsetid("", opset)]
    made = helper.make_model(graph, opset_imports=opsets, ir_version=8)
    exported = to_onnx(OnnxScorer(made), X)
    versions = {entry.domain: entry.version for entry in exported.opset_import}
    assert versions[""] == max(18, opset)
    assert_allclose(run(exported, {"X": X})["y"], OnnxScorer(made).transform(X), atol=1e-6)


def test_a_target_opset_below_that_of_a_graph_is_refused():
    made = same()
    made.opset_import[0].version = 21
    with pytest.raises(ValueError, match=r"target_opset=19, but .* opset 21"):
        to_onnx(OnnxScorer(made), X, target_opset=19)


def test_subgraphs_that_read_values_from_outside():
    branch = [
        helper.make_graph(
            [helper.make_node(operator, ["x", "two"], [name])],
            name,
            [],
            [helper.make_tensor_value_info(name, TensorProto.FLOAT, None)],
        )
        for operator, name in (("Mul", "then"), ("Add", "else"))
    ]
    made = model(
        [
            node("ReduceSum", ["x"], ["sum"], keepdims=0),
            node("Greater", ["sum", "zero"], ["is_positive"]),
            node("If", ["is_positive"], ["y"], then_branch=branch[0], else_branch=branch[1]),
        ],
        {"x": (np.float32, ["N", 3])},
        {"y": (np.float32, ["N", 3])},
        {"two": np.float32(2), "zero": np.float32(0)},
    )
    pipe = make_pipeline(OnnxScorer(negate()), OnnxScorer(made, batch_size=8))
    results = to_onnx(pipe, X)
    for rows in (np.abs(X), -np.abs(X)):
        assert_allclose(run(results, {"X": rows})["y"], pipe.transform(rows), rtol=1e-6)


def test_the_batch_size_of_a_graph_is_that_of_the_file():
    made = model(
        [node("Neg", ["x"], ["y"])], {"x": (np.float32, [2, 3])}, {"y": (np.float32, [2, 3])}
    )
    exported = to_onnx(OnnxScorer(made), X)
    for value in (*exported.graph.input, *exported.graph.output):
        assert value.type.tensor_type.shape.dim[0].dim_value == 2
    assert_array_equal(run(exported, {"X": X[:2]})["y"], -X[:2])


def test_maps_become_tables_in_the_order_of_their_keys():
    made = model(
        [node("ZipMap", ["x"], ["y"], domain="ai.onnx.ml", classlabels_strings=["b", "c", "a"])],
        {"x": (np.float32, ["N", 3])},
        [
            helper.make_value_info(
                "y",
                helper.make_sequence_type_proto(
                    helper.make_map_type_proto(
                        TensorProto.STRING, helper.make_tensor_type_proto(TensorProto.FLOAT, [])
                    )
                ),
            )
        ],
        ml=True,
    )
    scorer = OnnxScorer(made).fit(X)
    exported = to_onnx(scorer, X)
    assert_array_equal(run(exported, {"X": X})["y"], X[:, [2, 0, 1]])
    assert scorer.get_feature_names_out().tolist() == ["a", "b", "c"]


@pytest.mark.parametrize("value", [2.0, [1.0, 2.0]])
def test_constants_are_inside(value):
    frame = pd.DataFrame(X[:, :2], columns=["a0", "a1"])
    scorer = OnnxScorer(
        add_and_multiply(), inputs={"a": ["a0", "a1"]}, constants={"b": value}, outputs="product"
    )
    results = run(to_onnx(scorer, frame), {name: frame[[name]].to_numpy() for name in frame})
    assert_array_equal(results["product"], X[:, :2] * np.float32(value))


def test_rows_with_several_axes():
    rows = RNG.normal(size=(4, 3, 5, 6)).astype(np.float32)
    made = to_onnx(OnnxScorer(same(shape=("N", 3, "H", "W")), output_shape="native"), rows)
    assert_array_equal(run(made, {"X": rows})["y"], rows)


def test_flat_rows_are_reshaped():
    made = model(
        [node("ReduceMean", ["x"], ["y"], axes=[2], keepdims=0)],
        {"x": (np.float32, ["N", 3, 2])},
        {"y": (np.float32, ["N", 3])},
    )
    rows = RNG.normal(size=(4, 6)).astype(np.float32)
    assert_allclose(
        run(to_onnx(OnnxScorer(made), rows), {"X": rows})["y"],
        rows.reshape(4, 3, 2).mean(axis=2),
        rtol=1e-6,
    )


def test_integers_and_float64_are_cast_to_the_type_of_the_input():
    rows = np.arange(6).reshape(2, 3)
    assert_array_equal(run(to_onnx(OnnxScorer(negate()), rows), {"X": rows})["y"], -rows)


def test_strings():
    texts = np.array([["a"], ["b"]], dtype=object)
    made = to_onnx(OnnxScorer(same(str, ["N"])), ["a", "b"])
    assert run(made, {"text": texts})["y"].tolist() == ["a", "b"]


def test_types_that_numpy_lacks():
    kind = TensorProto.BFLOAT16
    graph = helper.make_graph(
        [helper.make_node("Identity", ["x"], ["y"])],
        "same",
        [helper.make_tensor_value_info("x", kind, ["N", 3])],
        [helper.make_tensor_value_info("y", kind, ["N", 3])],
    )
    opsets = [helper.make_opsetid("", 17)]
    made = helper.make_model(graph, opset_imports=opsets, ir_version=8)
    results = run(to_onnx(OnnxScorer(made), X), {"X": X})
    assert results["y"].dtype == np.float32
    assert_array_equal(results["y"], OnnxScorer(made).transform(X))


def test_sizes_that_only_fit_knows():
    pipe = make_pipeline(OnnxScorer(same(shape=("N", "F"))), LogisticRegression())
    pipe.fit(X, X[:, 0] > 0)
    assert_array_equal(run(to_onnx(pipe, X), {"X": X})["label"], pipe.predict(X))


def test_the_model_in_the_scorer_is_not_changed():
    graph = two_layers()
    before = graph.SerializeToString()
    to_onnx(OnnxScorer(graph), X)
    assert graph.SerializeToString() == before


def test_an_exported_file_is_a_graph_for_a_scorer():
    pipe = make_pipeline(OnnxScorer(two_layers()), LogisticRegression()).fit(X, X[:, 0] > 0)
    again = OnnxScorer(to_onnx(pipe, X), outputs="probabilities")
    assert_allclose(again.transform(X), pipe.predict_proba(X), atol=1e-6)


@pytest.mark.parametrize(
    ("scorer", "message"),
    [
        (OnnxScorer(negate(), on_error="nan"), r'OnnxScorer cannot be exported: on_error="nan"'),
        (TensorFlowScorer("folder"), "TensorFlowScorer cannot be exported: it runs a TensorFlow"),
        (OnnxScorer(row_sum(), inputs={"x": ["a"]}), "names the column 'a', but the columns are"),
    ],
)
def test_what_cannot_be_in_a_file_is_refused_by_name(scorer, message):
    with pytest.raises(ValueError, match=message):
        to_onnx(scorer, X)


def test_an_output_without_a_row_for_each_row_is_refused():
    made = model(
        [node("ReduceSum", ["x"], ["y"], keepdims=0)],
        {"x": (np.float32, ["N", 3])},
        {"y": (np.float32, [])},
    )
    with pytest.raises(ValueError, match="does not have one result per row"):
        to_onnx(OnnxScorer(made), X)


def test_the_types_of_contrib_operators_are_kept():
    # onnx.checker ends the process if the strings of Tokenizer have no type
    split = {"mark": 0, "mincharnum": 1, "pad_value": "", "separators": [""]}
    codes = {"keys_strings": ["a", "b"], "values_int64s": [1, 2], "default_int64": 0}
    made = model(
        [
            node("Tokenizer", ["t"], ["letters"], domain="com.microsoft", **split),
            node("LabelEncoder", ["letters"], ["codes"], domain="ai.onnx.ml", **codes),
            node("ReduceSum", ["codes", "axes"], ["total"], keepdims=0),
        ],
        {"t": (str, ["N"])},
        {"total": (np.int64, ["N"])},
        {"axes": np.array([1])},
        ml=True,
    )
    made.opset_import.append(helper.make_opsetid("com.microsoft", 1))
    made.graph.value_info.append(value_info("letters", str, ["N", "n"]))
    texts = np.array(["ab", "bcb"], dtype=object)
    for opset in (18, 20):
        exported = to_onnx(OnnxScorer(made), texts, target_opset=opset)
        assert run(exported, {"text": texts[:, None]})["total"].ravel().tolist() == [3, 4]


def test_the_size_of_a_constant_is_no_batch_size():
    graph = model(
        [node("Gather", ["x", "places"], ["y"], axis=1)],
        {"x": (np.float32, ["N", 3]), "places": (np.int64, [2])},
        {"y": (np.float32, ["N", 2])},
    )
    scorer = OnnxScorer(graph, inputs={"x": [0, 1, 2]}, constants={"places": [2, 0]})
    made = to_onnx(scorer, X)
    assert made.graph.input[0].type.tensor_type.shape.dim[0].dim_param == "N"
    assert_array_equal(run(made, {"X": X})["y"], X[:, [2, 0]])


@pytest.mark.parametrize("outputs", ["label", ["label", "probabilities"]])
def test_a_classifier_inside_a_scorer(outputs):
    classifier = to_onnx(LogisticRegression().fit(X, np.array(["a", "b", "a", "b", "c"])), X)
    made = to_onnx(OnnxScorer(classifier, outputs=outputs), X)  # this compares the outputs
    assert run(made, {"X": X})["label"].tolist() == run(classifier, {"X": X})["label"].tolist()


def test_a_dict_of_strings():
    graph = model(
        [node("Concat", ["a", "b"], ["y"], axis=1)],
        {"a": (str, ["N", 1]), "b": (str, ["N", 1])},
        {"y": (str, ["N", 2])},
    )
    rows = {name: np.array([["x"], [name]], dtype=object) for name in ("a", "b")}
    made = to_onnx(OnnxScorer(graph), rows)
    assert run(made, rows)["y"].tolist() == [["x", "x"], ["a", "b"]]
