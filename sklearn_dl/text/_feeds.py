"""Feeds, which pass texts to a network in training. Importing this module imports torch."""

import numpy as np
import torch
from torch.nn import functional

from sklearn_dl.text._scoring import TRAINED_AT_ONCE, length_batches, to_device
from sklearn_dl.text._tokenizer import TokenRows
from sklearn_dl.text._windows import read_windows, text_chunks
from sklearn_dl.training._task import Feed


class _TokenFeed(Feed):
    """Feed whose parts are read one by one. The outputs are the head's outputs.

    Parameters
    ----------
    tokenizer : Tokenizer
    token_rows : TokenRows
        The tokens of each part.
    """

    def __init__(self, tokenizer, token_rows):
        self.tokenizer = tokenizer
        self._token_rows = token_rows
        self.lengths = token_rows.lengths

    def outputs(self, network, positions, rng):
        token_rows = self._token_rows.take(positions)
        return compute_by_length(network, network, self.tokenizer, token_rows)


class TogetherFeed(_TokenFeed):
    """Feed of texts, or of pairs that are read together. Long ones are cut.

    Parameters
    ----------
    tokenizer : Tokenizer
    columns : list of object ndarray of shape (n_rows,)
    """

    def __init__(self, tokenizer, columns):
        super().__init__(tokenizer, tokenizer.encode(columns, torch.get_num_threads()))
        self.cut = self._token_rows.cut


class WindowFeed(_TokenFeed):
    """Feed of the windows of texts. All windows of a text together count like one row.

    Parameters
    ----------
    tokenizer : Tokenizer
    columns : list of one object ndarray of shape (n_rows,)
    overlap : int
        Number of tokens that neighbouring windows share.
    """

    def __init__(self, tokenizer, columns, overlap):
        ids: list = []
        rows, shares = [], []
        for chunk in text_chunks(columns):
            some = [column[chunk] for column in columns]
            windows = read_windows(tokenizer, some, overlap, torch.get_num_threads())
            ids += windows.tokens.ids
            rows.append(chunk.start + windows.rows)
            shares.append(windows.shares)
        super().__init__(tokenizer, TokenRows(ids, None, np.zeros(len(ids), dtype=bool)))
        self.row_of_part, self.shares = np.concatenate(rows), np.concatenate(shares)


class CosineFeed(Feed):
    """Feed of pairs of texts; the output is the cosine of the two embeddings.

    Parameters
    ----------
    tokenizer : Tokenizer
    columns : list of two object ndarray of shape (n_rows,)
    """

    def __init__(self, tokenizer, columns):
        self.tokenizer = tokenizer
        self._token_rows = tokenizer.encode([np.concatenate(columns)], torch.get_num_threads())
        self.cut = self._token_rows.cut
        self.lengths = self._token_rows.lengths.reshape(2, -1).max(axis=0)

    def outputs(self, network, positions, rng):
        both = self._token_rows.take(np.concatenate([positions, positions + len(self.lengths)]))
        embeddings = compute_by_length(network, network.pooled, self.tokenizer, both)
        first, second = functional.normalize(embeddings, dim=1).chunk(2)
        return (first * second).sum(1, keepdim=True)


def token_outputs(network, tokenizer, token_rows):
    """Compute the head's outputs for each token of one batch of the optimiser.

    Parameters
    ----------
    network : TextNetwork
    tokenizer : Tokenizer
    token_rows : TokenRows

    Returns
    -------
    outputs : Tensor of shape (n_rows, n_tokens, n_outputs)
        0 after the last token of a row.
    """
    longest = int(token_rows.lengths.max())

    def compute(ids, mask, types, shapes=None):
        outputs = network.token_outputs(ids, mask, types, shapes)
        return functional.pad(outputs, (0, 0, 0, longest - outputs.shape[1]))

    return compute_by_length(network, compute, tokenizer, token_rows)


def compute_by_length(network, compute, tokenizer, token_rows):
    """Compute one batch of the optimiser in parts; the rows of a part have similar lengths.

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
