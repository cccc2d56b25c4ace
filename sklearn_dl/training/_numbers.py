"""The problem of regressors: one or several numbers for each row."""

from typing import Any

import numpy as np

from sklearn_dl.training._head import LinearHead, ridge_head
from sklearn_dl.training._problem import Problem, mean
from sklearn_dl.training._targets import as_numbers
from sklearn_dl.utils._columns import counted


class Numbers(Problem):
    """One or several numbers for each row; predictions are ``slope * output + intercept``.

    If the network is trained, the numbers are scaled to mean 0 and standard deviation 1. If only
    a head is fitted, they are not scaled.

    Parameters
    ----------
    what : str
        Name of the numbers in messages, in the plural.
    several : bool, default=False
        Whether a row may have more than one number.
    tune : bool, default=False
        As in `ridge_head`, if only a head is fitted. The initial head is never tuned.
    each : bool, default=True
        As in `ridge_head`.
    """

    slope: Any = 1.0
    intercept: Any = 0.0
    _is_scaled = False
    n_outputs: int | None = None  # None: y has one dimension

    def __init__(self, what, several=False, tune=False, each=True):
        self.what = what
        self.several = several
        self.tune = tune
        self.each = each

    def learn(self, y):
        y = as_numbers(y, "y", self.several)
        self.n_outputs = _width(y)
        return y

    def continue_from(self, earlier, y, how):
        y = self.learn(y)
        if how.keeps_head:
            if self.n_outputs != earlier.n_outputs:
                before, now = earlier.n_outputs or 1, self.n_outputs or 1
                raise how.error(f"the number of columns of y: it was {before} and is now {now}")
            self.slope, self.intercept, self._is_scaled = earlier.slope, earlier.intercept, True
        return y

    def encode(self, y, name):
        y = as_numbers(y, name, self.several)
        if _width(y) != self.n_outputs:
            raise ValueError(
                f"{name} has {counted(_width(y) or 1, 'column')}, but y has {self.n_outputs or 1}."
            )
        return y

    def has_outputs_of(self, other):
        return isinstance(other, Numbers) and self.n_outputs == other.n_outputs

    def scaled_head(self, head):
        slope = np.reshape(self.slope, (-1, 1))
        return LinearHead(head.weights / slope, (head.bias - self.intercept) / slope[:, 0])

    def refuse(self, targets):
        if not self._is_scaled and not np.ptp(targets, axis=0).any():
            n, values = len(targets), np.ravel(targets[0])
            if n == 1:
                raise ValueError(
                    "There is nothing to learn from 1 sample: at least two rows with different "
                    f"{self.what} are needed."
                )
            seen = (
                f"All {n} {self.what} are equal ({values[0]:g})"
                if len(values) == 1
                else f"In each column, all {n} {self.what} are equal"
            )
            raise ValueError(f"{seen}: there is nothing to learn.")

    def start(self, examples, outputs, seed):
        if self._is_scaled:
            return
        targets, weights = examples.targets, examples.weights
        self.intercept = np.average(targets, axis=0, weights=weights)
        spread = np.average((targets - self.intercept) ** 2, axis=0, weights=weights) ** 0.5
        # because of rounding, the spread of equal numbers can differ from 0
        self.slope = np.where(np.ptp(targets, axis=0) > 0, spread, 1.0)
        if targets.ndim == 1:
            self.slope, self.intercept = float(self.slope), float(self.intercept)

    def goals(self, targets, layout=None):
        return (targets - self.intercept) / self.slope

    def fit_head(self, features, targets, weights, where=None):
        return ridge_head(features, targets, weights, self.tune, self.each)

    def initial_head(self, features, goals, weights):
        return ridge_head(features, goals, weights)

    def losses(self, outputs, goals):
        if goals.ndim == 1:
            return (outputs[:, 0] - goals) ** 2
        return ((outputs - goals) ** 2).mean(1)

    def evaluate(self, outputs, targets, weights):
        errors = (self.predictions(outputs) - targets) ** 2
        center = np.average(targets, axis=0, weights=weights)
        variance = np.average((targets - center) ** 2, axis=0, weights=weights)
        if errors.ndim == 1:
            error = mean(errors, weights)
            # R² is undefined for equal targets; the score is then minus the error
            return error / self.slope**2, float(1 - error / variance if variance else -error)
        error = np.array([mean(column, weights) for column in errors.T])
        varies = np.ptp(targets, axis=0) > 0
        r2 = np.where(varies, 1 - error / np.where(varies, variance, 1.0), error == 0)
        return float(np.mean(error / self.slope**2)), float(np.mean(r2))

    @property
    def n_columns(self):
        return self.n_outputs or 1

    def predictions(self, outputs):
        if self.n_outputs is None:
            return self.slope * outputs[:, 0] + self.intercept
        return self.slope * outputs + self.intercept


def _width(y):
    """Number of columns of an array; None if the array is 1-D."""
    return y.shape[1] if y.ndim == 2 else None
