"""LabelKeyMapper: keys, their order, and the types of its input and output."""

import pickle

import joblib
import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal
from sklearn.base import clone
from sklearn.compose import ColumnTransformer
from sklearn.utils.estimator_checks import parametrize_with_checks

from sklearn_dl import LabelKeyMapper

ONE_D = "1-D X is one column: labels go in and out as y does"
STUDY_TIME = ["0-4", "6-11", "12-25", "0-5"]
COURSE = ["CS", "CS", "LA", "DS"]
ANIMALS = [
    ["animals", "birds", "cats", "dogs", "fish", "horse"],
    ["horse", "birds", "house", "fish", "duck", "cats"],
    ["car", "truck", "driver", "bus", "pickup"],
    ["car", "truck", "driver", "bus", "pickup", "horse"],
]


@parametrize_with_checks(
    # with its defaults: test_conformance.py
    [LabelKeyMapper(order="value"), LabelKeyMapper(shared=True)],
    expected_failed_checks=lambda estimator: {
        "check_fit1d": ONE_D,
        "check_fit2d_predict1d": ONE_D,
    },
)
def test_sklearn_checks(estimator, check):
    check(estimator)


def padded(rows):
    return [row + [None] * (6 - len(row)) for row in rows]


@pytest.mark.parametrize(
    ("params", "expected"),
    [
        (
            {},
            [
                [1, 2, 3, 4, 5, 6],
                [6, 2, 7, 5, 8, 3],
                [9, 10, 11, 12, 13, 0],
                [9, 10, 11, 12, 13, 6],
            ],
        ),
        (
            {"max_keys": 10, "order": "value"},
            [[1, 2, 4, 5, 7, 8], [8, 2, 9, 7, 6, 4], [3, 10, 0, 0, 0, 0], [3, 10, 0, 0, 0, 8]],
        ),
    ],
    ids=["as seen", "by value"],
)
def test_mlnet_vector_column(params, expected):
    """One dictionary, seen row after row; ML.NET's vectors of variable length, padded."""
    mapper = LabelKeyMapper(shared=True, **params)
    keys = mapper.fit_transform(padded(ANIMALS))
    assert_array_equal(keys, expected)
    assert keys.dtype == np.int64
    assert all(keys is mapper.keys_[0] for keys in mapper.keys_)
    known = np.array(padded(ANIMALS), dtype=object)
    known[keys == 0] = None
    assert_array_equal(mapper.inverse_transform(keys), known)


def test_mlnet_several_columns():
    X = np.array([STUDY_TIME, COURSE], dtype=object).T
    by_value = LabelKeyMapper(order="value").fit_transform(X)
    assert_array_equal(by_value, np.array([[1, 4, 3, 2], [1, 1, 3, 2]]).T)
    given = LabelKeyMapper(keys=["0-4", "6-11", "25+", "CS", "DS", "LA"], max_keys=1)
    assert_array_equal(given.fit_transform(X), np.array([[1, 2, 0, 0], [4, 4, 6, 5]]).T)
    assert given.keys_[0] is given.keys_[1]


def test_order_and_number_of_keys():
    X = ["b", "a", "Z", "b", "A", "z"]
    assert LabelKeyMapper().fit(X).keys_[0].tolist() == ["b", "a", "Z", "A", "z"]
    assert LabelKeyMapper(order="value").fit(X).keys_[0].tolist() == ["A", "Z", "a", "b", "z"]
    capped = LabelKeyMapper(order="value", max_keys=3).fit(X)
    assert capped.keys_[0].tolist() == ["Z", "a", "b"]
    assert capped.transform(X).tolist() == [3, 2, 1, 3, 0, 0]
    assert LabelKeyMapper(order="value").fit([10, 9, -1]).keys_[0].tolist() == [-1, 9, 10]
    given = LabelKeyMapper(order="value", keys=["b", "a"]).fit(["a"])
    assert given.transform(["a", "b", "c"]).tolist() == [1, 2, 0]


@pytest.mark.parametrize(
    "missing",
    [None, np.nan, pd.NaT, pd.NA, "", np.datetime64("NaT")],
    ids=["None", "nan", "pandas NaT", "NA", "empty string", "numpy NaT"],
)
@pytest.mark.parametrize("order", ["occurrence", "value"])
def test_a_missing_value_has_no_key(missing, order):
    X = np.empty(4, dtype=object)
    X[:] = ["b", missing, "a", missing]
    mapper = LabelKeyMapper(order=order).fit(X)
    assert sorted(mapper.keys_[0]) == ["a", "b"]
    assert (mapper.transform(X) == 0).tolist() == [False, True, False, True]


@pytest.mark.parametrize(
    "X",
    [
        pd.DataFrame({"a": ["x", None, "y"], "b": [2, 1, 2]}, index=[7, 7, -1]),
        pd.DataFrame({"a": pd.Categorical(["x", None, "y"]), "b": [2.0, 1.0, 2.0]}),
        pl.DataFrame({"a": ["x", None, "y"], "b": [2, 1, 2]}),
        pl.DataFrame(
            {"a": ["x", None, "y"], "b": [2, 1, 2]}, schema_overrides={"a": pl.Enum("xy")}
        ),
    ],
    ids=["pandas", "categorical", "polars", "enum"],
)
@pytest.mark.parametrize("container", ["default", "pandas", "polars"])
def test_frames_keep_their_names_and_index(X, container):
    mapper = LabelKeyMapper().set_output(transform=container)
    keys = mapper.fit_transform(X)
    assert_array_equal(np.asarray(keys), [[1, 1], [0, 2], [2, 1]])
    assert mapper.feature_names_in_.tolist() == ["a", "b"]
    assert mapper.get_feature_names_out().tolist() == ["a", "b"]
    if container != "default":
        assert list(keys.columns) == ["a", "b"]
    if container == "pandas" and isinstance(X, pd.DataFrame):
        assert keys.index.equals(X.index)
    assert_array_equal(mapper.inverse_transform(keys)[:, 0], np.array(["x", None, "y"]))
    with pytest.raises(ValueError, match="feature names"):
        mapper.transform(X[["b", "a"]])


def test_one_dimensional_labels_stay_one_dimensional():
    mapper = LabelKeyMapper().fit(pd.Series(["b", "a"], index=[5, 5]))
    assert mapper.n_features_in_ == 1
    assert mapper.transform(["a", "b"]).shape == (2,)
    assert mapper.transform([["a"], ["b"]]).tolist() == [[2], [1]]
    assert mapper.transform(pl.Series(["a", None])).tolist() == [2, 0]
    assert mapper.inverse_transform([2.0, 1.0]).tolist() == ["a", "b"]
    assert mapper.inverse_transform([[2], [1]]).tolist() == [["a"], ["b"]]
    with pytest.raises(ValueError, match="X has 1 features, but LabelKeyMapper is expecting 2"):
        LabelKeyMapper().fit([["a", "b"]]).transform(["a"])


def test_it_works_in_a_column_transformer():
    X = pd.DataFrame({"n": [1.0, 2.0], "label": ["b", "a"]}, index=[3, 3])
    both = ColumnTransformer([("key", LabelKeyMapper(), ["label"])], remainder="passthrough")
    assert_array_equal(both.fit_transform(X), [[1, 1], [2, 2]])


@pytest.mark.parametrize(
    "keys",
    [np.array(["b", "a"]), pd.Series(["b", "a"]), ("b", "a")],
    ids=["array", "series", "tuple"],
)
def test_keys_of_any_container(keys):
    assert LabelKeyMapper(keys=keys).fit(["a"]).transform(["a", "b", "c"]).tolist() == [2, 1, 0]


def test_a_pickle_keeps_the_keys_and_a_clone_does_not(tmp_path):
    X = [["b", 1], ["a", 2]]
    mapper = LabelKeyMapper().fit(X)
    joblib.dump(mapper, tmp_path / "mapper.joblib")
    for copy in (pickle.loads(pickle.dumps(mapper)), joblib.load(tmp_path / "mapper.joblib")):
        assert_array_equal(copy.transform(X), [[1, 1], [2, 2]])
    assert not hasattr(clone(mapper), "keys_")


@given(
    X=st.lists(st.one_of(st.none(), st.text("abAB", max_size=2)), min_size=1), cap=st.integers(1, 9)
)
def test_order_by_value_sorts_the_first_values_seen(X, cap):
    first = list(dict.fromkeys(x for x in X if x))[:cap]
    if first:
        mapper = LabelKeyMapper(order="value", max_keys=cap).fit(X)
        assert mapper.keys_[0].tolist() == sorted(first)
        assert mapper.transform(X).tolist() == [
            sorted(first).index(x) + 1 if x in first else 0 for x in X
        ]
