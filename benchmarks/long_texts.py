"""Accuracy on long texts: windows against the first tokens, for reviews of about 750 words."""

import tempfile
import warnings

import numpy as np

from benchmarks._texts import reviews
from sklearn_dl import TextClassifier

N_TRAIN = 1000


def run(quick=False):
    warnings.simplefilter("ignore")
    if quick:
        return [frozen(seeds=[0], n_test=100)]
    return [frozen(seeds=[0, 1]), fine_tuned(seed=0)]


def frozen(seeds, n_test=None):
    # the seeds have the same reviews, whose embeddings are computed once
    with tempfile.TemporaryDirectory() as folder:
        params = {"trainable_layers": 0, "memory": folder}
        truncated, windows = (
            [_accuracy(seed, n_test, long_texts, **params) for seed in seeds]
            for long_texts in ("truncate", "windows")
        )
    met = "met" if np.mean(windows) > np.mean(truncated) else "MISSED"
    return {
        "what": f"film reviews, {N_TRAIN} train, frozen: windows of 128 tokens",
        "rival": f"the first 128 tokens: accuracy {_mean(truncated)}",
        "text": f"accuracy {_mean(windows)} (higher: {met})",
    }


def fine_tuned(seed):
    truncated, windows = (
        _accuracy(seed, None, long_texts, random_state=seed)
        for long_texts in ("truncate", "windows")
    )
    return {
        "what": f"film reviews, {N_TRAIN} train, fine-tuned: windows of 128 tokens",
        "rival": f"the first 128 tokens: accuracy {truncated:.3f}",
        "text": f"accuracy {windows:.3f}",
    }


def _accuracy(seed, n_test, long_texts, **params):
    """The accuracy on rows that were not trained on."""
    X, y = reviews(seed)
    test = slice(N_TRAIN, n_test and N_TRAIN + n_test)
    clf = TextClassifier(long_texts=long_texts, **params).fit(X[:N_TRAIN], y[:N_TRAIN])
    return clf.score(X[test], y[test])


def _mean(values):
    return f"{np.mean(values):.3f} (of {', '.join(f'{v:.3f}' for v in values)})"
