"""The network of a fitted EntityRecognizer: features of words."""

import numpy as np

from sklearn_dl.runtimes.torch._device import torch_settings
from sklearn_dl.text._fitted_text_network import FittedTextNetwork
from sklearn_dl.text._scoring import SCORED_AT_ONCE, check_max_length, length_batches, to_device
from sklearn_dl.text._windows import text_chunks
from sklearn_dl.text.entities._word_tokens import read_words
from sklearn_dl.text.entities._words import Shape
from sklearn_dl.training._ragged import Ragged
from sklearn_dl.training._rows import Read


class EntityNetwork(FittedTextNetwork):
    """A text network whose features are the embeddings of words, as a Ragged.

    Parameters
    ----------
    model, content, live, trained, reading
        As in `FittedTextNetwork`.
    """

    # these rows have thousands of words
    rows_of_initial_head = 256

    def features(self, rows, where):
        return self._of_words(rows, where, lambda vectors: vectors)

    def outputs(self, head, rows, where):
        assert head is not None
        with np.errstate(over="ignore", invalid="ignore"):
            return self._of_words(rows, where, lambda vectors: head(vectors.astype(np.float64)))

    def _of_words(self, rows, where, compute):
        """Apply `compute` to the embeddings of words; return a Read with a Ragged."""
        where = where.resolved()
        parts = []
        with torch_settings(where.n_threads) as n_threads:
            network = self.on(where.device, where.precision)
            check_max_length(network, rows.max_length, self.model)
            tokenizer = self.tokenizer(rows.max_length)
            for chunk in text_chunks(rows.columns):
                found = read_words(
                    tokenizer, rows.take(chunk), n_threads, network.word_shapes is not None
                )
                parts.append(_compute(network, tokenizer, found, compute, where))
        values = Ragged(
            np.concatenate([part for part, _ in parts]),
            np.concatenate([lengths for _, lengths in parts]),
        )
        errors = rows.unreadable_rows()
        row = np.repeat(np.arange(len(rows)), values.lengths)
        bad = ~np.isfinite(values.values).all(axis=1)
        for position in np.unique(row[bad]).tolist():
            errors[position] = rows.not_finite(position, values.values[row == position], "outputs")
        values.values[bad] = 0.0
        return Read(values, errors)

    def feed(self, rows, network):
        from sklearn_dl.text.entities._feed import WordFeed

        check_max_length(network, rows.max_length, self.model)
        return WordFeed(network, self.tokenizer(rows.max_length), rows)

    def has_word_shapes(self, where):
        """Whether the network takes the shapes of words."""
        return self.on(where.resolved().device, "float32").word_shapes is not None

    def network_to_train(self, device):
        network = super().network_to_train(device)
        if network.word_shapes is None and self.tokenizer(16).ignores_case:
            network.add_word_shapes(len(Shape))
        return network


def _compute(network, tokenizer, found, compute, where):
    """The values of the words of one chunk, and the number of words of each row."""
    import torch

    values = None
    n_words = int(found.n_words.sum())
    tokens = found.windows.tokens._replace(shapes=found.shapes)
    batches = length_batches(tokens.lengths, SCORED_AT_ONCE, where.device, network.sees_padding)
    is_last = found.windows.is_last
    with torch.inference_mode():
        for batch in batches:
            words, index, places = found.in_windows(batch)
            arrays = to_device(tokenizer.pad(tokens.take(batch)), where.device)
            vectors = network.token_vectors(*arrays)
            some = compute(vectors[index, places].float().cpu().numpy())
            if values is None:
                values = np.zeros((n_words, some.shape[1]), dtype=some.dtype)
            values[words] = some
            if where.done is not None:
                where.done(np.count_nonzero(is_last[batch]))
    return values, found.n_words
