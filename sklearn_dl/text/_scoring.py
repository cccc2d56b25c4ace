"""Texts through a network: sorted by length, in batches, results in the order of the rows."""

import os

import numpy as np

from sklearn_dl.training._device import (
    import_torch,
    resolve_device,
    resolve_precision,
    torch_threads,
)

# rows whose tokens are in memory at once
CHUNK = 8192
# padded tokens and rows computed at once: more gain nothing on a CPU, whose caches they leave
SCORED_AT_ONCE = {"cpu": (1024, 64), "gpu": (32768, 512)}
TRAINED_AT_ONCE = {"cpu": (1536, 64), "gpu": (32768, 512)}


def score_texts(fitted, columns, *, method, max_length, device, precision, purpose):
    """Results of a network for rows of texts.

    Parameters
    ----------
    fitted : FittedNetwork
    columns : list of object ndarray of shape (n_samples,)
        Two: they are read together.
    method : {"embed", "pooled", "forward"}
        Of TextNetwork.
    max_length, device, precision, purpose
        As the estimator has them; `purpose` is its name.

    Returns
    -------
    results : float32 ndarray of shape (n_samples, width)
    n_truncated : int
        Rows with more than `max_length` tokens.
    """
    torch = import_torch(purpose)
    device = resolve_device(device, purpose)
    precision = resolve_precision(precision, device)
    network = fitted.on(device, precision)
    check_max_length(network, max_length, fitted.model)
    tokens = fitted.tokens(max_length)
    compute = getattr(network, method)
    n_rows = len(columns[0])
    results, n_truncated = None, 0
    with torch_threads() as n_threads, torch.inference_mode():
        for start in range(0, n_rows, CHUNK):
            chunk = [column[start : start + CHUNK] for column in columns]
            rows = tokens.encode(chunk, n_threads)
            n_truncated += rows.n_truncated
            for batch in length_batches(rows.lengths, SCORED_AT_ONCE, device):
                arrays = tokens.pad(rows.take(batch))
                values = compute(*to_device(arrays, device)).float().cpu().numpy()
                if results is None:
                    results = np.empty((n_rows, values.shape[1]), dtype=np.float32)
                results[start + batch] = values
    return results, n_truncated


def check_max_length(network, max_length, model):
    """Raise a ValueError if the encoder cannot read so many tokens."""
    if max_length > network.max_tokens:
        raise ValueError(
            f"max_length={max_length}: the encoder {os.fspath(model)!r} reads at most "
            f"{network.max_tokens} tokens."
        )


def to_device(arrays, device):
    import torch

    return [None if a is None else torch.from_numpy(a).to(device) for a in arrays]


def length_batches(lengths, at_once, device):
    """Row numbers of batches of similar length, the longest first."""
    max_tokens, max_rows = at_once.get(device.type, at_once["gpu"])
    order = np.argsort(-lengths, kind="stable")
    start = 0
    while start < len(order):
        n_rows = int(np.clip(max_tokens // max(1, lengths[order[start]]), 1, max_rows))
        yield order[start : start + n_rows]
        start += n_rows
