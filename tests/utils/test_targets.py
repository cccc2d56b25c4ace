import sys
from collections import deque

import numpy as np
import pandas as pd
import polars as pl
import pytest
from sklearn.base import BaseEstimator
from sklearn.exceptions import DataConversionWarning

from sklearn_dl.utils._targets import target_column


def python_calls(function):
    """How many calls of Python's functions it takes."""
    events = []
    sys.setprofile(lambda frame, event, arg: events.append(event))
    try:
        function()
    finally:
        sys.setprofile(None)
    return events.count("call")


def repeated(y, times):
    if isinstance(y, list):
        return y * times
    return np.tile(y, times) if isinstance(y, np.ndarray) else pd.concat([y] * times)


class Step(BaseEstimator):
    """An estimator to be named in messages."""


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.DataConversionWarning")
@pytest.mark.parametrize(
    "missing",
    [None, np.nan, np.float32("nan"), pd.NA, pd.NaT, float("nan")],
    ids=["None", "numpy nan", "float32 nan", "NA", "NaT", "nan"],
)
@pytest.mark.parametrize(
    "container",
    [
        list,
        tuple,
        deque,
        pytest.param(lambda cells: [[cell] for cell in cells], id="rows"),
        pytest.param(lambda cells: pd.Series(cells, dtype=object), id="series"),
        pytest.param(lambda cells: pd.DataFrame({"y": pd.Series(cells, dtype=object)}), id="frame"),
        pytest.param(lambda cells: np.array([*cells], dtype=object), id="array"),
        pytest.param(lambda cells: pd.Index(cells, dtype=object), id="index"),
        pytest.param(lambda cells: pd.Series(cells, dtype="category"), id="categories"),
    ],
)
@pytest.mark.parametrize("label", ["a", b"a", True, 1, 0.5], ids=repr)
def test_a_missing_target_is_named(missing, container, label):
    y = container([label, label, missing, label])
    with pytest.raises(ValueError, match=r"^y is missing \(NaN or None\) in row\(s\) 2: drop"):
        target_column(y, "y")


@pytest.mark.parametrize(
    "y",
    [
        pd.Series(["a", None], dtype="string"),
        pd.Series([2**53 + 1, None], dtype="Int64"),
        pd.Series([True, None], dtype="boolean"),
        pl.Series(["a", None]),
        pl.Series([2**53 + 1, None]),
        pl.Series([True, None]),
        np.array(["2020", "NaT"], dtype="M8[D]"),
    ],
    ids=[
        "pandas strings",
        "pandas integers",
        "pandas booleans",
        "polars strings",
        "polars integers",
        "polars booleans",
        "dates",
    ],
)
def test_a_missing_target_of_any_dtype(y):
    with pytest.raises(ValueError, match=r"y_val is missing .* row\(s\) 1:"):
        target_column(y, "y_val")


@pytest.mark.parametrize("y", [[2**53 + 1, 2**53, 1.0], [[2**53 + 1], [1.5]]], ids=["list", "rows"])
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.DataConversionWarning")
def test_integers_that_floats_do_not_hold(y):
    with pytest.raises(
        ValueError, match="contains floats and, in row 0, the integer 9007199254740993"
    ):
        target_column(y, "y")


def test_large_integers_that_floats_hold():
    y = target_column([2**53, 2**60, -(2**60), 0.5, 2**53 + 2], "y")
    assert y.tolist() == [2**53, 2**60, -(2**60), 0.5, 2**53 + 2]


@pytest.mark.parametrize("container", [list, np.array, pl.Series], ids=["list", "array", "polars"])
@pytest.mark.parametrize("infinite", [np.inf, -np.inf])
def test_an_infinite_target_is_named(container, infinite):
    with pytest.raises(ValueError, match=r"^y_val is infinite in row 1\.$"):
        target_column(container([0.5, infinite, 1.0, infinite]), "y_val")


@pytest.mark.parametrize(
    "y",
    [
        ["a", "nan"],
        [0, 1],
        [0.5, 1.5],
        np.array(["a", "nan"]),
        np.array([1, 0]),
        np.array(["a", "nan"], dtype=object),
        pd.Series(["a", "nan"], dtype=object),
    ],
    ids=["strings", "ints", "floats", "string array", "int array", "object array", "series"],
)
def test_calls_do_not_grow_with_rows(y):
    def calls(labels):
        return python_calls(lambda: target_column(labels, "y"))

    # caches and the garbage collector make a few more
    assert calls(repeated(y, 500)) < calls(y) + 100


def test_many_missing_targets():
    with pytest.raises(ValueError, match=r"row\(s\) 1, 2, 3, 4, 5 and 2 more: drop"):
        target_column(["a", *[np.nan] * 7], "y")


@pytest.mark.parametrize(
    ("y", "expected", "kind"),
    [
        (["nan", "a"], ["nan", "a"], "U"),
        ([1, 2], [1, 2], "i"),
        (deque(["a", "b"]), ["a", "b"], "U"),
        (pd.Series([2**53 + 1, 3], dtype="Int64"), [2**53 + 1, 3], "i"),
        (pl.Series(["a", "b"]), ["a", "b"], "O"),
        (pd.Series(["a", "b"], dtype="category", index=[5, 5]), ["a", "b"], "O"),
        (np.array([True, False]), [True, False], "b"),
    ],
    ids=["strings", "ints", "deque", "pandas ints", "polars", "categories", "booleans"],
)
def test_targets_become_one_column(y, expected, kind):
    column = target_column(y, "y")
    assert column.tolist() == expected
    assert column.dtype.kind == kind


@pytest.mark.parametrize("y", [[["a"], ["b"]], np.array([["a"], ["b"]])], ids=["rows", "array"])
def test_a_column_vector_warns(y):
    with pytest.warns(DataConversionWarning):
        assert target_column(y, "y").tolist() == ["a", "b"]


@pytest.mark.parametrize(
    "y",
    [(label for label in "ab"), iter([1, 2]), map(str, "ab")],
    ids=["generator", "iterator", "map"],
)
def test_what_can_be_read_only_once(y):
    with pytest.raises(ValueError, match=r"^y is a .*, which can be read only once: pass a list"):
        target_column(y, "y")


@pytest.mark.parametrize(
    "y",
    [None, "ab", {"a": 1}, {"a", "b"}, 3, [["a", "b"]]],
    ids=["None", "string", "dict", "set", "number", "two columns"],
)
def test_what_is_not_a_column_is_an_error(y):
    with pytest.raises(ValueError, match="y should be a 1d array"):
        target_column(y, "y")
