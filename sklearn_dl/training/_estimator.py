"""What the estimators that train a network have in common, whatever they read."""

import math
import os
from abc import abstractmethod
from contextlib import contextmanager
from hashlib import sha256
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from sklearn.callback import CallbackSupportMixin, with_callbacks
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_consistent_length, check_is_fitted

from sklearn_dl.training._batches import split_rows
from sklearn_dl.training._device import (
    import_torch,
    own_random_state,
    resolve_device,
    resolve_precision,
    torch_settings,
)
from sklearn_dl.training._fitted import FittedNetwork
from sklearn_dl.training._head import LinearHead
from sklearn_dl.training._problem import Problem
from sklearn_dl.training._processes import training_processes
from sklearn_dl.utils._base import all_or_nothing
from sklearn_dl.utils._embedding import EmbeddedModelEstimator
from sklearn_dl.utils._sklearn import Interval, RealNotInt, StrOptions, check_sample_weight

if TYPE_CHECKING:  # it imports torch
    from sklearn_dl.training._loop import TrainingTask


class Rows(NamedTuple):
    """Rows with their targets and weights.

    Attributes
    ----------
    columns : list of ndarray of n_rows rows
        What the network reads: texts, images.
    targets : ndarray of shape (n_rows,) or (n_rows, n_outputs)
        Numbers of classes, or float64.
    weights : float64 ndarray of shape (n_rows,)
    numbers : int ndarray of shape (n_rows,) or None
        Where they stand in what `fit` was given, for messages.
    """

    columns: list
    targets: np.ndarray
    weights: np.ndarray
    numbers: np.ndarray | None = None

    def take(self, rows):
        columns = [column[rows] for column in self.columns]
        numbers = None if self.numbers is None else self.numbers[rows]
        return Rows(columns, self.targets[rows], self.weights[rows], numbers)


def fit_method(fit):
    """Decorate a `fit`: with callbacks, and if it or they raise, the estimator is as it was."""
    return all_or_nothing(with_callbacks(fit))


class TrainedEstimator(CallbackSupportMixin, EmbeddedModelEstimator):
    """Base of the estimators whose network `sklearn_dl.training` fits.

    Their parameters have these names. A subclass's `fit` is a `fit_method` and calls `_fit`.
    """

    # the extra of the package that installs torch for it
    _extra: str
    # parameters that change what happens around a fit, not its result; a subclass adds its own
    _around_the_fit = frozenset(
        {"checkpoint_dir", "device", "embed_model", "random_state", "verbose"}
    )
    # of AdamW's schedule and steps, where they are not parameters
    warmup_ratio = 0.06
    max_grad_norm: float | None = 1.0
    trainable_layers: Any
    max_epochs: int
    batch_size: int
    learning_rate: Any
    weight_decay: float
    early_stopping: bool
    validation_fraction: Any
    n_iter_no_change: int
    tol: float
    precision: str
    device: str
    checkpoint_dir: Any
    warm_start: bool
    random_state: Any
    verbose: int
    _network: Any
    _problem: Problem
    _head: LinearHead | None
    history_: dict[str, list]
    best_epoch_: int

    _training_constraints: dict = {
        "trainable_layers": [StrOptions({"all"}), Interval(Integral, 0, None, closed="left")],
        "max_epochs": [Interval(Integral, 1, None, closed="left")],
        "batch_size": [Interval(Integral, 1, None, closed="left")],
        "learning_rate": [Interval(Real, 0, None, closed="neither")],
        "weight_decay": [Interval(Real, 0, None, closed="left")],
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

    def _store(self, arguments):
        """Store the arguments of `__init__`, which are its ``locals()``, under their names."""
        self.__dict__.update({k: v for k, v in arguments.items() if k not in ("self", "__class__")})

    @property
    def device_(self):
        """Name of the torch device that predictions are computed on, on this machine."""
        check_is_fitted(self)
        import_torch(type(self).__name__, self._extra)
        return str(resolve_device(self.device))

    def __copy__(self):
        # callbacks copy the estimator in each epoch: not by way of __getstate__, which reads files
        copied = type(self).__new__(type(self))
        copied.__dict__.update(self.__dict__)
        return copied

    def _fit(self, X, y, sample_weight, X_val, y_val, sample_weight_val):
        """`fit`: all of it but the name and the docstring."""
        self._validate_params()
        if y is None:
            raise ValueError(
                f"{type(self).__name__} requires y to be passed, but the target y is None."
            )
        self._check_validation_arguments(X_val, y_val, sample_weight_val)
        n_epochs = self.max_epochs if self._trains() else 0
        context = self._init_callback_context(max_subtasks=n_epochs)
        context.call_on_fit_task_begin(estimator=self, X=X, y=y)
        columns = self._columns(X, reset=True)
        check_consistent_length(columns[0], y)
        content = self._content()
        previous = self._previous(content)
        problem = self._new_problem()
        if previous is None:
            targets = problem.learn(y)
        else:
            # a frozen fit has solved a head of its own: that of the network is out of date
            keeps_head = self._trains() and previous.is_trained and self._head is None
            targets = problem.go_on(self._problem, y, keeps_head)
        rows = self._rows_that_count(problem, columns, targets, sample_weight, "sample_weight")
        held_out = None
        if X_val is not None:
            held_out = self._validation_rows(problem, X_val, y_val, sample_weight_val)
        self._fit_rows(problem, content, rows, held_out, previous, context, {"X": X, "y": y})
        context.call_on_fit_task_end(estimator=self, X=X, y=y, reconstruction_attributes=dict)
        return self

    @abstractmethod
    def _columns(self, X, reset) -> list[np.ndarray]:
        """What the network reads of X: arrays of n_samples rows; `reset` in `fit`."""

    @abstractmethod
    def _new_problem(self) -> Problem:
        """What y means; it has learned nothing yet."""

    @abstractmethod
    def _pretrained(self, content) -> FittedNetwork:
        """The network of the pretrained model's `content`."""

    @abstractmethod
    def _digest(self, rows, held_out) -> str:
        """A hash of all that is learned from, for checkpoints.

        Parameters
        ----------
        rows : Rows
        held_out : Rows or None
        """

    @abstractmethod
    def _solve_head(self, problem, fitted, rows) -> LinearHead | None:
        """Learn from `rows` what can be learned without training the network."""

    @abstractmethod
    def _task(self, problem, fitted, rows, seed) -> "TrainingTask":
        """What is trained: a task on the live network of `fitted`, with a head."""

    @abstractmethod
    def _held_out_outputs(self, problem, fitted, rows) -> np.ndarray:
        """Outputs of the live network for rows held out: float64, (n_rows, n_outputs)."""

    def _check_network(self, network):
        """Raise a ValueError if the live network cannot be trained as the parameters say."""

    def _trains(self):
        """Whether a fit trains the network, and not only a head on it."""
        return self.trainable_layers != 0

    def _previous(self, content):
        """The fitted network to go on from, if `warm_start` asks for it and there is one."""
        if not self.warm_start or not hasattr(self, "_network"):
            return None
        if self._network.content.sha256 != content.sha256:
            raise ValueError(
                f"warm_start=True cannot go on with {self._model_parameter}={self._model!r}: the "
                f"fitted network comes from {self._network.model!r}. Set warm_start=False to start "
                "anew."
            )
        return self._network

    def _validation_rows(self, problem, X_val, y_val, sample_weight_val):
        columns = self._columns(X_val, reset=False)
        check_consistent_length(columns[0], y_val)
        targets = problem.encode(y_val, "y_val")
        name = "sample_weight_val"
        return self._rows_that_count(problem, columns, targets, sample_weight_val, name)

    def _rows_that_count(self, problem, columns, targets, sample_weight, name):
        """The rows of positive weight, with what the estimator makes of their weights."""
        kept, weights = positive_weights(sample_weight, len(targets), name)
        rows = Rows(columns, targets, weights, np.arange(len(targets))).take(kept)
        rows = self._weighted(problem, rows)
        kept = np.flatnonzero(rows.weights > 0)
        if not len(kept):
            raise ValueError(f"class_weight and {name} leave no row with a positive weight.")
        return rows.take(kept)

    def _weighted(self, problem, rows):
        return rows._replace(weights=problem.weights(rows.targets, rows.weights))

    def _fit_rows(self, problem, content, rows, held_out, previous, context, hook_data):
        problem.refuse(rows.targets)
        start = previous or self._pretrained(content)
        belongs = {"data": self._digest(rows, held_out), "model": content.sha256}
        if previous is not None:
            belongs["start"] = sha256(previous.trained_bytes() or b"").hexdigest()
        with self._training(belongs) as place:
            if not self._trains():
                head = self._solve_head(problem, start, rows)
                self.__dict__.update(fitted_attributes(problem, start, head))
                return
            if self.early_stopping and held_out is None:
                train_rows, held_out_rows = split_rows(
                    len(rows.targets),
                    self.validation_fraction,
                    place.seed,
                    problem.strata(rows.targets),
                )
                rows, held_out = rows.take(train_rows), rows.take(held_out_rows)
                problem.refuse(rows.targets)
            network = start.network_to_train(place.device)
            if previous is not None and self._head is not None:
                network.head = None
            self._check_network(network)
            network.train_last(self.trainable_layers)
            past = history_records(self.history_) if previous is not None else []

            def now():
                return start.with_live(network)

            def fitted(records, best_epoch):
                history = history_columns([*past, *records])
                return fitted_attributes(problem, now(), None, history, best_epoch)

            def evaluate():
                outputs = self._held_out_outputs(problem, now(), held_out)
                return problem.evaluate(outputs, held_out.targets, held_out.weights)

            def after_epoch(records):
                sub = context.subcontext("epoch")
                sub.call_on_fit_task_begin(estimator=self, **hook_data)
                return sub.call_on_fit_task_end(
                    estimator=self,
                    **hook_data,
                    reconstruction_attributes=lambda: fitted(records, records[-1]["epoch"]),
                )

            records, best_epoch = self._train(
                self._task(problem, now(), rows, place.seed),
                place,
                evaluate=held_out and evaluate,
                after_epoch=after_epoch,
                first=len(past),
            )
            self.__dict__.update(fitted(records, best_epoch))

    def __getstate__(self):
        state = super().__getstate__()
        if "_network" in state:
            fitted = self._network
            carried = state["_embedded"].content if "_embedded" in state else None
            if carried is None or fitted.content.sha256 != carried.sha256:
                carried = fitted.content.for_pickle(self.embed_model)
            state["_network"] = fitted.for_pickle(carried)
        return state

    def __sklearn_is_fitted__(self):
        return hasattr(self, "_network")

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
        # the repr of a function holds its address, which is another one in the next process
        return {
            name: getattr(value, "__qualname__", type(value)) if callable(value) else value
            for name, value in sorted(params.items())
            if name not in self._around_the_fit
        }

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
        import_torch(name, self._extra)
        device = resolve_device(self.device)
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
            with torch_settings(processes.per_machine), own_random_state(device):
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


def fitted_attributes(problem, network, head=None, history=None, best_epoch=0):
    """What a fit adds to the estimator, by name."""
    return {
        **problem.attributes(),
        "_problem": problem,
        "_network": network,
        "_head": head,
        "history_": history or {},
        "best_epoch_": best_epoch,
    }
