"""The training tasks of the text estimators: rows of tokens to losses."""

import numpy as np
import torch
from torch.nn import functional

from sklearn_dl.text._scoring import TRAINED_AT_ONCE, length_batches, to_device
from sklearn_dl.training._network import goals_on


class HeadTask:
    """Texts, or pairs of texts read together, to the losses of the outputs of the network's head.

    Parameters
    ----------
    problem : Problem
    network : TextNetwork
    tokens : Tokens
    rows : TokenRows
    targets : ndarray of n_rows rows
    weights : ndarray of shape (n_rows,)
    """

    def __init__(self, problem, network, tokens, rows, targets, weights):
        self.problem = problem
        self.network = network
        self.tokens = tokens
        self.rows = rows
        self.lengths = rows.lengths
        self.weights = weights
        self._device = next(network.parameters()).device
        self._goals = goals_on(self._device, problem, targets)

    def losses(self, rows, rng):
        outputs = in_length_batches(
            self.network, self.network, self.tokens, self.rows.take(rows), self._device
        )
        return self.problem.losses(outputs, self._goals[rows])


class CosineTask:
    """Pairs of texts to the losses of their embeddings' cosine.

    Parameters
    ----------
    problem : Problem
    network : TextNetwork
    tokens : Tokens
    rows : TokenRows
        Of the first column, then of the second.
    targets : ndarray of shape (n_rows,)
    weights : ndarray of shape (n_rows,)
    """

    def __init__(self, problem, network, tokens, rows, targets, weights):
        self.problem = problem
        self.network = network
        self.tokens = tokens
        self.rows = rows
        self.lengths = rows.lengths.reshape(2, -1).max(axis=0)
        self.weights = weights
        self._device = next(network.parameters()).device
        self._goals = goals_on(self._device, problem, targets)

    def losses(self, rows, rng):
        both = self.rows.take(np.concatenate([rows, rows + len(self.lengths)]))
        network = self.network
        pooled = in_length_batches(network, network.pooled, self.tokens, both, self._device)
        first, second = functional.normalize(pooled, dim=1).chunk(2)
        cosines = (first * second).sum(1, keepdim=True)
        return self.problem.losses(cosines, self._goals[rows])


def in_length_batches(network, compute, tokens, rows, device):
    """``compute(ids, mask, types)``, a method of `network`, of rows of tokens, with little padding.

    The rows are one batch to the optimiser. On a CPU they are computed in parts of similar length:
    less to multiply, and the caches hold it.
    """
    parts = list(length_batches(rows.lengths, TRAINED_AT_ONCE, device, network.sees_padding))
    results = [compute(*to_device(tokens.pad(rows.take(part)), device)) for part in parts]
    order = torch.from_numpy(np.argsort(np.concatenate(parts))).to(device)
    return torch.cat(results)[order]
