"""LabelKeyMapper: values of every dtype but dates, which come back as they were."""

import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from sklearn_dl import LabelKeyMapper


@pytest.mark.parametrize(
    ("values", "unseen", "dtype", "missing_dtype"),
    [
        (np.array([3, 1, 2], dtype=np.int16), 4, np.int16, np.float64),
        (np.array([2**53 + 1, 5]), 4, np.int64, object),
        (np.array([1.5, np.inf, -0.5], dtype=np.float32), np.nan, np.float32, np.float32),
        (np.array([True, False]), None, bool, object),
        (np.array(["ab", "a"]), "abc", "U2", object),
        (np.array([b"ab", b"a"]), b"abc", "S2", object),
        (np.array(["2020-01-02", "2020-01-01"], dtype="M8[D]"), "NaT", "M8[D]", "M8[D]"),
        (np.array([5, 3], dtype="m8[s]"), np.timedelta64("NaT"), "m8[s]", "m8[s]"),
        (np.array(["x", 1, 2.5, (1, 2)], dtype=object), "y", object, object),
    ],
    ids=[
        "small integers",
        "large integers",
        "floats",
        "booleans",
        "strings",
        "bytes",
        "dates",
        "durations",
        "objects",
    ],
)
def test_dtypes_come_back(values, unseen, dtype, missing_dtype):
    mapper = LabelKeyMapper().fit(values)
    keys = mapper.transform(values)
    assert keys.tolist() == list(range(1, len(values) + 1))
    back = mapper.inverse_transform(keys)
    assert back.dtype == np.dtype(dtype)
    assert_array_equal(back, values)
    column = np.asarray([unseen], dtype=values.dtype if values.dtype.kind in "M" else None)
    assert mapper.transform(column).tolist() == [0]
    back = mapper.inverse_transform([1, 0])
    assert back.dtype == np.dtype(missing_dtype)
    assert back[0] == values[0]
    assert back[1] is None if missing_dtype is object else back[1] != back[1]


def test_lists_of_numbers_keep_their_type():
    mapper = LabelKeyMapper().fit([[True, 7, "a"], [False, 8, "b"]])
    assert [keys.dtype.kind for keys in mapper.keys_] == ["b", "i", "O"]
    back = mapper.inverse_transform([[1, 2, 0], [2, 1, 1]])
    assert back.tolist() == [[True, 8, None], [False, 7, "a"]]
    assert type(back[0, 0]) is bool
    assert LabelKeyMapper().fit([[1, 1.5], [2, 2.5]]).inverse_transform([[1, 2]]).tolist() == [
        [1.0, 2.5]
    ]
    big = LabelKeyMapper().fit([[2**53 + 1, 0.5]])
    assert big.inverse_transform([[1, 1]]).tolist() == [[2**53 + 1, 0.5]]


BIG = 2**53 + 1


@pytest.mark.parametrize(
    "X",
    [
        [BIG, BIG - 1, None, 7],
        [BIG, BIG - 1, np.nan, 7.0],
        [BIG, BIG - 1, pd.NA, 7],
        [[BIG], [BIG - 1], [0.5], [7]],
        np.array([BIG, BIG - 1, None, 7.0], dtype=object),
        pd.Series([BIG, BIG - 1, None, 7], dtype="Int64"),
        pd.Series([BIG, BIG - 1, None, 7], dtype="UInt64"),
        pd.DataFrame({"a": pd.array([BIG, BIG - 1, None, 7], dtype="Int64")}),
        pd.Series([BIG, BIG - 1, None, 7], dtype="Int64").astype("category"),
        pd.array([BIG, BIG - 1, None, 7], dtype="Int64"),
        pl.Series([BIG, BIG - 1, None, 7]),
        pl.DataFrame({"a": [BIG, BIG - 1, None, 7]}),
    ],
    ids=lambda X: f"{type(X).__module__.partition('.')[0]} {type(X).__name__}",
)
@pytest.mark.parametrize("order", ["occurrence", "value"])
def test_large_integers_keep_their_own_keys(X, order):
    mapper = LabelKeyMapper(order=order)
    keys = np.ravel(mapper.fit_transform(X))
    assert len(set(keys.tolist())) == 4
    assert mapper.transform([BIG, BIG - 1, 7, BIG + 1]).tolist() == [*keys[[0, 1, 3]], 0]
    known = LabelKeyMapper(keys=[BIG, BIG - 1]).fit(X)
    assert np.ravel(known.transform(X)).tolist() == [1, 2, 0, 0]
    back = mapper.inverse_transform(keys[[1, 0]])
    assert back.tolist() == [BIG - 1, BIG]


def test_large_integers_share_a_dictionary():
    X = pl.DataFrame({"a": [BIG, None], "b": [BIG - 1, BIG], "c": [0.5, 1.0]})
    mapper = LabelKeyMapper(shared=True)
    assert mapper.fit_transform(X).tolist() == [[1, 2, 3], [0, 1, 4]]


def test_longer_strings_are_not_cut_to_a_match():
    mapper = LabelKeyMapper().fit(np.array(["ab", "cd"]))
    assert mapper.transform(np.array(["abc", "ab", "a"])).tolist() == [0, 1, 0]
    keys = LabelKeyMapper(keys=np.array(["a"])).fit(np.array(["abc", "a"]))
    assert keys.transform(np.array(["abc", "a"])).tolist() == [0, 1]


def test_columns_of_several_dtypes_share_a_dictionary():
    X = pd.DataFrame({"a": [1, 2], "b": [2.5, 1.0], "c": [np.nan, np.nan]})
    mapper = LabelKeyMapper(shared=True).fit(X)
    assert mapper.keys_[0].tolist() == [1, 2.5, 2]
    assert mapper.transform(X).tolist() == [[1, 2, 0], [3, 1, 0]]
    with pytest.raises(ValueError, match="of column 'a' are numbers, those of column 'b' are str"):
        LabelKeyMapper(shared=True).fit(pd.DataFrame({"a": [1], "b": ["x"]}))
    with pytest.raises(ValueError, match="column 0 are booleans, those of column 1 are numbers"):
        LabelKeyMapper(shared=True).fit([[True, 1]])


values = st.one_of(
    st.lists(st.text(min_size=1), min_size=1),
    st.lists(st.integers(-(2**63), 2**63 - 1), min_size=1),
    st.lists(st.floats(allow_nan=False), min_size=1),
    st.lists(st.booleans(), min_size=1),
    st.lists(st.datetimes(), min_size=1),
    st.lists(st.dates(), min_size=1),
    st.lists(st.one_of(st.text(min_size=1), st.integers(2)), min_size=1),
    st.lists(st.one_of(st.integers(-(2**63), 2**63 - 1), st.floats(allow_nan=False)), min_size=1),
)


@pytest.mark.slow
@given(X=values, shuffled=st.randoms())
def test_every_value_comes_back(X, shuffled):
    mapper = LabelKeyMapper().fit(X)
    rows = shuffled.sample(range(len(X)), len(X))
    some = [X[i] for i in rows]
    keys = mapper.transform(some)
    assert mapper.inverse_transform(keys).tolist() == some
    assert keys.min() >= 1
    assert mapper.transform(X).tolist() == [list(dict.fromkeys(X)).index(x) + 1 for x in X]
