"""The best spans, compared with a search that looks at one span after the other."""

import tracemalloc
from itertools import pairwise

import numpy as np
import pytest
from numpy.testing import assert_allclose

from sklearn_dl.text.answers._spans import SPAN_DTYPE, TOKEN_DTYPE, best_spans, trimmed


def by_hand(tokens, max_answer_length, allow_no_answer):
    """All spans and their probabilities, the best first."""
    bounds = [*np.flatnonzero(tokens["token"] < 0).tolist(), len(tokens)]
    scores: dict = {}
    nothing = []
    for begin, stop in pairwise(bounds):
        window = tokens[begin + 1 : stop]
        nothing.append(tokens["start_logit"][begin] + tokens["end_logit"][begin])
        for i, first in enumerate(window):
            for last in window[i : i + max_answer_length]:
                if first["start"] < first["end"] and last["start"] < last["end"]:
                    span = int(first["start"]), int(last["end"])
                    score = first["start_logit"] + last["end_logit"]
                    scores[span] = max(score, scores.get(span, -np.inf))
    if allow_no_answer:
        scores[-1, -1] = min(nothing)
    total = np.sum(np.exp(list(scores.values())))
    found = [(*span, np.exp(score) / total) for span, score in scores.items()]
    return sorted(found, key=lambda span: (-span[2], *span[:2]))


def random_tokens(rng, overlap=3, size=8):
    """Tokens of windows of one context; some share characters, some are white space."""
    n_tokens = int(rng.integers(0, 30))
    starts = np.cumsum(rng.integers(0, 3, n_tokens))
    # tokens for parts of one character have the same offsets
    ends = np.maximum.accumulate(starts + rng.integers(1, 3, n_tokens))
    is_space = rng.random(n_tokens) < 0.2
    ends = np.where(is_space, starts, ends)
    parts = []
    for first in range(0, max(1, n_tokens - overlap), size - overlap):
        stop = min(first + size, n_tokens)
        window = np.empty(1 + stop - first, dtype=TOKEN_DTYPE)
        window["token"] = [-1, *range(first, stop)]
        window["start"], window["end"] = [-1, *starts[first:stop]], [-1, *ends[first:stop]]
        for name in ("start_logit", "end_logit"):
            window[name] = rng.normal(0, 3, len(window))
        parts.append(window)
    return np.concatenate(parts)


@pytest.mark.parametrize("max_answer_length", [1, 4, 100])
@pytest.mark.parametrize("allow_no_answer", [False, True])
def test_the_search_finds_what_a_slow_search_finds(max_answer_length, allow_no_answer):
    rng = np.random.default_rng(0)
    n_windows = set()
    for _ in range(100):
        tokens = random_tokens(rng)
        n_windows.add(int((tokens["token"] < 0).sum()))
        expected = by_hand(tokens, max_answer_length, allow_no_answer)
        for k in (1, 3, 10_000):
            found = best_spans(tokens, k, max_answer_length, allow_no_answer)
            if not expected:
                assert found.tolist() == [(-1, -1, 1.0)]
                continue
            assert found[["start", "end"]].tolist() == [span[:2] for span in expected[:k]]
            assert_allclose(found["score"], [score for *_, score in expected[:k]])
    assert n_windows > {1, 2, 3}


def window(*logits):
    """A window of tokens of one character each; the first logits are those of "no answer"."""
    rows = [(number - 1, number - 1, number, a, b) for number, (a, b) in enumerate(logits)]
    tokens = np.array(rows, dtype=TOKEN_DTYPE)
    tokens["start"][0] = tokens["end"][0] = -1
    return tokens


def test_start_and_end_are_chosen_together():
    # the best start is after the best end
    tokens = window((0, 0), (1, 5), (0, 0), (5, 0))
    (span,) = best_spans(tokens, 1, 30, False)
    assert (span["start"], span["end"]) == (0, 1)


def test_no_answer_has_the_lowest_score_of_the_windows():
    first, second = window((3, 3), (0, 0)), window((1, 1), (0, 0))
    second["token"][1] = 1
    second["start"][1], second["end"][1] = 1, 2
    spans = best_spans(np.concatenate([first, second]), 5, 30, True)
    assert spans[["start", "end"]].tolist() == [(-1, -1), (0, 1), (1, 2)]
    weights = np.exp([2, 0, 0])
    assert_allclose(spans["score"], weights / weights.sum())


def test_large_logits_do_not_overflow():
    spans = best_spans(window((0, 0), (800, 800), (790, 800)), 3, 30, False)
    assert_allclose(spans["score"], np.exp([0, 0, -10]) / np.exp([0, 0, -10]).sum())
    assert spans["start"].tolist() == [0, 0, 1]
    assert spans["end"].tolist() == [1, 2, 2]


@pytest.mark.slow
def test_memory_does_not_depend_on_the_number_of_windows():
    rng = np.random.default_rng(0)

    def peak(n_windows):
        size = 100
        tokens = np.empty((n_windows, 1 + size), dtype=TOKEN_DTYPE)
        tokens["token"] = np.arange(-1, size) + size * np.arange(n_windows)[:, None]
        tokens["start"], tokens["end"] = tokens["token"], tokens["token"] + 1
        tokens["start_logit"], tokens["end_logit"] = rng.normal(size=(2, n_windows, 1 + size))
        tokens["token"][:, 0] = tokens["start"][:, 0] = tokens["end"][:, 0] = -1
        tracemalloc.start()
        best_spans(tokens.ravel(), 3, 30, True)
        used = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return used

    # the spans of 2,000 windows alone would be 144 MB
    assert peak(2000) < peak(20) + 1e6
    assert 2000 * 100 * 30 * SPAN_DTYPE.itemsize > 100e6


def test_white_space_around_tokens_is_left_out():
    context = "  a é\u2003\n"
    offsets = np.array([[0, 3], [2, 3], [3, 5], [5, 7], [0, 7]])
    expected = [[2, 3], [2, 3], [4, 5], [5, 5], [2, 5]]
    assert trimmed(offsets, context).tolist() == expected
    assert trimmed(np.empty((0, 2), dtype=int), "").shape == (0, 2)


def test_a_token_has_the_combining_marks_that_the_tokenizer_leaves_out():
    context = "cafe\u0301\u0302 e\u0301"
    offsets = np.array([[0, 2], [2, 4], [4, 5], [6, 8], [7, 8]])
    expected = [[0, 2], [2, 6], [4, 6], [7, 9], [7, 9]]
    assert trimmed(offsets, context).tolist() == expected
