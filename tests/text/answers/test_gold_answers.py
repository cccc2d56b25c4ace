"""Answers in y are found in their contexts, or raise an error."""

import numpy as np
import pandas as pd
import pytest

from sklearn_dl.text._text_rows import TextRows
from sklearn_dl.text.answers._gold_answers import located_answers
from sklearn_dl.utils._columns import object_array
from sklearn_dl.utils._messages import RowError, RowsError

CONTEXT = "Ada lives in Paris. 😀 Paris is old."


def rows(*contexts, unreadable=None):
    questions = object_array(["where"] * len(contexts))
    columns = [questions, object_array(contexts)]
    return TextRows(columns, np.arange(len(contexts)), 32, True, unreadable, 4)


@pytest.mark.parametrize(
    ("y", "span", "texts"),
    [
        ("Ada", (0, 3), ("Ada",)),
        (("Paris", 22), (22, 27), ("Paris",)),
        (["Paris", np.int64(13)], (13, 18), ("Paris",)),
        ({"text": ["Paris", "Ada"], "answer_start": [13, 0]}, (13, 18), ("Paris", "Ada")),
        ({"text": "Ada", "answer_start": 0}, (0, 3), ("Ada",)),
        ("Ada lives in ", (0, 12), ("Ada lives in ",)),
        ((" Paris is", 21), (22, 30), (" Paris is",)),
        (None, (-1, -1), ()),
        ("", (-1, -1), ()),
        ([], (-1, -1), ()),
        ({"text": [], "answer_start": []}, (-1, -1), ()),
    ],
)
def test_each_form_of_an_answer(y, span, texts):
    found = located_answers([y, "old"], rows(CONTEXT, CONTEXT), "y")
    assert tuple(found.spans[0]) == span
    assert found.texts.tolist() == [texts, ("old",)]
    assert found.contexts.tolist() == [CONTEXT] * 2
    (second,) = found[[1]].texts
    assert second == ("old",)


@pytest.mark.parametrize(
    ("y", "message"),
    [
        ("Paris", r"y, row 1: the answer 'Paris' occurs 2 times.*\(text, start\)"),
        ("Rome", r"y, row 1: the answer 'Rome' does not occur in the context 'Ada lives"),
        ("paris", "does not occur"),
        (
            ("Paris", 12),
            r"at character 12: the context has ' Pari' there\. The answer occurs at 13",
        ),
        (("Rome", 13), r"the context has 'Pari' there\. It does not occur at all"),
        (("old", 99), r"the context has only 35 characters\. The answer occurs at 31"),
        (("Paris", -3), "at least 0"),
        ({"text": ["Ada", "Rome"], "answer_start": [0, 13]}, "'Rome' does not start at"),
        (" ", "only white space"),
        (np.nan, "y, row 1: the answer is missing"),
        (3, "an answer must be"),
    ],
)
def test_answers_that_do_not_fit_their_context(y, message):
    with pytest.raises(RowsError, match=message) as caught:
        located_answers(["Ada", y], rows(CONTEXT, CONTEXT), "y")
    assert caught.value.row == 1


def test_overlapping_occurrences_are_counted():
    with pytest.raises(RowsError, match=r"y_val, row 0: the answer 'aa' occurs 3 times"):
        located_answers(["aa"], rows("aaaa"), "y_val")


def test_the_answers_of_rows_that_cannot_be_read_are_not_looked_for():
    unreadable = object_array([None, RowError("the text is missing", 1)])
    found = located_answers(["Ada", "Rome"], rows(CONTEXT, "", unreadable=unreadable), "y")
    assert found.spans.tolist() == [[0, 3], [-1, -1]]
    assert found.texts.tolist() == [("Ada",), ("Rome",)]


def test_a_series_of_dicts():
    y = pd.Series([{"text": ["Ada"], "answer_start": [0]}, None], index=[7, 3], dtype=object)
    found = located_answers(y, rows(CONTEXT, CONTEXT), "y")
    assert found.spans.tolist() == [[0, 3], [-1, -1]]
