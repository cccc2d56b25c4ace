"""Texts through a network: sorted by length, in batches, results in the order of the rows."""

import os

import numpy as np

from sklearn_dl.runtimes.torch._device import torch_settings
from sklearn_dl.text._texts import shown_rows
from sklearn_dl.utils._messages import NotFiniteError, RowsError

# texts whose tokens are in memory at once
CHUNK = 8192
# padded tokens and rows computed at once: more gain nothing on a CPU, whose caches they leave
SCORED_AT_ONCE = {"cpu": (1024, 64), "gpu": (32768, 512)}
TRAINED_AT_ONCE = {"cpu": (1536, 64), "gpu": (32768, 512)}


def score_texts(fitted, columns, method, max_length, where):
    """Results of a network for rows of texts.

    Parameters
    ----------
    fitted : FittedTextNetwork
    columns : list of object ndarray of shape (n_rows,)
        Two: they are read together.
    method : {"embed", "pooled"}
        Of TextNetwork.
    max_length : int
        Tokens that are read.
    where : Where
        Resolved.

    Returns
    -------
    results : float32 ndarray of shape (n_rows, width)
    cut : bool ndarray of shape (n_rows,)
        Rows with more than `max_length` tokens.
    """
    import torch

    n_rows = len(columns[0])
    results, cut = None, np.empty(n_rows, dtype=bool)
    with torch_settings(where.n_threads) as n_threads:
        network = fitted.on(where.device, where.precision)
        check_max_length(network, max_length, fitted.model)
        tokens = fitted.tokens(max_length)
        compute = getattr(network, method)
        with torch.inference_mode():
            for start in range(0, n_rows, CHUNK):
                chunk = [column[start : start + CHUNK] for column in columns]
                read = tokens.encode(chunk, n_threads)
                cut[start : start + CHUNK] = read.cut
                batches = length_batches(
                    read.lengths, SCORED_AT_ONCE, where.device, network.sees_padding
                )
                for batch in batches:
                    arrays = tokens.pad(read.take(batch))
                    values = compute(*to_device(arrays, where.device)).float().cpu().numpy()
                    if results is None:
                        results = np.empty((n_rows, values.shape[1]), dtype=np.float32)
                    results[start + batch] = values
    return results, cut


def check_finite(read, model, rows, where):
    """A Read of embeddings, in which NaN and infinity are errors of their rows.

    Parameters
    ----------
    read : Read
        Without errors.
    model : str or Path
    rows : TextRows
    where : Where

    Raises
    ------
    RowsError
        If the network gives NaN or infinity for a row, and the rows say that this raises.
    """
    wrong = np.flatnonzero(~np.isfinite(read.values).all(axis=1))
    if not len(wrong):
        return read
    numbers, texts = rows.numbers[wrong], rows.columns[0][wrong]
    ways = ["give another model", "lower the learning rate of the fit that made it"]
    if where.precision != "float32":
        ways.insert(0, "set precision='float32'")
    if not rows.skips:
        ways.append("set on_error='nan'")
    advice = f"its weights are damaged, or its numbers overflow. You can {', or '.join(ways)}."
    network = f"the network of {os.fspath(model)!r} gives NaN or infinity for"
    if not rows.skips:
        first = np.argmin(numbers)
        raise RowsError(
            f"{where.purpose}: {network} {shown_rows(np.unique(numbers).tolist())} "
            f"({texts[first]!r:.60}): {advice}",
            numbers[first],
            texts[first],
        )
    errors = {
        int(position): NotFiniteError(f"{network} {text!r:.60}: {advice}", number, text)
        for position, number, text in zip(wrong, numbers, texts, strict=True)
    }
    read.values[wrong] = np.nan
    return read._replace(errors=errors)


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


def length_batches(lengths, at_once, device, equal=False):
    """Row numbers of batches of similar length, the longest first; `equal`: of one length each."""
    max_tokens, max_rows = at_once.get(device.type, at_once["gpu"])
    order = np.argsort(-lengths, kind="stable")
    start = 0
    while start < len(order):
        length = lengths[order[start]]
        n_rows = int(np.clip(max_tokens // max(1, length), 1, max_rows))
        if equal:
            n_rows = min(n_rows, int(np.count_nonzero(lengths[order[start:]] == length)))
        yield order[start : start + n_rows]
        start += n_rows
