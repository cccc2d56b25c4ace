"""The network of a fitted text estimator: a torch module in memory, bytes in a pickle."""

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
from sklearn_dl.utils._progress import per_pair


class FittedTextNetwork(FittedNetwork):
    """The network of a fitted text estimator, and its way of reading rows.

    Its `reading` says how the network reads a row, and what the features of the row are:

    - "together": a pair of texts is read as one text. The features are the embedding of this text.
    - "apart": each text of a pair is read by itself. The features are u, v, abs(u - v) and u * v,
      side by side, where u and v are the embeddings of the two texts [1]_.
    - "cosine": each text of a pair is read by itself. The only feature is the cosine of the two
      embeddings. It is already the output: the network has no head.

    If a row has one text, its features are the embedding of the text.

    Parameters
    ----------
    model, live, trained
        As in `FittedNetwork`.
    content : FolderContent
    reading : {"together", "apart", "cosine"}, default="together"
        How rows are read: see above.
    given : GivenHead or None, default=None
        The head of the model's folder with which the network was loaded, or from which its training
        started. The features are then the input of this head. None: the encoder was loaded without
        a head.

    References
    ----------
    .. [1] Conneau et al., Supervised Learning of Universal Sentence Representations, 2017.
    """

    # training only starts from this head: more rows would hardly improve it
    rows_of_initial_head = 4096

    def __init__(self, model, content, live=None, trained=None, reading="together", given=None):
        super().__init__(model, content, live, trained)
        self.reading = reading
        self.given = given

    @property
    def takes_head(self):
        return self.reading != "cosine"

    def with_reading(self, reading):
        """The same network with another `reading`."""
        copied = copy.copy(self)
        copied.reading = reading
        return copied

    def with_head(self, given):
        """The pretrained network with a head of its folder; texts of a pair are read together."""
        copied = self.with_reading("together")
        copied.given = given
        return copied

    def features(self, rows, where):
        if self.reading == "together" or len(rows.columns) == 1:
            return self.embeddings(rows, where)

        def compute(pairs):
            return self._pair_features(pairs, where)

        return read_readable(rows, lambda good: read_in_chunks(good, compute))

    def _pair_features(self, rows, where):
        """The features of pairs whose texts are read apart, as a Read."""
        both = replace(
            rows, columns=[np.concatenate(rows.columns)], numbers=np.tile(rows.numbers, 2)
        )
        where = where._replace(done=per_pair(where.done))
        read = self._embeddings(both, where, "pooled")
        first, second = np.split(read.values, 2)
        combine = _cosines if self.reading == "cosine" else _side_by_side
        errors = {position % len(rows): error for position, error in read.errors.items()}
        return Read(combine(first, second), errors, read.cut.reshape(2, -1).T)

    def embeddings(self, rows, where, method="pooled"):
        """The embeddings of texts, or of pairs that are read together, as a Read.

        `method` is the method of TextNetwork that computes them: "pooled" or "embed".
        """
        return read_readable(rows, lambda good: self._embeddings(good, where, method))

    def embed(self, rows, where):
        """What `TextClassifier.embed` returns for rows, as a Read.

        These are the features of pairs that are read "apart", and the embeddings of all other rows.
        """
        if self.reading == "apart" and len(rows.columns) == 2:
            return self.features(rows, where)
        return self.embeddings(rows, where, "embed")

    def width(self, where, n_columns):
        """Number of values that `embed` returns for a row with this number of texts."""
        where = where.resolved()
        width = self.on(where.device, where.precision).width
        return 4 * width if self.reading == "apart" and n_columns == 2 else width

    def _embeddings(self, rows, where, method):
        """Do what `embeddings` does, for rows that are not known to be unreadable."""
        where = where.resolved()
        if not len(rows):
            width = self.on(where.device, where.precision).width
            return Read(np.empty((0, width), np.float32), {}, np.empty(0, dtype=bool))
        # convert to plain str: an instance of a subclass of str may compare equal to one text, but
        # be tokenized as another
        texts = [list(map(str, column)) for column in rows.columns]
        keys = texts[0] if len(texts) == 1 else list(zip(*texts, strict=True))
        store = None
        if where.memory is not None and not self.is_trained:
            depends_on: tuple = "texts", self.content.sha256, method, rows.max_length, rows.overlap
            if self.given is not None:
                depends_on += (f"{self.given.task} head",)
            store = FeatureStore(where.memory, (*depends_on, str(where.device), where.precision))
            keys = [store.key(text_digest(key)) for key in keys]

        def compute(positions):
            parts = [column[positions] for column in rows.columns]
            values, cut = score_texts(self, parts, method, rows.max_length, where, rows.overlap)
            return Read(values, {}, cut)

        read = computed_once(keys, compute, store, cuts=True, done=where.done)
        return check_finite(read, self.model, rows, where)

    def feed(self, rows, network):
        from sklearn_dl.text._feeds import CosineFeed, TogetherFeed, WindowFeed

        check_max_length(network, rows.max_length, self.model)
        tokenizer = self.tokenizer(rows.max_length)
        if rows.overlap is not None:
            return WindowFeed(tokenizer, rows.columns, rows.overlap)
        feed = CosineFeed if self.reading == "cosine" else TogetherFeed
        return feed(tokenizer, rows.columns)

    def tokenizer(self, max_length):
        """The Tokenizer of the model, which cuts texts at `max_length` tokens."""
        from sklearn_dl.text._text_network import load_tokenizer

        def load():
            return load_tokenizer(self._content_at_hand(), max_length)

        def size():
            return self._content_at_hand().n_bytes(weights=False)

        key = ("text tokenizer", self.content.sha256, max_length)
        # tokenizers have their own limit in the cache; with a shared one, loading a large network
        # would evict its tokenizer
        return cached_session(key, load, size, "tokenizers")

    def __reduce__(self):
        made, arguments = super().__reduce__()
        return made, (*arguments, self.reading, self.given)

    def _keeps_all(self):
        if self.live is None:
            return self.content.data is not None and not self.content.has_weights()
        return self.live.changed_tensors().keys() >= dict(self.live.named_parameters()).keys()

    def _key(self):
        return "text network", self.content.sha256, self.given

    def _has_all(self):
        return self.content.data is not None and self.content.has_weights()

    def _find(self):
        return find_folder(self.model)

    def _pretrained(self):
        return self._load_from(self.whole_content())

    def _load(self):
        from safetensors.torch import load

        trained = load(self.trained)
        network = self._load_from(self._content_at_hand(), trained)
        for name, parameter in network.named_parameters():
            parameter.requires_grad_(name in trained)
        return network

    def _load_from(self, content, trained=None):
        """Load the network on the CPU, with the `trained` tensors if there are any."""
        if self.given is None:
            from sklearn_dl.text._text_network import load_network

            return load_network(content, trained)
        from sklearn_dl.text._head_network import load_network_with_head

        return load_network_with_head(content, self.given, trained)

    def _content_at_hand(self):
        """The content in memory, even if it lacks the weights; otherwise the whole content."""
        return self.content if self.content.data is not None else self.whole_content()


def unit_rows(embeddings):
    """Embeddings scaled to length 1, as float32; a row of zeros does not change."""
    lengths = np.linalg.norm(embeddings.astype(np.float64), axis=1, keepdims=True)
    return (embeddings / lengths.clip(1e-12)).astype(np.float32)


def _cosines(first, second):
    products = unit_rows(first).astype(np.float64) * unit_rows(second).astype(np.float64)
    return products.sum(axis=1, keepdims=True)


def _side_by_side(first, second):
    """u, v, abs(u - v) and u * v of two embeddings u and v, in one row."""
    first, second = first.astype(np.float64), second.astype(np.float64)
    return np.hstack([first, second, abs(first - second), first * second])
