"""The rows of EntityRecognizer: texts, or lists of words."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from sklearn_dl.text._text_rows import TextRows, text_digest
from sklearn_dl.text._texts import text_fault
from sklearn_dl.text.entities._words import find_words, listed_words, split_words
from sklearn_dl.utils._columns import (
    counted,
    is_series,
    object_array,
    require_rows,
    set_or_check_features,
    split_columns,
)
from sklearn_dl.utils._messages import RowError


@dataclass(frozen=True, eq=False)
class WordRows(TextRows):
    """Rows of texts whose words are tagged. Lists of words are joined by spaces.

    Attributes
    ----------
    columns, numbers, max_length, skips, unreadable, overlap
        As in `TextRows`.
    words : object ndarray of shape (n_rows,), or None
        Each row's list of words. None: the rows were given as texts.
    splits_at_spaces : bool
        Whether the words of a text are those of ``text.split()``. If not, texts are also split at
        punctuation marks.
    """

    words: Any = None
    splits_at_spaces: bool = False

    def take(self, positions):
        words = None if self.words is None else self.words[positions]
        return replace(super().take(positions), words=words)

    def split_at_spaces(self, only):
        """The same rows; if `only`, the words of texts are those of ``text.split()``."""
        return replace(self, splits_at_spaces=only)

    def digest(self):
        if self.words is None:
            return super().digest()
        return text_digest([str(len(words)) for words in self.words] + self.columns[0].tolist())

    def word_spans(self, position):
        """Where the words of a row start and end in its text: int ndarray of shape (n_words, 2)."""
        if self.words is not None:
            return listed_words(self.words[position])
        split = split_words if self.splits_at_spaces else find_words
        return split(self.columns[0][position])


def word_rows(X, estimator, *, reset):
    """Check X; return it as WordRows with the settings of an EntityRecognizer.

    Parameters
    ----------
    X : list, tuple, ndarray, Series or one-column DataFrame
    estimator : estimator
        It has the parameters `max_length`, `window_overlap` and `on_error`.
    reset : bool
        As in `text_columns`.

    Raises
    ------
    ValueError
        If X is not one column, has both texts and lists of words, or has no rows although `reset`
        is True.
    RowError
        If a cell is neither a text nor a list of words, unless ``on_error="nan"``.
    """
    cells, names = _cells(X, estimator)
    if reset:
        require_rows(len(cells), estimator)
    texts, unreadable = object_array([""] * len(cells)), object_array([None] * len(cells))
    words = object_array([()] * len(cells))
    kinds: dict = {}
    for row, cell in enumerate(cells):
        if is_list_of_words(cell):
            listed = list(cell)
            fault = _fault_of_words(listed)
            kinds.setdefault("a list of words", row)
        else:
            listed, fault = None, text_fault(cell)
            if isinstance(cell, str):
                kinds.setdefault("a text", row)
        if fault:
            error = RowError(f"{type(estimator).__name__} expects text, but the row {fault}", row)
            if estimator.on_error == "raise":
                raise error
            unreadable[row] = error
        elif listed is None:
            texts[row] = str(cell)
        else:
            words[row] = tuple(map(str, listed))
            texts[row] = " ".join(words[row])
    if len(kinds) == 2:
        (kind, first), (other, second) = kinds.items()
        raise RowError(
            f"the row is {other}, but row {first} is {kind}: split the texts into words, or join "
            "the words into texts",
            second,
        )
    set_or_check_features(estimator, X if names else texts.reshape(-1, 1), names, reset=reset)
    return WordRows(
        columns=[texts],
        numbers=np.arange(len(cells)),
        max_length=estimator.max_length,
        skips=estimator.on_error == "nan",
        unreadable=unreadable if any(unreadable) else None,
        overlap=estimator.window_overlap,
        words=words if "a list of words" in kinds else None,
    )


def text_cells(X, estimator):
    """The only column of X, in which lists of words are joined by spaces, and its names or None.

    Cells that are neither texts nor lists of words are not changed.
    """
    cells, names = _cells(X, estimator)
    texts = [
        " ".join(cell)
        if is_list_of_words(cell) and all(isinstance(word, str) for word in cell)
        else cell
        for cell in cells
    ]
    return object_array(texts), names


def is_list_of_words(cell):
    """Whether a cell is a list, a tuple, a 1-D array or a Series."""
    if isinstance(cell, np.ndarray):
        return cell.ndim == 1
    return isinstance(cell, (list, tuple)) or is_series(cell)


def _cells(X, estimator):
    """The cells of X, and the names of its columns; a list in a list is a cell, not columns."""
    name = type(estimator).__name__
    if isinstance(X, (list, tuple)):
        columns, names = [object_array(X)], None
    else:
        columns, names, _ = split_columns(X, estimator)
    if len(columns) != 1:
        raise ValueError(
            f"{name} expects one column of texts or of lists of words, got "
            f"{counted(len(columns), 'column')}. Pass the words of each row as a list."
        )
    return columns[0], names


def _fault_of_words(words):
    """Why a list is not a list of words; None if it is one."""
    for position, word in enumerate(words):
        if fault := text_fault(word):
            return f"has a word {position} that {fault}"
    return None
