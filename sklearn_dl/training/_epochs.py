"""Validation, the score of early stopping, callbacks and the progress bar during training."""

import copy
import math
from numbers import Real
from typing import Any

import numpy as np
from sklearn.metrics import check_scoring

from sklearn_dl.training._fitted import Fitted
from sklearn_dl.training._problem import mean
from sklearn_dl.utils._progress import print_line
from sklearn_dl.utils._sklearn import safe_indexing

# the losses of this number of validation rows are computed at once
_ROWS_AT_ONCE = 8


class Scorer:
    """Computes the estimator's `scoring` on the validation rows as the user passed them.

    Parameters
    ----------
    estimator : TrainedEstimator
    where : Where
        It must be resolved.
    held_out : Examples
        The validation rows that can be read.
    data : Data
        The arguments that contain them.
    """

    def __init__(self, estimator, where, held_out, data):
        self.estimator, self.where = estimator, where
        rows = held_out.rows.numbers
        self.X, self.y = safe_indexing(data.X, rows), safe_indexing(data.y, rows)
        self.kwargs = {}
        if data.sample_weight is not None:
            weights = np.asarray(data.sample_weight)
            self.kwargs["sample_weight"] = weights[rows] if weights.ndim else weights

    def __call__(self, fitted):
        """The score of an estimator with the attributes of `fitted`.

        Raises
        ------
        ValueError
            If it is not a finite number.
        """
        copied = copy.copy(self.estimator)
        vars(copied).update(
            fitted.attributes(),
            device=str(self.where.device),
            precision=self.where.precision,
            verbose=0,
        )
        scoring = self.estimator.scoring
        score = check_scoring(copied, scoring=scoring)(copied, self.X, self.y, **self.kwargs)
        if not isinstance(score, Real) or not math.isfinite(score):
            raise ValueError(
                f"scoring={scoring!r} returned {score!r} for the validation rows: it must return a "
                "finite number."
            )
        return float(score)


class Epochs:
    """The Watcher of a fit. Validation and callbacks after an epoch use the same predictor."""

    def __init__(self, estimator, problem, held_out, where, now, past, context, data):
        self.estimator, self.problem = estimator, problem
        self.held_out, self.where = held_out, where
        self.now, self.past = now, past
        self.context, self.given = context, {"X": data.X, "y": data.y}
        self.predictor = None
        self.scorer = None
        # the Task of the validation rows, if their loss cannot be computed from the outputs
        self.validation: Any = None
        self.done, self.n_done = None, 0
        self.task: Any = None
        self.n_batches = 0

    def evaluate(self):
        """The loss and the score of the validation rows."""
        self.predictor = self.now()
        with self.where.progress(len(self.held_out), "validation") as where:
            outputs = self.predictor.outputs(self.held_out.rows, where).values
        targets, weights = self.held_out.targets, self.held_out.weights
        loss, score = self.problem.evaluate(outputs, targets, weights)
        if loss is None:
            loss = self._mean_loss()
        if self.scorer is not None:
            score = self.scorer(Fitted(self.predictor, self.problem, self.past))
        return loss, score

    def _mean_loss(self):
        """The weighted mean of the losses of the validation rows."""
        import torch

        task, rng = self.validation, np.random.default_rng(0)
        losses = []
        with torch.inference_mode():
            for start in range(0, len(task.lengths), _ROWS_AT_ONCE):
                positions = np.arange(start, min(start + _ROWS_AT_ONCE, len(task.lengths)))
                losses.append(task.losses(positions, rng).cpu().numpy().astype(np.float64))
        return mean(np.concatenate(losses), task.weights)

    def begin_epoch(self, n_batches, n_rows_done):
        """Call the callbacks. If the fit has only one epoch, each batch is a task of its own."""
        self._advance(n_rows_done - self.n_done)
        if self.context is not None:
            self.n_batches = n_batches if self.estimator.max_epochs == 1 else 0
            self.task = self.context.subcontext("epoch", max_subtasks=self.n_batches)
            self.task.call_on_fit_task_begin(estimator=self.estimator, **self.given)

    def after_batch(self, n_rows):
        """Advance the progress bar, and call the callbacks if each batch is a task."""
        self._advance(n_rows)
        if self.n_batches:
            batch = self.task.subcontext("batch")
            batch.call_on_fit_task_begin(estimator=self.estimator)
            batch.call_on_fit_task_end(estimator=self.estimator)

    def _advance(self, n_rows):
        self.n_done += n_rows
        if self.done is not None:
            self.done(n_rows)

    def after_epoch(self, records):
        """Print a line if `verbose`, and call the callbacks; return True if one asks to stop."""
        estimator, last = self.estimator, records[-1]
        if estimator.verbose:
            shown = ", ".join(f"{name} {value:.4g}" for name, value in last.items())
            print_line(f"{type(estimator).__name__}: {shown}")
        predictor, self.predictor = self.predictor or self.now(), None
        fitted = Fitted(predictor, self.problem, [*self.past, *records], last["epoch"])
        if self.task is None:
            return False
        return self.task.call_on_fit_task_end(
            estimator=estimator, **self.given, reconstruction_attributes=fitted.attributes
        )
