"""What the estimators that train a network have in common, whatever they read."""

import math
import os
from contextlib import contextmanager
from hashlib import sha256
from numbers import Integral, Real

import numpy as np
from sklearn.callback import CallbackSupportMixin
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from sklearn_dl.training._device import (
    import_torch,
    own_random_state,
    resolve_device,
    resolve_precision,
    torch_threads,
)
from sklearn_dl.training._processes import training_processes
from sklearn_dl.utils._embedding import EmbeddedModelEstimator
from sklearn_dl.utils._sklearn import Interval, RealNotInt, StrOptions, check_sample_weight

# they change what happens around a fit, not its result
_NOT_OF_THE_FIT = {"checkpoint_dir", "device", "embed_model", "model", "random_state", "verbose"}


class TrainedEstimator(CallbackSupportMixin, EmbeddedModelEstimator):
    """Base of the estimators whose network `sklearn_dl.training` fits.

    Their parameters have these names. A subclass prepares rows, targets and the network in its
    `fit`, inside `unchanged_on_error`, and calls `_train`.
    """

    _training_constraints: dict = {
        "trainable_layers": [StrOptions({"all"}), Interval(Integral, 0, None, closed="left")],
        "max_epochs": [Interval(Integral, 1, None, closed="left")],
        "batch_size": [Interval(Integral, 1, None, closed="left")],
        "learning_rate": [Interval(Real, 0, None, closed="neither")],
        "weight_decay": [Interval(Real, 0, None, closed="left")],
        "warmup_ratio": [Interval(Real, 0, 1, closed="both")],
        "max_grad_norm": [Interval(Real, 0, None, closed="neither"), None],
        "early_stopping": ["boolean"],
        "validation_fraction": [
            Interval(RealNotInt, 0, 1, closed="neither"),
            Interval(Integral, 1, None, closed="left"),
        ],
        "n_iter_no_change": [Interval(Integral, 1, None, closed="left")],
        "tol": [Interval(Real, 0, None, closed="left")],
        "precision": [StrOptions({"auto", "float32", "bfloat16"})],
        "device": [str],
        "checkpoint_dir": [str, os.PathLike, None],
        "warm_start": ["boolean"],
        "embed_model": ["boolean"],
        "random_state": ["random_state"],
        "verbose": ["verbose"],
    }

    @property
    def device_(self):
        """Name of the torch device that predictions are computed on, on this machine."""
        check_is_fitted(self)
        return str(resolve_device(self.device, type(self).__name__))

    def __copy__(self):
        # callbacks copy the estimator in each epoch: not by way of __getstate__, which reads files
        copied = type(self).__new__(type(self))
        copied.__dict__.update(self.__dict__)
        return copied

    def _check_validation_arguments(self, X_val, y_val, sample_weight_val):
        if (X_val is None) != (y_val is None):
            raise ValueError("X_val and y_val are given together, or neither is.")
        if X_val is None and sample_weight_val is not None:
            raise ValueError("sample_weight_val was given without X_val and y_val.")
        if X_val is not None and not self.early_stopping:
            raise ValueError("X_val and y_val are used only with early_stopping=True.")

    def _seed(self, belongs):
        """A seed from `random_state`; with a `checkpoint_dir` and None it follows from the data.

        scikit-learn's None is numpy's global generator, which a draw would change.
        """
        if isinstance(self.random_state, Integral):
            return int(self.random_state)
        if self.random_state is not None:
            return int(check_random_state(self.random_state).randint(2**31))
        if self.checkpoint_dir is not None:
            return int(sha256(repr(belongs).encode()).hexdigest()[:8], 16)
        return int(np.random.SeedSequence().generate_state(1)[0])

    def _parameters_of_the_fit(self):
        params = self.get_params(deep=False)
        return {name: params[name] for name in sorted(params) if name not in _NOT_OF_THE_FIT}

    @contextmanager
    def _training(self, belongs):
        """Where a fit takes place: processes, device, precision, seed; all global state kept.

        Parameters
        ----------
        belongs : dict
            What a checkpoint must have in common with the fit, besides the parameters.

        Yields
        ------
        place : TrainingPlace
        """
        name = type(self).__name__
        import_torch(name)
        device = resolve_device(self.device, name)
        with training_processes(name, device.type == "cpu") as processes:
            if processes.count > 1 and device.type != "cpu":
                device = processes.device
            precision = resolve_precision(self.precision, device)
            belongs = {
                **belongs,
                **self._parameters_of_the_fit(),
                "precision": precision,
                "processes": processes.count,
            }
            for theirs in processes.gather(belongs):
                others = [name for name in belongs if repr(theirs[name]) != repr(belongs[name])]
                if others:
                    raise ValueError(
                        f"The {processes.count} processes of this fit have other "
                        f"{', '.join(others)}: each must call fit with the same rows and "
                        "parameters."
                    )
            seed = processes.from_first(self._seed(belongs))
            belongs["seed"] = seed
            with torch_threads(processes.per_machine), own_random_state(device):
                yield TrainingPlace(processes, device, precision, seed, belongs)

    def _learning_rate(self):
        """The highest learning rate, resolved."""
        return self.learning_rate

    def _train(self, task, place, *, evaluate, after_epoch, first):
        """Run the fit loop on `task`; the arguments are those of `train`."""
        from sklearn_dl.training._checkpoint import Checkpoint
        from sklearn_dl.training._loop import Settings, train

        names = ["max_epochs", "batch_size", "weight_decay", "warmup_ratio"]
        names += ["max_grad_norm", "n_iter_no_change", "tol"]
        settings = Settings(
            **{name: getattr(self, name) for name in names},
            learning_rate=self._learning_rate(),
            precision=place.precision,
            seed=place.seed,
        )
        checkpoint = None
        if self.checkpoint_dir is not None:
            checkpoint = Checkpoint(self.checkpoint_dir, place.belongs)
        records, best_epoch = train(
            task,
            settings,
            processes=place.processes,
            evaluate=evaluate,
            checkpoint=checkpoint,
            after_epoch=self._say_and_call(after_epoch),
            first=first,
        )
        if checkpoint is not None and place.processes.rank == 0:
            checkpoint.remove()
        return records, best_epoch

    def _say_and_call(self, after_epoch):
        def work(records):
            if self.verbose:
                shown = ", ".join(f"{name} {value:.4g}" for name, value in records[-1].items())
                print(f"{type(self).__name__}: {shown}")
            return after_epoch(records)

        return work


class TrainingPlace:
    """The processes, device, precision and seed of one fit, and what it belongs to."""

    def __init__(self, processes, device, precision, seed, belongs):
        self.processes = processes
        self.device = device
        self.precision = precision
        self.seed = seed
        self.belongs = belongs


@contextmanager
def unchanged_on_error(estimator):
    """Give `estimator` its attributes back when the block raises, Ctrl-C included."""
    before = dict(vars(estimator))
    try:
        yield
    except BaseException:
        vars(estimator).clear()
        vars(estimator).update(before)
        raise


def positive_weights(sample_weight, n_rows, name="sample_weight"):
    """Which rows have a positive weight, and the weights.

    Returns
    -------
    kept : int ndarray
        Row numbers.
    weights : float64 ndarray of shape (n_rows,)

    Raises
    ------
    ValueError
        If a weight is negative or not finite, their number is wrong, or all are zero.
    """
    rows = np.empty((n_rows, 1))
    weights = check_sample_weight(
        sample_weight,
        rows,
        dtype=np.float64,
        ensure_non_negative=True,
        allow_all_zero_weights=True,
    )
    kept = np.flatnonzero(weights > 0)
    if not len(kept):
        raise ValueError(f"{name} is zero for every row: nothing is left to learn from.")
    return kept, weights


def history_records(columns):
    """One dict per epoch from a dict of columns."""
    epochs = zip(*columns.values(), strict=True)
    return [dict(zip(columns, epoch, strict=True)) for epoch in epochs]


def history_columns(records):
    """A dict of columns from one dict per epoch; NaN where an epoch has no such entry."""
    names = {name: None for record in records for name in record}
    return {name: [record.get(name, math.nan) for record in records] for name in names}
