"""Texts through a network: sorted by length, in batches, results in the order of the rows."""

import os

import numpy as np

from sklearn_dl.text._texts import shown_rows
from sklearn_dl.training._device import (
    import_torch,
    resolve_device,
    resolve_precision,
    torch_settings,
)

# rows whose tokens are in memory at once
CHUNK = 8192
# padded tokens and rows computed at once: more gain nothing on a CPU, whose caches they leave
SCORED_AT_ONCE = {"cpu": (1024, 64), "gpu": (32768, 512)}
TRAINED_AT_ONCE = {"cpu": (1536, 64), "gpu": (32768, 512)}


class TextScoring:
    """One call of an estimator: a fitted network, and where and how it computes.

    Parameters
    ----------
    fitted : FittedTextNetwork
    max_length, precision, purpose
        As the estimator has them; `purpose` is its name.
    device : str or torch.device
        The estimator's, which is resolved here, once for the call; in a fit that of the network.
    """

    def __init__(self, fitted, *, max_length, device, precision, purpose):
        import_torch(purpose, "text")
        self.fitted = fitted
        self.max_length = max_length
        self.purpose = purpose
        self.device = resolve_device(device) if isinstance(device, str) else device
        self.precision = resolve_precision(precision, self.device)

    def network(self):
        network = self.fitted.on(self.device, self.precision)
        check_max_length(network, self.max_length, self.fitted.model)
        return network

    def compute(self, columns, method, numbers=None):
        """Results of the network for rows of texts.

        Parameters
        ----------
        columns : list of object ndarray of shape (n_samples,)
            Two: they are read together.
        method : {"embed", "pooled", "forward"}
            Of TextNetwork.
        numbers : int ndarray of shape (n_samples,), default=None
            Of the rows, for messages. None: from 0.

        Returns
        -------
        results : float32 ndarray of shape (n_samples, width)
        n_truncated : int
            Rows with more than `max_length` tokens.

        Raises
        ------
        ValueError
            If a result is NaN or infinite.
        """
        import torch

        n_rows = len(columns[0])
        results, n_truncated = None, 0
        with torch_settings() as n_threads:
            network, tokens = self.network(), self.fitted.tokens(self.max_length)
            compute = getattr(network, method)
            with torch.inference_mode():
                for start in range(0, n_rows, CHUNK):
                    chunk = [column[start : start + CHUNK] for column in columns]
                    rows = tokens.encode(chunk, n_threads)
                    n_truncated += rows.n_truncated
                    for batch in length_batches(
                        rows.lengths, SCORED_AT_ONCE, self.device, network.sees_padding
                    ):
                        arrays = tokens.pad(rows.take(batch))
                        values = compute(*to_device(arrays, self.device)).float().cpu().numpy()
                        if results is None:
                            results = np.empty((n_rows, values.shape[1]), dtype=np.float32)
                        results[start + batch] = values
        self._refuse_not_finite(results, columns, numbers)
        return results, n_truncated

    def _refuse_not_finite(self, results, columns, numbers):
        wrong = np.flatnonzero(~np.isfinite(results).all(axis=1))
        if len(wrong):
            rows = shown_rows((wrong if numbers is None else np.unique(numbers[wrong])).tolist())
            ways = ["give another model", "lower the learning rate of the fit that made it"]
            if self.precision != "float32":
                ways.insert(0, "set precision='float32'")
            raise ValueError(
                f"{self.purpose}: the network of {os.fspath(self.fitted.model)!r} gives NaN or "
                f"infinity for {rows} ({columns[0][wrong[0]]!r:.60}): its weights are damaged, or "
                f"its numbers overflow. You can {', or '.join(ways)}."
            )


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
