"""The steps of every fit: from rows, a problem and a network to a predictor."""

import math
from contextlib import nullcontext
from dataclasses import dataclass, fields, replace
from typing import Any, NamedTuple

import numpy as np
from sklearn.utils.validation import check_consistent_length

from sklearn_dl.runtimes.torch._device import Where, autocast, import_torch
from sklearn_dl.training._batches import split_rows
from sklearn_dl.training._fitted_network import FittedNetwork
from sklearn_dl.training._head import blas_threads
from sklearn_dl.training._predictor import Predictor
from sklearn_dl.training._problem import Problem
from sklearn_dl.training._processes import OneProcess, training_processes
from sklearn_dl.training._rows import Examples
from sklearn_dl.training._setup import checkpoint_identity, make_seed, training_setup
from sklearn_dl.utils._sklearn import check_sample_weight


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
        One for each epoch.
    best_epoch : int
        From 1; 0 if nothing was trained.
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
            # NaN for epochs without this entry
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


class _Parts(NamedTuple):
    """All that one fit needs; each step of the fit returns a changed copy."""

    problem: Problem
    network: FittedNetwork
    examples: Examples
    held_out: Examples | None
    where: Where
    trains: bool  # whether the network is trained; if not, only a head is solved
    earlier: Fitted | None  # the fit that this one continues from
    keeps_head: bool  # whether training starts with the head of the earlier fit


def fit(estimator, data, held_out_data, context):
    """Fit a TrainedEstimator.

    Parameters
    ----------
    estimator : TrainedEstimator
        Its parameters are valid. Of its attributes, only `n_features_in_` and `feature_names_in_`
        are set here.
    data : Data
        X, y and weights to learn from.
    held_out_data : Data or None
        X, y and weights for validation.
    context : CallbackContext of scikit-learn

    Returns
    -------
    fitted : Fitted
    """
    parts = _checked(estimator, data, held_out_data)
    with _processes(parts) as processes:
        parts = _weighted(_readable(parts))
        parts.problem.refuse(parts.examples.targets)
        if not parts.trains:
            return _solved(estimator, parts, processes)
        with training_setup(estimator, parts, processes) as setup:
            return _trained(estimator, parts, setup, context, data)


def _processes(parts):
    """Context with the processes that share the fit.

    It is OneProcess if nothing is trained, torch is not needed and no row is augmented: then each
    process gets the same result alone.
    """
    if parts.trains or parts.network.needs_torch or parts.examples.rows.is_augmented:
        return training_processes(parts.where)
    return nullcontext(OneProcess())


def _checked(estimator, data, held_out_data):
    """Check the arguments of a fit and return its parts, before any row is read."""
    rows = estimator._rows(data.X, reset=True)
    check_consistent_length(rows, data.y)
    content = estimator._content()
    earlier = estimator._earlier(content)
    network = estimator._network_to_start(content, earlier)
    problem = estimator._new_problem()
    trains, keeps_head = estimator._trains(), False
    if earlier is None:
        targets = problem.learn(data.y)
    else:
        keeps_head = trains and earlier.predictor.is_trained
        targets = problem.continue_from(earlier.problem, data.y, keeps_head)
    examples = _of_positive_weight(rows, targets, data.sample_weight, "sample_weight")
    held_out = None
    if held_out_data is not None:
        rows = estimator._rows(held_out_data.X, reset=False)
        check_consistent_length(rows, held_out_data.y)
        targets, weights = problem.encode(held_out_data.y, "y_val"), held_out_data.sample_weight
        held_out = _of_positive_weight(rows, targets, weights, "sample_weight_val")
    problem.refuse(examples.targets)
    where = estimator._where()
    if trains:
        import_torch(where.purpose, where.extra)
        network.check(estimator.trainable_layers)
    return _Parts(problem, network, examples, held_out, where, trains, earlier, keeps_head)


def _of_positive_weight(rows, targets, sample_weight, name):
    """Examples of the rows whose weight is positive."""
    kept, weights = positive_weights(sample_weight, len(rows), name)
    return Examples(rows.take(kept), targets[kept], weights[kept])


def _readable(parts):
    """Drop the rows that cannot be read; return the changed parts."""
    examples = _read(parts.examples, parts, "X", with_features=not parts.trains)
    held_out = parts.held_out
    if held_out is not None and parts.trains:
        if held_out.rows.skips:
            held_out = replace(_read(held_out, parts, "X_val"), features=None)
        else:
            held_out.rows.check(parts.where.n_threads)
    return parts._replace(examples=examples, held_out=held_out)


def _read(examples, parts, name, with_features=False):
    """Drop the examples that cannot be read, and warn of them; return the others.

    They have features if `with_features`, or if the head that training starts with needs those of
    all rows. Rows that may turn out to be unreadable are read here, and must not fail from then on.
    """
    n_rows, rows = len(examples), examples.rows
    known = rows.unreadable_rows()
    examples = _without(examples, known, name)
    errors = [known[position] for position in sorted(known)]
    if with_features or rows.may_fail:
        read = parts.network.features(examples.rows, parts.where)
        if read.cut is not None and not parts.trains:  # training warns of them itself
            rows.warn_of_cut(read.cut)
        errors += [read.errors[position] for position in sorted(read.errors)]
        keeps = not parts.trains or parts.network.rows_of_first_head is None
        examples = replace(examples, features=read.values if keeps else None)
        examples = _without(examples, read.errors, name)
        examples = replace(examples, rows=examples.rows.strict())
    rows.warn_of_errors(errors, n_rows, left_out=True, name=name)
    return examples


def _without(examples, errors, name):
    """The examples whose positions are not among `errors`."""
    kept = np.setdiff1d(np.arange(len(examples)), list(errors))
    if not len(kept):
        which = "" if name == "X" else f" of {name}"
        raise ValueError(f"No {examples.rows.noun}{which} can be used. {errors[min(errors)]}")
    return examples.take(kept) if errors else examples


def _weighted(parts):
    """The parts with the problem's weights (see `Problem.weights`), without rows of weight 0."""

    def weighted(examples, name):
        weights = parts.problem.weights(examples.targets, examples.weights)
        kept = np.flatnonzero(weights > 0)
        if not len(kept):
            raise ValueError(
                f"class_weight and {name} leave no row with a positive weight: change one of them."
            )
        return replace(examples, weights=weights).take(kept)

    held_out = parts.held_out
    if held_out is not None and parts.trains:
        held_out = weighted(held_out, "sample_weight_val")
    examples = weighted(parts.examples, "sample_weight")
    return parts._replace(examples=examples, held_out=held_out)


def _solved(estimator, parts, processes):
    """Solve a head on the features of the network, which stays as it is."""
    examples, network = parts.examples, parts.network
    identity = checkpoint_identity(estimator, parts, processes) if processes.count > 1 else {}
    features, targets, weights = examples.features, examples.targets, examples.weights
    if examples.rows.is_augmented:
        rng = np.random.default_rng(processes.from_first(make_seed(estimator, identity)))
        views = examples.rows.views(rng)
        where = parts.where._replace(memory=None)  # no later fit has the same views
        features = np.concatenate(
            [features, *(network.features(rows, where).values for rows in views)]
        )
        n_parts = 1 + len(views)
        targets = np.concatenate([targets] * n_parts)
        weights = np.concatenate([weights / n_parts] * n_parts)
    with blas_threads(parts.where.n_threads):
        head = parts.problem.solve(features.astype(np.float64, copy=False), targets, weights)
    problem, head = processes.from_first((parts.problem, head))
    return Fitted(Predictor(network, head), problem, [])


def _trained(estimator, parts, setup, context, data):
    """Train the network together with its head."""
    from sklearn_dl.training._task import Task

    problem, examples, held_out = parts.problem, parts.examples, parts.held_out
    if estimator.early_stopping and held_out is None:
        fraction, strata = estimator.validation_fraction, problem.strata(examples.targets)
        kept, others = split_rows(len(examples), fraction, setup.seed, strata)
        examples, held_out = examples.take(kept), examples.take(others)
        problem.refuse(examples.targets)
    network = parts.network.network_to_train(setup.where.device)
    if not parts.keeps_head:
        network.head = None
    network.train_last(estimator.trainable_layers)
    past = [] if parts.earlier is None else parts.earlier.records

    def now():
        return Predictor(parts.network.with_live(network))

    _start(problem, now(), examples, setup)
    feed = parts.network.feed(examples.rows, network)
    if feed.cut is not None:
        examples.rows.warn_of_cut(feed.cut)
    task = Task(network, feed, problem, examples)
    epochs = _Epochs(estimator, problem, held_out, setup.where, now, past, context, data)
    records, best_epoch = _run_loop(estimator, task, setup, epochs)
    return Fitted(now(), problem, [*past, *records], best_epoch)


def _start(problem, predictor, examples, setup):
    """Start the problem and solve the first head, with the network as it is before training.

    All processes that share the fit get the result of the first one.
    """

    def outputs(rows):
        return predictor.outputs(rows, setup.where).values

    problem.start(examples, outputs, setup.seed)
    network, head = predictor.network, None
    if network.takes_head and network.live.head is None:
        some = examples.some(network.rows_of_first_head, setup.seed)
        features = some.features
        if features is None:
            # autocast, as in training: for few rows, a copy of the network in bfloat16 costs more
            with autocast(setup.where.precision, setup.where.device):
                where = setup.where._replace(precision="float32")
                features = predictor.features(some.rows, where).values
        goals = problem.goals(some.targets)
        features = features.astype(np.float64, copy=False)
        with blas_threads(setup.where.n_threads):
            head = problem.first_head(features, goals, some.weights)
    state, head = setup.processes.from_first((vars(problem), head))
    vars(problem).update(state)
    if head is not None:
        network.live.add_head(head)


class _Epochs:
    """Validation and callbacks after each epoch; both use the same predictor."""

    def __init__(self, estimator, problem, held_out, where, now, past, context, data):
        self.estimator, self.problem = estimator, problem
        self.held_out, self.where = held_out, where
        self.now, self.past = now, past
        self.context, self.given = context, {"X": data.X, "y": data.y}
        self.predictor = None

    def evaluate(self):
        """Loss and score on the rows that are held out."""
        self.predictor = self.now()
        outputs = self.predictor.outputs(self.held_out.rows, self.where).values
        return self.problem.evaluate(outputs, self.held_out.targets, self.held_out.weights)

    def after_epoch(self, records):
        """Print the epoch if `verbose`, and call the callbacks; return True if one says to stop."""
        estimator, last = self.estimator, records[-1]
        if estimator.verbose:
            shown = ", ".join(f"{name} {value:.4g}" for name, value in last.items())
            print(f"{type(estimator).__name__}: {shown}")
        predictor, self.predictor = self.predictor or self.now(), None
        fitted = Fitted(predictor, self.problem, [*self.past, *records], last["epoch"])
        sub = self.context.subcontext("epoch")
        sub.call_on_fit_task_begin(estimator=estimator, **self.given)
        return sub.call_on_fit_task_end(
            estimator=estimator, **self.given, reconstruction_attributes=fitted.attributes
        )


def _run_loop(estimator, task, setup, epochs):
    """Train, from the checkpoint if there is one; return the records and the best epoch."""
    from sklearn_dl.training._checkpoint import Checkpoint
    from sklearn_dl.training._training_loop import Settings, train

    names = {field.name for field in fields(Settings)}
    params = {k: v for k, v in estimator.get_params(deep=False).items() if k in names}
    if params["learning_rate"] == "auto":
        params["learning_rate"] = epochs.problem.learning_rate
    params["precision"] = setup.where.precision
    settings = Settings(**params, seed=setup.seed)
    checkpoint = None
    if estimator.checkpoint_dir is not None:
        checkpoint = Checkpoint(estimator.checkpoint_dir, setup.identity)
    records, best_epoch = train(
        task,
        settings,
        processes=setup.processes,
        evaluate=None if epochs.held_out is None else epochs.evaluate,
        checkpoint=checkpoint,
        after_epoch=epochs.after_epoch,
        first=len(epochs.past),
    )
    if checkpoint is not None and setup.processes.rank == 0:
        checkpoint.remove()
    return records, best_epoch


def positive_weights(sample_weight, n_rows, name="sample_weight"):
    """The positions of rows with a positive weight, and the weights of all rows.

    Parameters
    ----------
    sample_weight : array-like of shape (n_rows,), float or None
    n_rows : int
    name : str, default="sample_weight"
        The parameter's name, for messages.

    Returns
    -------
    kept : int ndarray
        Positions, ascending.
    weights : float64 ndarray of shape (n_rows,)

    Raises
    ------
    ValueError
        If a weight is negative or not finite, all are zero, or there is not one for each row.
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
        raise ValueError(f"{name} is zero for every row: there is nothing to learn from.")
    return kept, weights
