"""The check of X that every text estimator makes: columns, and cells that are text."""

import re

import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator

from sklearn_dl.text._text_rows import TextRows
from sklearn_dl.text._texts import text_columns

TEXTS = np.array(["a good film", "the bad book", "fine music", "poor plot"] * 3, dtype=object)
PAIRS = np.column_stack([TEXTS, TEXTS[::-1]])


class Reader(BaseEstimator):
    """An estimator to be named in messages."""


def read(X, allowed=(1, 2)):
    columns, unreadable = text_columns(X, Reader(), set(allowed), reset=True)
    assert unreadable is None
    return columns


def assert_refused(X, message, allowed=(1, 2)):
    """`text_columns` raises an error that begins with `message`, and sets no attribute."""
    reader = Reader()
    with pytest.raises(ValueError, match=f"^{message}"):
        text_columns(X, reader, set(allowed), reset=True)
    assert vars(reader) == {}


def with_cells(X, cells):
    """A copy of `X` with other cells in some rows: of its only column, else of column 1."""
    X = X.copy()
    for row, cell in cells.items():
        X[row if X.ndim == 1 else (row, 1)] = cell
    return X


@pytest.fixture(params=["one column", "two columns"])
def rows(request):
    return TEXTS if request.param == "one column" else PAIRS


def place_of(rows):
    """How messages name the column that `with_cells` changes."""
    return "" if rows.ndim == 1 else " of column 1"


def test_columns_come_back_with_their_cells(rows):
    reader = Reader()
    columns, _ = text_columns(rows, reader, {1, 2}, reset=True)
    assert [column.tolist() for column in columns] == rows.reshape(12, -1).T.tolist()
    assert reader.n_features_in_ == len(columns)
    assert not hasattr(reader, "feature_names_in_")


def test_attributes_are_left_alone_without_reset():
    reader = Reader()
    text_columns(PAIRS, reader, {2}, reset=None)
    assert vars(reader) == {}


@pytest.mark.parametrize(
    ("cell", "shown"),
    [
        pytest.param(None, r'missing\. Drop the rows, or fill them: fillna\(""\)\.', id="None"),
        pytest.param(np.nan, r"missing\. Drop", id="NaN"),
        pytest.param(pd.NA, r"missing\. Drop", id="pandas.NA"),
        pytest.param(3, r"3 \(int\)\. Convert it to text: astype\(str\)\.", id="int"),
        pytest.param(2.5, r"2\.5 \(float\)", id="float"),
        pytest.param(b"bytes", r"b'bytes' \(bytes\)", id="bytes"),
        pytest.param(["a", "list"], r"\['a', 'list'\] \(list\)", id="list"),
        pytest.param(b"x" * 1000, r"b'x{38} \(bytes\)", id="long bytes"),
    ],
)
def test_cells_that_are_not_text_are_named(rows, cell, shown):
    assert_refused(
        with_cells(rows, {2: cell, 5: cell}),
        f"Reader expects text, but each of rows 2, 5{place_of(rows)} is not text: row 2 is {shown}",
    )


def test_many_cells_that_are_not_text_are_counted(rows):
    assert_refused(
        with_cells(rows, dict.fromkeys(range(1, 10))),
        f"Reader expects text, but each of rows 1, 2, 3, 4, 5 and 4 more{place_of(rows)} is not "
        "text: row 1 is missing",
    )


def test_the_column_of_a_frame_is_named(rows):
    frame = pd.DataFrame(with_cells(rows, {3: None}), columns=["a", "b"][: rows.ndim])
    where = "" if rows.ndim == 1 else " of column b"
    assert_refused(frame, f"Reader expects text, but row 3{where} is not text: row 3 is missing")


@pytest.mark.parametrize(
    "X",
    [
        pytest.param(np.arange(12), id="one column"),
        pytest.param(np.arange(24.0).reshape(12, 2), id="two columns"),
        pytest.param(pd.DataFrame({"a": range(12)}), id="frame"),
    ],
)
def test_numbers_are_not_text(X):
    assert_refused(X, "Reader expects text, but each of rows 0, 1, 2, 3, 4 and 7 more")


def test_half_of_a_surrogate_pair_is_named(rows):
    assert_refused(
        with_cells(rows, {4: "good \ud83d film"}),
        rf"Reader: row 4{place_of(rows)} contains half of a surrogate pair \(row 4: U\+D83D at "
        r"position 5\), which is not a character\. Replace it: text\.encode",
    )


def test_a_whole_surrogate_pair_is_a_character(rows):
    columns = read(with_cells(rows, {4: "good \U0001f600 film"}))
    assert columns[-1][4] == "good \U0001f600 film"


ONE = "one column of texts"
TWO = "two columns of texts (a pair of texts in each row)"


@pytest.mark.parametrize(
    ("n_columns", "allowed", "message"),
    [
        (3, {1}, f"{ONE}, got 3 columns."),
        (3, {2}, f"{TWO}, got 3 columns."),
        (3, {1, 2}, f"{ONE} or {TWO}, got 3 columns."),
        (1, {2}, f"{TWO}, got 1 column."),
        (2, {1}, f"{ONE}, got 2 columns."),
    ],
    ids=["3 for 1", "3 for 2", "3 for 1 or 2", "1 for 2", "2 for 1"],
)
def test_another_number_of_columns(n_columns, allowed, message):
    X = np.column_stack([TEXTS] * n_columns)
    assert_refused(X, f"Reader expects {re.escape(message)}$", allowed)


def test_no_rows(rows):
    assert_refused(
        rows[:0],
        r"Found array with 0 sample\(s\) while a minimum of 1 is required by Reader\.",
    )


@pytest.mark.parametrize(
    ("X", "message"),
    [
        pytest.param("one text", "expects a column of values.* a single str", id="text"),
        pytest.param(b"bytes", "expects a column of values.* a single bytes", id="bytes"),
        pytest.param({"a": ["text"]}, "expects a column of values.* a single dict", id="dict"),
        pytest.param(None, "expects a column of values.* a single NoneType", id="None"),
        pytest.param({"a", "b"}, "got a set, which has no order", id="set"),
    ],
)
def test_what_is_not_a_column(X, message):
    assert_refused(X, f"Reader {message}")


def test_rows_of_unequal_width():
    assert_refused([["a"], ["a", "b"]], "Row 1 has 2 columns, but row 0 has 1")


def digest(*columns):
    columns = [np.array(column, dtype=object) for column in columns]
    return TextRows(columns, np.arange(len(columns[0])), max_length=16).digest()


def test_rows_are_known_by_their_texts():
    rows = TextRows([TEXTS], np.arange(12), max_length=16)
    assert rows.take(np.array([0, 4])).digest() == rows.take(np.array([8, 0])).digest()
    known = {
        digest(["ab", "c"]),
        digest(["a", "bc"]),
        digest(["abc"]),
        digest(["c", "ab"]),
        digest(["ab", "c"], ["d", "e"]),
        digest(["ab", "c"], ["d", "f"]),
    }
    assert len(known) == 6
