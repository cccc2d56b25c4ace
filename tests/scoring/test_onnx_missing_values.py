import numpy as np
import pandas as pd
import polars as pl
import pytest
from numpy.testing import assert_array_equal
from onnx import helper

from sklearn_dl import OnnxScorer
from tests.scoring.onnx_graphs import model, negate, node, row_sum, same


def test_numbers_with_missing_values_are_refused():
    with pytest.raises(ValueError, match="Row 0: X contains NaN"):
        OnnxScorer(negate()).transform([[1.0, np.nan]])
    with pytest.raises(ValueError, match="Row 0: X contains infinity"):
        OnnxScorer(negate()).transform([[1.0, np.inf]])
    message = r"Row 1: the array contains a missing value \(NaN or null\), which"
    with pytest.raises(ValueError, match=message):
        OnnxScorer(row_sum()).transform([np.ones(1), np.array([1, np.nan])])
    with pytest.raises(ValueError, match="Row 1: the array contains infinity, which OnnxScorer"):
        OnnxScorer(row_sum()).transform([np.ones(1), np.array([1, np.inf])])


LISTS = [[1.0, 2.0], [1.0, None]]


@pytest.mark.parametrize(
    "X",
    [
        pl.DataFrame({"x": LISTS}),
        pl.DataFrame({"x": LISTS}, schema={"x": pl.Array(pl.Float32, 2)}),
        pl.DataFrame({"x": [[1, 2], [1, None]]}),
        pl.Series(LISTS),
        pd.DataFrame({"x": LISTS}),
        pd.Series([[1, 2], [1, pd.NA]]),
        pd.Series([np.ones(2), np.array([1, None])]),
    ],
    ids=[
        "polars lists of floats",
        "polars arrays",
        "polars lists of integers",
        "polars Series",
        "pandas lists",
        "pandas Series with pd.NA",
        "pandas Series of arrays",
    ],
)
def test_a_null_inside_a_list_is_a_missing_value(X):
    with pytest.raises(ValueError, match="Row 1: the array contains a missing value"):
        OnnxScorer(negate()).transform(X)
    shape = ["N", "F"]
    is_nan = model([node("IsNaN", ["x"], ["y"])], {"x": (np.float32, shape)}, {"y": (bool, shape)})
    assert_array_equal(OnnxScorer(is_nan).transform(X), [[False, False], [False, True]])


def test_missing_values_for_graphs_that_know_them():
    shape = ["N", "F"]
    is_nan = model([node("IsNaN", ["x"], ["y"])], {"x": (np.float32, shape)}, {"y": (bool, shape)})
    out = OnnxScorer(is_nan).transform([[1.0, np.nan], [np.inf, 2.0]])
    assert_array_equal(out, [[False, True], [False, False]])
    assert out.dtype == bool


def test_missing_values_for_tree_ensembles():
    tree = helper.make_node(
        "TreeEnsembleRegressor", ["x"], ["y"], domain="ai.onnx.ml",
        nodes_treeids=[0] * 3, nodes_nodeids=[0, 1, 2], nodes_featureids=[0] * 3,
        nodes_modes=["BRANCH_LEQ", "LEAF", "LEAF"], nodes_values=[0.5, 0.0, 0.0],
        nodes_truenodeids=[1, 0, 0], nodes_falsenodeids=[2, 0, 0],
        nodes_missing_value_tracks_true=[1, 0, 0],
        target_treeids=[0, 0], target_nodeids=[1, 2], target_ids=[0, 0],
        target_weights=[-1.0, 1.0], n_targets=1,
    )  # fmt: skip
    proto = model([tree], {"x": (np.float32, ["N", 1])}, {"y": (np.float32, ["N", 1])}, ml=True)
    assert_array_equal(OnnxScorer(proto).transform([[0.0], [1.0], [np.nan]]), [[-1], [1], [-1]])


@pytest.mark.parametrize("dtype", ["Int64", "Float32", "boolean"])
def test_nullable_pandas_columns(dtype):
    X = pd.DataFrame({"x": pd.array([1, 0], dtype=dtype)})
    assert_array_equal(OnnxScorer(same(np.int64)).transform(X), [[1], [0]])
    assert_array_equal(OnnxScorer(same(np.int64), inputs={"x": "x"}).transform(X), [[1], [0]])
    X.loc[1, "x"] = pd.NA
    for inputs in (None, {"x": ["x"]}):
        with pytest.raises(ValueError, match=r"NaN|missing"):
            OnnxScorer(same(np.int64), inputs=inputs).transform(X)
