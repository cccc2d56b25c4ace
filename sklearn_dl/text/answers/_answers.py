"""The problem of QuestionAnswerer: which tokens an answer starts and ends with."""

from copy import copy
from hashlib import sha256
from typing import NamedTuple

import numpy as np

from sklearn_dl.metrics._answers import f1_of_answer
from sklearn_dl.text._text_rows import text_digest
from sklearn_dl.text.answers._spans import best_spans
from sklearn_dl.training._head import LinearHead
from sklearn_dl.training._problem import Problem, mean
from sklearn_dl.utils._columns import counted
from sklearn_dl.utils._messages import warn_user

# standard deviation of the weights of a new head
_DEVIATION = 0.02


class Layout(NamedTuple):
    """Where the tokens of contexts stand in their windows.

    Attributes
    ----------
    rows, leads, firsts, sizes, offsets
        As in Windows.
    """

    rows: np.ndarray
    leads: np.ndarray
    firsts: np.ndarray
    sizes: np.ndarray
    offsets: list


class Answers(Problem):
    """Answers to questions. The targets are GoldAnswers; the outputs have TOKEN_DTYPE, as a Ragged.

    The goals of a window are the places of the first and the last token of the answer. They are 0
    if the window does not contain the whole answer: the first token stands for "no answer".

    Parameters
    ----------
    purpose : str
        Name of the estimator in messages.
    max_answer_length : int
    allow_no_answer : bool
        As in the estimator.

    Attributes
    ----------
    has_no_answer : bool
        Whether y had rows without an answer. False before `learn`.
    """

    has_no_answer = False

    def __init__(self, purpose, max_answer_length, allow_no_answer):
        self.purpose = purpose
        self.max_answer_length = max_answer_length
        self.allow_no_answer = allow_no_answer
        self._seed = 0

    def learn(self, y):
        self.has_no_answer = not all(y.texts)
        return y

    def continue_from(self, earlier, y, how):
        targets = self.learn(y)
        self.has_no_answer |= how.keeps_head and earlier.has_no_answer
        return targets

    def has_outputs_of(self, other):
        return isinstance(other, Answers)

    def encode(self, y, name):
        return y

    def refuse(self, targets):
        if (targets.spans < 0).all():
            raise ValueError(
                f"{self.purpose} needs rows with answers, but none of the training rows has one "
                f"({counted(len(targets), 'row')})."
            )

    def strata(self, targets):
        """Rows with and without an answer."""
        return (targets.spans[:, 0] >= 0).astype(np.int64)

    def fit_head(self, features, targets, weights, where=None):
        raise AssertionError("trainable_layers=0 is refused: see QuestionAnswerer")

    def start(self, examples, outputs, seed):
        self._seed = seed

    def initial_head(self, features, goals, weights):
        """A head of small random weights: before training, nothing is known about answers."""
        draws = np.random.default_rng(self._seed).normal(0, _DEVIATION, (2, features.shape[1]))
        return LinearHead(draws, np.zeros(2))

    def goals(self, targets, layout=None):
        """The places of the answer in each window. Warn of answers that cannot be learned.

        Returns
        -------
        goals : int64 ndarray of shape (n_windows, 2)
        """
        if layout is None:
            return targets.spans
        goals, n_tokens = _goals(targets.spans, layout)
        is_long = n_tokens > self.max_answer_length
        has_answer, is_found = np.zeros((2, len(n_tokens)), dtype=bool)
        has_answer[layout.rows[targets.spans[:, 0] >= 0]] = True
        is_found[layout.rows[goals[:, 1] > 0]] = True
        n_lost, n_answers = (has_answer & ~is_found & ~is_long).sum(), has_answer.sum()
        if is_long.any():
            warn_user(
                f"{is_long.sum()} of {n_answers} training answers have more than "
                f"max_answer_length={self.max_answer_length} tokens: `predict` cannot find such "
                "answers."
            )
        if n_lost:
            warn_user(
                f"No window contains all tokens of {n_lost} of {n_answers} training answers: "
                'they are learned as "no answer". Raise window_overlap or max_length.'
            )
        return goals

    def losses(self, outputs, goals):
        from torch.nn import functional

        losses = functional.cross_entropy(outputs, goals, reduction="none")
        return losses.mean(1)

    def evaluate(self, outputs, targets, weights):
        """The mean loss of a window, and the mean F1 score of the answers."""
        tokens = outputs.values
        layout = _layout(outputs)
        starts = np.flatnonzero(tokens["token"] < 0)
        goals, _ = _goals(targets.spans[layout.rows], layout)
        losses = np.zeros(len(starts))
        for name, places in zip(("start_logit", "end_logit"), goals.T, strict=True):
            logits = tokens[name]
            totals = np.logaddexp.reduceat(logits, starts)
            losses += (totals - logits[starts + places]) / 2
        found = self.predictions(outputs)
        scores = [
            f1_of_answer(golds, context[start:end] if start >= 0 else "")
            for golds, context, (start, end, _) in zip(
                targets.texts, targets.contexts, found.tolist(), strict=True
            )
        ]
        return mean(losses, weights[layout.rows]), mean(np.array(scores), weights)

    def predictions(self, outputs):
        """The best span of each row: ndarray of shape (n_rows,) of SPAN_DTYPE."""
        return np.concatenate([self.best(tokens, 1) for tokens in outputs.rows()])

    def best(self, tokens, k):
        """The `k` best spans of one row, as `best_spans` returns them."""
        allow_no_answer = self.has_no_answer or self.allow_no_answer
        return best_spans(tokens, k, self.max_answer_length, allow_no_answer)

    def with_limits(self, estimator):
        """The same problem with the limits that the estimator has now."""
        problem = copy(self)
        problem.max_answer_length = estimator.max_answer_length
        problem.allow_no_answer = estimator.allow_no_answer
        return problem

    def digest(self, targets):
        texts = [text for golds in targets.texts for text in (str(len(golds)), *golds)]
        return sha256(targets.spans.tobytes() + text_digest(texts)).digest()


def _goals(spans, layout):
    """The places of the answer in each window, and the number of tokens of each row's answer.

    Parameters
    ----------
    spans : int ndarray of shape (n_windows, 2)
        The characters of the answer of each window's row.
    layout : Layout
    """
    goals = np.zeros((len(layout.rows), 2), dtype=np.int64)
    n_tokens = np.zeros(len(layout.offsets), dtype=np.int64)
    bounds = np.searchsorted(layout.rows, np.arange(len(layout.offsets) + 1))
    for row, offsets in enumerate(layout.offsets):
        some = slice(bounds[row], bounds[row + 1])
        start, end = spans[bounds[row]]
        if start < 0:
            continue
        first = np.searchsorted(offsets[:, 1], start, side="right")
        stop = np.searchsorted(offsets[:, 0], end)
        n_tokens[row] = stop - first
        # a normalizer can remove all characters of an answer
        is_whole = (first < stop) & (layout.firsts[some] <= first)
        is_whole &= stop <= layout.firsts[some] + layout.sizes[some]
        places = layout.leads[some] - layout.firsts[some] + np.array([[first], [stop - 1]])
        goals[some] = np.where(is_whole, places, 0).T
    return goals, n_tokens


def _layout(outputs):
    """The Layout of outputs, whose windows begin with one token that stands for "no answer"."""
    tokens = outputs.values
    starts = np.flatnonzero(tokens["token"] < 0)
    sizes = np.diff(np.append(starts, len(tokens))) - 1
    firsts = tokens["token"][np.where(sizes > 0, starts + 1, starts)]
    offsets = []
    for some in outputs.rows():
        some = some[some["token"] >= 0]
        of_row = np.zeros((some["token"].max(initial=-1) + 1, 2), dtype=np.int64)
        of_row[some["token"], 0], of_row[some["token"], 1] = some["start"], some["end"]
        offsets.append(of_row)
    rows = np.searchsorted(outputs.starts, starts, side="right") - 1
    return Layout(rows, np.ones(len(starts), dtype=np.int64), firsts, sizes, offsets)
