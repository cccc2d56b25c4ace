"""Heads that scikit-learn solves on the features of a frozen network."""

from contextlib import nullcontext
from functools import lru_cache
from threading import current_thread, main_thread
from typing import NamedTuple

import numpy as np
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.preprocessing import StandardScaler
from threadpoolctl import ThreadpoolController

# rows * features * classes up to which one thread of BLAS solved a head faster than two: up to 13
# times, though its products alone gain from two (why was not found; more cores were not measured)
_FOR_ONE_THREAD = 1_000_000_000


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
        # arrays, whatever sklearn.set_config asks transformers for
        scaler = StandardScaler().set_output(transform="default")
        scaler.fit(features, sample_weight=weights)
        scaler.scale_ *= features.shape[1] ** 0.5
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


def _few_threads(size):
    # the limit is the process's: side by side with another one, the wrong number would stay
    if size > _FOR_ONE_THREAD or current_thread() is not main_thread():
        return nullcontext()
    return _thread_pools().limit(limits=1, user_api="blas")


@lru_cache(maxsize=1)
def _thread_pools():
    return ThreadpoolController()  # looks through all that is loaded


def ridge_head(features, targets, weights):
    """A head of one output, by `Ridge` with its defaults."""
    solver = Ridge().fit(features, targets, sample_weight=weights)
    return LinearHead(solver.coef_[None], np.array([solver.intercept_]))
