"""Estimators that record what workers do with them, or that kill workers."""

import os
import signal
import time
from pathlib import Path

import numpy as np
import psutil
from sklearn.base import BaseEstimator


class NotesLoads(BaseEstimator):
    """Predicts as `estimator` does; leaves a file in `folder` for each time that it is loaded."""

    def __init__(self, estimator, folder):
        self.estimator = estimator
        self.folder = folder

    def __setstate__(self, state):
        super().__setstate__(state)
        Path(self.folder, f"{os.getpid()}-{time.monotonic_ns()}").touch()

    def predict(self, X):
        return self.estimator.predict(X)

    def predict_proba(self, X):
        return self.estimator.predict_proba(X)

    @property
    def classes_(self):
        return self.estimator.classes_


class KillsWorker(BaseEstimator):
    """Doubles a column of numbers; the first time that it sees 13, it kills the worker.

    Parameters
    ----------
    flag : str
        A path. Once the file is there, no worker is killed.
    of_spark : bool
        Whether the worker is the JVM that has started the daemon that has started this process.
    """

    def __init__(self, flag, of_spark):
        self.flag = flag
        self.of_spark = of_spark

    def predict(self, X):
        numbers = np.asarray(X)
        if 13 in numbers and not os.path.exists(self.flag):
            Path(self.flag).touch()
            process = psutil.Process()
            victim = process.parents()[1] if self.of_spark else process
            victim.send_signal(signal.SIGKILL)
        return 2 * numbers
