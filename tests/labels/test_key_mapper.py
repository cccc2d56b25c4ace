import datetime as dt
import pickle
from zoneinfo import ZoneInfo

import joblib
import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal
from scipy import sparse
from sklearn.base import clone
from sklearn.compose import ColumnTransformer
from sklearn.exceptions import NotFittedError
from sklearn.utils.estimator_checks import parametrize_with_checks

from sklearn_dl import LabelKeyMapper


def object_cells(column):
    return np.array([*column, None], dtype=object)[:-1]


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
    [LabelKeyMapper(), LabelKeyMapper(order="value"), LabelKeyMapper(shared=True)],
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


def test_order_and_cap():
    X = ["b", "a", "Z", "b", "A", "z"]
    assert LabelKeyMapper().fit(X).keys_[0].tolist() == ["b", "a", "Z", "A", "z"]
    assert LabelKeyMapper(order="value").fit(X).keys_[0].tolist() == ["A", "Z", "a", "b", "z"]
    capped = LabelKeyMapper(order="value", max_keys=3).fit(X)
    assert capped.keys_[0].tolist() == ["Z", "a", "b"]
    assert capped.transform(X).tolist() == [3, 2, 1, 3, 0, 0]
    assert LabelKeyMapper(order="value").fit([10, 9, -1]).keys_[0].tolist() == [-1, 9, 10]
    given = LabelKeyMapper(order="value", keys=["b", "a"]).fit(["a"])
    assert given.transform(["a", "b", "c"]).tolist() == [1, 2, 0]


@pytest.mark.parametrize("missing", [None, np.nan, pd.NaT, pd.NA, "", np.datetime64("NaT")])
@pytest.mark.parametrize("params", [{}, {"order": "value"}])
def test_missing_has_no_key(missing, params):
    X = np.empty(4, dtype=object)
    X[:] = ["b", missing, "a", missing]
    mapper = LabelKeyMapper(**params).fit(X)
    assert sorted(mapper.keys_[0]) == ["a", "b"]
    assert (mapper.transform(X) == 0).tolist() == [False, True, False, True]


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


def test_dates_of_any_unit_and_type_are_one():
    day = np.array(["2020-01-01", "2021-06-05"], dtype="M8[D]")
    mapper = LabelKeyMapper().fit(day)
    for same in (
        day.astype("M8[ns]"),
        pd.Series(day.astype("M8[s]")),
        [dt.date(2020, 1, 1), dt.date(2021, 6, 5)],
        [dt.datetime(2020, 1, 1), dt.datetime(2021, 6, 5)],
        [pd.Timestamp("2020-01-01"), pd.Timestamp("2021-06-05")],
        np.array(list(day), dtype=object),
        pl.Series([dt.date(2020, 1, 1), dt.date(2021, 6, 5)]),
    ):
        assert mapper.transform(same).tolist() == [1, 2]
    nano = np.array(["2020-01-01T00:00:00.000000001", "2020-01-01"], dtype="M8[ns]")
    assert mapper.transform(nano).tolist() == [0, 1]
    assert LabelKeyMapper().fit(nano).transform(nano).tolist() == [1, 2]
    mixed = LabelKeyMapper().fit(pd.DataFrame({"when": day.astype("M8[ns]"), "what": ["a", "b"]}))
    back = mixed.inverse_transform([[1, 2], [0, 1]])
    assert back[0].tolist() == [np.datetime64("2020-01-01"), "b"]
    assert np.isnat(back[1, 0])
    again = pd.DataFrame(back, columns=["when", "what"], dtype=object)
    assert_array_equal(mixed.transform(again), [[1, 2], [0, 1]])


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


def test_dates_with_a_time_zone_are_moments():
    text = ["2020-01-01T01:00", "2020-10-25T02:30", "2020-07-01T12:00:00.000000001", None]
    moments = pd.to_datetime(pd.Series(text), format="ISO8601").astype("M8[ns]")
    berlin = moments.dt.tz_localize("Europe/Berlin", ambiguous=np.ones(4, dtype=bool))
    columns = [
        berlin,
        berlin.dt.tz_convert("Asia/Tokyo"),
        pl.Series(berlin.dt.tz_convert("UTC").dt.tz_localize(None).to_numpy())
        .dt.replace_time_zone("UTC")
        .dt.convert_time_zone("Europe/Berlin"),
        berlin.astype(object).to_numpy(),
    ]
    for fitted in columns:
        mapper = LabelKeyMapper().fit(fitted)
        for column in columns:
            assert mapper.transform(column).tolist() == [1, 2, 3, 0]
        # one with nanoseconds alone, which no object with a time zone holds
        assert mapper.transform(columns[2][2:3]).tolist() == [3]
    again = LabelKeyMapper().fit(columns[2])
    assert again.inverse_transform([1, 0]).tolist() == [
        dt.datetime(2020, 1, 1, tzinfo=dt.UTC),
        None,
    ]
    python = [dt.datetime(2020, 1, 1, 1, tzinfo=dt.timezone(dt.timedelta(hours=1)))]
    assert again.transform(python).tolist() == [1]
    with pytest.raises(ValueError, match="are dates, but its keys are dates with a time zone"):
        again.transform(moments)


LAST = dt.datetime(9999, 12, 31, 23, 59, tzinfo=ZoneInfo("America/New_York"))
FIRST = dt.datetime(1, 1, 1, tzinfo=ZoneInfo("Asia/Tokyo"))
NOON = dt.datetime(2020, 1, 1, 12, tzinfo=dt.UTC)


@pytest.mark.parametrize("container", [list, lambda cells: pd.Series(cells, dtype=object)])
def test_dates_at_the_ends_of_the_calendar(container):
    X = container([LAST, NOON, FIRST, None])
    assert LabelKeyMapper().fit_transform(X).tolist() == [1, 2, 3, 0]
    mapper = LabelKeyMapper(order="value").fit(X)
    assert mapper.transform(X).tolist() == [3, 2, 1, 0]
    assert mapper.inverse_transform([3, 1]).tolist() == [LAST, FIRST]
    same = LAST.replace(tzinfo=dt.timezone(dt.timedelta(hours=-5)))
    assert mapper.transform([same]).tolist() == [3]


@pytest.mark.parametrize("zone", [None, "UTC", "Asia/Tokyo"])
def test_dates_beyond_the_calendar(zone):
    days = pl.Series(np.array(["12000-05-01", "2020-01-01", "-0400-01-01", "NaT"], "M8[us]"))
    X = days.dt.replace_time_zone("UTC").dt.convert_time_zone(zone) if zone else days
    mapper = LabelKeyMapper(order="value").fit(X)
    for same in (X, X.dt.cast_time_unit("ms")):
        assert mapper.transform(same).tolist() == [3, 2, 1, 0]
    assert mapper.transform(X[:1]).tolist() == [3]
    if zone is None:
        assert mapper.transform(list(X[:1].to_numpy())).tolist() == [3]
    back = mapper.inverse_transform([3, 1])
    assert np.array(back, dtype="M8[us]").tolist() == X.to_numpy()[[0, 2]].tolist()


NANO = np.array([5, 4000, 3, -1, -1000, 4001, "NaT"], "M8[ns]")


@pytest.mark.parametrize(
    "X",
    [
        NANO,
        NANO - np.datetime64(0, "ns"),
        object_cells(NANO),
        object_cells(NANO - np.datetime64(0, "ns")),
        pd.Series(NANO).dt.tz_localize("UTC"),
        pd.Series(NANO).dt.tz_localize("UTC").dt.tz_convert("Asia/Tokyo"),
        pd.Series(NANO).astype(object),
        pd.Series(NANO - np.datetime64(0, "ns")).astype(object),
        pl.Series(NANO),
        pl.Series(NANO).dt.replace_time_zone("UTC"),
        pl.Series(NANO).dt.replace_time_zone("UTC").dt.convert_time_zone("Asia/Tokyo"),
    ],
)
def test_nanoseconds_have_an_order(X):
    mapper = LabelKeyMapper(order="value").fit(X)
    assert mapper.transform(X).tolist() == [4, 5, 3, 2, 1, 6, 0]


@pytest.mark.parametrize(
    "X",
    [
        [NANO[0], "a"],
        [NANO[0], 1],
        [NANO[0], dt.timedelta(1)],
        [NANO[0] - NANO[1], NOON],
        [dt.timedelta(1), NANO[0]],
        [NOON, NOON.replace(tzinfo=None), NANO[0]],
    ],
)
def test_nanoseconds_beside_another_kind_have_no_order(X):
    with pytest.raises(ValueError, match=r"values of column 0 cannot be sorted.*'occurrence'"):
        LabelKeyMapper(order="value").fit(X)


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
def test_frames(X, container):
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


def test_one_dimensional_in_and_out():
    mapper = LabelKeyMapper().fit(pd.Series(["b", "a"], index=[5, 5]))
    assert mapper.n_features_in_ == 1
    assert mapper.transform(["a", "b"]).shape == (2,)
    assert mapper.transform([["a"], ["b"]]).tolist() == [[2], [1]]
    assert mapper.transform(pl.Series(["a", None])).tolist() == [2, 0]
    assert mapper.inverse_transform([2.0, 1.0]).tolist() == ["a", "b"]
    assert mapper.inverse_transform([[2], [1]]).tolist() == [["a"], ["b"]]
    with pytest.raises(ValueError, match="X has 1 features, but LabelKeyMapper is expecting 2"):
        LabelKeyMapper().fit([["a", "b"]]).transform(["a"])


def test_in_column_transformer():
    X = pd.DataFrame({"n": [1.0, 2.0], "label": ["b", "a"]}, index=[3, 3])
    both = ColumnTransformer([("key", LabelKeyMapper(), ["label"])], remainder="passthrough")
    assert_array_equal(both.fit_transform(X), [[1, 1], [2, 2]])


def test_longer_strings_are_not_cut_to_a_match():
    mapper = LabelKeyMapper().fit(np.array(["ab", "cd"]))
    assert mapper.transform(np.array(["abc", "ab", "a"])).tolist() == [0, 1, 0]
    keys = LabelKeyMapper(keys=np.array(["a"])).fit(np.array(["abc", "a"]))
    assert keys.transform(np.array(["abc", "a"])).tolist() == [0, 1]


def test_shared_over_dtypes():
    X = pd.DataFrame({"a": [1, 2], "b": [2.5, 1.0], "c": [np.nan, np.nan]})
    mapper = LabelKeyMapper(shared=True).fit(X)
    assert mapper.keys_[0].tolist() == [1, 2.5, 2]
    assert mapper.transform(X).tolist() == [[1, 2, 0], [3, 1, 0]]
    with pytest.raises(ValueError, match="of column 'a' are numbers, those of column 'b' are str"):
        LabelKeyMapper(shared=True).fit(pd.DataFrame({"a": [1], "b": ["x"]}))
    with pytest.raises(ValueError, match="column 0 are booleans, those of column 1 are numbers"):
        LabelKeyMapper(shared=True).fit([[True, 1]])


@pytest.mark.parametrize(
    ("keys", "X", "message"),
    [
        (["a", "b", "a"], ["a"], r"keys\[0\] and keys\[2\] are both 'a'"),
        ([1.0, 2.0, 1.0], [1.0], r"keys\[0\] and keys\[2\] are both 1.0"),
        (["a", None], ["a"], r"keys\[1\] is missing or empty \(None\)"),
        (["a", ""], ["a"], r"keys\[1\] is missing"),
        ([np.nan, 1.0], [1.0], r"keys\[0\] is missing"),
        ([["a"]], ["a"], "keys has 1 column: pass one 1-D array"),
        ([], ["a"], r"0 sample\(s\)"),
        (["1", "2"], [1, 2], "values of column 0 are numbers, but its keys are strings"),
        ([0, 1], [True, False], "values of column 0 are booleans, but its keys are numbers"),
    ],
)
def test_bad_keys(keys, X, message):
    with pytest.raises(ValueError, match=message):
        LabelKeyMapper(keys=keys).fit(X)


@pytest.mark.parametrize("keys", [np.array(["b", "a"]), pd.Series(["b", "a"]), ("b", "a")])
def test_keys_of_any_container(keys):
    assert LabelKeyMapper(keys=keys).fit(["a"]).transform(["a", "b", "c"]).tolist() == [2, 1, 0]


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ([1, 3], "Row 1 of column 0 holds .*3.*, which is no key: .* from 0 to 2"),
        ([0, 1, -1], "Row 2 of column 0"),
        ([1.0, 1.5], "Row 1 of column 0 holds .*1.5"),
        ([1.0, np.nan], "Row 1 of column 0 holds .*nan"),
        ([1, None], "Row 1 of column 0 holds None"),
        ([1, "a"], "Row 1 of column 0 holds 'a'"),
        ([True], "Row 0 of column 0"),
        ([[1, 1]], "X has 2 columns of keys, but LabelKeyMapper was fitted on 1"),
    ],
)
def test_bad_keys_to_inverse(keys, message):
    with pytest.raises(ValueError, match=message):
        LabelKeyMapper().fit(["a", "b"]).inverse_transform(keys)


@pytest.mark.parametrize(
    ("X", "message"),
    [
        ("abc", "got a single str"),
        ([], "0 sample"),
        (np.empty((0, 2)), "0 sample"),
        (np.empty((2, 0)), "0 feature"),
        (np.zeros((1, 1, 1)), "3 dimensions"),
        (np.array([1j]), "Complex data not supported"),
        (["a", ["b"], {}], "Row 1 of column 0 holds a list"),
        ([["a", "b"], ["c"]], "Row 1 has 1 column, row 0 has 2"),
    ],
)
def test_bad_X(X, message):
    with pytest.raises(ValueError, match=message):
        LabelKeyMapper().fit(X)


def test_bad_X_to_transform():
    mapper = LabelKeyMapper().fit(["a", "b"])
    with pytest.raises(ValueError, match="column 0 are numbers, but its keys are strings"):
        mapper.transform([1, 2])
    with pytest.raises(ValueError, match="Row 1 of column 0 holds a list"):
        LabelKeyMapper().fit(["a", 1]).transform(["a", ["b"]])
    assert mapper.transform(np.array([np.nan])).tolist() == [0]
    with pytest.raises(TypeError, match="Sparse data"):
        mapper.transform(sparse.eye_array(2))
    with pytest.raises(NotFittedError):
        LabelKeyMapper(keys=["a"]).transform(["a"])


def test_values_without_order():
    with pytest.raises(ValueError, match=r"values of column 0 cannot be sorted.*'occurrence'"):
        LabelKeyMapper(order="value").fit(["a", 1])


def test_empty_dictionary_warns():
    with pytest.warns(UserWarning, match="no value in column 0"):
        mapper = LabelKeyMapper().fit([None, np.nan])
    assert mapper.transform([None, "a"]).tolist() == [0, 0]
    assert mapper.inverse_transform([0]).tolist() == [None]


def test_pickle_and_clone(tmp_path):
    X = [["b", 1], ["a", 2]]
    mapper = LabelKeyMapper().fit(X)
    joblib.dump(mapper, tmp_path / "mapper.joblib")
    for copy in (pickle.loads(pickle.dumps(mapper)), joblib.load(tmp_path / "mapper.joblib")):
        assert_array_equal(copy.transform(X), [[1, 1], [2, 2]])
    assert not hasattr(clone(mapper), "keys_")


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


@given(X=values, shuffled=st.randoms())
def test_round_trip(X, shuffled):
    mapper = LabelKeyMapper().fit(X)
    rows = shuffled.sample(range(len(X)), len(X))
    some = [X[i] for i in rows]
    keys = mapper.transform(some)
    assert mapper.inverse_transform(keys).tolist() == some
    assert keys.min() >= 1
    assert mapper.transform(X).tolist() == [list(dict.fromkeys(X)).index(x) + 1 for x in X]


@given(
    X=st.lists(st.one_of(st.none(), st.text("abAB", max_size=2)), min_size=1), cap=st.integers(1, 9)
)
def test_value_order_sorts_the_first_seen(X, cap):
    first = list(dict.fromkeys(x for x in X if x))[:cap]
    if first:
        mapper = LabelKeyMapper(order="value", max_keys=cap).fit(X)
        assert mapper.keys_[0].tolist() == sorted(first)
        assert mapper.transform(X).tolist() == [
            sorted(first).index(x) + 1 if x in first else 0 for x in X
        ]


def test_a_fit_that_fails_leaves_the_mapper_as_it_was():
    mapper = LabelKeyMapper(order="value")
    wrong = pd.DataFrame({"other": pd.Series(["a", 1], dtype=object), "more": ["a", "b"]})
    for fitted in (False, True):
        before = dict(vars(mapper.fit(pd.DataFrame({"name": ["a", "b"]})) if fitted else mapper))
        with pytest.raises(ValueError, match="order"):
            mapper.fit(wrong)
        assert vars(mapper) == before
