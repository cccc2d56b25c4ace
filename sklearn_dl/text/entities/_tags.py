"""The problem of EntityRecognizer: a tag for each word, which says where entities are."""

from hashlib import sha256
from typing import NamedTuple

import numpy as np
from scipy.special import log_softmax

from sklearn_dl.text.entities._decoding import (
    best_tags,
    codes_of_spans,
    probabilities_of,
    spans_of_codes,
)
from sklearn_dl.training._head import logistic_head
from sklearn_dl.training._problem import Problem, mean
from sklearn_dl.training._ragged import Ragged
from sklearn_dl.utils._columns import counted
from sklearn_dl.utils._messages import RowsError

# in a new head, the bias of a tag without words is the smallest finite bias minus this number
_BIAS_MARGIN = 10.0
# a goal of this value does not count in the loss
_NO_GOAL = -100


class WordEntities(NamedTuple):
    """The entities of rows, in words.

    Attributes
    ----------
    spans : list of list of (int, int, str)
        For each entity of each row: first word, last word + 1, label.
    n_words : int ndarray of shape (n_rows,)
    """

    spans: list
    n_words: np.ndarray

    def __len__(self):
        return len(self.spans)


class Layout(NamedTuple):
    """Which words the tokens of windows represent.

    Attributes
    ----------
    words, windows, places : int ndarray of shape (n_found,)
        Position of each word in its row, its window, and the place of its token in this window.
    longest : int
        Number of tokens of the longest window.
    """

    words: np.ndarray
    windows: np.ndarray
    places: np.ndarray
    longest: int


class Tags(Problem):
    """Entities: the targets are the codes of the tags of all words, as `best_tags` defines them.

    Parameters
    ----------
    purpose : str
        Name of the estimator in messages.

    Attributes
    ----------
    classes : ndarray of shape (n_labels,)
        The labels of the entities, sorted.
    scheme : str
        The scheme of the tags that `predict_tags` returns.
    splits_at_spaces : bool
        As in WordRows.
    """

    classes: np.ndarray

    def __init__(self, purpose):
        self.purpose = purpose
        self.scheme = "BIO"
        self.splits_at_spaces = False

    def attributes(self):
        return {"classes_": self.classes}

    @property
    def n_tags(self):
        return 1 + 2 * len(self.classes)

    @property
    def tags(self):
        """The tags in the order of the outputs: their codes are the positions in this list."""
        return ["O", *(f"{part}-{label}" for label in self.classes.tolist() for part in "BI")]

    def learn(self, y):
        self.classes = np.array(sorted({label for row in y.spans for *_, label in row}), dtype=str)
        return self.encode(y, "y")

    def continue_from(self, earlier, y, how):
        targets = self.learn(y)
        if np.array_equal(self.classes, earlier.classes):
            return targets
        # a kept head also knows the labels that y lacks
        if not (how.keeps_head and np.isin(self.classes, earlier.classes).all()):
            raise how.error(
                f"the labels: the estimator was fitted with {earlier.classes.tolist()}, but y has "
                f"{self.classes.tolist()}"
            )
        self.classes = earlier.classes
        return self.encode(y, "y")

    def encode(self, y, name):
        number = {label: j for j, label in enumerate(self.classes.tolist())}
        codes = []
        for row, (spans, n_words) in enumerate(zip(y.spans, y.n_words.tolist(), strict=True)):
            unknown = [label for *_, label in spans if label not in number]
            if unknown:
                raise RowsError(
                    f"{name} has the label {unknown[0]!r} in row {row}, but the labels of y are "
                    f"{self.classes.tolist()}.",
                    row,
                )
            known = [(first, stop, number[label]) for first, stop, label in spans]
            codes.append(codes_of_spans(known, n_words))
        values = np.concatenate(codes) if codes else np.empty(0, np.int64)
        return Ragged(values, y.n_words)

    def refuse(self, targets):
        if not targets.values.any():
            raise ValueError(
                f"{self.purpose} needs rows with entities, but none of the training rows has any "
                f"({counted(len(targets), 'row')})."
            )

    def strata(self, targets):
        """The rarest label of each row; rows without entities are a stratum of their own."""
        begins = targets.values % 2 == 1
        row = np.repeat(np.arange(len(targets)), targets.lengths)[begins]
        has_label = np.zeros((len(targets), len(self.classes)), dtype=bool)
        has_label[row, targets.values[begins] // 2] = True
        rare_first = np.argsort(has_label.sum(axis=0), kind="stable")
        rarest = has_label[:, rare_first].argmax(axis=1)
        return np.where(has_label.any(axis=1), rarest, -1) + 1

    def fit_head(self, features, targets, weights, where=None):
        weights = np.repeat(weights, targets.lengths)
        head = logistic_head(features.values, targets.values, self.n_tags, weights)
        present = np.isfinite(head.bias)
        absent = head.bias[present].min() - _BIAS_MARGIN
        return head._replace(bias=np.where(present, head.bias, absent))

    def initial_head(self, features, goals, weights):
        return self.fit_head(features, goals, weights)

    def goals(self, targets, layout=None):
        if layout is None:
            return targets
        goals = np.full((len(targets), layout.longest), _NO_GOAL)
        # two words can share a token: the first of them is the goal
        words, windows, places = (column[::-1] for column in layout[:3])
        goals[windows, places] = targets.values[targets.starts[windows] + words]
        return goals

    def losses(self, outputs, goals):
        from torch.nn import functional

        goals = goals[:, : outputs.shape[1]]
        losses = functional.cross_entropy(
            outputs.transpose(1, 2), goals, ignore_index=_NO_GOAL, reduction="none"
        )
        return losses.sum(1) / (goals != _NO_GOAL).sum(1)

    def evaluate(self, outputs, targets, weights):
        """The mean loss of a word, and the F1 score of the entities of all rows together."""
        of_word = np.repeat(weights, targets.lengths)
        chosen = log_softmax(outputs.values, axis=1)[np.arange(len(of_word)), targets.values]
        row = np.repeat(np.arange(len(targets)), targets.lengths)
        found, true = (
            {(int(a), int(b), int(c)) for a, b, c in zip(*spans_of_codes(codes), strict=True)}
            for codes in (best_tags(outputs), targets.values)
        )
        loss = mean(-chosen, of_word) if len(of_word) else 0.0  # texts can be empty
        return loss, f1_of_spans(true, found, lambda span: weights[row[span[0]]])

    def has_outputs_of(self, other):
        return isinstance(other, Tags) and self.classes.tolist() == other.classes.tolist()

    def predictions(self, outputs):
        """The codes of all words, as a Ragged."""
        return Ragged(best_tags(outputs), outputs.lengths)

    def probabilities(self, outputs, codes):
        """For each word, the probability of its tag: float64 ndarray of shape (n_words,)."""
        return probabilities_of(outputs, codes)

    def digest(self, targets):
        return sha256(targets.values.tobytes() + targets.lengths.tobytes()).digest()


def f1_of_spans(true, found, weight_of):
    """The F1 score of two sets of spans; 0 if both are empty."""
    right = sum(map(weight_of, true & found))
    total = sum(map(weight_of, true)) + sum(map(weight_of, found))
    return float(2 * right / total) if total else 0.0
