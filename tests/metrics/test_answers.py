import re
import string

import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import BaseEstimator
from sklearn.metrics import make_scorer
from sklearn.model_selection import cross_validate

from sklearn_dl.metrics import answer_f1_score, exact_match_score
from sklearn_dl.metrics._answers import f1_of_answer, gold_answers

PREDICTED = np.dtype([("answer", object), ("start", int), ("end", int), ("score", float)])


def words_of(text):
    """The words that SQuAD's evaluation compares, found in another way than in the package."""
    kept = "".join(character for character in text.lower() if character not in string.punctuation)
    return re.split(r"\s+", re.sub(r"(?<!\w)(the|an|a)(?!\w)", " ", kept).strip())


def reference(golds, predicted):
    """Exact match and F1 score of one question, as the paper's evaluation defines them."""
    golds = [words for words in map(words_of, golds) if words != [""]] or [[""]]
    found = words_of(predicted)
    f1s = []
    for gold in golds:
        left = list(gold)
        for word in found:
            if word in left:
                left.remove(word)
        n_shared = len(gold) - len(left)
        precision, recall = n_shared / len(found), n_shared / len(gold)
        f1s.append(2 * precision * recall / (precision + recall) if n_shared else 0.0)
    return float(found in golds), max(f1s)


texts = st.lists(
    st.sampled_from(["a", "An", "the", "cat", "Cat's", "dog", "dog", ",", "-", "a—b", "ßA", "\n"]),
    max_size=5,
).map(" ".join)


@pytest.mark.slow
@given(
    rows=st.lists(
        st.tuples(st.lists(texts, max_size=3), texts).map(
            lambda row: (row[0], row[0][0]) if row[0] and len(row[1]) % 3 == 0 else row
        ),
        min_size=1,
        max_size=5,
    )
)
@settings(max_examples=200, deadline=None)
def test_scores_are_those_of_the_reference(rows):
    y_true = [{"text": golds, "answer_start": [0] * len(golds)} for golds, _ in rows]
    y_pred = [predicted for _, predicted in rows]
    exact, f1 = np.mean([reference(*row) for row in rows], axis=0)
    assert exact_match_score(y_true, y_pred) == pytest.approx(exact, abs=1e-12)
    assert answer_f1_score(y_true, y_pred) == pytest.approx(f1, abs=1e-12)


@pytest.mark.parametrize(
    ("golds", "predicted", "exact", "f1"),
    [
        (["the Eiffel Tower"], "Eiffel tower.", 1, 1),
        (["Eiffel Tower"], "tower", 0, 2 / 3),
        (["in 1889"], "1889 in", 0, 1),
        (["dog dog cat"], "dog", 0, 0.5),
        (["dog"], "dog dog cat", 0, 0.5),
        (["Paris", "the city of Paris"], "city of Paris", 1, 1),
        (["Paris"], "London", 0, 0),
        (["Anna's"], "annas", 1, 1),
        (["theatre"], "a theatre", 1, 1),
        ([], "", 1, 1),
        ([], "Paris", 0, 0),
        (["Paris"], "", 0, 0),
        # a true answer that is empty after normalization does not count
        (["The", "Paris"], "a", 0, 0),
        (["The"], "", 1, 1),
        ([], "the", 1, 1),
    ],
)
def test_by_hand(golds, predicted, exact, f1):
    assert exact_match_score([{"text": golds}], [predicted]) == exact
    assert answer_f1_score([{"text": golds}], [predicted]) == pytest.approx(f1)
    assert f1_of_answer(golds, predicted) == pytest.approx(f1)
    assert reference(golds, predicted) == (exact, pytest.approx(f1))


def test_the_score_is_the_mean_over_the_rows():
    y_true, y_pred = ["one", "two three", None, "x"], ["one", "two", "x", "x"]
    assert exact_match_score(y_true, y_pred) == 0.5
    assert answer_f1_score(y_true, y_pred) == pytest.approx((1 + 2 / 3 + 0 + 1) / 4)


@pytest.mark.parametrize(
    ("row", "answers"),
    [
        ("Paris", [("Paris", None)]),
        (np.str_("Paris"), [("Paris", None)]),
        (("Paris", 3), [("Paris", 3)]),
        (["Paris", np.int32(3)], [("Paris", 3)]),
        (np.array(["Paris", 3], dtype=object), [("Paris", 3)]),
        ({"text": ["Paris", "the city"], "answer_start": [3, 0]}, [("Paris", 3), ("the city", 0)]),
        ({"text": np.array(["Paris"]), "answer_start": np.array([3])}, [("Paris", 3)]),
        ({"text": "Paris", "answer_start": 3}, [("Paris", 3)]),
        ({"text": ["Paris"]}, [("Paris", None)]),
        ({"text": [], "answer_start": []}, []),
        ({"text": [""], "answer_start": [-1]}, []),
        (("", -1), []),
        (None, []),
        ("", []),
        ([], []),
        ((), []),
    ],
)
def test_every_form_of_an_answer(row, answers):
    read = gold_answers([row, "x"], "y")
    assert read == [answers, [("x", None)]]
    for text, start in read[0]:
        assert type(text) is str
        assert start is None or type(start) is int


def test_predictions_are_answers():
    predicted = np.array([("Paris", 3, 8, 0.9), ("", -1, -1, 0.5)], dtype=PREDICTED)
    assert gold_answers(predicted, "y") == [[("Paris", 3)], []]
    assert gold_answers(predicted[["answer"]], "y") == [[("Paris", None)], []]
    assert exact_match_score(["paris", "London"], predicted) == 0.5
    assert exact_match_score(predicted, predicted) == 1.0


def test_columns_of_frames():
    rows = [{"text": ["a b"], "answer_start": [1]}, {"text": [], "answer_start": []}, None]
    for y in (pd.Series(rows, index=[5, 6, 7]), pl.Series(rows), tuple(rows), np.array(rows)):
        assert gold_answers(y, "y") == [[("a b", 1)], [], []]
    assert gold_answers(pl.Series(["x", None]), "y") == [[("x", None)], []]
    assert gold_answers(pd.DataFrame({"y": ["x", ""]}), "y") == [[("x", None)], []]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (np.nan, 'the answer is missing. Use ""'),
        (pd.NA, "the answer is missing"),
        (3, "an answer must be a text"),
        (b"Paris", "an answer must be a text"),
        (["Paris"], "an answer must be a text"),
        (["Paris", "London"], "the start of 'Paris' must be an integer, but is 'London'"),
        (("Paris", 3.0), "the start of 'Paris' must be an integer, but is 3.0"),
        (("Paris", True), "the start of 'Paris' must be an integer"),
        (("Paris", None), "the start of 'Paris' must be an integer"),
        (("Paris", -1), "the start of 'Paris' must be at least 0, but is -1"),
        ((3, "Paris"), "the text of an answer must be a string, but is 3"),
        ({"text": ["Paris", None]}, "the text of an answer must be a string, but is None"),
        ({"text": ["a", "b"], "answer_start": [1]}, "'text' has 2 items, but 'answer_start' has 1"),
        ({"text": "a", "answer_start": []}, "'text' has 1 item, but 'answer_start' has 0"),
        ({"answer": "Paris"}, "the dict must have the key 'text'"),
    ],
)
def test_a_malformed_answer_is_named(row, message):
    with pytest.raises(ValueError, match=f"^y_true, row 1: {re.escape(message)}") as raised:
        exact_match_score(["x", row], ["x", "x"])
    assert raised.value.row == 1


def test_bad_rows():
    with pytest.raises(ValueError, match=r"inconsistent numbers of samples: \[2, 1\]"):
        answer_f1_score(["x", "y"], ["x"])
    with pytest.raises(ValueError, match="have no rows"):
        answer_f1_score([], [])
    with pytest.raises(ValueError, match="y_pred must be a list, an array or a Series"):
        answer_f1_score(["x"], "x")
    with pytest.raises(ValueError, match="Row 1: y_pred has 2 answers") as raised:
        answer_f1_score(["x", "x"], ["x", {"text": ["x", "y"]}])
    assert raised.value.row == 1


class FirstWord(BaseEstimator):
    """Answers each question with the first word of its context."""

    def fit(self, X, y):
        return self

    def predict(self, X):
        rows = [(context.split()[0], 0, len(context.split()[0]), 1.0) for _, context in X]
        return np.array(rows, dtype=PREDICTED)


def test_as_a_scorer():
    X = [("Who?", "Anna ran"), ("What?", "Bo saw a cat")] * 2
    y = [("Anna", 0), ("a cat", 7)] * 2
    scorer = make_scorer(answer_f1_score)
    assert scorer(FirstWord(), X, y) == 0.5
    assert (
        cross_validate(FirstWord(), X, y, scoring=scorer, cv=2)["test_score"].tolist() == [0.5] * 2
    )
