"""Heads that scikit-learn solves on the embeddings of a frozen encoder."""

from typing import NamedTuple

import numpy as np
from sklearn.linear_model import LogisticRegression, Ridge


class LinearHead(NamedTuple):
    """Outputs from features: ``features @ weights.T + bias``."""

    weights: np.ndarray
    bias: np.ndarray

    def __call__(self, features):
        return features @ self.weights.T + self.bias


def pair_features(embeddings):
    """The features of a head: an embedding; of two, u, v, abs(u - v) and u * v beside each other.

    Parameters
    ----------
    embeddings : list of one or two ndarray of shape (n_samples, width)

    Returns
    -------
    features : float64 ndarray of shape (n_samples, n_features)

    Notes
    -----
    Those of pairs are InferSent's (Conneau et al. 2017).
    """
    parts = [embedding.astype(np.float64) for embedding in embeddings]
    if len(parts) == 2:
        first, second = parts
        parts += [abs(first - second), first * second]
    return np.hstack(parts)


def logistic_head(features, codes, n_classes, weights):
    """A head whose outputs are logits, by `LogisticRegression` with its defaults.

    A class without rows gets the logit -inf.
    """
    head = np.zeros((n_classes, features.shape[1]))
    bias = np.full(n_classes, -np.inf)
    present = np.unique(codes)
    if len(present) == 1:
        bias[present] = 0.0
        return LinearHead(head, bias)
    solver = LogisticRegression(max_iter=1000)
    solver.fit(features, codes, sample_weight=weights)
    if len(present) == 2:
        head[present[1]], bias[present] = solver.coef_[0], [0.0, solver.intercept_[0]]
    else:
        head[present], bias[present] = solver.coef_, solver.intercept_
    return LinearHead(head, bias)


def ridge_head(features, targets, weights):
    """A head of one output, by `Ridge` with its defaults."""
    solver = Ridge().fit(features, targets, sample_weight=weights)
    return LinearHead(solver.coef_[None], np.array([solver.intercept_]))
