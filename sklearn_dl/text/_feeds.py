"""What text networks are fed in training: tokens. Importing this module imports torch."""

import numpy as np
import torch
from torch.nn import functional

from sklearn_dl.text._scoring import TRAINED_AT_ONCE, length_batches, to_device
from sklearn_dl.training._task import Feed


class TogetherFeed(Feed):
    """Texts, or pairs of texts read together, to the outputs of the network's head.

    Parameters
    ----------
    network : TextNetwork
    tokens : Tokens
    columns : list of object ndarray of shape (n_rows,)
    """

    def __init__(self, network, tokens, columns):
        self.tokens = tokens
        self.read = tokens.encode(columns, torch.get_num_threads())
        self.cut = self.read.cut
        self.lengths = self.read.lengths

    def outputs(self, network, positions, rng):
        return in_length_batches(network, network, self.tokens, self.read.take(positions))


class CosineFeed(Feed):
    """Pairs of texts to the cosine of the vectors of both.

    Parameters
    ----------
    network : TextNetwork
    tokens : Tokens
    columns : list of two object ndarray of shape (n_rows,)
    """

    def __init__(self, network, tokens, columns):
        self.tokens = tokens
        self.read = tokens.encode([np.concatenate(columns)], torch.get_num_threads())
        self.cut = self.read.cut
        self.lengths = self.read.lengths.reshape(2, -1).max(axis=0)

    def outputs(self, network, positions, rng):
        both = self.read.take(np.concatenate([positions, positions + len(self.lengths)]))
        pooled = in_length_batches(network, network.pooled, self.tokens, both)
        first, second = functional.normalize(pooled, dim=1).chunk(2)
        return (first * second).sum(1, keepdim=True)


def in_length_batches(network, compute, tokens, read):
    """``compute(ids, mask, types)``, a method of `network`, of TokenRows, with little padding.

    The rows are one batch to the optimiser. On a CPU they are computed in parts of similar length:
    less to multiply, and the caches hold it.
    """
    device = next(network.parameters()).device
    parts = list(length_batches(read.lengths, TRAINED_AT_ONCE, device, network.sees_padding))
    results = [compute(*to_device(tokens.pad(read.take(part)), device)) for part in parts]
    order = torch.from_numpy(np.argsort(np.concatenate(parts))).to(device)
    return torch.cat(results)[order]
