"""A text network that an estimator has fitted: live in this process, bytes in a pickle."""

import copy
from dataclasses import replace

import numpy as np

from sklearn_dl.models._folder import find_folder
from sklearn_dl.runtimes._sessions import cached_session
from sklearn_dl.text._scoring import check_finite, check_max_length, score_texts
from sklearn_dl.text._text_rows import text_digest
from sklearn_dl.training._feature_store import FeatureStore
from sklearn_dl.training._fitted_network import FittedNetwork
from sklearn_dl.training._once import computed_once
from sklearn_dl.training._rows import Read, read_in_chunks, read_readable


class FittedTextNetwork(FittedNetwork):
    """A FittedNetwork of a FolderContent.

    Parameters
    ----------
    model, content, live, trained
        As those of `FittedNetwork`.
    reading : {"together", "apart", "cosine"}, default="together"
        What the features of a row are. "together": the vector of its text, or of both texts read
        as one. "apart": of two texts read one by one, u, v, abs(u - v) and u * v beside each other
        [1]_. "cosine": that of the vectors of two texts, which is an output already.

    References
    ----------
    .. [1] Conneau et al., Supervised Learning of Universal Sentence Representations, 2017.
    """

    # more would make the head hardly better, and training starts with it only
    rows_of_first_head = 4096

    def __init__(self, model, content, live=None, trained=None, reading="together"):
        super().__init__(model, content, live, trained)
        self.reading = reading

    @property
    def takes_head(self):
        return self.reading != "cosine"

    def reading_rows(self, reading):
        """The same network, which makes other features of a row."""
        copied = copy.copy(self)
        copied.reading = reading
        return copied

    def features(self, rows, where):
        if self.reading == "together" or len(rows.columns) == 1:
            return self.vectors(rows, where)

        def of_pairs(some):
            return self._pair_features(some, where)

        return read_readable(rows, lambda good: read_in_chunks(good, of_pairs))

    def _pair_features(self, rows, where):
        """Features of pairs whose two texts are read one by one."""
        both = replace(
            rows, columns=[np.concatenate(rows.columns)], numbers=np.tile(rows.numbers, 2)
        )
        read = self._vectors(both, where, "pooled")
        first, second = np.split(read.values, 2)
        combine = _cosines if self.reading == "cosine" else _beside_each_other
        errors = {position % len(rows): error for position, error in read.errors.items()}
        return Read(combine(first, second), errors, read.cut.reshape(2, -1).T)

    def vectors(self, rows, where, method="pooled"):
        """Vectors of texts, or of pairs read together, by a method of TextNetwork: a Read."""
        return read_readable(rows, lambda good: self._vectors(good, where, method))

    def embed(self, rows, where):
        """Vectors of rows for comparing them: a Read."""
        if self.reading == "apart" and len(rows.columns) == 2:
            return self.features(rows, where)
        return self.vectors(rows, where, "embed")

    def _vectors(self, rows, where, method):
        """`vectors` of rows that are known to be readable."""
        where = where.resolved()
        # a subclass of str may be equal to a text, and be read as another
        texts = [list(map(str, column)) for column in rows.columns]
        keys = texts[0] if len(texts) == 1 else list(zip(*texts, strict=True))
        store = None
        if where.memory is not None and not self.is_trained:
            belongs = "texts", self.content.sha256, method, rows.max_length
            store = FeatureStore(where.memory, (*belongs, str(where.device), where.precision))
            keys = [store.key(text_digest(key)) for key in keys]

        def compute(positions):
            parts = [column[positions] for column in rows.columns]
            values, cut = score_texts(self, parts, method, rows.max_length, where)
            return Read(values, {}, cut)

        read = computed_once(keys, compute, store, cuts=True)
        return check_finite(read, self.model, rows, where)

    def feed(self, rows, network):
        from sklearn_dl.text._feeds import CosineFeed, TogetherFeed

        check_max_length(network, rows.max_length, self.model)
        feed = CosineFeed if self.reading == "cosine" else TogetherFeed
        return feed(network, self.tokens(rows.max_length), rows.columns)

    def tokens(self, max_length):
        """The tokenizer, which cuts at so many tokens."""
        from sklearn_dl.text._text_network import load_tokens

        def load():
            return load_tokens(self._content_at_hand(), max_length)

        def size():
            return self._content_at_hand().n_bytes(weights=False)

        key = ("text tokens", self.content.sha256, max_length)
        # apart: a network that is larger than the limit would push its own tokenizer out
        return cached_session(key, load, size, "tokenizers")

    def __reduce__(self):
        made, arguments = super().__reduce__()
        return made, (*arguments, self.reading)

    def for_pickle(self, content):
        """A copy without anything live, that carries `content`."""
        whole = self.live is not None and (
            self.live.changed_tensors().keys() >= dict(self.live.named_parameters()).keys()
        )
        if whole and content.data is None:
            content = self.content.without_weights()
        return FittedTextNetwork(self.model, content, None, self.trained_bytes(), self.reading)

    def _key(self):
        return "text network", self.content.sha256

    def _has_all(self):
        return self.content.data is not None and self.content.has_weights()

    def _find(self):
        return find_folder(self.model)

    def _pretrained(self):
        from sklearn_dl.text._text_network import load_network

        return load_network(self._whole_content())

    def _load(self):
        from safetensors.torch import load

        from sklearn_dl.text._text_network import load_network

        trained = load(self.trained)
        n_outputs = len(trained["head.bias"]) if "head.bias" in trained else 0
        network = load_network(self._content_at_hand(), n_outputs, trained)
        for name, parameter in network.named_parameters():
            parameter.requires_grad_(name in trained)
        return network

    def _content_at_hand(self):
        """What is in memory, be it without weights; else the files."""
        return self.content if self.content.data is not None else self._whole_content()


def unit_rows(vectors):
    """float32 rows of length 1; of zeros, the row of zeros."""
    lengths = np.linalg.norm(vectors.astype(np.float64), axis=1, keepdims=True)
    return (vectors / lengths.clip(1e-12)).astype(np.float32)


def _cosines(first, second):
    products = unit_rows(first).astype(np.float64) * unit_rows(second).astype(np.float64)
    return products.sum(axis=1, keepdims=True)


def _beside_each_other(first, second):
    first, second = first.astype(np.float64), second.astype(np.float64)
    return np.hstack([first, second, abs(first - second), first * second])
