"""Heads that scikit-learn solves on the features of a frozen network."""

from contextlib import nullcontext
from functools import lru_cache
from threading import current_thread, main_thread
from typing import NamedTuple

import numpy as np
from sklearn.linear_model import LogisticRegression, Ridge, RidgeCV
from sklearn.preprocessing import StandardScaler
from threadpoolctl import ThreadpoolController

# rows * features * classes up to which one thread of BLAS solved a head faster than two: up to 13
# times, though its products alone gain from two (why was not found; more cores were not measured)
_FOR_ONE_THREAD = 1_000_000_000
# more would hardly change which regularisation is best, and would cost more than the head
_ROWS_TO_TUNE_ON = 4096


class LinearHead(NamedTuple):
    """Outputs from features: ``features @ weights.T + bias``."""

    weights: np.ndarray
    bias: np.ndarray

    def __call__(self, features):
        return features @ self.weights.T + self.bias


def logistic_head(features, codes, n_classes, weights, C=1.0, scale=False):
    """A head whose outputs are logits, by `LogisticRegression`.

    A class without rows gets the logit -inf. With `scale` the features are brought to mean 0 and
    equal variances before, such that the squares of a row add up to 1 on average: what `C` means
    does not depend on the network. The head takes them as they are.
    """
    if scale:
        scaler = _scaler(features, weights)
        solved = logistic_head(scaler.transform(features), codes, n_classes, weights, C)
        head = solved.weights / scaler.scale_
        return LinearHead(head, solved.bias - head @ scaler.mean_)
    head = np.zeros((n_classes, features.shape[1]))
    bias = np.full(n_classes, -np.inf)
    present = np.unique(codes)
    if len(present) == 1:
        bias[present] = 0.0
        return LinearHead(head, bias)
    solver = LogisticRegression(C=C, max_iter=1000)
    with _few_threads(features.size * n_classes):
        solver.fit(features, codes, sample_weight=weights)
    if len(present) == 2:
        head[present[1]], bias[present] = solver.coef_[0], [0.0, solver.intercept_[0]]
    else:
        head[present], bias[present] = solver.coef_, solver.intercept_
    return LinearHead(head, bias)


def _scaler(features, weights):
    """Brings features to mean 0 and equal variances, which add up to 1."""
    # arrays, whatever sklearn.set_config asks transformers for
    scaler = StandardScaler().set_output(transform="default")
    scaler.fit(features, sample_weight=weights)
    scaler.scale_ *= features.shape[1] ** 0.5
    return scaler


def blas_threads(n_threads):
    """Context in which products of numpy take so many threads; None: as many as they do."""
    # the limit is the process's: side by side with another one, the wrong number would stay
    if n_threads is None or current_thread() is not main_thread():
        return nullcontext()
    return _thread_pools().limit(limits=n_threads, user_api="blas")


def _few_threads(size):
    # the limit is the process's: side by side with another one, the wrong number would stay
    if size > _FOR_ONE_THREAD or current_thread() is not main_thread():
        return nullcontext()
    return _thread_pools().limit(limits=1, user_api="blas")


@lru_cache(maxsize=1)
def _thread_pools():
    return ThreadpoolController()  # looks through all that is loaded


def ridge_head(features, targets, weights, tune=False):
    """A head of one output, or of several (2-D targets), by `Ridge`.

    With `tune` the features are scaled as `logistic_head` does, and the regularisation of each
    output is the one of `RidgeCV` on some of the rows; else features are taken as they are, with
    ``alpha=1``.
    """
    if not tune:
        solver = Ridge().fit(features, targets, sample_weight=weights)
        return LinearHead(np.atleast_2d(solver.coef_), np.atleast_1d(solver.intercept_))
    weights = weights / weights.mean()  # what a regularisation means must not depend on their sum
    scaler = _scaler(features, weights)
    scaled = scaler.transform(features)
    some = np.random.default_rng(0).permutation(len(targets))[:_ROWS_TO_TUNE_ON]
    alphas = np.logspace(-3, 3, 13)
    tuned = RidgeCV(alphas, alpha_per_target=targets.ndim > 1)
    tuned.fit(scaled[some], targets[some], sample_weight=weights[some])
    solver = Ridge(alpha=tuned.alpha_).fit(scaled, targets, sample_weight=weights)
    head = np.atleast_2d(solver.coef_) / scaler.scale_
    return LinearHead(head, np.atleast_1d(solver.intercept_) - head @ scaler.mean_)
