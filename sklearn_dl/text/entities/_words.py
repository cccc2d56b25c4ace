"""Find the words of a text, and their shapes."""

import re
import unicodedata
from enum import IntEnum

import numpy as np

_NOT_SPACE = re.compile(r"\S+")
_ASCII_WORD = re.compile(r"\w+|[^\w\s]")
# blocks of scripts that are written without spaces between words: each character is a word
_WITHOUT_SPACES = (
    (0x0E00, 0x0EFF),  # Thai, Lao
    (0x1000, 0x109F),  # Myanmar
    (0x1780, 0x17FF),  # Khmer
    (0x3040, 0x30FF),  # Hiragana, Katakana
    (0x3400, 0x4DBF),  # Chinese characters
    (0x4E00, 0x9FFF),
    (0xF900, 0xFAFF),
    (0x20000, 0x3FFFF),
)
_JOINERS = "\u200c\u200d"


def split_words(text):
    """Where the words of ``text.split()`` start and end: int ndarray of shape (n_words, 2)."""
    return _spans(match.span() for match in re.finditer(_NOT_SPACE, text))


def find_words(text):
    """Where the words and the punctuation marks of a text start and end.

    A word is a run of letters, digits and underscores, together with combining marks. Any other
    character that is not a space is a word of its own, and so is each character of a script that
    is written without spaces.

    Returns
    -------
    spans : int ndarray of shape (n_words, 2)
    """
    if text.isascii():
        return _spans(match.span() for match in re.finditer(_ASCII_WORD, text))
    found: list[list[int]] = []
    before = " "  # the kind of the character before: a space, a letter, or another
    for place, character in enumerate(text):
        kind = _kind(character)
        joins = kind == "m" and before != " "
        if joins or (kind == before == "a"):
            found[-1][1] = place + 1
        elif kind != " ":
            found.append([place, place + 1])
        before = before if joins else kind
    return _spans(found)


def listed_words(words):
    """Where words start and end in the text in which spaces join them."""
    lengths = np.fromiter(map(len, words), np.int64, len(words))
    starts = np.cumsum(lengths + 1) - lengths - 1
    return np.column_stack([starts, starts + lengths])


def _spans(spans):
    return np.array(list(spans), dtype=np.int64).reshape(-1, 2)


def _kind(character):
    """The kind of a character: a space " ", a letter "a", a mark "m", or another "."."""
    code = ord(character)
    if any(first <= code <= last for first, last in _WITHOUT_SPACES):
        return "m" if unicodedata.category(character)[0] == "M" else "."
    if character.isalnum() or character == "_":
        return "a"
    if character.isspace():
        return " "
    if unicodedata.category(character)[0] == "M" or character in _JOINERS:
        return "m"
    return "."


class Shape(IntEnum):
    """The shape of a word: what an encoder that ignores letter case does not see."""

    OTHER = 0
    DIGITS = 1
    SOME_DIGITS = 2
    ALL_CAPITALS = 3
    ONE_CAPITAL = 4
    INITIAL_CAPITAL = 5
    INNER_CAPITALS = 6
    PUNCTUATION = 7


def word_shape(word):
    """The Shape of a word that is not empty."""
    if word.islower():
        return Shape.OTHER if word.isalpha() or not _has_digit(word) else Shape.SOME_DIGITS
    if word.isdigit():
        return Shape.DIGITS
    if _has_digit(word):
        return Shape.SOME_DIGITS
    if word.isupper():
        return Shape.ONE_CAPITAL if len(word) == 1 else Shape.ALL_CAPITALS
    if word[0].isupper() and (len(word) == 1 or word[1:].islower()):
        return Shape.INITIAL_CAPITAL
    if any(map(str.isupper, word)):
        return Shape.INNER_CAPITALS
    return Shape.OTHER if any(map(str.isalpha, word)) else Shape.PUNCTUATION


def _has_digit(word):
    return any(map(str.isdigit, word))
