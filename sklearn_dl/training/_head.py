"""Linear heads that scikit-learn's estimators fit to the features of a network."""

from contextlib import nullcontext
from functools import lru_cache
from threading import current_thread, main_thread
from typing import NamedTuple

import numpy as np
from sklearn.linear_model import LogisticRegression, Ridge, RidgeCV
from sklearn.preprocessing import StandardScaler
from threadpoolctl import ThreadpoolController

from sklearn_dl.utils._threads import thread_budget

# if rows * features * classes is at most this number, BLAS fits a head up to 13 times faster with
# one thread than with two (measured on two cores; the cause is unknown, because the matrix products
# alone are faster with two)
_FOR_ONE_THREAD = 1_000_000_000
# more rows than this hardly change which regularisation is best, and tuning on them would take
# longer than fitting the head
_ROWS_TO_TUNE_ON = 4096


class LinearHead(NamedTuple):
    """A linear layer: its outputs are ``features @ weights.T + bias``.

    Attributes
    ----------
    weights : float64 ndarray of shape (n_outputs, n_features)
    bias : float64 ndarray of shape (n_outputs,)
    """

    weights: np.ndarray
    bias: np.ndarray

    def __call__(self, features):
        return features @ self.weights.T + self.bias


def logistic_head(features, codes, n_classes, weights, C=1.0, scale=False):
    """Fit a head whose outputs are logits, by `LogisticRegression`.

    Parameters
    ----------
    features : float64 ndarray of shape (n_rows, n_features)
    codes : int ndarray of shape (n_rows,)
        The index of each row's class, from 0 to ``n_classes - 1``. The logit of a class without
        rows is -inf.
    n_classes : int
    weights : float64 ndarray of shape (n_rows,)
        Weights of the rows.
    C : float, default=1.0
        Inverse of the regularisation strength, as in `LogisticRegression`.
    scale : bool, default=False
        Whether to fit to features that are scaled to mean 0 and to equal variances that add up to
        1, so that the effect of `C` does not depend on the network. The returned head takes
        features that are not scaled.

    Returns
    -------
    head : LinearHead
    """
    if scale:
        return _fit_to_scaled(
            features, weights, lambda scaled: logistic_head(scaled, codes, n_classes, weights, C)
        )
    head = np.zeros((n_classes, features.shape[1]))
    bias = np.full(n_classes, -np.inf)
    present = np.unique(codes)
    if len(present) == 1:
        bias[present] = 0.0
        return LinearHead(head, bias)
    coef, intercept = _logistic(features, codes, n_classes, weights, C)
    if len(present) == 2:
        head[present[1]], bias[present] = coef[0], [0.0, intercept[0]]
    else:
        head[present], bias[present] = coef, intercept
    return LinearHead(head, bias)


def label_head(features, targets, label_weights, weights, C=1.0, done=None):
    """Fit a head whose outputs are the logits of several labels, each by `LogisticRegression`.

    Parameters
    ----------
    features : float64 ndarray of shape (n_rows, n_features)
    targets : bool ndarray of shape (n_rows, n_labels)
        Which rows have each label. If all rows or no rows have a label, its logit is a constant.
    label_weights : float64 ndarray of shape (2, n_labels)
        For each label, the weight of the rows without it, and of the rows with it.
    weights : float64 ndarray of shape (n_rows,)
    C : float, default=1.0
        Inverse of the regularisation strength, as in `LogisticRegression`. It applies to features
        that are divided by one number, so that their variances add up to 1.
    done : callable(n_rows) or None, default=None
        Called after each label with the number of rows.

    Returns
    -------
    head : LinearHead
    """

    def fit_head(scaled):
        return _label_head(scaled, targets, label_weights, weights, C, done)

    return _fit_to_scaled(features, weights, fit_head, each=False)


def _label_head(features, targets, label_weights, weights, C, done):
    """`label_head` of features that are scaled."""
    n_labels = targets.shape[1]
    head, bias = np.zeros((n_labels, features.shape[1])), np.zeros(n_labels)
    for j, has_label in enumerate(targets.T):
        of_label = weights * np.where(has_label, *label_weights[::-1, j])
        kept = of_label > 0
        present = np.unique(has_label[kept])
        if len(present) == 1:
            # log((n + 0.5) / 0.5): as if half a row more had the other value
            logit = np.log(2 * kept.sum() + 1)
            bias[j] = logit if present[0] else -logit
        elif len(present) == 2:
            coef, intercept = _logistic(features[kept], has_label[kept], 2, of_label[kept], C)
            head[j], bias[j] = coef[0], intercept[0]
        if done is not None:
            done(len(features))
    return LinearHead(head, bias)


def _logistic(features, targets, n_classes, weights, C):
    """Coefficients and intercept of a `LogisticRegression`."""
    solver = LogisticRegression(C=C, max_iter=1000)
    with _few_threads(features.size * n_classes):
        solver.fit(features, targets, sample_weight=weights)
    return solver.coef_, solver.intercept_


def _fit_to_scaled(features, weights, fit_head, each=True):
    """Fit a head to scaled features with `fit_head`; return the equivalent head for `features`.

    Scaled features have mean 0, and variances that add up to 1. With `each`, the variances are
    equal. Otherwise all features are divided by the same number.
    """
    # return arrays even if sklearn.set_config asks for data frames
    scaler = StandardScaler().set_output(transform="default")
    scaler.fit(features, sample_weight=weights)
    if not each:
        scaler.scale_[:] = scaler.var_.mean() ** 0.5 or 1.0
    scaler.scale_ *= features.shape[1] ** 0.5
    scaled = fit_head(scaler.transform(features))
    head = scaled.weights / scaler.scale_
    return LinearHead(head, scaled.bias - head @ scaler.mean_)


def blas_threads(n_threads):
    """Context in which numpy's matrix products use `n_threads` threads.

    None: as many as before, but at most the number of `thread_budget`.
    """
    # the process has one limit: two threads that set it at once could leave the wrong number
    if current_thread() is not main_thread():
        return nullcontext()
    pools = _thread_pools().select(user_api="blas")
    if n_threads is None:
        before = [pool["num_threads"] for pool in pools.info()]
        n_threads = min([thread_budget(), *before])
    return pools.limit(limits=n_threads)


def _few_threads(size):
    """Context in which BLAS uses one thread, if that is faster for a head of this size."""
    # only in the main thread, as in blas_threads
    if size > _FOR_ONE_THREAD or current_thread() is not main_thread():
        return nullcontext()
    return _thread_pools().limit(limits=1, user_api="blas")


@lru_cache(maxsize=1)
def _thread_pools():
    return ThreadpoolController()  # slow: it looks through all loaded libraries


def ridge_head(features, targets, weights, tune=False, each=True):
    """Fit a head that predicts numbers, by `Ridge`.

    Parameters
    ----------
    features : float64 ndarray of shape (n_rows, n_features)
    targets : float64 ndarray of shape (n_rows,) or (n_rows, n_outputs)
    weights : float64 ndarray of shape (n_rows,)
        Weights of the rows.
    tune : bool, default=False
        True: the features are scaled, and `RidgeCV` chooses the regularisation of each output on
        some of the rows. False: the features are not scaled, and ``alpha=1``.
    each : bool, default=True
        With `tune`: whether each feature is scaled to the same variance, as in `logistic_head`.
        False: all features are divided by the same number. This is safer with few rows: a feature
        that is nearly constant in them would become large in other rows if it were scaled alone.

    Returns
    -------
    head : LinearHead
    """
    if not tune:
        return _ridge(Ridge(), features, targets, weights)
    weights = weights / weights.mean()  # the effect of alpha must not depend on their sum
    some = np.random.default_rng(0).permutation(len(targets))[:_ROWS_TO_TUNE_ON]

    def fit_head(scaled):
        tuned = RidgeCV(np.logspace(-3, 3, 13), alpha_per_target=targets.ndim > 1)
        tuned.fit(scaled[some], targets[some], sample_weight=weights[some])
        return _ridge(Ridge(alpha=tuned.alpha_), scaled, targets, weights)

    return _fit_to_scaled(features, weights, fit_head, each)


def _ridge(solver, features, targets, weights):
    """The head of a fitted `Ridge`."""
    solver.fit(features, targets, sample_weight=weights)
    return LinearHead(np.atleast_2d(solver.coef_), np.atleast_1d(solver.intercept_))
