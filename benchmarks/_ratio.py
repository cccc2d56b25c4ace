"""Ratio of the times of two ways to do the same work, which take turns in one process."""

import time
from typing import NamedTuple

import numpy as np


class Ratio(NamedTuple):
    """The rival's time divided by ours: the median over pairs of runs, and its 90 % interval."""

    median: float
    low: float
    high: float
    ours_seconds: float
    rival_seconds: float
    n_pairs: int

    def __str__(self):
        return f"{self.median:.2f} x [{self.low:.2f}, {self.high:.2f}]"


def compare(ours, rivals, n_pairs):
    """Measure the times of `ours` and of each rival in turns.

    Parameters
    ----------
    ours : callable(i)
        Does the work of pair `i`.
    rivals : dict of str to callable(i)
    n_pairs : int

    Returns
    -------
    ratios : dict of str to Ratio
        For each rival, the median of the ratios of all pairs, with its bootstrap interval.
    """
    everyone = {"ours": ours, **rivals}
    for work in everyone.values():
        work(0)
    seconds: dict = {name: [] for name in everyone}
    for i in range(n_pairs):
        # the order rotates, so that none always comes first
        names = list(everyone)
        for name in names[i % len(names) :] + names[: i % len(names)]:
            started = time.perf_counter()
            everyone[name](i)
            seconds[name].append(time.perf_counter() - started)
    times = {name: np.array(values) for name, values in seconds.items()}
    return {name: _ratio(times["ours"], times[name]) for name in rivals}


def _ratio(ours, rival):
    ratios = rival / ours
    rng = np.random.default_rng(0)
    draws = np.median(rng.choice(ratios, (10_000, len(ratios))), axis=1)
    low, high = np.quantile(draws, [0.05, 0.95])
    return Ratio(
        float(np.median(ratios)),
        float(low),
        float(high),
        float(np.median(ours)),
        float(np.median(rival)),
        len(ratios),
    )
