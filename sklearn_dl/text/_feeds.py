"""Feeds, which pass texts to a network in training. Importing this module imports torch."""

import numpy as np
import torch
from torch.nn import functional

from sklearn_dl.text._scoring import TRAINED_AT_ONCE, length_batches, to_device
from sklearn_dl.training._task import Feed


class TogetherFeed(Feed):
    """Feed of texts, or of pairs that are read together. The outputs are the head's outputs.

    Parameters
    ----------
    network : TextNetwork
    tokenizer : Tokenizer
    columns : list of object ndarray of shape (n_rows,)
    """

    def __init__(self, network, tokenizer, columns):
        self.tokenizer = tokenizer
        self._token_rows = tokenizer.encode(columns, torch.get_num_threads())
        self.cut = self._token_rows.cut
        self.lengths = self._token_rows.lengths

    def outputs(self, network, positions, rng):
        token_rows = self._token_rows.take(positions)
        return compute_by_length(network, network, self.tokenizer, token_rows)


class CosineFeed(Feed):
    """Feed of pairs of texts; the output is the cosine of the two embeddings.

    Parameters
    ----------
    network : TextNetwork
    tokenizer : Tokenizer
    columns : list of two object ndarray of shape (n_rows,)
    """

    def __init__(self, network, tokenizer, columns):
        self.tokenizer = tokenizer
        self._token_rows = tokenizer.encode([np.concatenate(columns)], torch.get_num_threads())
        self.cut = self._token_rows.cut
        self.lengths = self._token_rows.lengths.reshape(2, -1).max(axis=0)

    def outputs(self, network, positions, rng):
        both = self._token_rows.take(np.concatenate([positions, positions + len(self.lengths)]))
        embeddings = compute_by_length(network, network.pooled, self.tokenizer, both)
        first, second = functional.normalize(embeddings, dim=1).chunk(2)
        return (first * second).sum(1, keepdim=True)


def compute_by_length(network, compute, tokenizer, token_rows):
    """Compute one batch of the optimiser in parts, each of rows of similar length.

    These parts need little padding. On a CPU they are small enough to fit into its caches.

    Parameters
    ----------
    network : TextNetwork
    compute : callable(ids, mask, types) -> Tensor
        `network` itself, or a method of it.
    tokenizer : Tokenizer
    token_rows : TokenRows

    Returns
    -------
    results : Tensor of n_rows rows
        In the order of `token_rows`.
    """
    device = next(network.parameters()).device
    parts = list(length_batches(token_rows.lengths, TRAINED_AT_ONCE, device, network.sees_padding))
    results = [compute(*to_device(tokenizer.pad(token_rows.take(part)), device)) for part in parts]
    order = torch.from_numpy(np.argsort(np.concatenate(parts))).to(device)
    return torch.cat(results)[order]
