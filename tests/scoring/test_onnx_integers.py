"""64-bit integers do not change, in any kind of column or list."""

import sys
from decimal import Decimal

import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sklearn_dl import OnnxScorer
from sklearn_dl.runtimes._collector import Collector
from sklearn_dl.runtimes._scoring_loop import TensorSpec
from sklearn_dl.scoring import _input_checks
from tests.scoring.onnx_graphs import model, node, same

BIG = 2**53 + 1
MAX = 2**63 - 1


@pytest.mark.parametrize(
    "X",
    [
        [[BIG, 1.0], [MAX, 2.0]],
        [[[BIG, 1.0]], [[MAX, 2.0]]],
        [(BIG, 1), (MAX, np.float32(2))],
        [np.array([BIG, 1]), np.array([MAX, 2], np.uint64)],
        [[BIG, 1], np.array([MAX, 2], np.uint64)],
        np.array([[str(BIG), 1], [f"{MAX}.0", 2]], dtype=object),
        np.array([[BIG, 1.0], [MAX, 2]], dtype=object),
        np.array([[Decimal(BIG), 1.0], [np.int64(MAX), 2]], dtype=object),
        pd.DataFrame({"a": [BIG, MAX], "b": [1.0, 2.0]}),
        pd.DataFrame({"a": [BIG, MAX], "b": np.array([1, 2], np.uint64)}),
        pd.DataFrame({"a": pd.array([BIG, MAX], dtype="Int64"), "b": [1, 2]}),
        pd.DataFrame({"a": pd.array([BIG, MAX], dtype="UInt64"), "b": [1, 2]}),
        pd.DataFrame({"a": pd.Series([BIG, MAX], dtype=object), "b": [True, 2]}),
        pd.DataFrame({"a": pd.Series([BIG, MAX]).astype("category"), "b": [1.0, 2.0]}),
        pl.DataFrame({"a": [BIG, MAX], "b": [1.0, 2.0]}),
        pl.DataFrame({"a": [BIG, MAX], "b": pl.Series([1, 2], dtype=pl.UInt64)}),
        pl.DataFrame({"a": pl.Series([BIG, MAX], dtype=pl.Object), "b": [1, 2]}),
        pl.DataFrame({"a": [Decimal(BIG), Decimal(MAX)], "b": [1, 2]}),
        pd.Series([[BIG, 1.0], [MAX, 2]]),
    ],
    ids=[
        "lists",
        "nested lists",
        "tuples",
        "arrays of int64 and uint64",
        "a list and an array",
        "strings and integers",
        "numpy objects",
        "Decimal and numpy integers",
        "pandas int64 and float64",
        "pandas int64 and uint64",
        "pandas Int64",
        "pandas UInt64",
        "pandas objects",
        "pandas categories",
        "polars Int64 and Float64",
        "polars Int64 and UInt64",
        "polars objects",
        "polars Decimal",
        "pandas Series of lists",
    ],
)
@pytest.mark.parametrize("batch_size", [1, 2])
def test_integers_are_not_rounded(X, batch_size):
    nested = isinstance(X, list) and isinstance(X[0][0], list)
    scorer = OnnxScorer(same(np.int64, ["N", 1, 2] if nested else ["N", 2]), batch_size=batch_size)
    assert scorer.fit(X).transform(X).tolist() == [[BIG, 1], [MAX, 2]]


CELLS = st.integers(-(2**63), MAX) | st.floats(-(2.0**62), 2.0**62).map(np.floor)
PROTO = same(np.int64, ["N", 2]).SerializeToString()
CONTAINERS = (
    list,
    lambda rows: np.array(rows, dtype=object),
    lambda rows: pd.DataFrame(rows, dtype=object),
    lambda rows: pd.Series(rows),
    lambda rows: pl.DataFrame(
        {"a": pl.Series([row[0] for row in rows], dtype=pl.Object)}
    ).with_columns(b=pl.Series([row[1] for row in rows], dtype=pl.Object)),
)


@pytest.mark.slow
@settings(max_examples=200, derandomize=True, deadline=None)
@given(st.lists(st.tuples(CELLS, CELLS).map(list), min_size=1, max_size=4), st.data())
def test_any_mixture_stays_exact(rows, data):
    X = data.draw(st.sampled_from(CONTAINERS))(rows)
    out = OnnxScorer(PROTO, batch_size=3).transform(X)
    assert out.tolist() == [[int(cell) for cell in row] for row in rows]


def test_rows_of_unequal_lengths():
    X = [[BIG, 0.0], np.array([MAX], np.uint64), [7, BIG]]
    out = OnnxScorer(same(np.int64, ["N", "L"]), output_shape="native").transform(X)
    assert [row.tolist() for row in out] == [[BIG, 0], [MAX], [7, BIG]]


def python_calls(function):
    """How many calls of Python's functions it takes."""
    events = []
    sys.setprofile(lambda frame, event, arg: events.append(event))
    try:
        function()
    finally:
        sys.setprofile(None)
    return events.count("call")


@pytest.mark.parametrize("dtype", [np.int64, np.float32])
def test_calls_do_not_grow_with_rows(dtype):
    scorer = OnnxScorer(same(dtype, ["N", 2]), batch_size=1000)
    few = np.array([[1, 2.0]] * 2, dtype=object)
    many = np.array([[1, 2.0]] * 1000, dtype=object)
    scorer.transform(few)
    # caches and the garbage collector make a few more
    calls = python_calls(lambda: scorer.transform(few))
    assert python_calls(lambda: scorer.transform(many)) < calls + 100


@pytest.mark.parametrize(
    ("integers", "read"),
    [([2**53, -(2**53)], False), ([1, BIG], True), ([1, -BIG], True)],
    ids=["exact as floats", "too large", "too small"],
)
def test_integers_are_read_again_only_where_floats_round_them(monkeypatch, integers, read):
    seen = []
    exact_integers = _input_checks.exact_integers

    def spy(numbers, originals, spec):
        seen.append(originals.dtype)
        return exact_integers(numbers, originals, spec)

    monkeypatch.setattr(_input_checks, "exact_integers", spy)
    X = pd.DataFrame({"a": integers, "b": [1.0, 2.0**60]})
    out = OnnxScorer(same(np.int64, ["N", 2])).transform(X)
    assert out.tolist() == [[integers[0], 1], [integers[1], 2**60]]
    assert seen == [np.dtype(object if read else float)]


def test_unsigned_integers():
    X = pd.DataFrame({"a": np.array([2**64 - 1, 0], np.uint64), "b": [1, 2]})
    assert OnnxScorer(same(np.uint64, ["N", 2])).transform(X).tolist() == [[2**64 - 1, 1], [0, 2]]


@pytest.mark.parametrize(
    ("X", "value"),
    [
        ([[1, 0.0], [2**63, 1.0]], str(2**63)),
        ([[1, 0.0], [-(2**63) - 1, 1.0]], str(-(2**63) - 1)),
        ([[1, 0.0], [2**70, 1]], str(2**70)),
        ([[1, 0.0], [1e300, BIG]], "1e.300"),
        ([[1, BIG], [0.5, BIG]], "0.5"),
        ([[1, 0.0], [Decimal(2**60) + Decimal("0.5"), 1]], "1152921504606846976.5"),
        (pd.DataFrame({"a": [0.5, 0.5], "b": [BIG, BIG]})[["a", "b"]].iloc[[0]], "0.5"),
        (pl.DataFrame({"a": [BIG, 1], "b": pl.Series([1, 2**64 - 1], dtype=pl.UInt64)}), "1844.*"),
    ],
    ids=[
        "2**63",
        "-2**63 - 1",
        "2**70",
        "1e300",
        "half",
        "half in a Decimal",
        "half in pandas",
        "uint64 in polars",
    ],
)
def test_values_that_are_not_int64(X, value):
    row = len(X) - 1
    with pytest.raises(ValueError, match=f"Row {row}: the value {value} cannot be int64"):
        OnnxScorer(same(np.int64, ["N", 2])).transform(X)


@pytest.mark.parametrize(
    "X",
    [
        pd.DataFrame({"a": pd.array([BIG, None], dtype="Int64")}),
        pl.DataFrame({"a": [BIG, None]}),
        [[BIG], [None]],
        [[BIG], [pd.NA]],
        pd.DataFrame({"a": pd.Series([BIG, None], dtype=object), "b": [1.0, 2.0]}),
    ],
    ids=["pandas Int64", "polars", "None in lists", "pd.NA in lists", "pandas objects"],
)
def test_a_missing_integer_is_an_error(X):
    with pytest.raises(ValueError, match="Row 1: X contains NaN"):
        OnnxScorer(same(np.int64)).transform(X)


def test_float_inputs_may_round_integers():
    X = pd.DataFrame({"a": [BIG, MAX], "b": [0.5, 1.0]})
    out = OnnxScorer(same(np.float32)).transform(X)
    assert out.tolist() == [[2.0**53, 0.5], [2.0**63, 1.0]]


def collected(values, dtype, errors=()):
    collector = Collector(len(values) + len(errors), [TensorSpec("ids", ("N", 1), np.dtype(dtype))])
    rows = [row for row in range(collector.n_rows) if row not in errors]
    collector.add(rows, [np.array(values, dtype).reshape(-1, 1)], len(values))
    collector.errors.update(dict.fromkeys(errors, "Row 1: cannot read 'a.jpg'"))
    return collector


@pytest.mark.parametrize("dtype", [np.int64, np.uint64])
def test_a_masked_row_never_rounds_the_others(dtype):
    out = collected([2**53, 2**60, 3], dtype, errors=[1]).table()
    assert out[[0, 2, 3], 0].tolist() == [2**53, 2**60, 3]
    assert np.isnan(out[1, 0])
    with pytest.raises(
        ValueError, match=rf"Row 2: the value {BIG} of the output 'ids' is not exact.*'a\.jpg'"
    ):
        collected([1, BIG], dtype, errors=[1]).result()
    assert collected([1, BIG], dtype).table().tolist() == [[1], [BIG]]


def test_outputs_side_by_side_never_round():
    nodes = [node("Identity", ["a"], ["ids"]), node("Identity", ["b"], ["score"])]
    inputs = {"a": (np.int64, ["N", 1]), "b": (np.float32, ["N", 1])}
    outputs = {"ids": (np.int64, ["N", 1]), "score": (np.float32, ["N", 1])}
    scorer = OnnxScorer(model(nodes, inputs, outputs))
    assert scorer.transform({"a": [2**53], "b": [0.5]}).tolist() == [[2**53, 0.5]]
    with pytest.raises(ValueError, match=rf'Row 1: the value {BIG} of .*output_shape="native"'):
        scorer.transform({"a": [1, BIG], "b": [0.5, 1]})
    both = scorer.set_params(output_shape="native").transform({"a": [1, BIG], "b": [0.5, 1]})
    assert both["ids"].tolist() == [[1], [BIG]]
    assert both["score"].tolist() == [[0.5], [1.0]]
