import pickle

import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal
from onnx import numpy_helper
from sklearn.base import clone

from sklearn_dl import OnnxScorer
from sklearn_dl.models import FolderSource, _registry, register_model
from tests.scoring.onnx_graphs import (
    add_and_multiply,
    mean_color,
    model,
    negate,
    node,
    row_sum,
    same,
    value,
)

X = np.array([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])


@pytest.mark.parametrize(
    "to_model", [bytes, str, None, "proto"], ids=["bytes", "str", "Path", "proto"]
)
def test_model_as_path_bytes_or_proto(tmp_path, to_model):
    proto = negate()
    path = tmp_path / "negate.onnx"
    path.write_bytes(proto.SerializeToString())
    given_as = {bytes: path.read_bytes(), str: str(path), None: path, "proto": proto}[to_model]
    assert_array_equal(OnnxScorer(given_as).transform(X), -X)


def test_a_bytearray_is_a_model():
    data = bytearray(negate().SerializeToString())
    scorer = OnnxScorer(data)
    assert_array_equal(scorer.transform(X), -X)
    assert "sha256" in repr(scorer)
    assert_array_equal(pickle.loads(pickle.dumps(clone(scorer))).transform(X), -X)
    with pytest.raises(ValueError, match=r"model is a memoryview, .*: pass bytes\(view\)"):
        OnnxScorer(memoryview(data)).transform(X)


def test_relative_path(tmp_path, monkeypatch):
    (tmp_path / "negate.onnx").write_bytes(negate().SerializeToString())
    monkeypatch.chdir(tmp_path)
    assert_array_equal(OnnxScorer("negate.onnx").transform(X), -X)


def test_registered_name(tmp_path, monkeypatch):
    (tmp_path / "model").mkdir()
    (tmp_path / "model/m.onnx").write_bytes(negate().SerializeToString())
    monkeypatch.setenv("SKLEARN_DL_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(_registry, "_entries", dict(_registry._entries))
    register_model("minus", FolderSource(tmp_path / "model"), file="m.onnx")
    assert_array_equal(OnnxScorer("minus").transform(X), -X)


@pytest.mark.parametrize("frame", [pd.DataFrame, pl.DataFrame], ids=["pandas", "polars"])
def test_frame_into_one_input(frame):
    X = frame({"p": [1.0, 2.0], "q": [3, 4]})
    scorer = OnnxScorer(negate().SerializeToString()).fit(X)
    assert_array_equal(scorer.transform(X), [[-1, -3], [-2, -4]])
    assert scorer.feature_names_in_.tolist() == ["p", "q"]
    with pytest.raises(ValueError, match="feature names"):
        scorer.transform(X[["q", "p"]])


@pytest.mark.parametrize("frame", [pd.DataFrame, pl.DataFrame], ids=["pandas", "polars"])
def test_columns_named_like_the_inputs(frame):
    shape = (np.float32, ["N", 1])
    proto = model(
        [node("Sub", ["a", "b"], ["y"])], {"a": shape, "b": shape}, {"y": (np.float32, ["N", 1])}
    )
    X = frame({"b": [1, 2], "other": ["x", "y"], "a": [10.0, 20.0]})
    assert_array_equal(OnnxScorer(proto).fit_transform(X), [[9], [18]])


@pytest.mark.parametrize(
    "inputs",
    [
        {"a": ["p", "q"], "b": ["r", "s"]},
        {"a": [0, 1], "b": [2, 3]},
        {"a": slice(0, 2), "b": slice(2, None)},
        {"b": [-2, -1], "a": ("p", 1)},
        {"a": np.array([0, 1]), "b": slice(-2, None)},
    ],
    ids=["names", "positions", "slices", "from the end", "array and slice"],
)
@pytest.mark.parametrize(
    "frame", [pd.DataFrame, pl.DataFrame, None], ids=["pandas", "polars", "array"]
)
def test_inputs_from_columns(inputs, frame):
    table = np.arange(12.0).reshape(3, 4)
    a, b = table[:, :2], table[:, 2:]
    by_name = any(isinstance(key, str) for keys in inputs.values() for key in np.atleast_1d(keys))
    X = table if frame is None else frame(dict(zip("pqrs", table.T, strict=True)))
    scorer = OnnxScorer(add_and_multiply(), inputs=inputs)
    if frame is None and by_name:
        with pytest.raises(ValueError, match=r"names the column 'p'; X has no column names"):
            scorer.transform(X)
    else:
        assert_array_equal(scorer.transform(X), np.hstack([a + b, a * b]))


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ({"a": 0, "c": 1}, r"unknown inputs \['c'\]; the inputs of the graph are 'a': shape"),
        ({"a": 0}, r"no columns for \['b'\]"),
        ({"a": 0, "b": 9}, r"inputs\['b'\] asks for column 9, but X has 4 columns"),
        (
            {"a": 0, "b": "z"},
            r"inputs\['b'\] names the column 'z'; X has the columns \['p', 'q', 'r', 's'\]",
        ),
        ({}, "no columns for"),
        (None, r"2 inputs: 'a': shape .*X has \['p', 'q', 'r', 's'\]"),
    ],
    ids=[
        "unknown input",
        "an input left out",
        "position too large",
        "unknown name",
        "empty",
        "not given",
    ],
)
def test_wrong_inputs(inputs, message):
    X = pd.DataFrame(np.ones((2, 4)), columns=list("pqrs"))
    with pytest.raises(ValueError, match=message):
        OnnxScorer(add_and_multiply(), inputs=inputs).transform(X)


def test_several_inputs_need_columns():
    with pytest.raises(ValueError, match="X has no column names"):
        OnnxScorer(add_and_multiply()).transform(np.ones((2, 4)))
    with pytest.raises(ValueError, match="but X is one column"):
        OnnxScorer(add_and_multiply(), inputs={"a": 0, "b": 1}).transform(["x", "y"])


def scaled(shape, default):
    """y = x * factor, where the input `factor` has a default."""
    made = negate()
    made.graph.node[0].CopyFrom(node("Mul", ["x", "factor"], ["y"]))
    made.graph.initializer.append(numpy_helper.from_array(default, "factor"))
    made.graph.input.append(value("factor", np.float32, shape))
    return made


def test_overridable_initializer():
    proto = scaled([1, 1], np.array([[2]], np.float32))
    assert_array_equal(OnnxScorer(proto).transform(X), 2 * X)
    by_row = OnnxScorer(proto, inputs={"x": [0], "factor": [1]}, batch_size=3)
    assert_array_equal(by_row.transform(X), X[:, :1] * X[:, 1:])


def test_scalar_initializer():
    proto = scaled([], np.array(2, np.float32))
    assert_array_equal(OnnxScorer(proto).transform(X), 2 * X)


@pytest.mark.parametrize(
    "kind",
    [list, np.asarray, pd.DataFrame, pl.DataFrame],
    ids=["list", "array", "pandas", "polars"],
)
def test_input_of_rank_1(kind):
    proto = same(np.int64, ["N"])
    column = kind([[3], [1]]) if kind is not pl.DataFrame else pl.DataFrame({"x": [3, 1]})
    assert_array_equal(OnnxScorer(proto).transform(column), [[3], [1]])


def test_flat_rows_are_reshaped():
    proto = model(
        [node("Transpose", ["x"], ["y"], perm=[0, 2, 1])],
        {"x": (np.float32, ["N", 2, 3])},
        {"y": (np.float32, ["N", 3, 2])},
    )
    flat = np.arange(12.0).reshape(2, 6)
    expected = flat.reshape(2, 2, 3).transpose(0, 2, 1)
    assert_array_equal(OnnxScorer(proto, output_shape="native").transform(flat), expected)
    assert_array_equal(OnnxScorer(proto).transform(flat.reshape(2, 2, 3)), expected.reshape(2, 6))


def test_rank_unknown():
    proto = negate()
    proto.graph.input[0].type.tensor_type.ClearField("shape")
    proto.graph.output[0].type.tensor_type.ClearField("shape")
    cube = np.arange(8.0).reshape(2, 2, 2)
    assert_array_equal(OnnxScorer(proto, output_shape="native").transform(cube), -cube)


COLUMNS_OF_ARRAYS = {
    "list": lambda rows: list(rows),
    "list of lists": lambda rows: [row.tolist() for row in rows],
    "pandas": lambda rows: pd.DataFrame({"x": pd.Series(list(rows), dtype=object)}),
    "pandas series": lambda rows: pd.Series(list(rows), dtype=object),
    "polars": lambda rows: pl.DataFrame({"x": [row.tolist() for row in rows]}),
    "polars series": lambda rows: pl.Series([row.tolist() for row in rows]),
}


@pytest.mark.parametrize("kind", COLUMNS_OF_ARRAYS)
@pytest.mark.parametrize(
    "lengths",
    [(2, 2, 2), (1, 3, 1), (2,), (0, 1, 0)],
    ids=["equal lengths", "two lengths", "one row", "empty rows"],
)
def test_column_of_arrays(kind, lengths):
    rows = [np.arange(length, dtype=float) + i for i, length in enumerate(lengths)]
    X = COLUMNS_OF_ARRAYS[kind](rows)
    expected = [[row.sum()] for row in rows]
    assert_array_equal(OnnxScorer(row_sum()).fit(X).transform(X), expected)


def test_column_of_arrays_keeps_its_name():
    X = pd.DataFrame({"tokens": [[1.0], [2.0, 3.0]]}, index=[7, 3])
    scorer = OnnxScorer(row_sum()).set_output(transform="pandas").fit(X)
    out = scorer.transform(X)
    assert scorer.feature_names_in_.tolist() == ["tokens"]
    assert out.index.tolist() == [7, 3]
    assert out["y"].tolist() == [1.0, 5.0]
    assert scorer.transform([np.ones(4)])["y"].tolist() == [4.0]


def test_two_columns_of_arrays():
    shape = (np.float32, ["N", "L"])
    proto = model([node("Add", ["a", "b"], ["y"])], {"a": shape, "b": shape}, {"y": shape})
    X = pd.DataFrame({"a": [[1, 2], [3], [4, 5]], "b": [[1, 1], [1], [2, 2]]})
    out = OnnxScorer(proto, output_shape="native").transform(X)
    assert [row.tolist() for row in out] == [[2, 3], [4], [6, 7]]


@settings(max_examples=30)
@given(st.lists(st.integers(0, 4), min_size=1, max_size=12), st.integers(1, 5), st.randoms())
def test_ragged_rows_equal_one_by_one(lengths, batch_size, random):
    random.shuffle(lengths)
    rows = [np.arange(length, dtype=np.float32) * (i + 1) for i, length in enumerate(lengths)]
    scorer = OnnxScorer(row_sum().SerializeToString(), batch_size=batch_size)
    alone = [scorer.transform([row])[0] for row in rows]
    assert_array_equal(scorer.transform(rows), alone)


def test_images_of_unequal_sizes():
    images = [np.full((3, 2, size), size) for size in (4, 2, 4, 3)]
    assert_array_equal(
        OnnxScorer(mean_color()).transform(images), np.repeat([[4], [2], [4], [3]], 3, axis=1)
    )


def test_the_input_is_not_modified():
    X = np.asfortranarray(np.arange(6, dtype=np.float32).reshape(2, 3))
    X.flags.writeable = False
    assert_array_equal(OnnxScorer(negate()).transform(X), -X)


def test_inputs_that_the_outputs_do_not_need_may_stay():
    nodes = [node("Neg", ["a"], ["minus_a"]), node("Add", ["a", "b"], ["sum"])]
    inputs = {name: (np.float32, ["N", 1]) for name in "ab"}
    outputs = {name: (np.float32, ["N", 1]) for name in ("minus_a", "sum")}
    scorer = OnnxScorer(model(nodes, inputs, outputs).SerializeToString(), outputs="minus_a")
    frame = pd.DataFrame({"b": [10.0, 20.0], "a": [1.0, 2.0]})
    assert_array_equal(scorer.transform(frame), [[-1], [-2]])
    assert_array_equal(scorer.transform(frame[["a"]]), [[-1], [-2]])
    scorer.set_params(inputs={"a": "b", "b": "a"})
    assert_array_equal(scorer.transform(frame), [[-10], [-20]])
    assert_array_equal(scorer.set_params(outputs="sum").transform(frame), [[11], [22]])
