"""Every estimator reads unusual and very long texts."""

import warnings

import numpy as np
import pytest

from sklearn_dl.models._folder import find_folder
from sklearn_dl.text._text_network import load_tokenizer
from tests.text.small_estimators import KINDS, outputs, rows_of, small_estimator, targets_of

ODD_TEXTS = {
    "empty": "",
    "spaces": "  \t\n ",
    "controls": "a\x00b\x07c\x1b[0m\x7f",
    "right to left": "שלום \u202eعالم\u202c",  # noqa: RUF001
    "emoji": "good 👍🏽 film 👨‍👩‍👧",
    "combining": "e\u0301" * 5 + "\u200b\ufeff",
    "unassigned": "\U000e0fff\ufffe",
}


@pytest.mark.parametrize("kind", KINDS)
def test_odd_texts_are_read(kind, encoder):
    estimator, rows = small_estimator(kind, encoder), rows_of(kind)
    for row, text in enumerate(ODD_TEXTS.values()):
        rows[row] = text
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*texts are longer")
        made = np.asarray(outputs(estimator.fit(rows, targets_of(kind)), rows))
        assert np.isfinite(made).all()
        for row, name in enumerate(ODD_TEXTS):
            alone = outputs(estimator, rows[row : row + 1])
            np.testing.assert_allclose(alone, made[row : row + 1], atol=1e-5, err_msg=name)


@pytest.mark.parametrize(
    "n_repeats",
    [
        pytest.param(1_000, id="10 kilobytes"),
        pytest.param(100_000, id="a megabyte", marks=pytest.mark.slow),
    ],
)
@pytest.mark.parametrize("kind", KINDS)
def test_long_texts_are_cut_and_counted(kind, encoder, n_repeats):
    estimator, rows, y = small_estimator(kind, encoder), rows_of(kind), targets_of(kind)
    rows[0] = "good film " * n_repeats
    if kind == "encoder":
        calls = [lambda: estimator.fit(rows).transform(rows)]
    else:
        calls = [lambda: estimator.fit(rows, y), lambda: estimator.predict(rows)]
    for call in calls:
        with pytest.warns(UserWarning, match=r"^(1 of 12|2 of 24) texts are") as caught:
            made = call()
        assert len(caught) == 1
        assert caught[0].filename == __file__
    assert np.isfinite(np.asarray(made)).all()


class NotesPairs:
    """A tokenizer that notes the pairs of texts that it is asked for."""

    def __init__(self, tokenizer):
        self.tokenizer, self.pairs = tokenizer, []

    def encode(self, *texts, **options):
        if len(texts) == 2:
            self.pairs.append(texts)
        return self.tokenizer.encode(*texts, **options)

    def no_truncation(self):
        self.tokenizer.no_truncation()

    def encode_batch_fast(self, texts, **options):
        self.pairs.extend(texts)
        return self.tokenizer.encode_batch_fast(texts, **options)


@pytest.mark.parametrize("n_threads", [1, 2])
def test_of_long_texts_of_a_pair_only_the_beginning_is_tokenized_together(encoder, n_threads):
    """The tokenizer needs minutes for two texts of a megabyte."""
    tokenizer = load_tokenizer(find_folder(encoder), 32)
    short, long, longer = "good film", "good film " * 100, "good film " * 1000
    columns = [[longer, longer, short, "\x00" * 9999], [longer, short, longer, short]]
    # texts of fewer characters are given as they are
    expected = tokenizer.encode([[c if c == short else long for c in col] for col in columns], 1)
    tokenizer.backend = NotesPairs(tokenizer.backend)
    rows = tokenizer.encode(columns, n_threads)
    assert [len(pair) for pair in tokenizer.backend.pairs] == [2] * 4
    for pair, given in zip(tokenizer.backend.pairs, zip(*columns, strict=True), strict=True):
        for text, whole in zip(pair, given, strict=True):
            assert whole.startswith(text)
            assert len(text) < 32 * 64 or text.strip("\x00") == ""
    for row in range(3):
        np.testing.assert_array_equal(rows.ids[row], expected.ids[row])
        assert len(rows.ids[row]) == 32
    # a text without tokens leaves the other one alone
    alone = tokenizer.encode([[""], [short]], 1)
    np.testing.assert_array_equal(rows.ids[3], alone.ids[0])
    assert rows.cut.sum() == 3


def test_long_texts_of_a_pair_are_shortened_to_whole_words(encoder):
    """A part of a word could have other tokens than the word begins with."""
    tokenizer = load_tokenizer(find_folder(encoder), 32)
    beginning = "film " * 31 + "goodfilm"  # the last word has five tokens
    tokenizer.backend = NotesPairs(tokenizer.backend)
    tokenizer.encode([[beginning + " film" * 999], ["good"]], 1)
    assert tokenizer.backend.pairs == [(beginning, "good")]
