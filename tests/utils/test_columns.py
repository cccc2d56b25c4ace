from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_array
from sklearn.base import BaseEstimator

from sklearn_dl.utils import _columns
from sklearn_dl.utils._columns import (
    is_frame,
    is_missing,
    missing_mask,
    natural_array,
    object_array,
    row_index,
    single_column,
    split_columns,
)


class Step(BaseEstimator):
    """An estimator to be named in messages."""


class Explosive:
    """Like a lazy image: it must not be asked for its numbers."""

    def __array__(self, dtype=None, copy=None):
        raise AssertionError("asked for numbers")


def test_object_array_keeps_cells_as_they_are():
    cells = [np.zeros((2, 2)), np.ones((2, 2)), Explosive(), [1, 2], "a"]
    out = object_array(cells)
    assert out.shape == (5,)
    assert all(a is b for a, b in zip(out, cells, strict=True))


@pytest.mark.parametrize(
    ("cells", "dtype"),
    [
        ([True, False], "bool"),
        ([1, 2], "int64"),
        ([1, 2.5], "float64"),
        ([2**63], "uint64"),
        ([np.datetime64("2020-01-01")], "datetime64[D]"),
        ([True, 2], "object"),
        ([1, "a"], "object"),
        ([2**70, 1], "object"),
        ([2**63, -1], "object"),
        ([2**53 + 1, 0.5], "object"),
        ([0.5, -(2**53) - 1], "object"),
        ([np.int64(2**53 + 1), np.float32(0.5)], "object"),
        ([2**53 + 1, float("inf")], "object"),
        ([2**53, 0.5], "float64"),
        ([], "object"),
    ],
    ids=str,
)
def test_natural_array(cells, dtype):
    out = natural_array(cells)
    assert out.dtype == dtype
    assert out.tolist() == cells or dtype.startswith("datetime")


@pytest.mark.parametrize(
    "cell",
    [None, float("nan"), np.float32("nan"), pd.NA, pd.NaT, np.datetime64("NaT"), Decimal("NaN")],
    ids=["None", "nan", "float32 nan", "NA", "pandas NaT", "numpy NaT", "decimal nan"],
)
def test_is_missing(cell):
    assert is_missing(cell) is True


@pytest.mark.parametrize(
    "cell", [0, 0.0, "", "nan", b"", False, [], np.datetime64("2020")], ids=repr
)
def test_is_not_missing(cell):
    assert is_missing(cell) is False


MISSING = (None, float("nan"), np.float32("nan"), pd.NA, pd.NaT, np.datetime64("NaT"))
MISSING += (np.timedelta64("NaT"), Decimal("NaN"), Decimal("sNaN"))
PRESENT = (0, 2**70, True, 0.5, float("inf"), "", "nan", b"", np.int8(1), np.str_("a"))
PRESENT += (np.bool_(True), Decimal(1), complex("nan"), np.datetime64("2020"), pd.Timestamp(0))
PRESENT += ([], {}, np.zeros(2), datetime(2020, 1, 1))


@settings(max_examples=300, derandomize=True, deadline=None)
@given(st.lists(st.sampled_from(MISSING + PRESENT), max_size=6))
def test_missing_mask_is_is_missing_of_each_cell(cells):
    expected = [is_missing(cell) for cell in cells]
    assert missing_mask(cells).tolist() == expected
    assert missing_mask(object_array(cells)).tolist() == expected
    assert missing_mask(object_array(cells).reshape(-1, 1)).tolist() == [[m] for m in expected]


@pytest.mark.parametrize(
    ("cells", "missing"),
    [
        (["a", "b"], []),
        ([1, True], []),
        ([0.5, float("nan"), None, 1, "a"], [1, 2]),
        (np.array(["nan", ""]), []),
        (np.array([b"nan"]), []),
        (np.array([1, 2]), []),
        (np.array([0.5, np.nan], np.float16), [1]),
        (np.array(["NaT", "2020"], "M8[D]"), [0]),
        (np.array(["NaT", 1], "m8[s]"), [0]),
        (np.array([1, 0.5, None, np.float32("nan")], dtype=object), [2, 3]),
        (np.array(["a", pd.Timestamp(0)], dtype=object), []),
        (np.array(["a", np.nan], dtype=np.dtypes.StringDType(na_object=np.nan)), [1]),
        (np.array(["a", None], dtype=np.dtypes.StringDType(na_object=None)), [1]),
        (np.array(["a", "nan"], dtype=np.dtypes.StringDType()), []),
        (np.array([1, complex("nan")]), []),
        ([], []),
    ],
    ids=[
        "list of strings",
        "list of numbers",
        "mixed list",
        "strings",
        "bytes",
        "integers",
        "float16",
        "dates",
        "durations",
        "objects",
        "strings and moments",
        "StringDType of nan",
        "StringDType of None",
        "StringDType",
        "complex",
        "empty",
    ],
)
def test_missing_mask_asks_no_cell_of_common_types(monkeypatch, cells, missing):
    monkeypatch.setattr(_columns, "is_missing", pytest.fail)
    assert np.flatnonzero(missing_mask(cells)).tolist() == missing


COLUMNS = {
    "list": ["a", "b"],
    "tuple": ("a", "b"),
    "rows": [["a"], ["b"]],
    "1-D": np.array(["a", "b"]),
    "2-D": np.array([["a"], ["b"]], dtype=object),
    "pandas Series": pd.Series(["a", "b"], index=[4, 2]),
    "pandas frame": pd.DataFrame({"x": ["a", "b"]}, index=[4, 2]),
    "polars Series": pl.Series(["a", "b"]),
    "polars frame": pl.DataFrame({"x": ["a", "b"]}),
    "polars objects": pl.DataFrame({"x": pl.Series(["a", "b"], dtype=pl.Object)}),
}


@pytest.mark.parametrize("kind", COLUMNS)
def test_single_column(kind):
    step = Step()
    cells = single_column(COLUMNS[kind], step, reset=True)
    assert cells.dtype == object
    assert cells.tolist() == ["a", "b"]
    assert step.n_features_in_ == 1
    assert getattr(step, "feature_names_in_", None) == (
        ["x"] if "frame" in kind or "objects" in kind else None
    )


@pytest.mark.parametrize("kind", COLUMNS)
def test_nameless_after_a_name_is_accepted(kind):
    step = Step()
    single_column(COLUMNS["pandas frame"], step, reset=True)
    assert single_column(COLUMNS[kind], step, reset=False).tolist() == ["a", "b"]
    with pytest.raises(ValueError, match="feature names should match"):
        single_column(pd.DataFrame({"y": ["a"]}), step, reset=False)


@pytest.mark.parametrize(
    "X",
    [[], np.empty((0, 1)), pd.DataFrame({"x": []}), pl.Series([])],
    ids=["list", "array", "pandas", "polars"],
)
def test_only_a_fit_needs_rows(X):
    with pytest.raises(ValueError, match=r"Found array with 0 sample\(s\).*required by Step"):
        single_column(X, Step(), reset=True)
    cells = single_column(X, Step(), reset=False)
    assert cells.shape == (0,)
    assert cells.dtype == object


def test_an_empty_list_has_the_columns_of_fit():
    for n_columns in (1, 3):
        step = Step()
        step.n_features_in_ = n_columns
        columns, names, one_dimensional = split_columns([], step)
        assert [column.shape for column in columns] == [(0,)] * n_columns
        assert names is None
        assert one_dimensional == (n_columns == 1)


@pytest.mark.parametrize(
    "X",
    [[["a", "b"]], np.zeros((3, 2)), pd.DataFrame({"x": [1], "y": [2]})],
    ids=["rows", "array", "frame"],
)
def test_two_columns_are_an_error(X):
    with pytest.raises(ValueError, match="Step expects one column, got 2"):
        single_column(X, Step(), reset=True)


@pytest.mark.parametrize(
    ("X", "kind"),
    [
        ("a", "str: wrap it in a list"),
        (b"a", "bytes"),
        (bytearray(b"a"), "bytearray"),
        (memoryview(b"a"), "memoryview"),
        (Path("a"), "PosixPath"),
        (None, "NoneType"),
        ({"a": [1]}, "dict: pass one column, or a data frame .* cannot be cross-validated"),
    ],
    ids=["str", "bytes", "bytearray", "memoryview", "path", "None", "dict"],
)
def test_a_single_cell_is_not_a_column(X, kind):
    with pytest.raises(ValueError, match=f"Step expects a column .*got a single {kind}"):
        single_column(X, Step(), reset=True)


def test_a_sparse_matrix_is_an_error():
    with pytest.raises(TypeError, match=r"Sparse data .* Step needs dense data: use X.toarray"):
        split_columns(csr_array(np.eye(2)), Step())


def test_a_sparse_matrix_for_a_reader_of_texts_is_an_error():
    class Reader(Step):
        def __sklearn_tags__(self):
            tags = super().__sklearn_tags__()
            tags.input_tags.two_d_array = False
            return tags

    with pytest.raises(TypeError, match=r"Reader reads texts or images by itself: leave out the"):
        split_columns(csr_array(np.eye(2)), Reader())


BIG = 2**53 + 1
INTEGERS_WITH_GAPS = {
    "pandas": lambda cells: pd.Series(cells, dtype="Int64"),
    "pandas uint64": lambda cells: pd.Series([c and abs(c) for c in cells], dtype="UInt64"),
    "pandas category": lambda cells: pd.Series(cells, dtype="Int64").astype("category"),
    "pandas category of int64": lambda cells: pd.Series(
        pd.Categorical(cells, categories=pd.Index(sorted({c for c in cells if c is not None})))
    ),
    "polars": lambda cells: pl.Series(cells, dtype=pl.Int64),
    "pyarrow": lambda cells: pytest.importorskip("pyarrow").array(cells),
    "pyarrow chunks": lambda cells: pytest.importorskip("pyarrow").chunked_array(
        [cells, cells[:0]]
    ),
    "pyarrow dictionary": lambda cells: (
        pytest.importorskip("pyarrow").array(cells).dictionary_encode()
    ),
    "pandas of pyarrow": lambda cells: pd.Series(
        cells, dtype=pd.ArrowDtype(pytest.importorskip("pyarrow").int64())
    ),
}


@pytest.mark.parametrize("kind", INTEGERS_WITH_GAPS)
@pytest.mark.parametrize(
    "cells", [[BIG, None, BIG - 1, 1], [None, BIG, 3, None]], ids=["value first", "gap first"]
)
def test_integers_beside_missing_values_stay_exact(kind, cells):
    (column,), _, one_dimensional = split_columns(INTEGERS_WITH_GAPS[kind](cells), Step())
    assert one_dimensional
    assert column.dtype == object
    assert column.tolist() == cells


@pytest.mark.parametrize("kind", INTEGERS_WITH_GAPS)
def test_small_integers_beside_missing_values_are_floats(kind):
    if kind == "pyarrow dictionary":
        pytest.skip("its cells are Python's")
    (column,), _, _ = split_columns(INTEGERS_WITH_GAPS[kind]([2**53, None, 1]), Step())
    assert column.dtype == np.float64
    assert column[[0, 2]].tolist() == [2**53, 1]
    assert np.isnan(column[1])


def test_dates_with_a_time_zone_are_in_utc():
    text = ["2020-01-01T00:00:00", None, "2020-07-01T12:30:00.000000001"]
    X = pl.Series(text).str.to_datetime(time_unit="ns").dt.replace_time_zone("Europe/Berlin")
    (column,), _, _ = split_columns(X, Step())
    assert column.tolist() == [
        datetime(2019, 12, 31, 23, tzinfo=UTC),
        None,
        np.datetime64("2020-07-01T10:30:00.000000001"),
    ]


@pytest.mark.parametrize("container", [pd.Series, pl.Series], ids=["pandas", "polars"])
def test_rows_of_one_moment_share_one_object(container):
    series = container(np.array([5, 3, 5, "NaT", 3, "NaT"], "M8[us]"))
    zoned = getattr(series.dt, "tz_localize", None) or series.dt.replace_time_zone
    (column,), _, _ = split_columns(zoned("UTC"), Step())
    rows = [[row for row in range(6) if column[row] is cell] for cell in column[[0, 1, 3]]]
    assert rows == [[0, 2], [1, 4], [3, 5]]
    assert column[0] == datetime(1970, 1, 1, 0, 0, 0, 5, tzinfo=UTC)


@pytest.mark.parametrize("unit", ["ms", "us"])
def test_years_beyond_those_of_datetime(unit):
    far = np.array(["12000-05-01", "2020-01-01", "-0400-01-01", "NaT"], f"M8[{unit}]")
    X = (
        pl.Series(far)
        .dt.replace_time_zone("Asia/Tokyo", ambiguous="null")
        .dt.convert_time_zone("UTC")
    )
    (column,), _, _ = split_columns(X, Step())
    assert column.tolist()[1:] == [
        datetime(2019, 12, 31, 15, tzinfo=UTC),
        X.to_numpy()[2],
        None,
    ]
    assert isinstance(column[0], np.datetime64)
    assert column[0] == X.to_numpy()[0]


@pytest.mark.parametrize(
    "X",
    [
        lambda: pl.Series([[1, 2], [3, 4]], dtype=pl.Array(pl.Int32, 2)),
        lambda: pl.DataFrame({"x": pl.Series([[1, 2], [3, 4]], dtype=pl.Array(pl.Int32, 2))}),
        lambda: pytest.importorskip("pyarrow").array([[1, 2], [3, 4]]),
        lambda: pytest.importorskip("pyarrow").record_batch({"x": [[1, 2], [3, 4]]}),
    ],
    ids=["polars series", "polars frame", "pyarrow array", "pyarrow batch"],
)
def test_columns_of_arrays(X):
    (column,), _, _ = split_columns(X(), Step())
    assert column.shape == (2,)
    assert [cell.tolist() for cell in column] == [[1, 2], [3, 4]]


@pytest.mark.parametrize(
    "container",
    [pl.Series, pd.Series, lambda cells: pytest.importorskip("pyarrow").array(cells)],
    ids=["polars", "pandas", "pyarrow"],
)
def test_structs_are_dicts(container):
    cells = [{"bytes": b"a", "path": None}, {"bytes": None, "path": "b"}]
    (column,), _, _ = split_columns(container(cells), Step())
    assert column.tolist() == cells


@pytest.mark.parametrize("container", ["array", "chunked_array", "table", "record_batch"])
def test_pyarrow(container):
    arrow = pytest.importorskip("pyarrow")
    given = {"array": ["a", "b"], "chunked_array": [["a"], ["b"]]}.get(container)
    X = getattr(arrow, container)(given or {"x": ["a", "b"]})
    step = Step()
    assert single_column(X, step, reset=True).tolist() == ["a", "b"]
    assert getattr(step, "feature_names_in_", None) == (None if given else ["x"])


def test_split_columns_keeps_dtypes():
    frame = pd.DataFrame({"x": [1, 2], "y": ["a", "b"], "z": [0.5, 1.5]})
    for X in (frame, pl.DataFrame(frame.to_dict("list"))):
        columns, names, one_dimensional = split_columns(X, Step())
        assert names == ["x", "y", "z"]
        assert not one_dimensional
        assert [column.tolist() for column in columns] == [[1, 2], ["a", "b"], [0.5, 1.5]]
        assert [columns[0].dtype.kind, columns[2].dtype.kind] == ["i", "f"]


def test_split_columns_of_rows():
    columns, names, one_dimensional = split_columns([("a", 1), ("b", 2)], Step())
    assert [column.tolist() for column in columns] == [["a", "b"], [1, 2]]
    assert names is None
    assert not one_dimensional
    assert split_columns(["a"], Step())[2]
    assert split_columns(pl.Series(["a"]), Step())[2]
    with pytest.raises(ValueError, match="Row 1 has 1 column, but row 0 has 2"):
        split_columns([("a", 1), ("b",)], Step())


def test_frames_and_their_index():
    assert is_frame(pd.DataFrame())
    assert is_frame(pl.DataFrame())
    assert not any(map(is_frame, [pd.Series([1]), pl.Series([1]), [1], np.ones((1, 1))]))
    assert row_index(COLUMNS["pandas Series"]).tolist() == [4, 2]
    assert row_index(COLUMNS["polars frame"]) is None
