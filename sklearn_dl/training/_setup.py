"""The setting in which a network is trained, the seed, and the identity of a fit."""

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
    """The processes, device, seed and identity of a fit that trains a network.

    Attributes
    ----------
    processes : OneProcess or TorchProcesses
        The processes that share the fit.
    where : Where
        The resolved device, precision and threads of this process.
    seed : int
        The seed of all random numbers of the training.
    identity : dict of str to object
        The `checkpoint_identity` of the fit, and its seed.
    """

    processes: Any
    where: Where
    seed: int
    identity: dict


@contextmanager
def training_setup(estimator, state, processes):
    """Context in which a network is trained.

    In this context, torch has its default settings, and no other fit in this Python process trains.
    At the end, torch's settings and random states are as they were before.

    Parameters
    ----------
    estimator : TrainedEstimator
    state : _State
        The state of the fit (see `fit`).
    processes : OneProcess or TorchProcesses

    Yields
    ------
    setup : Setup
    """
    where = state.where.resolved()
    if processes.count > 1 and where.device.type != "cpu":
        where = where._replace(device=processes.device)
    identity = checkpoint_identity(estimator, state._replace(where=where), processes)
    seed = processes.from_first(make_seed(estimator, identity))
    with torch_settings(where.n_threads, processes.per_machine), own_random_state(where.device):
        yield Setup(processes, where, seed, {**identity, "seed": seed})


def checkpoint_identity(estimator, state, processes):
    """The identity of a fit: the values that distinguish it from other fits, without the seed.

    It contains hashes of the data and the model, the parameters, the precision and the number of
    processes. A fit is resumed only from a checkpoint with the same identity. Processes that share
    a fit must have the same identity; this function compares them.

    Parameters
    ----------
    estimator : TrainedEstimator
    state : _State
        The state of the fit (see `fit`).
    processes : OneProcess or TorchProcesses

    Returns
    -------
    identity : dict of str to object
        Empty if the fit has one process and no checkpoint: it does not need an identity.

    Raises
    ------
    ValueError
        If the processes have different identities.
    """
    if estimator.checkpoint_dir is None and processes.count == 1:
        return {}
    identity = {
        "data": _fingerprint(state.problem, state.examples, state.held_out),
        "model": state.network.content.sha256,
        **_identities(estimator._parameters_of_the_fit()),
        "precision": state.where.precision,
        "processes": processes.count,
    }
    if state.is_partial:
        identity["call"] = "partial_fit"
    if state.network.is_trained:
        trained = sha256(state.network.trained_bytes()).hexdigest()
        identity["start"] = f"{trained}, its head {'kept' if state.keeps_head else 'made anew'}"
    for theirs in processes.gather(identity):
        names = sorted(identity.keys() | theirs.keys())
        unequal = [n for n in names if repr(theirs.get(n)) != repr(identity.get(n))]
        if unequal:
            raise ValueError(
                f"The {processes.count} processes of this fit have different {', '.join(unequal)}: "
                "each must call fit with the same rows and parameters."
            )
    return identity


def _fingerprint(problem, *sets):
    """A hash of the Examples in `sets`: of their rows, targets and weights. None is skipped."""
    digest = sha256()
    for examples in sets:
        if examples is not None:
            digest.update(examples.rows.digest())
            digest.update(problem.digest(examples.targets))
            digest.update(examples.weights.tobytes())
    return digest.hexdigest()


def _identities(params):
    """The values of parameters, with names or hashes instead of callables.

    A callable's repr contains its address in memory, which differs between Python processes.
    """
    found: dict = {}
    for name, value in sorted(params.items()):
        found[name] = value
        if callable(value):
            version = getattr(value, "version", None)
            found[name] = _name_of(value, version)
            found[f"version of {name}"] = version
    return found


def _name_of(function, version):
    """The name of a function, or a hash of a callable without a name.

    If the callable cannot be hashed, or has a `version`, which says whether it has changed, the
    name of its type replaces the hash.
    """
    name = getattr(function, "__qualname__", None)
    if name is not None:
        return name
    try:
        return joblib.hash(function) if version is None else type(function).__qualname__
    except (PicklingError, AttributeError, TypeError):
        return type(function).__qualname__


def make_seed(estimator, identity):
    """Return a seed from `random_state`.

    With ``random_state=None``, the seed is new each time. It is not drawn from numpy's global
    generator, whose state a fit must not change. With None and a `checkpoint_dir`, the seed depends
    only on the identity of the fit, so that the fit can be resumed.
    """
    random_state = estimator.random_state
    if isinstance(random_state, Integral):
        return int(random_state)
    if random_state is not None:
        return int(check_random_state(random_state).randint(2**31))
    if estimator.checkpoint_dir is not None:
        return int(sha256(repr(identity).encode()).hexdigest()[:8], 16)
    return int(np.random.SeedSequence().generate_state(1)[0])
