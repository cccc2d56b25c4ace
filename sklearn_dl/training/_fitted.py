"""The arguments of a fit, and its result."""

import math
from dataclasses import dataclass
from typing import Any, NamedTuple

from sklearn_dl.training._predictor import Predictor
from sklearn_dl.training._problem import Problem


class Data(NamedTuple):
    """The arguments of an estimator's `fit`, unchecked."""

    X: Any
    y: Any
    sample_weight: Any = None


@dataclass
class Fitted:
    """The result of a fit.

    Attributes
    ----------
    predictor : Predictor
    problem : Problem
    records : list of dict
        One record for each epoch.
    best_epoch : int
        Number of the best epoch, counted from 1; 0 if nothing was trained.
    """

    predictor: Predictor
    problem: Problem
    records: list
    best_epoch: int = 0

    def attributes(self):
        """The attributes of the fitted estimator, by name."""
        names = {name: None for record in self.records for name in record}
        return {
            **self.problem.attributes(),
            "_problem": self.problem,
            "_predictor": self.predictor,
            # NaN for epochs that lack this value
            "history_": {n: [record.get(n, math.nan) for record in self.records] for n in names},
            "best_epoch_": self.best_epoch,
        }

    @classmethod
    def of(cls, estimator):
        """The result of the earlier fit of a fitted estimator."""
        columns = estimator.history_
        epochs = zip(*columns.values(), strict=True)
        records = [dict(zip(columns, epoch, strict=True)) for epoch in epochs]
        return cls(estimator._predictor, estimator._problem, records, estimator.best_epoch_)
