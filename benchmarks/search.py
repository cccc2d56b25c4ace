"""What a search over `search_space()` gains over the default parameters, on rows it has not seen.

For each seed, rows are drawn to fit and to search on, and the defaults and the best parameters of
the search are scored on all other rows.
"""

import tempfile
import time
from functools import partial

import numpy as np
from sklearn.base import clone
from sklearn.model_selection import RandomizedSearchCV

from benchmarks._texts import issues, polarity
from benchmarks.vision import cracks
from sklearn_dl import ImageClassifier, TextClassifier

N_FROZEN, N_TUNED = 20, 6


def run(quick=False):
    seeds = range(1 if quick else 3)
    n_frozen, n_tuned = (3, 2) if quick else (N_FROZEN, N_TUNED)
    frozen = partial(TextClassifier, trainable_layers=0)
    tuned = partial(TextClassifier, trainable_layers=2)
    return [
        _compare("sentence polarity, last 2 layers", _polarity, 200, tuned, n_tuned, 2, seeds),
        _compare("sentence polarity, frozen", _polarity, 1000, frozen, n_frozen, 3, seeds),
        _compare("issue titles, 22 areas, frozen", _titles, 1000, frozen, n_frozen, 3, seeds),
        _compare("cracks, frozen", _cracks, 200, ImageClassifier, n_frozen, 3, seeds),
    ]


def _titles(seed):
    return issues("Title", seed)


def _polarity(seed):
    X, y = polarity(seed)
    return X[:2000], y[:2000]


def _cracks(seed):
    X, y = cracks()
    order = np.random.default_rng(seed).permutation(len(X))
    return np.array(X, dtype=object)[order], y[order]


def _compare(what, data, n_train, make, n_iter, cv, seeds):
    """A row of the table: accuracies of the defaults and of what the search found."""
    defaults, searched, found, seconds = [], [], [], []
    for seed in seeds:
        X, y = data(seed)
        train, test = (X[:n_train], y[:n_train]), (X[n_train:], y[n_train:])
        with tempfile.TemporaryDirectory() as memory:
            default = make(memory=memory, random_state=seed)
            search = RandomizedSearchCV(
                default, default.search_space(), n_iter=n_iter, cv=cv, random_state=seed
            )
            start = time.process_time()
            searched.append(search.fit(*train).score(*test))
            seconds.append(time.process_time() - start)
            found.append(search.best_params_)
            defaults.append(clone(default).fit(*train).score(*test))
    n_better = sum(s > d for s, d in zip(searched, defaults, strict=True))
    gain = np.mean(searched) - np.mean(defaults)
    best = "; ".join(", ".join(f"{k} {v:.2g}" for k, v in params.items()) for params in found)
    return {
        "what": f"{what}: {n_train} rows to search, {len(X) - n_train} to test",
        "rival": f"default parameters: accuracy {_mean(defaults)}",
        "text": f"best of {n_iter}: {_mean(searched)}, {gain:+.4f}, better with {n_better} of "
        f"{len(seeds)} seeds; {np.mean(seconds):.0f} CPU seconds a search; found: {best}",
    }


def _mean(values):
    return f"{np.mean(values):.4f} (of {', '.join(f'{v:.4f}' for v in values)})"
