"""The answers of y, each located in its context."""

import re
from dataclasses import dataclass

import numpy as np

from sklearn_dl.metrics._answers import gold_answers
from sklearn_dl.utils._columns import object_array
from sklearn_dl.utils._messages import RowsError


@dataclass(frozen=True, eq=False)
class GoldAnswers:
    """The true answers of some rows.

    Attributes
    ----------
    spans : int64 ndarray of shape (n_rows, 2)
        Where the first answer of each row starts and ends in its context, in characters; -1 where
        there is no answer, or the context cannot be read.
    texts : object ndarray of shape (n_rows,)
        The texts of all answers of each row, as a tuple. It is empty where there is no answer.
    contexts : object ndarray of shape (n_rows,)
        The contexts, from which predicted answers are read to compare them.
    """

    spans: np.ndarray
    texts: np.ndarray
    contexts: np.ndarray

    def __len__(self):
        return len(self.spans)

    def __getitem__(self, positions):
        return GoldAnswers(self.spans[positions], self.texts[positions], self.contexts[positions])


def located_answers(y, rows, name):
    """Find the answers of y in the contexts of their rows.

    Parameters
    ----------
    y : sequence of n_rows rows
        As in :func:`sklearn_dl.metrics.exact_match_score`.
    rows : TextRows
        The second column has the contexts.
    name : str
        Name of `y` in messages.

    Returns
    -------
    answers : GoldAnswers

    Raises
    ------
    RowsError
        If an answer is malformed, is not found at its start, or has no start and does not occur
        exactly once in its context.
    """
    spans = np.full((len(rows), 2), -1, dtype=np.int64)
    texts: list = [()] * len(rows)
    unreadable = rows.unreadable_rows()
    contexts = rows.columns[1]
    for row, answers in enumerate(gold_answers(y, name)):
        texts[row] = tuple(text for text, _ in answers)
        if row in unreadable or not answers:
            continue
        starts = [
            _start(text, start, contexts[row], f"{name}, row {row}", row) for text, start in answers
        ]
        text = texts[row][0]
        spans[row] = starts[0] + len(text) - len(text.lstrip()), starts[0] + len(text.rstrip())
    return GoldAnswers(spans, object_array(texts), contexts)


def _start(text, start, context, where, row):
    """The start of an answer in its context."""
    if text.isspace():
        raise RowsError(f"{where}: the answer {text!r:.40} is only white space.", row)
    if start is not None:
        if context.startswith(text, start):
            return start
        there = context[start : start + len(text)]
        at = f"the context has {there!r:.60} there" if there else _end_of(context)
        first = context.find(text)
        hint = f" The answer occurs at {first}." if first >= 0 else " It does not occur at all."
        raise RowsError(
            f"{where}: the answer {text!r:.60} does not start at character {start}: {at}.{hint}",
            row,
        )
    first = context.find(text)
    if first < 0:
        raise RowsError(
            f"{where}: the answer {text!r:.60} does not occur in the context {context!r:.60}.", row
        )
    if context.find(text, first + 1) >= 0:
        n_times = sum(1 for _ in re.finditer(f"(?={re.escape(text)})", context))
        raise RowsError(
            f"{where}: the answer {text!r:.60} occurs {n_times} times in the context. Say where it "
            "starts: (text, start).",
            row,
        )
    return first


def _end_of(context):
    return f"the context has only {len(context)} characters"
