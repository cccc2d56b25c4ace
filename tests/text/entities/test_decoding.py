from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import log_softmax, softmax

from sklearn_dl.text.entities._decoding import (
    best_tags,
    codes_of_spans,
    probabilities_of,
    spans_of_codes,
)
from sklearn_dl.training._ragged import Ragged


def is_legal(codes):
    """Whether each I- follows the B- or I- of the same label."""
    pairs = zip([0, *codes], codes, strict=False)
    return all(code == 0 or code % 2 or before in (code, code - 1) for before, code in pairs)


@pytest.mark.parametrize("seed", range(20))
def test_no_legal_sequence_is_more_probable(seed):
    rng = np.random.default_rng(seed)
    outputs = Ragged(rng.normal(0, 2, (12, 5)), [4, 0, 1, 3, 4])
    found = Ragged(best_tags(outputs), outputs.lengths).rows()
    for logits, codes in zip(outputs.rows(), found, strict=True):
        scores = log_softmax(logits, axis=1)
        best = max(
            filter(is_legal, product(range(5), repeat=len(logits))),
            key=lambda codes: scores[np.arange(len(codes)), list(codes)].sum(),
        )
        assert tuple(codes) == best


def test_rows_do_not_depend_on_each_other():
    outputs = Ragged(np.random.default_rng(0).normal(0, 2, (30, 7)), [9, 1, 0, 20])
    together = Ragged(best_tags(outputs), outputs.lengths).rows()
    for row, codes in enumerate(together):
        np.testing.assert_array_equal(best_tags(outputs[[row]]), codes)


def test_words_without_a_preference_stay_outside_or_inside():
    sure = np.array([-9.0, 9.0, -9.0]), np.zeros(3), np.array([-9.0, -9.0, 9.0])
    assert best_tags(Ragged(np.array(sure), [3])).tolist() == [1, 2, 2]
    assert best_tags(Ragged(np.array([sure[0], sure[1]]), [2])).tolist() == [1, 0]


def test_nothing_to_decode():
    assert best_tags(Ragged(np.empty((0, 3)), [])).tolist() == []
    assert best_tags(Ragged(np.empty((0, 3)), [0, 0])).tolist() == []


def test_probabilities_are_those_of_the_tags():
    outputs = Ragged(np.random.default_rng(0).normal(size=(4, 3)), [4])
    codes = np.array([0, 2, 1, 1])
    expected = softmax(outputs.values, axis=1)[np.arange(4), codes]
    np.testing.assert_allclose(probabilities_of(outputs, codes), expected, rtol=1e-12)


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(1, 3), st.integers(0, 2)), max_size=5))
def test_codes_and_spans_mean_the_same(parts):
    spans, end = [], 0
    for gap, length, label in parts:
        spans.append((end + gap, end + gap + length, label))
        end += gap + length
    codes = codes_of_spans(spans, end + 1)
    assert is_legal(codes.tolist())
    assert list(zip(*map(np.ndarray.tolist, spans_of_codes(codes)), strict=True)) == spans
