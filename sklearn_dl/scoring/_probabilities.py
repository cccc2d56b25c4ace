"""Functions that ScoreClassifier uses: turn scores into probabilities, and check its classes."""

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from scipy.special import log_expit, log_softmax, logsumexp, softmax

from sklearn_dl.utils._columns import is_missing, natural_array, split_columns
from sklearn_dl.utils._messages import RowsError

# a float16 softmax over 1000 classes sums to 1 within 1e-3
_SUM_TOLERANCE = 5e-3
# 1 - p in float32 may lie this far outside 0 to 1
_ROUNDING = 1e-6


def probabilities(scores, rows, activation, *, log):
    """Turn rows of scores into probabilities, or into their logarithms.

    Parameters
    ----------
    scores : ndarray of shape (n, n_columns), float32 or float64, finite
    rows : ndarray of shape (n,)
        Their row numbers in messages.
    activation : {"softmax", "sigmoid"} or None
        As in ScoreClassifier.
    log : bool
        Whether to return logarithms.

    Returns
    -------
    values : ndarray of shape (n, n_columns), or (n, 2) for one column
        In the order of the columns.
    """
    if activation is None:
        values = _normalised(scores, rows)
        if not log:
            return values
        with np.errstate(divide="ignore"):  # the logarithm of 0 is -inf
            return np.log(values)
    if activation == "sigmoid":
        # the softmax of these is the sigmoid; for several columns, divided by the row's sum
        one = scores.shape[1] == 1
        scores = np.hstack([np.zeros_like(scores), scores]) if one else log_expit(scores)
    with np.errstate(over="ignore"):  # an overflow results in 0 and 1, which is right
        return (log_softmax if log else softmax)(scores, axis=1)


def _normalised(scores, rows):
    """Scores that are probabilities already, checked and divided by the sum of their row."""
    low, high = scores.min(axis=1), scores.max(axis=1)
    if scores.shape[1] == 1:
        bad, advice = (low < -_ROUNDING) | (high > 1 + _ROUNDING), "'sigmoid'"
        scores = np.hstack([1 - scores, scores])
        total = scores.sum(axis=1)
    else:
        total = scores.sum(axis=1)
        # if no score is below 0 and the sum is 1, a score is above 1 only by rounding
        bad, advice = (
            (low < -_ROUNDING) | (abs(total - 1) > _SUM_TOLERANCE),
            "'softmax' or 'sigmoid'",
        )
    if bad.any():
        i = int(np.argmax(bad))
        raise RowsError(
            f"Row {rows[i]} of X does not contain probabilities: its scores range from "
            f"{low[i]:.6g} to {high[i]:.6g}, and their sum is {total[i]:.6g}. For raw scores, set "
            f"activation={advice}.",
            rows[i],
        )
    scores = scores.clip(0, 1)
    return scores / scores.sum(axis=1, keepdims=True)


class ColumnLabels(NamedTuple):
    """The labels of columns of scores, in the order of the columns.

    Parameters
    ----------
    labels : ndarray of shape (n_classes,)
        Each label once, in the order of its first column.
    order : ndarray of shape (n_classes,)
        The positions that sort the labels: ``labels[order]`` is in ascending order.
    positions : ndarray of shape (n_columns,) or None
        The position of each column's label in `labels`. None if each label has one column.
    """

    labels: np.ndarray
    order: np.ndarray
    positions: np.ndarray | None = None

    @property
    def n_columns(self):
        """Number of columns; a label counts once for each column that has it."""
        return len(self.labels if self.positions is None else self.positions)

    @classmethod
    def of(cls, labels):
        """Make the ColumnLabels from the array of all columns' labels.

        Raises
        ------
        ValueError
            If a label is missing, or the labels cannot be sorted.
        """
        first: dict = {}
        for j, label in enumerate(labels.tolist()):
            if is_missing(label):
                raise ValueError(f"`classes[{j}]` is missing ({label!r}).")
            first.setdefault(label, j)
        positions = None
        if len(first) < len(labels):
            position = {label: i for i, label in enumerate(first)}
            positions = np.array([position[label] for label in labels.tolist()])
            labels = labels[list(first.values())]
        try:
            return cls(labels, np.argsort(labels, kind="stable"), positions)
        except TypeError as error:
            raise ValueError(
                f"`classes` must be of one type, so that they can be sorted ({error})."
            ) from error


def one_score_per_label(scores, positions, activation):
    """Join the scores of columns that have the same label, so that their probabilities add up.

    Parameters
    ----------
    scores : ndarray of shape (n, n_columns)
    positions : ndarray of shape (n_columns,)
        As in ColumnLabels.
    activation : {"softmax", "sigmoid"} or None
        With "sigmoid", scores are independent and do not add up: the largest is taken.

    Returns
    -------
    scores : ndarray of shape (n, n_classes), of the same dtype
    """
    out = np.empty((len(scores), positions.max() + 1), scores.dtype)
    join = {"softmax": logsumexp, "sigmoid": np.max, None: np.sum}[activation]
    for position in range(out.shape[1]):
        columns = scores[:, positions == position]
        out[:, position] = columns[:, 0] if columns.shape[1] == 1 else join(columns, axis=1)
    return out


def column_labels(classes, estimator):
    """Check the parameter `classes` of a ScoreClassifier.

    Returns
    -------
    column_labels : ColumnLabels

    Raises
    ------
    ValueError
        If `classes` is not 1-D, contains a missing label, or cannot be sorted.
    """
    if isinstance(classes, (list, tuple)):
        try:
            known = _of_strings(tuple(classes))
        except TypeError:  # unhashable: a list of lists
            known = None
        if known is not None:
            return known
    columns, _, one_dimensional = split_columns(classes, estimator)
    if not one_dimensional:
        raise ValueError("`classes` must be 1-D, one label per column of scores.")
    labels = natural_array(columns[0]) if columns[0].dtype.kind == "O" else columns[0]
    return _of_strings(tuple(labels.tolist())) or ColumnLabels.of(labels)


@lru_cache(maxsize=32)
def _of_strings(labels):
    """The ColumnLabels of a tuple of strings; None if a label is not a string.

    The results are cached, because every `predict` needs them, and `classes` is often long.
    """
    if not all(type(label) is str for label in labels):
        return None
    return ColumnLabels.of(np.asarray(labels, dtype=str))


def enumerated(items, at_most=5):
    """The first items, and the number of the other items, as text for a message."""
    more = f" and {len(items) - at_most} more" if len(items) > at_most else ""
    return ", ".join(map(repr, items[:at_most])) + more
