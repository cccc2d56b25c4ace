"""Texts to token numbers, cut to a maximum length; how many were cut is counted."""

from typing import NamedTuple

import numpy as np

# a text of more characters for each token that is read is long
_CHARACTERS_PER_TOKEN = 64


class TokenRows(NamedTuple):
    """Token numbers of texts, or of pairs of texts read together.

    Attributes
    ----------
    ids : list of int32 ndarray
        With the special tokens.
    types : list of int32 ndarray or None
        Which text of the pair a token is of; None where the model does not ask.
    cut : bool ndarray of shape (n_rows,)
        Which were longer.
    """

    ids: list
    types: list | None
    cut: np.ndarray

    @property
    def lengths(self):
        return np.fromiter(map(len, self.ids), dtype=np.int64, count=len(self.ids))

    def take(self, rows):
        types = None if self.types is None else [self.types[row] for row in rows]
        return TokenRows([self.ids[row] for row in rows], types, self.cut[rows])


class Tokens:
    """A tokenizer that cuts at `max_length` tokens. Threads may share it.

    Parameters
    ----------
    tokenizer : transformers tokenizer
        Its own settings for truncation and padding are replaced.
    max_length : int
    prompt : str, default=""
        Comes before each text that is read alone.
    special : bool, default=True
        Whether special tokens are added; without them, no pairs are read.
    """

    def __init__(self, tokenizer, max_length, prompt="", special=True):
        self.max_length = max_length
        self.prompt = prompt
        self.special = special
        self.pad_id = tokenizer.pad_token_id or 0
        self._asks_types = "token_type_ids" in tokenizer.model_input_names
        self._tokenizer = tokenizer
        self._backend = tokenizer.backend_tokenizer if tokenizer.is_fast else None
        if self._backend is not None:
            self._backend.no_padding()
            self._backend.enable_truncation(max_length, strategy="longest_first")

    def encode(self, columns, n_threads):
        """Token numbers of the rows of one or two columns of texts.

        Parameters
        ----------
        columns : list of object ndarray of shape (n_samples,)
        n_threads : int
            With 1 the tokenizer's own threads are not used either.

        Returns
        -------
        rows : TokenRows
        """
        texts: list = [str(text) for text in columns[0]]
        if len(columns) == 1 and self.prompt:
            texts = [self.prompt + text for text in texts]
        if len(columns) == 2 and not self.special:
            raise ValueError(
                "This encoder is a static embedding, which cannot read two texts together: set "
                "trainable_layers=0, which compares their vectors, or give another model."
            )
        if len(columns) == 2:
            texts = [(text, str(other)) for text, other in zip(texts, columns[1], strict=True)]
            if self._backend is not None:
                texts = [(self._beginning(a), self._beginning(b)) for a, b in texts]
        if self._backend is None:
            return self._encode_slowly(texts)
        if n_threads > 1 and len(texts) > 1:
            encodings = self._backend.encode_batch_fast(texts, add_special_tokens=self.special)
        elif len(columns) == 2:
            encodings = [self._backend.encode(*pair) for pair in texts]
        else:
            encodings = [
                self._backend.encode(text, add_special_tokens=self.special) for text in texts
            ]
        ids = [np.array(encoding.ids, dtype=np.int32) for encoding in encodings]
        types = None
        if self._asks_types and len(columns) == 2:
            types = [np.array(encoding.type_ids, dtype=np.int32) for encoding in encodings]
        cut = np.array([bool(encoding.overflowing) for encoding in encodings])
        return TokenRows(ids, types, cut)

    def _beginning(self, text):
        """A long text of a pair without most of what is cut off.

        The tokenizer combines each piece that it cuts from one text with each of the other: two
        texts of a megabyte would take it minutes.
        """
        if len(text) <= _CHARACTERS_PER_TOKEN * self.max_length:
            return text
        assert self._backend is not None
        offsets = self._backend.encode(text, add_special_tokens=False).offsets
        return text[: offsets[-1][1]] if offsets else text

    def _encode_slowly(self, texts):
        """By tokenizers that are written in Python; they do not tell what they have cut."""
        rows, cut = [], np.zeros(len(texts), dtype=bool)
        for row, text in enumerate(texts):
            pair = (text,) if isinstance(text, str) else text
            options = {"truncation": True, "verbose": False}
            encoded = self._tokenizer(*pair, max_length=self.max_length + 1, **options)
            if len(encoded["input_ids"]) > self.max_length:
                encoded = self._tokenizer(*pair, max_length=self.max_length, **options)
                cut[row] = True
            rows.append(encoded)
        ids = [np.array(row["input_ids"], dtype=np.int32) for row in rows]
        types = None
        if self._asks_types and not isinstance(texts[0], str):
            types = [np.array(row["token_type_ids"], dtype=np.int32) for row in rows]
        return TokenRows(ids, types, cut)

    def pad(self, rows):
        """Arrays of one batch, padded on the right to the longest of `rows`.

        Returns
        -------
        ids, mask, types : int64 ndarray of shape (len(rows), length)
            The mask is None if nothing is padded, types if the model does not ask.
        """
        lengths = rows.lengths
        mask = (np.arange(lengths.max()) < lengths[:, None]).astype(np.int64)
        ids = np.full(mask.shape, self.pad_id, dtype=np.int64)
        ids[mask.astype(bool)] = np.concatenate(rows.ids)
        types = None
        if rows.types is not None:
            types = np.zeros(mask.shape, dtype=np.int64)
            types[mask.astype(bool)] = np.concatenate(rows.types)
        return ids, None if mask.all() else mask, types
