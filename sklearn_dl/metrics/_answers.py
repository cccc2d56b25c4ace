"""Exact match and F1 score of answers, as SQuAD 2.0's evaluation computes them."""

import re
import string
from collections import Counter
from collections.abc import Mapping
from numbers import Integral

import numpy as np
from sklearn.utils.validation import check_consistent_length

from sklearn_dl.utils._columns import counted, is_missing, is_series
from sklearn_dl.utils._messages import RowError, RowsError, brief
from sklearn_dl.utils._targets import target_rows

_ARTICLES = re.compile(r"\b(?:a|an|the)\b")
_NO_PUNCTUATION = str.maketrans("", "", string.punctuation)


def exact_match_score(y_true, y_pred):
    """Share of the answers that equal a true answer, ignoring case, punctuation and articles.

    Parameters
    ----------
    y_true : sequence of n_samples rows
        The true answers of each question: a text, ``(text, start)``, SQuAD's
        ``{"text": [...], "answer_start": [...]}`` with any number of answers, or the result of
        :meth:`sklearn_dl.QuestionAnswerer.predict`. None, "" or empty lists: the question has no
        answer.
    y_pred : sequence of n_samples rows
        The predicted answers in one of these forms, at most one for each question.

    Returns
    -------
    score : float
        The mean over the rows, from 0 to 1. If a question has several true answers, the one that
        gives the best score counts. If it has none, only "no answer" is right.

    Raises
    ------
    ValueError
        If the numbers of rows differ or are 0.
    RowError
        A ValueError with the number of the row. It is raised if an answer is missing (NaN) or
        malformed, or if a row of `y_pred` has several answers.

    See Also
    --------
    answer_f1_score : The overlap of the words, which also rewards partly right answers.

    Notes
    -----
    This is "exact" in SQuAD 2.0's own evaluation [1]_, divided by 100. Texts are compared in lower
    case, without ASCII punctuation, without the words "a", "an" and "the", and with single spaces.
    True answers that are empty after this are ignored. Only the texts count, not their starts.
    ML.NET's QuestionAnswer has no metrics.

    References
    ----------
    .. [1] Rajpurkar, Jia and Liang, Know What You Don't Know: Unanswerable Questions for SQuAD,
       2018; https://rajpurkar.github.io/SQuAD-explorer/

    Examples
    --------
    >>> from sklearn_dl.metrics import exact_match_score
    >>> y_true = ["the Seine", ("1889", 20), {"text": ["iron", "wrought iron"]}, None]
    >>> exact_match_score(y_true, ["Seine.", "in 1889", "wrought iron", ""])
    0.75
    """
    return _mean_score(y_true, y_pred, _exact_match)


def answer_f1_score(y_true, y_pred):
    """Mean F1 score of the words that predicted and true answers share.

    Parameters
    ----------
    y_true, y_pred
        As in :func:`exact_match_score`.

    Returns
    -------
    score : float
        The mean over the rows, from 0 to 1. If a question has several true answers, the one that
        gives the best score counts. If it has none, "no answer" scores 1, and any answer scores 0.

    Raises
    ------
    ValueError
        As :func:`exact_match_score` does.

    See Also
    --------
    exact_match_score : The share of answers that are completely right.
    sklearn_dl.QuestionAnswerer : Its `score` is this score.

    Notes
    -----
    This is "f1" in SQuAD 2.0's own evaluation [1]_, divided by 100. The texts are prepared as
    for :func:`exact_match_score`. ML.NET's QuestionAnswer has no metrics.

    References
    ----------
    .. [1] Rajpurkar, Jia and Liang, Know What You Don't Know: Unanswerable Questions for SQuAD,
       2018; https://rajpurkar.github.io/SQuAD-explorer/

    Examples
    --------
    >>> from sklearn_dl.metrics import answer_f1_score
    >>> y_true = ["the Seine", ("1889", 20), {"text": ["iron", "wrought iron"]}, None]
    >>> round(answer_f1_score(y_true, ["Seine.", "in 1889", "wrought iron", ""]), 3)
    0.917
    """
    return _mean_score(y_true, y_pred, f1_of_answer)


def gold_answers(y, name):
    """Read the answers of each row of `y`.

    Parameters
    ----------
    y : sequence of n_samples rows, or structured ndarray of shape (n_samples,)
        As in :func:`exact_match_score`.
    name : str
        Name of `y` in messages.

    Returns
    -------
    answers : list of list of (str, int or None)
        For each row, the texts of its answers and their starts. A start is None if `y` does not
        have it. The list is empty if there is no answer.

    Raises
    ------
    RowsError
        If an answer is missing (NaN) or malformed. The message names the row.
    ValueError
        If `y` is not a sequence of rows.
    """
    names = getattr(getattr(y, "dtype", None), "names", None) or ()
    if "answer" in names:
        answers = y["answer"].tolist()
        rows = list(zip(answers, y["start"].tolist(), strict=True)) if "start" in names else answers
    else:
        # an array of the structs of polars would not have the names of the fields
        rows = y.to_list() if is_series(y) and hasattr(y, "to_list") else target_rows(y, name)
    answers = []
    for number, row in enumerate(rows):
        try:
            answers.append(_read_answers(row))
        except RowError as error:
            raise RowsError(f"{name}, row {number}: {error.message}", number) from None
    return answers


def f1_of_answer(gold_texts, predicted):
    """F1 score of the words that an answer shares with the best of the true answers.

    Parameters
    ----------
    gold_texts : sequence of str
        The true answers. Empty: the question has no answer.
    predicted : str
        "": no answer.

    Returns
    -------
    score : float
        From 0 to 1.
    """
    found = _normalized(predicted).split()
    return max(_f1(gold.split(), found) for gold in _normalized_golds(gold_texts))


def _exact_match(gold_texts, predicted):
    return float(_normalized(predicted) in _normalized_golds(gold_texts))


def _f1(gold, found):
    """F1 score of the words of two texts."""
    if not gold or not found:
        return float(gold == found)
    n_shared = (Counter(gold) & Counter(found)).total()
    return 2 * n_shared / (len(gold) + len(found))


def _normalized_golds(gold_texts):
    """The normalized true answers that are not empty; [""] if there are none."""
    return [text for text in map(_normalized, gold_texts) if text] or [""]


def _normalized(text):
    """A text in the form that SQuAD's evaluation compares."""
    text = text.lower().translate(_NO_PUNCTUATION)
    return " ".join(_ARTICLES.sub(" ", text).split())


def _mean_score(y_true, y_pred, score):
    """Mean over the rows of ``score(true_texts, predicted_text)``."""
    true, predicted = gold_answers(y_true, "y_true"), gold_answers(y_pred, "y_pred")
    check_consistent_length(true, predicted)
    if not true:
        raise ValueError("y_true and y_pred have no rows.")
    scores = []
    for row, (golds, found) in enumerate(zip(true, predicted, strict=True)):
        if len(found) > 1:
            raise RowError(f"y_pred has {len(found)} answers, but only one can be scored.", row)
        scores.append(score([text for text, _ in golds], found[0][0] if found else ""))
    return float(np.mean(scores))


def _read_answers(row):
    """The answers of one row: list of (text, start)."""
    if row is None:
        return []
    if isinstance(row, str):
        return _read_text(row)
    if isinstance(row, Mapping):
        return _read_squad(row)
    row = row.tolist() if isinstance(row, np.ndarray) else row
    if isinstance(row, (list, tuple)) and len(row) in (0, 2):
        return _read_pair(*row) if row else []
    if is_missing(row):
        raise RowError('the answer is missing. Use "" for a question without an answer')
    raise RowError(
        "an answer must be a text, (text, start), {'text': [...], 'answer_start': [...]}, or None "
        f"for no answer, but is {brief(row)} ({type(row).__name__})"
    )


def _read_squad(row):
    """The answers in SQuAD's dict of texts and starts; a single text need not be in a list."""
    if "text" not in row:
        raise RowError(f"the dict must have the key 'text', but has {brief(list(row))}")
    texts = _as_list(row["text"])
    if "answer_start" not in row:
        return [answer for text in texts for answer in _read_text(text)]
    starts = _as_list(row["answer_start"])
    if len(texts) != len(starts):
        raise RowError(
            f"'text' has {counted(len(texts), 'item')}, but 'answer_start' has {len(starts)}"
        )
    pairs = zip(texts, starts, strict=True)
    return [answer for text, start in pairs for answer in _read_pair(text, start)]


def _as_list(values):
    if isinstance(values, np.ndarray):
        return values.tolist()
    return list(values) if isinstance(values, (list, tuple)) else [values]


def _read_pair(text, start):
    """The answer with this text and start, in a list; [] if the text is empty."""
    texts = _read_text(text)
    if not isinstance(start, Integral) or isinstance(start, bool):
        raise RowError(f"the start of {brief(text)} must be an integer, but is {brief(start)}")
    if texts and start < 0:
        raise RowError(f"the start of {brief(text)} must be at least 0, but is {start}")
    return [(text, int(start)) for text, _ in texts]


def _read_text(text):
    """The answer with this text, in a list; [] if the text is empty."""
    if not isinstance(text, str):
        raise RowError(f"the text of an answer must be a string, but is {brief(text)}")
    return [(str(text), None)] if text else []
