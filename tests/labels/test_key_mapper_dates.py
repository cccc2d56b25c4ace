"""LabelKeyMapper: dates, durations and moments of any unit, library and time zone."""

import datetime as dt
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import polars as pl
import pytest
from numpy.testing import assert_array_equal

from sklearn_dl import LabelKeyMapper


def object_cells(column):
    return np.array([*column, None], dtype=object)[:-1]


def test_a_date_of_any_unit_and_type_has_one_key():
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
    with pytest.raises(
        ValueError, match=r"are dates, but .* dictionary are dates with a time zone"
    ):
        again.transform(moments)


LAST = dt.datetime(9999, 12, 31, 23, 59, tzinfo=ZoneInfo("America/New_York"))
FIRST = dt.datetime(1, 1, 1, tzinfo=ZoneInfo("Asia/Tokyo"))
NOON = dt.datetime(2020, 1, 1, 12, tzinfo=dt.UTC)


@pytest.mark.parametrize(
    "container",
    [list, lambda cells: pd.Series(cells, dtype=object)],
    ids=["list", "pandas series"],
)
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
    ids=[
        "dates",
        "durations",
        "date objects",
        "duration objects",
        "pandas UTC",
        "pandas Tokyo",
        "pandas date objects",
        "pandas duration objects",
        "polars dates",
        "polars UTC",
        "polars Tokyo",
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
    ids=[
        "string",
        "number",
        "duration",
        "duration and moment",
        "duration before",
        "moment and dates",
    ],
)
def test_nanoseconds_beside_another_kind_have_no_order(X):
    with pytest.raises(ValueError, match=r"values of column 0 cannot be sorted.*'occurrence'"):
        LabelKeyMapper(order="value").fit(X)
