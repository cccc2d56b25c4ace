import numpy as np
import pandas as pd
import polars as pl
import pytest

from sklearn_dl import OnnxScorer
from tests.scoring.onnx_graphs import same

STRINGS = [["ab", "c"], ["", "é"]]


@pytest.mark.parametrize(
    "X",
    [
        STRINGS,
        np.array(STRINGS),
        np.array(STRINGS, dtype=object),
        pd.DataFrame(STRINGS),
        pl.DataFrame(STRINGS, schema=["a", "b"], orient="row"),
        [np.array(row) for row in STRINGS],
        pd.Series(STRINGS),
    ],
    ids=[
        "lists",
        "array of str",
        "array of objects",
        "pandas frame",
        "polars frame",
        "list of arrays",
        "pandas Series of lists",
    ],
)
def test_strings(X):
    out = OnnxScorer(same(str)).transform(X)
    assert out.dtype == object
    assert out.tolist() == STRINGS


@pytest.mark.parametrize(
    "X",
    [["a", "b"], ("a", "b"), np.array(["a", "b"]), pl.Series(["a", "b"])],
    ids=["list", "tuple", "array", "polars Series"],
)
def test_one_column_of_strings(X):
    assert OnnxScorer(same(str, ["N", 1])).transform(X).tolist() == [["a"], ["b"]]
    assert OnnxScorer(same(str, ["N"])).fit_transform(X).tolist() == [["a"], ["b"]]


def test_ragged_strings():
    out = OnnxScorer(same(str), output_shape="native").transform([["a"], ["b", "c"]])
    assert [row.tolist() for row in out] == [["a"], ["b", "c"]]


@pytest.mark.parametrize("missing", [None, np.nan, pd.NA], ids=["None", "NaN", "pd.NA"])
def test_missing_string(missing):
    with pytest.raises(ValueError, match=r"Row 1: .* takes strings, but got a missing value"):
        OnnxScorer(same(str, ["N", 1])).transform(pd.DataFrame({"x": ["a", missing]}))
    with pytest.raises(ValueError, match=r"Row 1: .* takes strings, but got a missing value"):
        OnnxScorer(same(str)).transform(pd.Series([["a", "b"], ["c", missing]]))


@pytest.mark.parametrize(("cell", "kind"), [(3, "int"), (b"b", "bytes")], ids=["int", "bytes"])
def test_cells_that_are_not_strings(cell, kind):
    with pytest.raises(
        ValueError, match=f"Row 1: .*takes strings, but got {cell!r} \\(type {kind}\\)"
    ):
        OnnxScorer(same(str, ["N", 1])).transform(["a", cell])
