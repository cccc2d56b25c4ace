import warnings
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from seqeval.metrics import f1_score as f1_of_seqeval
from seqeval.metrics.v1 import precision_recall_fscore_support as strict_of_seqeval
from seqeval.scheme import BILOU, IOB1, IOB2, IOBES
from sklearn.base import BaseEstimator
from sklearn.exceptions import UndefinedMetricWarning
from sklearn.metrics import make_scorer
from sklearn.model_selection import GridSearchCV, cross_validate

from sklearn_dl.metrics import (
    entity_f1_score,
    entity_precision_recall_fscore_support,
    make_entities,
)
from sklearn_dl.metrics._entity_tags import tags_of_spans

SEQEVAL = {"BIO": IOB2, "IOB1": IOB1, "BILOU": BILOU, "BIOES": IOBES}

Y_TRUE = [[(0, 2, "PER"), (3, 4, "LOC")], [(1, 2, "LOC")], []]
Y_PRED = [[(0, 1, "PER"), (3, 4, "LOC")], [(1, 2, "LOC")], [(0, 1, "ORG")]]


def tags(y, scheme, n_words=5):
    return [tags_of_spans(spans, n_words, scheme) for spans in y]


@st.composite
def row_spans(draw, n_words):
    """Sorted spans of one row that do not overlap."""
    cuts = sorted(draw(st.sets(st.integers(0, n_words), max_size=6)))
    pairs = [pair for pair in pairwise(cuts) if draw(st.booleans())]
    return [(start, end, draw(st.sampled_from("XYZ"))) for start, end in pairs]


@st.composite
def known_and_found(draw):
    """Rows of spans, and rows with some of the same spans and some others."""
    true, predicted = [], []
    for _ in range(draw(st.integers(1, 4))):
        spans = draw(row_spans(6))
        true.append(spans)
        predicted.append(spans if draw(st.booleans()) else draw(row_spans(6)))
    return true, predicted


@pytest.mark.slow
@pytest.mark.parametrize("scheme", SEQEVAL)
@given(case=known_and_found(), zero_division=st.sampled_from([0, 1]), beta=st.sampled_from([1, 2]))
@settings(max_examples=25, deadline=None)
def test_legal_tags_score_as_in_seqeval(scheme, case, zero_division, beta):
    y_true, y_pred = (tags(y, scheme, 6) for y in case)
    for average in ("micro", "macro", "weighted", None):
        if average != "micro" and not any(case[0] + case[1]):
            continue  # seqeval fails without a label
        theirs = strict_of_seqeval(
            y_true,
            y_pred,
            average=average,
            beta=beta,
            scheme=SEQEVAL[scheme],
            zero_division=zero_division,
        )
        params = {"scheme": scheme, "average": average, "zero_division": zero_division}
        for rows in ((y_true, y_pred), case, (case[0], y_pred), (y_true, case[1])):
            ours = entity_precision_recall_fscore_support(*rows, beta=beta, **params)
            for value, expected in zip(ours[:3], theirs, strict=False):
                np.testing.assert_allclose(value, expected, rtol=0, atol=1e-12)
            if average is None:
                assert ours[3].tolist() == theirs[3].tolist()
            else:
                assert ours[3] is None
            if beta == 1:
                np.testing.assert_array_equal(entity_f1_score(*rows, **params), ours[2])


@pytest.mark.slow
@given(data=st.data(), true=st.lists(row_spans(5), min_size=1, max_size=3).filter(lambda y: any(y)))
@settings(max_examples=100, deadline=None)
def test_illegal_predictions_score_as_in_seqeval(data, true):
    words = st.sampled_from(["O", "B-X", "I-X", "B-Y", "I-Y"])
    y_true = tags(true, "BIO")
    y_pred = [data.draw(st.lists(words, min_size=5, max_size=5)) for _ in true]
    ours = entity_precision_recall_fscore_support(
        y_true, y_pred, average="macro", zero_division=0.0
    )
    theirs = strict_of_seqeval(y_true, y_pred, average="macro", scheme=IOB2, zero_division=0)
    np.testing.assert_allclose(ours[:3], theirs[:3], rtol=0, atol=1e-12)


def test_by_hand():
    precision, recall, fscore, support = entity_precision_recall_fscore_support(
        Y_TRUE, Y_PRED, zero_division=np.nan
    )
    # LOC, ORG, PER
    np.testing.assert_array_equal(precision, [1, 0, 0])
    np.testing.assert_array_equal(recall, [1, np.nan, 0])
    np.testing.assert_array_equal(fscore, [1, 0, 0])
    assert (support.tolist(), support.dtype) == ([2, 0, 1], np.int64)
    assert entity_f1_score(Y_TRUE, Y_PRED) == pytest.approx(4 / 7)
    assert entity_f1_score(Y_TRUE, Y_PRED, average="macro") == pytest.approx(1 / 3)
    assert entity_f1_score(Y_TRUE, Y_PRED, average="weighted") == pytest.approx(2 / 3)
    recall = entity_precision_recall_fscore_support(
        Y_TRUE, Y_PRED, average="macro", zero_division=np.nan
    )[1]
    assert recall == 0.5  # of LOC and PER


def test_labels_choose_and_order():
    _, recall, _, support = entity_precision_recall_fscore_support(
        Y_TRUE, Y_PRED, labels=["PER", "LOC", "DATE"], zero_division=1.0
    )
    assert recall.tolist() == [0, 1, 1]
    assert support.tolist() == [1, 2, 0]
    precision, *_ = entity_precision_recall_fscore_support(
        Y_TRUE, Y_PRED, labels=["PER", "LOC"], average="micro"
    )
    assert precision == pytest.approx(2 / 3)
    for labels in ("PER", ["PER", "PER"], ["PER", 1]):
        with pytest.raises(ValueError, match="must be a list of distinct strings"):
            entity_precision_recall_fscore_support(Y_TRUE, Y_PRED, labels=labels)


def test_io_counts_as_bio():
    y_true = [["I-PER", "I-PER", "O", "I-LOC"]]
    assert entity_f1_score(y_true, y_true) == 1.0
    assert entity_f1_score(y_true, [["B-PER", "I-PER", "O", "B-LOC"]]) == 1.0
    assert entity_f1_score(y_true, [["B-PER", "I-PER", "O", "B-LOC"]], scheme="IO") == 1.0
    assert entity_f1_score(y_true, [["B-PER", "B-PER", "O", "B-LOC"]]) == pytest.approx(0.4)


def test_predictions_tell_the_scheme_where_y_true_does_not():
    y_pred = [["I-PER", "O"]]
    assert entity_f1_score([[(0, 1, "PER")]], y_pred) == 1.0
    # not undefined: one entity was predicted
    assert entity_f1_score([["O", "O"]], y_pred) == 0.0
    # y_true determines the scheme here, and "I-" alone is not an entity in BIO
    precision, *_ = entity_precision_recall_fscore_support(
        [["B-PER", "O"]], y_pred, average="micro", zero_division=np.nan
    )
    assert np.isnan(precision)
    with pytest.raises(ValueError, match=r"y_pred, row 0: .* neither IO nor BIO"):
        entity_f1_score([[(0, 1, "PER")]], [["I-PER", "B-PER"]])


@pytest.mark.parametrize("average", ["micro", "macro", "weighted"])
def test_nothing_to_find(average):
    y = [["O"], []]
    with pytest.warns(UndefinedMetricWarning, match="F-score is ill-defined") as raised:
        assert entity_f1_score(y, y, average=average) == 0.0
    assert len(raised) == 1
    assert entity_f1_score(y, y, average=average, zero_division=1.0) == 1.0
    assert np.isnan(entity_f1_score(y, y, average=average, zero_division=np.nan))


def test_nothing_to_find_has_no_labels():
    values = entity_precision_recall_fscore_support([[]], [[]])
    assert [value.shape for value in values] == [(0,)] * 4


def test_only_the_f_score_is_warned_of():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert entity_f1_score([[(0, 1, "X")]], [[]]) == 0.0
    with pytest.warns(UndefinedMetricWarning, match="Precision is ill-defined"):
        entity_precision_recall_fscore_support([[(0, 1, "X")]], [[]])


def test_unequal_rows_raise():
    with pytest.raises(ValueError, match=r"inconsistent numbers of samples: \[2, 1\]"):
        entity_f1_score([[], []], [[]])
    with pytest.raises(ValueError, match="Row 1: y_true has 2 tags, but y_pred has 1") as raised:
        entity_f1_score([["O"], ["O", "O"]], [["O"], ["O"]])
    assert raised.value.row == 1


@pytest.mark.parametrize("swap", [False, True])
def test_spans_of_characters_do_not_fit_tags(swap):
    y = [[["O"], ["B-PER", "I-PER"]], [[], [(0, 9, "PER")]]]
    name = "y_true" if swap else "y_pred"
    message = rf"Row 1: the entity \(0, 9, 'PER'\) of {name} ends after the last of 2 tags"
    with pytest.raises(ValueError, match=message):
        entity_f1_score(*(y[::-1] if swap else y))


def test_bad_input_names_the_parameter():
    with pytest.raises(ValueError, match=r"y_true, row 0: .* word 1"):
        entity_f1_score([["O", "I-X"]], [["O", "O"]], scheme="BIO")
    with pytest.raises(ValueError, match="y_pred, row 1: the row is missing"):
        entity_f1_score([[], []], [[], None])
    with pytest.raises(ValueError, match="average='samples' must be"):
        entity_f1_score([[]], [[]], average="samples")
    with pytest.raises(ValueError, match="'zero_division' parameter"):
        entity_f1_score([[]], [[]], zero_division=0.5)
    with pytest.raises(ValueError, match="'beta' parameter"):
        entity_precision_recall_fscore_support([[]], [[]], beta=-1)


def test_the_score_is_the_strict_mode_of_seqeval():
    y_true, y_pred = tags(Y_TRUE, "BIO"), tags(Y_PRED, "BIO")
    theirs = f1_of_seqeval(y_true, y_pred, mode="strict", scheme=IOB2)
    assert entity_f1_score(y_true, y_pred) == pytest.approx(theirs)


class Capitals(BaseEstimator):
    """Words with a capital are entities, from the second word on or from the first."""

    def __init__(self, first=0):
        self.first = first

    def fit(self, X, y):
        return self

    def predict(self, X):
        rows = np.empty(len(X), dtype=object)
        for i, words in enumerate(X):
            rows[i] = make_entities(
                [
                    (k, k + 1, "NAME")
                    for k, word in enumerate(words)
                    if word[0].isupper() and k >= self.first
                ]
            )
        return rows


def test_as_a_scorer():
    X = [["The", "cat", "saw", "Anna"], ["Now", "Bo", "ran"]] * 3
    y = [["O", "O", "O", "B-NAME"], ["O", "B-NAME", "O"]] * 3
    scorer = make_scorer(entity_f1_score)
    assert scorer(Capitals(), X, y) == pytest.approx(2 / 3)
    assert cross_validate(Capitals(1), X, y, scoring=scorer, cv=3)["test_score"].tolist() == [1] * 3
    search = GridSearchCV(Capitals(), {"first": [0, 1]}, scoring=scorer, cv=3).fit(X, y)
    assert search.best_params_ == {"first": 1}
