"""The training tasks of the text estimators: rows of tokens to losses."""

import numpy as np
import torch
from torch.nn import functional

from sklearn_dl.text._scoring import TRAINED_AT_ONCE, length_batches, to_device


class HeadTask:
    """Texts, or pairs of texts read together, to the outputs of the network's head.

    Parameters
    ----------
    network : TextNetwork
        Classes are its outputs; a single output is a number.
    tokens : Tokens
    rows : TokenRows
    targets : ndarray of shape (n_rows,)
        Numbers of classes, or float32 numbers.
    weights : ndarray of shape (n_rows,)
    label_smoothing : float
    """

    def __init__(self, network, tokens, rows, targets, weights, label_smoothing=0.0):
        self.network = network
        self.tokens = tokens
        self.rows = rows
        self.lengths = rows.lengths
        self.weights = weights
        self.label_smoothing = label_smoothing
        self._device = next(network.parameters()).device
        self._targets = torch.from_numpy(targets).to(self._device)

    def losses(self, rows, rng):
        outputs = in_length_batches(
            self.network, self.network, self.tokens, self.rows.take(rows), self._device
        )
        return head_losses(outputs, self._targets[rows], self.label_smoothing)


def head_losses(outputs, targets, label_smoothing=0.0):
    """Cross entropies, or squared errors of a single output."""
    if outputs.shape[1] == 1:
        return (outputs[:, 0] - targets) ** 2
    return functional.cross_entropy(
        outputs, targets, label_smoothing=label_smoothing, reduction="none"
    )


class CosineTask:
    """Pairs of texts to the squared error of their embeddings' cosine.

    Parameters
    ----------
    network : TextNetwork
    tokens : Tokens
    rows : TokenRows
        Of the first column, then of the second.
    targets : float32 ndarray of shape (n_rows,)
        What the cosine should be.
    weights : ndarray of shape (n_rows,)
    """

    def __init__(self, network, tokens, rows, targets, weights):
        self.network = network
        self.tokens = tokens
        self.rows = rows
        self.lengths = rows.lengths.reshape(2, -1).max(axis=0)
        self.weights = weights
        self._device = next(network.parameters()).device
        self._targets = torch.from_numpy(targets).to(self._device)

    def losses(self, rows, rng):
        both = self.rows.take(np.concatenate([rows, rows + len(self.lengths)]))
        network = self.network
        pooled = in_length_batches(network, network.pooled, self.tokens, both, self._device)
        first, second = functional.normalize(pooled, dim=1).chunk(2)
        return ((first * second).sum(1) - self._targets[rows]) ** 2


def in_length_batches(network, compute, tokens, rows, device):
    """``compute(ids, mask, types)``, a method of `network`, of rows of tokens, with little padding.

    The rows are one batch to the optimiser. On a CPU they are computed in parts of similar length:
    less to multiply, and the caches hold it.
    """
    parts = list(length_batches(rows.lengths, TRAINED_AT_ONCE, device, network.sees_padding))
    results = [compute(*to_device(tokens.pad(rows.take(part)), device)) for part in parts]
    order = torch.from_numpy(np.argsort(np.concatenate(parts))).to(device)
    return torch.cat(results)[order]
