"""Graphs with several inputs: dicts of arrays, and constants for all rows."""

from collections import UserDict

import numpy as np
import pandas as pd
import polars as pl
import pytest
from numpy.testing import assert_array_equal
from sklearn.base import clone

from sklearn_dl import OnnxScorer, TextEncoder
from tests.scoring.onnx_graphs import add_and_multiply, model, negate, node, value

A, B = np.arange(6.0).reshape(3, 2), np.arange(6.0).reshape(3, 2) + 10


KINDS_OF_ROWS = {
    "array": np.asarray,
    "list of arrays": list,
    "lists": np.ndarray.tolist,
    "pandas frame": pd.DataFrame,
    "polars frame": pl.DataFrame,
    "polars Series": lambda rows: pl.Series(rows.tolist(), dtype=pl.Array(pl.Float64, 2)),
    "pandas Series": lambda rows: pd.Series(list(rows)),
}


@pytest.mark.parametrize("kind", KINDS_OF_ROWS)
@pytest.mark.parametrize("mapping", [dict, UserDict])
def test_dict_of_arrays(kind, mapping):
    to_rows = KINDS_OF_ROWS[kind]
    X = mapping({"b": to_rows(B), "a": to_rows(A)})
    scorer = OnnxScorer(add_and_multiply(), batch_size=2).fit(X)
    assert not hasattr(scorer, "n_features_in_")
    assert_array_equal(scorer.transform(X), np.hstack([A + B, A * B]))


def test_token_ids_and_mask():
    shape = (np.int64, ["N", "S"])
    proto = model(
        [node("Mul", ["ids", "mask"], ["y"])], {"ids": shape, "mask": shape}, {"y": shape}
    )
    ids = [[2**53 + 1, 5, 6], [7, 8, 9]]
    out = OnnxScorer(proto).transform({"ids": ids, "mask": [[1, 0, 1.0], [1, 1, 0]]})
    assert out.tolist() == [[2**53 + 1, 0, 6], [7, 8, 0]]
    ragged = OnnxScorer(proto, output_shape="native").transform(
        {"ids": [[1, 2], [3]], "mask": [[1, 1], [0]]}
    )
    assert [row.tolist() for row in ragged] == [[1, 2], [0]]


def test_columns_in_a_dict():
    shape = (np.float32, ["N", 1])
    proto = model([node("Sub", ["a", "b"], ["y"])], {"a": shape, "b": shape}, {"y": shape})
    X = {"a": [3, 4], "b": pd.Series([1.0, 2.0], index=[9, 9])}
    assert OnnxScorer(proto).transform(X).tolist() == [[2], [2]]


def test_parts_of_a_dict_that_other_outputs_need():
    scorer = OnnxScorer(three_outputs(), outputs="minus_a")
    assert_array_equal(scorer.transform({"a": A, "b": B}), -A)
    assert_array_equal(scorer.transform({"a": A}), -A)


def three_outputs():
    made = add_and_multiply()
    made.graph.node.append(node("Neg", ["a"], ["minus_a"]))
    made.graph.output.append(value("minus_a", np.float32, ["N", 2]))
    return made


@pytest.mark.parametrize(
    ("X", "message"),
    [
        ({"a": A}, r"lacks the inputs \['b'\]; the inputs of the graph are 'a': shape"),
        ({"a": A, "b": B, "c": A}, r"has unknown keys \['c'\]"),
        ({}, r"lacks the inputs \['a', 'b'\]"),
        ({"a": A, "b": B[:2]}, "have different numbers of rows: {'a': 3, 'b': 2}|'b': 2, 'a': 3"),
        ({"a": A, "b": B[:, :1]}, r"expects 'b': .* X has rows of shape \(1,\)"),
        ({"a": A, "b": "text"}, "got a single str"),
        ({"a": A, "b": 1.0}, "got a single float"),
        ({"a": A, "b": {"c": B}}, "got a single dict"),
    ],
    ids=[
        "an input left out",
        "unknown input",
        "empty",
        "unequal numbers of rows",
        "one column",
        "a string",
        "a number",
        "a dict inside",
    ],
)
def test_dict_that_does_not_fit(X, message):
    with pytest.raises(ValueError, match=message):
        OnnxScorer(add_and_multiply()).transform(X)


def test_a_dict_that_is_not_expected():
    with pytest.raises(
        ValueError, match=r"X is a dict, but the graph has only one input, 'x': pass the array"
    ):
        OnnxScorer(negate()).transform({"x": A})
    with pytest.raises(ValueError, match="set inputs=None"):
        OnnxScorer(add_and_multiply(), inputs={"a": 0, "b": 1}).transform({"a": A, "b": B})
    with pytest.raises(ValueError, match=r"or a data frame .*a dict cannot be cross-validated"):
        TextEncoder().transform({"text": ["a"]})


def test_a_frame_after_a_dict():
    scorer = OnnxScorer(add_and_multiply(), inputs=None)
    frame = pd.DataFrame({"a": list(A), "b": list(B)})
    scorer.fit(frame)
    assert scorer.feature_names_in_.tolist() == ["a", "b"]
    scorer.fit({"a": A, "b": B})
    assert not hasattr(scorer, "feature_names_in_")
    assert_array_equal(scorer.transform(frame), np.hstack([A + B, A * B]))


def scaled(shape, dtype=np.float32, extra=()):
    """y = x * factor."""
    inputs = {"x": (dtype, ["N", 2]), "factor": (dtype, shape)}
    return model([node("Mul", ["x", "factor"], ["y"])], inputs, {"y": (dtype, ["N", 2])})


@pytest.mark.parametrize(
    ("shape", "factor", "seen"),
    [
        ([], 3, [3, 3]),
        ([], np.float64(3), [3, 3]),
        ([], np.array(3), [3, 3]),
        ([1], 3, [3, 3]),
        ([2], [2, 3], [2, 3]),
        ([2], 3, [3, 3]),
        ([1, 2], [[2, 3]], [2, 3]),
        ([1, 1], 3, [3, 3]),
        (["N", 2], [2, 3], [2, 3]),
        (["N", 2], [[2, 3]], [2, 3]),
        (["N", 2], (True, False), [1, 0]),
        (["N", 1], 3, [3, 3]),
        (["N", 1], [3], [3, 3]),
        ([None, 2], pd.Series([2, 3]), [2, 3]),
        (["K"], [2, 3], [2, 3]),
        (["K", 2], [[2, 3]], [2, 3]),
        (None, [2, 3], [2, 3]),
    ],
    ids=[
        "scalar, int",
        "scalar, float64",
        "scalar, 0-D array",
        "[1], int",
        "[2], list",
        "[2], int",
        "[1, 2], nested list",
        "[1, 1], int",
        "[N, 2], list",
        "[N, 2], nested list",
        "[N, 2], tuple of bool",
        "[N, 1], int",
        "[N, 1], list",
        "[?, 2], pandas Series",
        "[K], list",
        "[K, 2], nested list",
        "unknown, list",
    ],
)
@pytest.mark.parametrize("batch_size", [1, 2, 3])
def test_constants(shape, factor, seen, batch_size):
    proto = scaled(shape)
    scorer = OnnxScorer(proto, constants={"factor": factor}, batch_size=batch_size)
    assert_array_equal(scorer.fit(A).transform(A), A * seen)
    assert_array_equal(clone(scorer).transform(pd.DataFrame(A, columns=["p", "q"])), A * seen)
    assert [spec.name for spec in scorer.inputs_] == ["x", "factor"]


def test_constants_of_a_fixed_batch():
    proto = model(
        [node("Mul", ["x", "factor"], ["y"])],
        {"x": (np.float32, [2, 2]), "factor": (np.float32, [2, 2])},
        {"y": (np.float32, [2, 2])},
    )
    assert_array_equal(OnnxScorer(proto, constants={"factor": 3}).transform(A), 3 * A)


def test_constants_beside_named_columns():
    scorer = OnnxScorer(add_and_multiply(), inputs={"a": [0, 1]}, constants={"b": 2})
    assert_array_equal(scorer.transform(A), np.hstack([A + 2, A * 2]))
    scorer.set_params(inputs=None)
    assert_array_equal(scorer.transform(A), np.hstack([A + 2, A * 2]))
    with pytest.raises(ValueError, match=r"unknown inputs \['b'\]"):
        scorer.set_params(inputs={"a": [0, 1], "b": [0, 1]}).transform(A)


def test_constants_that_only_other_outputs_need():
    scorer = OnnxScorer(three_outputs(), outputs="minus_a", constants={"b": 2})
    assert_array_equal(scorer.transform(A), -A)


def test_integers_in_constants_are_exact():
    scorer = OnnxScorer(scaled([2], np.int64), constants={"factor": [2**53 + 1, 1.0]})
    assert scorer.transform([[1, 1]]).tolist() == [[2**53 + 1, 1]]


@pytest.mark.parametrize(
    ("shape", "constants", "message"),
    [
        (
            [],
            {"keep": 1},
            r"`constants` has unknown inputs \['keep'\]; the inputs of the graph are 'x'",
        ),
        ([], {"factor": "a"}, r"constants\['factor'\] does not match the input 'factor'"),
        ([], {"factor": None}, r"constants\['factor'\] does not match"),
        ([], {"factor": 1e39}, r"constants\['factor'\] .*float32: the value 1e\+39 cannot"),
        ([], {"factor": 2**2000}, r"constants\['factor'\] does not match .* too large"),
        ([], {"factor": "a" * 10**5}, r"constants\['factor'\] .*: it takes numbers, got 'aa"),
        ([], {"factor": 1j}, r"constants\['factor'\] does not match .*: it takes numbers, got 1j"),
        ([2], {"factor": [1, 2, 3]}, r"has shape \(3,\)\. Set a value for the whole input"),
        # three rows: a value per row would be that of other rows in the next batch
        (["N", 2], {"factor": A}, r"has shape \(3, 2\)\. Set a value for one row of the input"),
        ([None, 2], {"factor": A}, r"has shape \(3, 2\)\. Set a value for one row of the input"),
        (["N", "F"], {"factor": 1}, r"has shape \(\)\. .* a single number if all its sizes"),
        ([], {"factor": 1, "x": [1, 2]}, "`constants` has every input of the graph"),
    ],
    ids=[
        "unknown input",
        "string",
        "None",
        "too large for float32",
        "too large for a float",
        "long string",
        "complex number",
        "three for two",
        "three rows",
        "three rows, unnamed size",
        "one for unknown sizes",
        "every input",
    ],
)
def test_constants_that_do_not_fit(shape, constants, message):
    with pytest.raises(ValueError, match=message) as raised:
        OnnxScorer(scaled(shape), constants=constants).transform(A)
    assert "Row" not in str(raised.value)


@pytest.mark.parametrize("value", [2**70, [2**70, 1], 1.5, np.nan, np.uint64(2**63)], ids=str)
def test_constants_that_are_not_integers_of_the_graph(value):
    message = (
        r"^constants\['factor'\] does not match .*, int64: the value .* cannot be int64 without"
    )
    with pytest.raises(ValueError, match=message):
        OnnxScorer(scaled([2], np.int64), constants={"factor": value}).transform([[1, 1]])


def test_strings_in_constants():
    proto = model(
        [node("Identity", ["x"], ["y"]), node("Identity", ["word"], ["w"])],
        {"x": (np.float32, ["N", 2]), "word": (str, ["N", 1])},
        {"y": (np.float32, ["N", 2]), "w": (str, ["N", 1])},
    )
    out = OnnxScorer(proto, constants={"word": "a"}).transform(A)
    assert out[:, 2].tolist() == ["a"] * 3
    with pytest.raises(ValueError, match="it takes strings, got 1"):
        OnnxScorer(proto, constants={"word": 1}).transform(A)
