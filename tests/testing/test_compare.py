"""Which results are the same, and the error if they differ."""

import copy

import numpy as np
import pandas as pd
import pytest
from scipy.sparse import csr_matrix

from sklearn_dl.testing._compare import as_rows, assert_refused, assert_same
from sklearn_dl.utils._columns import object_array

SPANS = [{"n": 1, "box": np.zeros((2, 4))}, {"n": 2, "box": np.ones((1, 4))}]
DETECTIONS = np.array([(1.0, "cat")], dtype=[("score", "f4"), ("label", "O")])


@pytest.mark.parametrize(
    ("result", "shape"),
    [
        (np.zeros((2, 3)), (2, 3)),
        (csr_matrix(np.eye(3)), (3, 3)),
        (pd.DataFrame({"a": [1, 2]}), (2, 1)),
        (["a", "b"], (2,)),
        ([1.0, np.float32(2)], (2,)),
        ([["a"], ["b", "c"]], (2,)),
        ([["a"]], (1,)),
        ([np.zeros((1, 4))], (1,)),
        ([None, "a"], (2,)),
        (SPANS, (2,)),
    ],
    ids=[
        "array",
        "sparse",
        "frame",
        "strings",
        "numbers",
        "ragged lists",
        "one list",
        "one array",
        "None",
        "dicts",
    ],
)
def test_a_result_has_a_row_for_each_row(result, shape):
    assert as_rows(result).shape == shape


@pytest.mark.parametrize(
    "value",
    [
        np.arange(3.0),
        np.array([np.nan, 1.0]),
        np.array(["a", "b"]),
        np.array([None, 1], dtype=object),
        np.array([pd.Timestamp("2026-01-01")], dtype=object),
        object_array(SPANS),
        object_array([["a"], ["b", "c"], []]),
        object_array([np.zeros(2), np.zeros((2, 2))]),
        object_array([DETECTIONS, DETECTIONS[:0]]),
        np.array([{1, 2}, frozenset()], dtype=object),
    ],
    ids=[
        "floats",
        "nan",
        "strings",
        "None",
        "dates",
        "dicts",
        "lists",
        "arrays",
        "detections",
        "sets",
    ],
)
def test_equal_results_are_the_same(value):
    assert_same(copy.deepcopy(value), value)
    assert_same(copy.deepcopy(value), value, atol=1e-5)


@pytest.mark.parametrize(
    ("actual", "expected", "message"),
    [
        (np.zeros(2), np.zeros(3), r"shape of y is \(2,\), not \(3,\)"),
        (np.zeros(2, "f4"), np.zeros(2), r"dtype of y is dtype\('float32'\)"),
        (np.array(["a"]), np.array(["b"]), "y"),
        (np.array([None, 1], object), np.array([None, 2], object), r"y\[1\]"),
        (object_array([["a"]]), object_array([["a", "b"]]), r"y\[0\] is \['a'\], not \['a', 'b'\]"),
        (object_array([{"a": 1}]), object_array([{"b": 1}]), r"y\[0\] is \{'a': 1\}"),
        (object_array([{"a": 1}]), object_array([{"a": 2}]), r"y\[0\]\['a'\]"),
        (object_array([1]), object_array([{"a": 2}]), r"y\[0\] is 1, not \{'a': 2\}"),
        (object_array([1]), object_array([["a"]]), r"y\[0\] is 1, not \['a'\]"),
        (
            object_array([DETECTIONS]),
            object_array([np.array([(2.0, "cat")], dtype=DETECTIONS.dtype)]),
            r"y\[0\]\['score'\]",
        ),
    ],
)
def test_what_differs_is_named(actual, expected, message):
    with pytest.raises(AssertionError, match=message):
        assert_same(actual, expected, where="y")


def test_numbers_may_differ_by_atol():
    assert_same(np.array([1.0, 0.0]), np.array([1.0, 1e-6]), atol=1e-5)
    with pytest.raises(AssertionError):
        assert_same(np.array([1.0, 0.0]), np.array([1.0, 1e-6]), atol=1e-7)
    with pytest.raises(AssertionError):
        assert_same(np.array([1.0]), np.array([1.0 + 1e-12]))  # 0: no difference at all


def fail(error):
    raise error


def test_a_refusal_has_an_error_of_the_type_with_the_words():
    assert_refused("it", fail, ValueError("no Rows"), says="column|rows")
    with pytest.raises(AssertionError, match="it raises no error"):
        assert_refused("it", int)
    with pytest.raises(AssertionError, match="it raises TypeError: odd"):
        assert_refused("it", fail, TypeError("odd"))
    with pytest.raises(AssertionError, match='does not contain "column" or "row": odd'):
        assert_refused("it", fail, ValueError("odd"), says="column|row")
