"""The network of a fitted QuestionAnswerer: logits of the tokens of contexts."""

import numpy as np

from sklearn_dl.runtimes.torch._device import torch_settings
from sklearn_dl.text._fitted_text_network import FittedTextNetwork
from sklearn_dl.text._scoring import SCORED_AT_ONCE, check_max_length, length_batches, to_device
from sklearn_dl.text._windows import read_windows, text_chunks
from sklearn_dl.text.answers._spans import TOKEN_DTYPE, trimmed
from sklearn_dl.training._ragged import Ragged, concatenate
from sklearn_dl.training._rows import Read


class AnswerNetwork(FittedTextNetwork):
    """A text network that reads questions together with windows of their contexts.

    The features of a row are the embedding of the first token of its first window. The outputs are
    a Ragged of TOKEN_DTYPE.

    Parameters
    ----------
    model, content, live, trained, reading
        As in `FittedTextNetwork`.
    """

    # the initial head needs only the number of features, not their values
    rows_of_initial_head = 1

    def features(self, rows, where):
        parts, errors = self._in_chunks(rows, where, _first_vectors)
        values = np.concatenate(parts)
        for position in np.flatnonzero(~np.isfinite(values).all(axis=1)).tolist():
            if position not in errors:
                errors[position] = rows.not_finite(position, values[position], "values")
        return Read(values, errors)

    def outputs(self, head, rows, where):
        """The outputs of `head` for the tokens of contexts: a Read of a Ragged of TOKEN_DTYPE."""
        assert head is not None

        def compute(network, windows, batches, rows):
            return _tokens(windows, batches, rows, head)

        parts, errors = self._in_chunks(rows, where, compute)
        values = concatenate(parts)
        tokens = values.values
        logits = np.column_stack([tokens["start_logit"], tokens["end_logit"]])
        row = np.repeat(np.arange(len(values)), values.lengths)
        for position in np.unique(row[~np.isfinite(logits).all(axis=1)]).tolist():
            if position not in errors:
                errors[position] = rows.not_finite(position, logits[row == position], "outputs")
        if errors:
            failed = np.isin(np.arange(len(values)), list(errors))
            values = Ragged(tokens[~failed[row]], np.where(failed, 0, values.lengths))
        return Read(values, errors)

    def _in_chunks(self, rows, where, compute):
        """Results of `compute` for chunks of rows, and the errors of rows without windows."""
        where = where.resolved()
        errors = rows.unreadable_rows()
        parts = []
        with torch_settings(where.n_threads) as n_threads:
            network = self.on(where.device, where.precision)
            check_max_length(network, rows.max_length, self.model)
            tokenizer = self.tokenizer(rows.max_length)
            for chunk in text_chunks(rows.columns):
                some = rows.take(chunk)
                windows = read_windows(
                    tokenizer,
                    some.columns,
                    rows.overlap,
                    n_threads,
                    offsets=True,
                    numbers=some.numbers,
                )
                for position, error in sorted(windows.errors.items()):
                    if not rows.skips:
                        raise error
                    errors.setdefault(chunk.start + position, error)
                batches = _batches(network, tokenizer, windows, where)
                parts.append(compute(network, windows, batches, some))
        return parts, errors

    def feed(self, rows, network):
        from sklearn_dl.text.answers._feed import AnswerFeed

        check_max_length(network, rows.max_length, self.model)
        return AnswerFeed(network, self.tokenizer(rows.max_length), rows)


def _entries(windows, some=slice(None)):
    """The entries of windows: the first token of each, and then its tokens of the context.

    Returns
    -------
    index : int ndarray of shape (n_entries,)
        Which of the windows each entry belongs to.
    number : int ndarray of shape (n_entries,)
        0 for the first token of a window, and 1 for its first token of the context.
    """
    counts = 1 + windows.sizes[some]
    index = np.repeat(np.arange(len(counts)), counts)
    return index, np.arange(len(index)) - np.repeat(np.cumsum(counts) - counts, counts)


def _batches(network, tokenizer, windows, where):
    """Compute the embeddings of all entries, and yield them in batches.

    Yields
    ------
    window, number : int ndarray of shape (n_vectors,)
        The entry that each embedding belongs to.
    vectors : float32 ndarray of shape (n_vectors, width)
    """
    import torch

    is_last = windows.is_last
    batches = length_batches(windows.lengths, SCORED_AT_ONCE, where.device, network.sees_padding)
    with torch.inference_mode():
        for batch in batches:
            arrays = to_device(tokenizer.pad(windows.tokens.take(batch)), where.device)
            vectors = network.token_vectors(*arrays)
            index, number = _entries(windows, batch)
            places = np.where(number > 0, windows.leads[batch][index] + number - 1, 0)
            yield batch[index], number, vectors[index, places].float().cpu().numpy()
            if where.done is not None:
                where.done(np.count_nonzero(is_last[batch]))


def _first_vectors(network, windows, batches, rows):
    """The embedding of the first token of each row; NaN if one of the row is not finite."""
    values = np.full((len(rows), network.token_width), np.nan, dtype=np.float32)
    is_first = np.append(True, windows.is_last[:-1])
    failed = np.full(len(rows), False)
    for window, number, vectors in batches:
        firsts = (number == 0) & is_first[window]
        values[windows.rows[window[firsts]]] = vectors[firsts]
        failed[windows.rows[window[~np.isfinite(vectors).all(axis=1)]]] = True
    values[failed] = np.nan
    return values


def _tokens(windows, batches, rows, head):
    """The outputs of some rows, as a Ragged of TOKEN_DTYPE."""
    window, number = _entries(windows)
    starts = np.flatnonzero(number == 0)
    tokens = np.empty(len(number), dtype=TOKEN_DTYPE)
    with np.errstate(over="ignore", invalid="ignore"):
        for some, numbers, vectors in batches:
            logits = head(vectors.astype(np.float64))
            entries = starts[some] + numbers
            tokens["start_logit"][entries], tokens["end_logit"][entries] = logits.T
    is_token = number > 0
    token = windows.firsts[window] + number - 1
    tokens["token"] = np.where(is_token, token, -1)
    counts = np.array([len(offsets) for offsets in windows.offsets])
    pairs = zip(windows.offsets, rows.columns[1], strict=True)
    offsets = np.concatenate([trimmed(spans, str(context)) for spans, context in pairs])
    row = windows.rows[window]
    of_token = (np.cumsum(counts) - counts)[row[is_token]] + token[is_token]
    tokens["start"], tokens["end"] = -1, -1
    tokens["start"][is_token], tokens["end"][is_token] = offsets[of_token].T
    return Ragged(tokens, np.bincount(row, minlength=len(rows)))
