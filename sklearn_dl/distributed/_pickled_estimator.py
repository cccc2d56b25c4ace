"""An estimator as a pickle, which each process loads once."""

import pickle
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from hashlib import sha256

import cloudpickle

from sklearn_dl.runtimes._sessions import cached_session


@dataclass(frozen=True)
class PickledEstimator:
    """An estimator as a pickle.

    Attributes
    ----------
    sha256 : str
        The hash of the pickle.
    n_bytes : int
        The size of the pickle.
    read : callable() -> bytes
        Returns the pickle, in any process of the engine.
    """

    sha256: str
    n_bytes: int
    read: Callable[[], bytes]

    def load(self):
        """The estimator. In one process, all calls return the same object."""
        return cached_session(
            ("estimator", self.sha256),
            lambda: pickle.loads(self.read()),
            lambda: self.n_bytes,
            "cpu",
        )


def pickled(estimator):
    """Pickle an estimator, with the classes and functions of the user's script that it needs."""
    data = cloudpickle.dumps(estimator)
    return PickledEstimator(sha256(data).hexdigest(), len(data), partial(bytes, data))
