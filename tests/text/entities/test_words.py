import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sklearn_dl.text.entities._words import (
    Shape,
    find_words,
    listed_words,
    split_words,
    word_shape,
)


def words_of(text, split=find_words):
    return [text[a:b] for a, b in split(text)]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", []),
        (" \t\n", []),
        ("Paris, France.", ["Paris", ",", "France", "."]),
        ("snake_case 3.5%", ["snake_case", "3", ".", "5", "%"]),
        ("Zoë's café", ["Zoë", "'", "s", "café"]),
        ("cafe\u0301 nai\u0308ve", ["cafe\u0301", "nai\u0308ve"]),
        ("\u0301a", ["\u0301a"]),
        ("हिन्दी में", ["हिन्दी", "में"]),
        ("東京 is", ["東", "京", "is"]),
        ("กิน", ["กิ", "น"]),
        ("a\u200db", ["a\u200db"]),
        ("👍👍 ok", ["👍", "👍", "ok"]),
        ("a\u00a0b", ["a", "b"]),
    ],
)
def test_words_and_punctuation_marks(text, words):
    if text == "\u0301a":
        # a mark without a letter before it stands alone
        words = ["\u0301", "a"]
    assert words_of(text) == words


@given(st.text(max_size=40))
def test_words_cover_all_that_is_not_a_space(text):
    found = find_words(text)
    assert "".join(words_of(text)) == "".join(text.split())
    assert (found[1:, 0] >= found[:-1, 1]).all()
    assert [w for w in words_of(text) if w != w.strip()] == []


@given(st.text(max_size=40))
def test_split_words_are_those_of_split(text):
    assert words_of(text, split_words) == text.split()


@given(st.lists(st.text(max_size=5), max_size=5))
def test_listed_words_are_found_in_the_joined_text(words):
    text = " ".join(words)
    assert [text[a:b] for a, b in listed_words(words)] == words


@given(st.text("aé B.9_", max_size=20))
def test_ascii_and_other_texts_are_split_alike(text):
    plain = text.replace("é", "e")
    np.testing.assert_array_equal(find_words(plain + "é"), find_words(plain + "e"))


@pytest.mark.parametrize(
    ("word", "shape"),
    [
        ("cat", Shape.OTHER),
        ("日", Shape.OTHER),
        ("2024", Shape.DIGITS),
        ("a1", Shape.SOME_DIGITS),
        ("A1", Shape.SOME_DIGITS),
        ("USA", Shape.ALL_CAPITALS),
        ("A", Shape.ONE_CAPITAL),
        ("Anna", Shape.INITIAL_CAPITAL),
        ("Österreich", Shape.INITIAL_CAPITAL),
        ("McDonald", Shape.INNER_CAPITALS),
        ("iPhone", Shape.INNER_CAPITALS),
        (".", Shape.PUNCTUATION),
        ("_", Shape.PUNCTUATION),
    ],
)
def test_shapes(word, shape):
    assert word_shape(word) == shape
