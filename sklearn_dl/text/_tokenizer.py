"""Turn texts into the ids of their tokens, cut to a maximum length."""

import copy
import json
import os
from functools import cached_property
from typing import NamedTuple

import numpy as np

from sklearn_dl.utils._threads import available_cpus

# a text of a pair is long if it has more than this number of characters per token that is read
_CHARACTERS_PER_TOKEN = 64


def may_use_own_threads(n_threads):
    """Whether tokenizers may use their own threads: there must be several, but at most `n_threads`.

    These threads start at the first use in a process, and their number never changes.
    """
    asked = os.environ.get("RAYON_NUM_THREADS", "0")
    if asked.isdigit() and int(asked):
        own = int(asked)
    elif "LOKY_MAX_CPU_COUNT" in os.environ:  # tokenizers ignore this variable
        own = os.cpu_count() or 1
    else:
        own = available_cpus()
    return n_threads >= max(2, own)


class TokenRows(NamedTuple):
    """Token ids of texts, or of pairs of texts that are read together.

    Attributes
    ----------
    ids : list of int32 ndarray
        The ids of each row, special tokens included.
    types : list of int32 ndarray or None
        For each token, the text of the pair that it belongs to. None: the model does not take
        types.
    cut : bool ndarray of shape (n_rows,)
        Which rows were cut because they have more tokens.
    shapes : list of int32 ndarray, or None
        For each token, the shape of the word that it belongs to. None: the network does not take
        shapes.
    """

    ids: list
    types: list | None
    cut: np.ndarray
    shapes: list | None = None

    @property
    def lengths(self):
        return np.fromiter(map(len, self.ids), dtype=np.int64, count=len(self.ids))

    def take(self, rows):
        types, shapes = (
            None if of_token is None else [of_token[row] for row in rows]
            for of_token in (self.types, self.shapes)
        )
        return TokenRows([self.ids[row] for row in rows], types, self.cut[rows], shapes)


class Tokenizer:
    """A tokenizer that cuts texts at `max_length` tokens. Threads may share it.

    Parameters
    ----------
    tokenizer : transformers tokenizer
        The settings of this tokenizer for truncation and padding are replaced.
    max_length : int
    prompt : str, default=""
        Text that is put before each text, but not before pairs that are read together.
    special : bool, default=True
        Whether special tokens are added. Without them, pairs cannot be read together.

    Attributes
    ----------
    backend : tokenizers.Tokenizer or None
        Splits the texts. None: the tokenizer is written in Python.
    pad_id : int
        The id that `pad` fills rows with.
    takes_types : bool
        Whether the encoder takes token types.
    n_whole_characters : int
        If a text of a pair has more characters, it is shortened to the part that can be read,
        before both texts are split.
    """

    def __init__(self, tokenizer, max_length, prompt="", special=True):
        self.max_length = max_length
        self.n_whole_characters = _CHARACTERS_PER_TOKEN * max_length
        self.prompt = prompt
        self.special = special
        self.pad_id = tokenizer.pad_token_id or 0
        self.takes_types = "token_type_ids" in tokenizer.model_input_names
        self._tokenizer = tokenizer
        self.backend = tokenizer.backend_tokenizer if tokenizer.is_fast else None
        if self.backend is not None:
            self.backend.no_padding()
            self.backend.enable_truncation(max_length, strategy="longest_first")

    @cached_property
    def whole(self):
        """A copy of `backend` that does not cut texts.

        `Encoding.overflowing` would have the tokens that were cut, but not in tokenizers 0.23.1 and
        0.23.2.
        """
        assert self.backend is not None
        whole = copy.deepcopy(self.backend)
        whole.no_truncation()
        return whole

    @property
    def name(self):
        """Name of the tokenizer's class."""
        return type(self._tokenizer).__name__

    @property
    def ignores_case(self):
        """Whether capital letters are read as lower-case letters."""
        return self.backend is not None and (
            self.backend.encode("Case CASE").ids == self.backend.encode("case case").ids
        )

    @property
    def room(self):
        """Largest number of tokens of a text, without special tokens and prompt."""
        n_special = self._tokenizer.num_special_tokens_to_add(False) if self.special else 0
        n_prompt = len(self._tokenizer.tokenize(self.prompt)) if self.prompt else 0
        return self.max_length - n_special - n_prompt

    def encode(self, columns, n_threads):
        """Compute the token ids of rows of texts.

        Parameters
        ----------
        columns : list of object ndarray of shape (n_rows,)
            One or two columns. Two are read together.
        n_threads : int
            If it is less than the number of the tokenizer's own threads, they are not used.

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
                "trainable_layers=0, which compares their embeddings, or set a different model."
            )
        if len(columns) == 2:
            texts = [(text, str(other)) for text, other in zip(texts, columns[1], strict=True)]
            if self.backend is not None:
                texts = [(self._beginning(a), self._beginning(b)) for a, b in texts]
        if self.backend is None:
            return self._encode_slowly(texts)
        if may_use_own_threads(n_threads) and len(texts) > 1:
            encodings = self.backend.encode_batch_fast(texts, add_special_tokens=self.special)
        elif len(columns) == 2:
            encodings = [self.backend.encode(*pair) for pair in texts]
        else:
            encodings = [
                self.backend.encode(text, add_special_tokens=self.special) for text in texts
            ]
        ids = [np.array(encoding.ids, dtype=np.int32) for encoding in encodings]
        types = None
        if self.takes_types and len(columns) == 2:
            types = [np.array(encoding.type_ids, dtype=np.int32) for encoding in encodings]
        cut = np.array([bool(encoding.overflowing) for encoding in encodings])
        return TokenRows(ids, types, cut)

    def save(self, folder, *, cuts_second=False, more_settings=None):
        """Write ``tokenizer.json`` and ``tokenizer_config.json`` to a folder.

        Parameters
        ----------
        folder : Path
        cuts_second : bool, default=False
            Whether only the second text of a pair is cut. Then the files are for pairs only, which
            have no prompt.
        more_settings : dict or None, default=None
            Entries to add to ``tokenizer_config.json``.

        Raises
        ------
        ValueError
            If the tokenizer is written in Python.
        """
        if self.backend is None:
            raise ValueError(f"{self.name} is written in Python: it has no tokenizer.json.")
        saved = type(self.backend).from_str(self.backend.to_str())
        saved.enable_padding(pad_id=self.pad_id, pad_token=self._tokenizer.pad_token or "[PAD]")
        if cuts_second:
            saved.enable_truncation(self.max_length, strategy="only_second")
        saved.save(str(folder / "tokenizer.json"))
        settings = {
            "model_max_length": self.max_length,
            "model_input_names": self._tokenizer.model_input_names,
            "tokenizer_class": "PreTrainedTokenizerFast",
        }
        settings |= {"prompt": self.prompt} if self.prompt and not cuts_second else {}
        special = self._tokenizer.special_tokens_map
        settings |= {name: str(token) for name, token in special.items() if isinstance(token, str)}
        settings |= more_settings or {}
        (folder / "tokenizer_config.json").write_text(json.dumps(settings, indent=2) + "\n")

    def _beginning(self, text):
        """A text of a pair, shortened to the words of its first `max_length` tokens if it is long.

        Otherwise, two texts of a megabyte would take minutes: the tokenizer combines each piece
        that it cuts off one text with each piece of the other.
        """
        if len(text) <= self.n_whole_characters:
            return text
        encoding = self.whole.encode(text, add_special_tokens=False)
        if len(encoding.ids) <= self.max_length:
            return text
        words = np.array(encoding.word_ids)
        # the last word stays whole: a part of it may have other tokens
        last = np.flatnonzero(words == words[self.max_length - 1])[-1]
        return text[: encoding.offsets[last][1]]

    def _encode_slowly(self, texts):
        """Encode with a tokenizer written in Python, which does not report what it has cut."""
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
        if self.takes_types and not isinstance(texts[0], str):
            types = [np.array(row["token_type_ids"], dtype=np.int32) for row in rows]
        return TokenRows(ids, types, cut)

    def pad(self, rows):
        """Return the arrays of a batch, padded on the right to the length of its longest row.

        Returns
        -------
        ids, mask, types : int64 ndarray of shape (len(rows), length)
            The mask is None if nothing is padded. `types` is None if the model does not take it.
        shapes : int64 ndarray of shape (len(rows), length)
            Only if the rows have `shapes`.
        """
        lengths = rows.lengths
        mask = (np.arange(lengths.max()) < lengths[:, None]).astype(np.int64)
        ids = np.full(mask.shape, self.pad_id, dtype=np.int64)
        ids[mask.astype(bool)] = np.concatenate(rows.ids)
        is_token = mask.astype(bool)
        types, shapes = None, None
        if rows.types is not None:
            types = np.zeros(mask.shape, dtype=np.int64)
            types[is_token] = np.concatenate(rows.types)
        mask = None if is_token.all() else mask
        if rows.shapes is None:
            return ids, mask, types
        shapes = np.zeros(ids.shape, dtype=np.int64)
        shapes[is_token] = np.concatenate(rows.shapes)
        return ids, mask, types, shapes
