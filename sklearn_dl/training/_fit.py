"""The steps of every fit: from rows, a problem and a network to a predictor."""

from contextlib import nullcontext
from dataclasses import fields, replace
from typing import NamedTuple

import numpy as np
from sklearn.utils.validation import check_consistent_length

from sklearn_dl.runtimes.torch._device import Where, autocast, import_torch, torch_settings
from sklearn_dl.training._batches import split_rows
from sklearn_dl.training._epochs import Epochs, Scorer
from sklearn_dl.training._fitted import Fitted
from sklearn_dl.training._fitted_network import FittedNetwork
from sklearn_dl.training._head import blas_threads
from sklearn_dl.training._predictor import Predictor
from sklearn_dl.training._problem import PARTIAL_FIT, WARM_START, Problem
from sklearn_dl.training._processes import OneProcess, training_processes
from sklearn_dl.training._rows import Examples
from sklearn_dl.training._setup import checkpoint_identity, make_seed, training_setup
from sklearn_dl.utils._columns import require_rows
from sklearn_dl.utils._messages import naming_labels, with_label
from sklearn_dl.utils._sklearn import check_sample_weight


class _State(NamedTuple):
    """Everything that one fit needs. `_readable` and `_weighted` return changed copies."""

    problem: Problem
    network: FittedNetwork
    examples: Examples
    held_out: Examples | None
    where: Where
    trains: bool  # whether the network is trained; if not, only a head is fitted
    earlier: Fitted | None  # the fit that this one continues from
    keeps_head: bool  # whether training starts with the head of the earlier fit, or of `model`
    is_partial: bool  # whether this is a call of `partial_fit`


def fit(estimator, data, held_out_data, context, classes=None, is_partial=False):
    """Fit a TrainedEstimator.

    Parameters
    ----------
    estimator : TrainedEstimator
        The caller has validated its parameters. This function sets only its attributes
        `n_features_in_` and `feature_names_in_`.
    data : Data
        X, y and weights to learn from.
    held_out_data : Data or None
        X, y and weights for validation.
    context : CallbackContext of scikit-learn
        None: no callback is called.
    classes : array-like or None, default=None
        All classes, in the first call of `partial_fit`.
    is_partial : bool, default=False
        Whether this is a call of `partial_fit`: a fitted estimator is trained further, with one
        pass over the rows and a constant learning rate.

    Returns
    -------
    fitted : Fitted
    """
    state = _checked(estimator, data, held_out_data, classes, is_partial)
    with _processes(state) as processes, state.network.for_fit() as network:
        state = state._replace(network=network)
        if processes.rank:
            state = state._replace(where=state.where._replace(verbose=0))
        state = _weighted(_readable(state, data, held_out_data))
        state.problem.refuse(state.examples.targets)
        if not state.trains:
            with naming_labels(data.X):
                return _fit_head(estimator, state, processes)
        with training_setup(estimator, state, processes) as setup:
            return _train(estimator, state, setup, context, data, held_out_data)


def _processes(state):
    """Context that yields the processes that share the fit.

    It yields OneProcess if the network is not trained and does not need torch, and no row is
    augmented: each process then computes the same result on its own.
    """
    if state.trains or state.network.needs_torch or state.examples.rows.is_augmented:
        return training_processes(state.where)
    return nullcontext(OneProcess())


def _checked(estimator, data, held_out_data, classes, is_partial):
    """Check the arguments of a fit before any row is read; return the state of the fit."""
    with naming_labels(data.X):
        state = _checked_rows(estimator, data, classes, is_partial)
    if held_out_data is not None:
        with naming_labels(held_out_data.X):
            held_out = _held_out(estimator, held_out_data, state.problem)
        state = state._replace(held_out=held_out)
    state.problem.refuse(state.examples.targets)
    if state.trains:
        import_torch(state.where.purpose, state.where.extra)
        with torch_settings(state.where.n_threads):
            state.network.check(estimator.trainable_layers)
    return state


def _held_out(estimator, data, problem):
    """Check the rows for validation; return them as Examples."""
    rows = estimator._rows(data.X, reset=False, learns=False)
    require_rows(len(rows), estimator)
    check_consistent_length(rows, data.y)
    rows, y = estimator._with_targets(rows, data.y, "y_val", problem)
    targets = problem.encode(y, "y_val")
    return _of_positive_weight(rows, targets, data.sample_weight, "sample_weight_val")


def _checked_rows(estimator, data, classes, is_partial):
    """Check the training rows and y; return the state of the fit, without validation rows yet."""
    is_later = is_partial and estimator._was_fitted
    rows = estimator._rows(data.X, reset=not is_later, learns=True)
    require_rows(len(rows), estimator)
    check_consistent_length(rows, data.y)
    content = estimator._content()
    earlier = estimator._earlier(content, is_partial)
    network = estimator._network_to_start(content, earlier, is_partial)
    problem = estimator._new_problem(data.y)
    trains, keeps_head = estimator._trains(), False
    rows, y = estimator._with_targets(rows, data.y, "y", problem)
    if earlier is None:
        targets = problem.learn_some(y, classes) if is_partial else problem.learn(y)
        given = estimator._with_given_head(network, problem) if trains else None
        if given is not None:
            network, keeps_head = given, True
    elif is_partial:
        keeps_head = True
        targets = problem.continue_from(earlier.problem, y, PARTIAL_FIT)
    else:
        keeps_head = trains and earlier.predictor.is_trained
        how = WARM_START._replace(keeps_head=keeps_head)
        targets = problem.continue_from(earlier.problem, y, how)
    examples = _of_positive_weight(rows, targets, data.sample_weight, "sample_weight")
    where = estimator._where()
    return _State(problem, network, examples, None, where, trains, earlier, keeps_head, is_partial)


def _of_positive_weight(rows, targets, sample_weight, name):
    """The rows of positive weight, as Examples."""
    kept, weights = positive_weights(sample_weight, len(rows), name)
    return Examples(rows.take(kept), targets[kept], weights[kept])


def _readable(state, data, held_out_data):
    """Drop the rows that cannot be read; return the changed state."""
    with naming_labels(data.X):
        examples = _read(state.examples, state, "X", with_features=not state.trains)
    held_out = state.held_out
    if held_out is not None and state.trains:
        with naming_labels(held_out_data.X):
            if held_out.rows.skips or state.network.stores_features:
                held_out = replace(_read(held_out, state, "X_val"), features=None)
            else:
                held_out.rows.check(state.where.n_threads)
    return state._replace(examples=examples, held_out=held_out)


def _read(examples, state, name, with_features=False):
    """Drop the rows that cannot be read, and warn of them; return the other examples.

    If features are computed here and a head is to be fitted to those of all rows, the examples keep
    them.
    """
    n_rows, rows = len(examples), examples.rows
    known = rows.unreadable_rows()
    examples = _without(examples, known, name)
    errors = [known[position] for position in sorted(known)]
    if with_features or rows.may_fail:
        with state.where.progress(len(examples), "features") as where:
            read = state.network.features(examples.rows, where)
        if read.cut is not None and not state.trains:  # training warns of them itself
            rows.warn_of_cut(read.cut)
        errors += [read.errors[position] for position in sorted(read.errors)]
        keeps_features = not state.trains or state.network.rows_of_initial_head is None
        features = read.values if keeps_features else None
        examples = replace(
            examples, rows=examples.rows.with_features(read.values), features=features
        )
        examples = _without(examples, read.errors, name)
        # these rows have been read: if one fails later, raise its error and do not skip it
        examples = replace(examples, rows=examples.rows.strict())
    rows.warn_of_errors(errors, n_rows, left_out=True, name=name)
    return examples


def _without(examples, errors, name):
    """Drop the rows at the positions in `errors`; return the other examples."""
    kept = np.setdiff1d(np.arange(len(examples)), list(errors))
    if not len(kept):
        which = "" if name == "X" else f" of {name}"
        first = with_label(errors[min(errors)])
        raise ValueError(f"No {examples.rows.noun}{which} can be used. {first}")
    return examples.take(kept) if errors else examples


def _weighted(state):
    """Apply the class weights (see `Problem.weights`), and drop the rows of weight 0.

    Return the changed state.
    """

    def weighted(examples, name):
        weights = state.problem.weights(examples.targets, examples.weights)
        kept = np.flatnonzero(weights > 0)
        if not len(kept):
            raise ValueError(
                f"class_weight and {name} leave no row with a positive weight: change one of them."
            )
        return replace(examples, weights=weights).take(kept)

    held_out = state.held_out
    if held_out is not None and state.trains:
        held_out = weighted(held_out, "sample_weight_val")
    examples = weighted(state.examples, "sample_weight")
    return state._replace(examples=examples, held_out=held_out)


def _fit_head(estimator, state, processes):
    """Fit a head to the features of the network, which is not trained."""
    examples, network = state.examples, state.network
    identity = checkpoint_identity(estimator, state, processes) if processes.count > 1 else {}
    features, targets, weights = examples.features, examples.targets, examples.weights
    if examples.rows.is_augmented:
        rng = np.random.default_rng(processes.from_first(make_seed(estimator, identity)))
        views = examples.rows.views(rng)
        # other fits seldom draw the same views: their features are not worth storing
        where = state.where._replace(memory=None)
        with where.progress(len(views) * len(examples), "features of views") as where:
            parts = [network.features(rows, where).values for rows in views]
        features = np.concatenate([features, *parts])
        n_parts = 1 + len(views)
        targets = np.concatenate([targets] * n_parts)
        weights = np.concatenate([weights / n_parts] * n_parts)
    features = features.astype(np.float64, copy=False)
    with blas_threads(state.where.n_threads):
        head = state.problem.fit_head(features, targets, weights, state.where)
    problem, head = processes.from_first((state.problem, head))
    return Fitted(Predictor(network, head), problem, [])


def _train(estimator, state, setup, context, data, held_out_data):
    """Train the network together with its head."""
    from sklearn_dl.training._task import Task

    problem, examples, held_out = state.problem, state.examples, state.held_out
    if estimator.early_stopping and held_out is None:
        fraction, strata = estimator.validation_fraction, problem.strata(examples.targets)
        kept, others = split_rows(len(examples), fraction, setup.seed, strata)
        examples, held_out = examples.take(kept), examples.take(others)
        problem.refuse(examples.targets)
    if held_out is not None:
        problem.refuse_held_out(held_out.targets)
        held_out = replace(held_out, rows=held_out.rows.without_views())
    network = state.network.network_to_train(setup.where.device)
    if not state.keeps_head:
        network.head = None
    network.train_last(estimator.trainable_layers)
    past = [] if state.earlier is None else state.earlier.records

    def now():
        return Predictor(state.network.with_live(network))

    is_given = state.keeps_head and state.earlier is None
    with naming_labels(data.X):
        _start(problem, now(), examples, setup, is_given)
    rows = state.network.with_views(examples.rows, setup.seed, setup.where)
    feed = state.network.feed(rows, network)
    if feed.cut is not None:
        examples.rows.warn_of_cut(feed.cut)
    task = Task(network, feed, problem, examples)
    epochs = Epochs(estimator, problem, held_out, setup.where, now, past, context, data)
    if held_out is not None and not problem.outputs_tell_loss:
        validation = state.network.feed(held_out.rows, network)
        epochs.validation = Task(network, validation, problem, held_out)
    if estimator.scoring is not None and held_out is not None:
        given = data if held_out_data is None else held_out_data
        epochs.scorer = Scorer(estimator, setup.where, held_out, given)
    records, best_epoch = _run_loop(estimator, task, setup, epochs, state.is_partial)
    return Fitted(now(), problem, [*past, *records], best_epoch)


def _start(problem, predictor, examples, setup, is_given):
    """Prepare the problem and the head, before the network is trained.

    If the network has no head, one is fitted. A head that comes from the model (`is_given`) is
    scaled in the same way as the targets. All processes that share the fit use the result of
    process 0.
    """

    def outputs(rows):
        with setup.where.progress(len(rows), "features") as where:
            return predictor.outputs(rows, where).values

    problem.start(examples, outputs, setup.seed)
    network, head = predictor.network, None
    if network.takes_head and network.live.head is None:
        some = examples.some(network.rows_of_initial_head, setup.seed)
        features = some.features
        if features is None:
            # autocast, as in training: for so few rows it is cheaper than a copy in bfloat16
            with autocast(setup.where.precision, setup.where.device):
                where = setup.where._replace(precision="float32")
                with where.progress(len(some), "features") as where:
                    features = predictor.features(some.rows, where).values
        goals = problem.goals(some.targets)
        features = features.astype(np.float64, copy=False)
        with blas_threads(setup.where.n_threads):
            head = problem.initial_head(features, goals, some.weights)
    elif is_given:
        head = problem.scaled_head(network.live.linear_head())
    elif network.live.head is None:
        network.start_head(network.live, examples.rows, problem, setup.seed, setup.where)
        _share_head(network.live, setup.processes)
    state, head = setup.processes.from_first((vars(problem), head))
    vars(problem).update(state)
    if head is not None:
        network.live.add_head(head)


def _share_head(network, processes):
    """Give the networks of all processes the head of process 0, if they have heads."""
    if network.head is None:
        return
    made = {name: tensor.cpu() for name, tensor in network.head.state_dict().items()}
    network.head.load_state_dict(processes.from_first(made))


def _run_loop(estimator, task, setup, epochs, is_partial):
    """Train, resuming from the checkpoint if there is one; return records and best epoch."""
    from sklearn_dl.training._checkpoint import Checkpoint
    from sklearn_dl.training._training_loop import Settings, train

    names = {field.name for field in fields(Settings)}
    params = {k: v for k, v in estimator.get_params(deep=False).items() if k in names}
    if params["learning_rate"] == "auto":
        params["learning_rate"] = epochs.problem.learning_rate
    params["precision"] = setup.where.precision
    if is_partial:
        params |= {"max_epochs": 1, "is_constant": True}
    settings = Settings(**params, seed=setup.seed)
    checkpoint = None
    if estimator.checkpoint_dir is not None:
        checkpoint = Checkpoint(estimator.checkpoint_dir, setup.identity)
    is_first = setup.processes.rank == 0
    n_rows = settings.max_epochs * len(task.lengths)
    with setup.where.progress(n_rows, "training", fill=False) as where:
        epochs.done = where.done
        records, best_epoch = train(
            task,
            settings,
            processes=setup.processes,
            evaluate=None if epochs.held_out is None else epochs.evaluate,
            checkpoint=checkpoint,
            watcher=epochs if is_first else None,
            first=len(epochs.past),
        )
    if checkpoint is not None and is_first:
        checkpoint.remove()
    return records, best_epoch


def positive_weights(sample_weight, n_rows, name="sample_weight"):
    """The positions of rows with a positive weight, and the weights of all rows.

    Parameters
    ----------
    sample_weight : array-like of shape (n_rows,), float or None
        A single number is the weight of each row. None: each row has the weight 1.
    n_rows : int
    name : str, default="sample_weight"
        Name of the parameter in messages.

    Returns
    -------
    kept : int ndarray
        The positions, in ascending order.
    weights : float64 ndarray of shape (n_rows,)

    Raises
    ------
    ValueError
        If a weight is negative or not finite, all weights are zero, or `sample_weight` is an array
        of a different length.
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
        raise ValueError(f"{name} is zero for every row: at least one weight must be positive.")
    return kept, weights
