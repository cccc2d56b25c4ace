"""Where a fit takes place, from which seed, and how another run of the same fit is known."""

from contextlib import contextmanager
from hashlib import sha256
from numbers import Integral
from pickle import PicklingError
from typing import Any, NamedTuple

import joblib
import numpy as np
from sklearn.utils import check_random_state

from sklearn_dl.runtimes.torch._device import Where, own_random_state, torch_settings


class Setup(NamedTuple):
    """Where a network is trained.

    Attributes
    ----------
    processes : OneProcess or TorchProcesses
    where : Where
        Resolved.
    seed : int
    belongs : dict
        What a checkpoint must have in common with the fit.
    """

    processes: Any
    where: Where
    seed: int
    belongs: dict


@contextmanager
def training_setup(estimator, parts, processes):
    """Where a network is trained, alone there, with all that torch keeps for the process as it was.

    Parameters
    ----------
    estimator : TrainedEstimator
    parts : named tuple with problem, network, examples, held_out, where
    processes : of `training_processes`

    Yields
    ------
    setup : Setup
    """
    where = parts.where.resolved()
    if processes.count > 1 and where.device.type != "cpu":
        where = where._replace(device=processes.device)
    belongs = what_it_belongs_to(estimator, parts._replace(where=where), processes)
    seed = processes.from_first(make_seed(estimator, belongs))
    with torch_settings(where.n_threads, processes.per_machine), own_random_state(where.device):
        yield Setup(processes, where, seed, {**belongs, "seed": seed})


def what_it_belongs_to(estimator, parts, processes):
    """What makes a fit what it is, by name: checkpoints carry it, and processes compare it.

    It is empty if the fit has no checkpoint and one process, for which nothing asks.

    Raises
    ------
    ValueError
        If the processes do not fit the same.
    """
    if estimator.checkpoint_dir is None and processes.count == 1:
        return {}
    belongs = {
        "data": _fingerprint(parts.problem, parts.examples, parts.held_out),
        "model": parts.network.content.sha256,
        **_identities(estimator._parameters_of_the_fit()),
        "precision": parts.where.precision,
        "processes": processes.count,
    }
    if parts.network.is_trained:
        trained = sha256(parts.network.trained_bytes()).hexdigest()
        belongs["start"] = f"{trained}, its head {'kept' if parts.keeps_head else 'made anew'}"
    for theirs in processes.gather(belongs):
        names = sorted(belongs.keys() | theirs.keys())
        others = [n for n in names if repr(theirs.get(n)) != repr(belongs.get(n))]
        if others:
            raise ValueError(
                f"The {processes.count} processes of this fit have other {', '.join(others)}: each "
                "must call fit with the same rows and parameters."
            )
    return belongs


def _fingerprint(problem, *parts):
    """A hash of all that a fit learns from."""
    digest = sha256()
    for part in parts:
        if part is not None:
            digest.update(part.rows.digest())
            digest.update(problem.digest(part.targets))
            digest.update(part.weights.tobytes())
    return digest.hexdigest()


def _identities(params):
    """The values of parameters; callables are replaced by what identifies them in any process."""
    known: dict = {}
    for name, value in sorted(params.items()):
        known[name] = value
        if callable(value):
            version = getattr(value, "version", None)
            known[name] = _name_of(value, version)
            known[f"version of {name}"] = version
    return known


def _name_of(function, version):
    """The name of a function, whose repr holds its address; of other callables a hash.

    A `version` stands for all that a callable without a name holds.
    """
    name = getattr(function, "__qualname__", None)
    if name is not None:
        return name
    try:
        return joblib.hash(function) if version is None else type(function).__qualname__
    except (PicklingError, AttributeError, TypeError):
        return type(function).__qualname__


def make_seed(estimator, belongs):
    """A seed from `random_state`; with a `checkpoint_dir` and None it follows from the data.

    scikit-learn's None is numpy's global generator, which a draw would change.
    """
    random_state = estimator.random_state
    if isinstance(random_state, Integral):
        return int(random_state)
    if random_state is not None:
        return int(check_random_state(random_state).randint(2**31))
    if estimator.checkpoint_dir is not None:
        return int(sha256(repr(belongs).encode()).hexdigest()[:8], 16)
    return int(np.random.SeedSequence().generate_state(1)[0])
