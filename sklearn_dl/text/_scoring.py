"""Compute embeddings of texts in batches of similar length, and check them."""

import os

import numpy as np

from sklearn_dl.runtimes.torch._device import torch_settings
from sklearn_dl.text._texts import shown_rows
from sklearn_dl.text._windows import read_windows, text_chunks
from sklearn_dl.utils._messages import NotFiniteError, RowsError

# at most this number of tokens (padding included) and rows are computed at once; on a CPU, larger
# batches are not faster, because they do not fit into its caches
SCORED_AT_ONCE = {"cpu": (1024, 64), "gpu": (32768, 512)}
TRAINED_AT_ONCE = {"cpu": (1536, 64), "gpu": (32768, 512)}


def score_texts(fitted, columns, method, max_length, where, overlap=None):
    """Compute the embeddings of texts with a network.

    Parameters
    ----------
    fitted : FittedTextNetwork
    columns : list of object ndarray of shape (n_rows,)
        One or two columns. Two are read together.
    method : {"embed", "pooled"}
        The method of TextNetwork that computes the embeddings.
    max_length : int
        Largest number of tokens that are read.
    where : Where
        It must be resolved.
    overlap : int or None, default=None
        Texts are read in windows that share this number of tokens. The embedding of a text is the
        mean of those of its windows, weighted by their numbers of tokens. None: texts are cut.

    Returns
    -------
    embeddings : float32 ndarray of shape (n_rows, width)
    cut : bool ndarray of shape (n_rows,)
        Which rows were cut because they have more tokens.
    """
    import torch

    n_rows = len(columns[0])
    cut = np.zeros(n_rows, dtype=bool)
    with torch_settings(where.n_threads) as n_threads:
        network = fitted.on(where.device, where.precision)
        check_max_length(network, max_length, fitted.model)
        tokenizer = fitted.tokenizer(max_length)
        embeddings = np.empty((n_rows, network.width), dtype=np.float32)
        with torch.inference_mode():
            for chunk in text_chunks(columns):
                some = [column[chunk] for column in columns]
                if overlap is None:
                    tokens = tokenizer.encode(some, n_threads)
                    cut[chunk] = tokens.cut
                    embeddings[chunk] = _embed(network, method, tokenizer, tokens, where)
                else:
                    windows = read_windows(tokenizer, some, overlap, n_threads)
                    embeddings[chunk] = _embed_windows(network, method, tokenizer, windows, where)
    return embeddings, cut


def _embed(network, method, tokenizer, tokens, where):
    """The embeddings of texts that are not read in windows."""
    embeddings = np.empty((len(tokens.ids), network.width), dtype=np.float32)
    for batch, values in _batches(network, method, tokenizer, tokens, where):
        embeddings[batch] = values
        if where.done is not None:
            where.done(len(batch))
    return embeddings


def _embed_windows(network, method, tokenizer, windows, where):
    """The embeddings of texts that are read in windows."""
    import torch

    shares = windows.shares[:, None]
    is_last = windows.is_last
    means = np.zeros((windows.rows[-1] + 1, network.width))
    for batch, values in _batches(network, "pooled", tokenizer, windows.tokens, where):
        with np.errstate(invalid="ignore"):
            np.add.at(means, windows.rows[batch], shares[batch] * values)
        if where.done is not None:
            where.done(np.count_nonzero(is_last[batch]))
    embeddings = torch.from_numpy(means.astype(np.float32))
    if method == "embed":
        # scaled after the mean, so that all embeddings have the same length
        embeddings = network.normalize(embeddings.to(where.device)).cpu()
    return embeddings.numpy()


def _batches(network, method, tokenizer, tokens, where):
    """Yield batches of rows of similar length: their positions and their embeddings."""
    compute = getattr(network, method)
    for batch in length_batches(tokens.lengths, SCORED_AT_ONCE, where.device, network.sees_padding):
        arrays = tokenizer.pad(tokens.take(batch))
        yield batch, compute(*to_device(arrays, where.device)).float().cpu().numpy()


def check_finite(read, model, rows, where):
    """Add an error for each row whose embedding has NaN or infinity, or raise the error.

    Parameters
    ----------
    read : Read
        Embeddings, without errors.
    model : str or Path
    rows : TextRows
    where : Where

    Returns
    -------
    read : Read
        The embeddings, with NaN in rows with an error.

    Raises
    ------
    RowsError
        If the network gives NaN or infinity for a row, and such a row is not to be skipped.
    """
    wrong = np.flatnonzero(~np.isfinite(read.values).all(axis=1))
    if not len(wrong):
        return read
    numbers, texts = rows.numbers[wrong], rows.columns[0][wrong]
    ways = ["set a different model", "lower the learning rate of the fit that trained it"]
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
    """Raise a ValueError if the encoder cannot read `max_length` tokens."""
    if max_length > network.max_tokens:
        raise ValueError(
            f"max_length={max_length}: the encoder {os.fspath(model)!r} reads at most "
            f"{network.max_tokens} tokens."
        )


def to_device(arrays, device):
    """Copy arrays to tensors on a device; None stays None."""
    import torch

    return [None if a is None else torch.from_numpy(a).to(device) for a in arrays]


def length_batches(lengths, at_once, device, equal=False):
    """Yield batches of rows of similar length, as positions; the longest rows come first.

    If `equal` is True, all rows of a batch have the same length.
    """
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
