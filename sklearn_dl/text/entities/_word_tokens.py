"""From words to tokens: which token represents each word, and in which window it is read."""

from typing import NamedTuple

import numpy as np

from sklearn_dl.text._windows import Windows, read_windows
from sklearn_dl.text.entities._words import find_words, word_shape


class WordTokens(NamedTuple):
    """The windows of some rows, and the tokens that represent the words of these rows.

    The words of all rows are counted together. A word is represented by its first token, in the
    window that shows the most of the text around it. A word without tokens (such as a space) is not
    in `words`.

    Attributes
    ----------
    windows : Windows
    words, of_window, places : int ndarray of shape (n_found,)
        The words that have tokens, the window of each, and the place of its token in this window;
        ordered by window.
    n_words : int ndarray of shape (n_rows,)
        Number of words of each row.
    shapes : list of int ndarray, or None
        For each window, the Shapes of the words that its tokens belong to.
    """

    windows: Windows
    words: np.ndarray
    of_window: np.ndarray
    places: np.ndarray
    n_words: np.ndarray
    shapes: list | None

    def in_windows(self, windows):
        """The words in some windows, the index in `windows` of each, and the places."""
        starts = np.searchsorted(self.of_window, windows)
        stops = np.searchsorted(self.of_window, windows, side="right")
        index = np.repeat(np.arange(len(windows)), stops - starts)
        found = np.concatenate([np.arange(a, b) for a, b in zip(starts, stops, strict=True)])
        found = found.astype(np.int64)
        return self.words[found], index, self.places[found]


def read_words(tokenizer, rows, n_threads, with_shapes):
    """The WordTokens of WordRows."""
    windows = read_windows(tokenizer, rows.columns, rows.overlap, n_threads, offsets=True)
    spans = [rows.word_spans(position) for position in range(len(rows))]
    n_words = np.fromiter(map(len, spans), np.int64, len(spans))
    first_word = np.cumsum(n_words) - n_words
    _, stops = windows.own()
    of_row = np.searchsorted(windows.rows, np.arange(len(rows) + 1))
    words, of_window, places = [], [], []
    assert windows.offsets is not None
    for row, (word_spans, offsets) in enumerate(zip(spans, windows.offsets, strict=True)):
        token = first_tokens(word_spans, offsets)
        found = np.flatnonzero(token >= 0)
        token = token[found]
        some = slice(of_row[row], of_row[row + 1])
        window = of_row[row] + np.searchsorted(stops[some], token, side="right")
        words.append(first_word[row] + found)
        of_window.append(window)
        places.append(windows.leads[window] + token - windows.firsts[window])
    shapes = _shapes(windows, rows) if with_shapes else None
    joined = [np.concatenate(parts) for parts in (words, of_window, places)]
    return WordTokens(windows, joined[0], joined[1], joined[2], n_words, shapes)


def first_tokens(words, offsets):
    """The index of each word's first token; -1 for a word without tokens.

    Parameters
    ----------
    words : int ndarray of shape (n_words, 2)
        Where each word starts and ends.
    offsets : int ndarray of shape (n_tokens, 2)
        Where each token starts and ends. A token may start with the spaces before a word.
    """
    if not len(offsets):
        return np.full(len(words), -1)
    token = np.searchsorted(offsets[:, 1], words[:, 0], side="right")
    last = np.minimum(token, len(offsets) - 1)
    found = (token <= last) & (offsets[last, 0] < words[:, 1]) & (words[:, 0] < words[:, 1])
    return np.where(found, last, -1)


def _shapes(windows, rows):
    """For each window, the Shapes of the words that its tokens belong to."""
    of_row = []
    for text, offsets in zip(rows.columns[0], windows.offsets, strict=True):
        # always split at punctuation marks, so that shapes do not depend on whether rows are texts
        # or lists of words
        words = find_words(text)
        shapes = np.array([word_shape(text[a:b]) for a, b in words.tolist()], dtype=np.int32)
        word = np.searchsorted(words[:, 0], offsets[:, 1] - 1, side="right") - 1
        is_found = (word >= 0) & (len(words) > 0)
        of_row.append(np.where(is_found, np.append(shapes, 0)[word], 0))
    made = []
    for window, length in enumerate(windows.lengths):
        lead, first, size = windows.leads[window], windows.firsts[window], windows.sizes[window]
        padded = np.zeros(length, dtype=np.int32)
        padded[lead : lead + size] = of_row[windows.rows[window]][first : first + size]
        made.append(padded)
    return made
