"""Cut long texts into windows that overlap, so that every token is read."""

from typing import Any, NamedTuple

import numpy as np

from sklearn_dl.text._tokenizer import TokenRows, may_use_own_threads
from sklearn_dl.utils._messages import RowError

# the tokens of texts with at most this number of rows and characters are in memory at once
ROWS_AT_ONCE = 8192
CHARACTERS_AT_ONCE = 2**19


class Windows(NamedTuple):
    """The windows of some documents. Each document has at least one window.

    A document is a text, or the second text of a pair. The first text of the pair (a question) is
    then part of each window. The tokens of a document are counted without special tokens, without
    those of a question and without those of the encoder's default prompt.

    Attributes
    ----------
    tokens : TokenRows
        The tokens of each window, special tokens included.
    rows : int ndarray of shape (n_windows,)
        The position of the row that each window belongs to, in ascending order.
    leads : int ndarray of shape (n_windows,)
        Number of tokens in the window before its first token of the document.
    firsts : int ndarray of shape (n_windows,)
        Index of this first token among the tokens of the document.
    sizes : int ndarray of shape (n_windows,)
        Number of tokens of the document in the window.
    offsets : list of int ndarray of shape (n_tokens, 2), or None
        For each row, where the tokens of its document start and end, in characters of the text that
        was passed.
    errors : dict of int to RowError
        The errors of rows whose question leaves no room for the document, by their positions. They
        have no windows.
    """

    tokens: TokenRows
    rows: np.ndarray
    leads: np.ndarray
    firsts: np.ndarray
    sizes: np.ndarray
    offsets: list | None
    errors: dict

    def __len__(self):
        return len(self.rows)

    @property
    def lengths(self):
        """Number of tokens of each window, special tokens included."""
        return self.tokens.lengths

    @property
    def shares(self):
        """For each window, its share of the tokens of all windows of its row."""
        sizes = self.lengths.clip(1)  # a static embedding adds no tokens to an empty text
        return sizes / np.bincount(self.rows, sizes)[self.rows]

    @property
    def is_last(self):
        """For each window, whether it is the last one of its row."""
        return np.append(self.rows[1:] != self.rows[:-1], True)

    def own(self):
        """For each token, choose the window whose edges are farthest from it.

        The start and the end of a document do not count as edges.

        Returns
        -------
        starts, stops : int ndarray of shape (n_windows,)
            Window w is chosen for the tokens ``starts[w]:stops[w]`` of its document.
        """
        starts, stops = self.firsts.copy(), self.firsts + self.sizes
        follows = np.flatnonzero(self.rows[1:] == self.rows[:-1]) + 1
        starts[follows] = (self.firsts[follows] + stops[follows - 1]) // 2
        stops[follows - 1] = starts[follows]
        return starts, stops


def read_windows(tokenizer, columns, overlap, n_threads, offsets=False, numbers=None):
    """Split texts into the windows of their tokens.

    Parameters
    ----------
    tokenizer : Tokenizer
        A window has at most `max_length` tokens.
    columns : list of object ndarray of shape (n_rows,)
        One column of documents, or a column of questions and one of documents.
    overlap : int
        Number of tokens that neighbouring windows of a document share. With questions, at most half
        of the tokens that a question leaves free in a window are shared.
    n_threads : int
        As in `Tokenizer.encode`.
    offsets : bool, default=False
        Whether to return `offsets`.
    numbers : int ndarray of shape (n_rows,), default=None
        The numbers of the rows in X, for errors. None: their positions.

    Returns
    -------
    windows : Windows

    Raises
    ------
    ValueError
        If the tokenizer is written in Python, `overlap` leaves no room for new tokens, or there are
        questions and the encoder is a static embedding.
    """
    check_windows(tokenizer, overlap)
    if len(columns) == 2 and not tokenizer.special:
        raise ValueError(
            "This encoder is a static embedding, which cannot read two texts together: set a "
            "different model."
        )
    template = _template(tokenizer, len(columns))
    documents = [str(text) for text in columns[-1]]
    if len(columns) == 2:
        questions = [ids for ids, _ in _contents(tokenizer, map(str, columns[0]), n_threads, False)]
        prompts = None
    else:
        questions, prompts = None, tokenizer.prompt
    contents = _contents(tokenizer, documents, n_threads, offsets, prompts)
    made: list = []
    all_offsets: list = []
    errors: dict = {}
    for row, (ids, spans) in enumerate(contents):
        question = template.prompt if questions is None else questions[row]
        lead = np.concatenate([template.before, question, template.between])
        room = tokenizer.max_length - len(lead) - len(template.after)
        all_offsets.append(spans)
        if room < 1:
            number = row if numbers is None else int(numbers[row])
            errors[row] = RowError(
                f"the question has {len(question)} tokens, which leaves no room for a context in "
                f"max_length={tokenizer.max_length}: raise max_length, or shorten the question",
                number,
                str(columns[0][row]),
            )
            continue
        step = room - (overlap if questions is None else min(overlap, room // 2))
        for first in range(0, max(1, len(ids) - room + step), step):
            made.append((row, lead, len(question), first, ids[first : first + room]))
    return _joined(made, template, tokenizer, all_offsets if offsets else None, errors)


def check_windows(tokenizer, overlap):
    """Raise a ValueError if the texts of this tokenizer cannot be read in windows."""
    if tokenizer.backend is None:
        raise ValueError(
            f"{tokenizer.name} is a tokenizer that is written in Python, which does not say where "
            "tokens stand in a text: long texts cannot be read in windows. Set a model with a "
            "tokenizer.json."
        )
    room = tokenizer.room
    if overlap >= room:
        raise ValueError(
            f"window_overlap={overlap} must be smaller than {room}: with "
            f"max_length={tokenizer.max_length}, a window has room for {room} tokens of a text."
        )


class _Template(NamedTuple):
    """The tokens before and after a document, and the types of all tokens of a pair."""

    before: np.ndarray
    prompt: np.ndarray
    between: np.ndarray
    after: np.ndarray
    types: tuple | None  # of before, question, between, document, after


def _template(tokenizer, n_columns):
    """Find the template by encoding a text of one letter, or a pair of such texts."""
    nothing = np.empty(0, np.int32)
    prompt = nothing
    if n_columns == 1 and tokenizer.prompt:
        ((prompt, _),) = _contents(tokenizer, [tokenizer.prompt], 1, False)
    if not tokenizer.special:
        return _Template(nothing, prompt, nothing, nothing, None)
    encoding = tokenizer.backend.encode(*"ab"[:n_columns])
    ids, types = np.array(encoding.ids, np.int32), np.array(encoding.type_ids)
    number = np.array([-1 if s is None else s for s in encoding.sequence_ids])
    places = [np.flatnonzero(number == i) for i in range(n_columns)]
    (first, last), document = (places[0][0], places[0][-1]), places[-1]
    before, after = ids[:first], ids[document[-1] + 1 :]
    between = ids[last + 1 : document[0]] if n_columns == 2 else nothing
    parts = None
    if n_columns == 2 and tokenizer.takes_types:
        parts = (
            types[:first],
            types[first],
            types[last + 1 : document[0]],
            types[document[0]],
            types[document[-1] + 1 :],
        )
    return _Template(before, prompt, between, after, parts)


def _contents(tokenizer, texts, n_threads, offsets, prompt=None):
    """Yield the ids of all tokens of each text, without special tokens, and their offsets or None.

    With a `prompt`, the text follows it, and the tokens of the prompt are left out.
    """
    texts = [prompt + text for text in texts] if prompt else list(texts)
    for encoding in _encoded(tokenizer.whole, texts, n_threads, offsets or prompt):
        ids = np.array(encoding.ids, np.int32)
        spans: Any = None
        if offsets or prompt:
            spans = np.array(encoding.offsets, np.int32).reshape(-1, 2)
        if prompt:
            is_text = spans[:, 1] > len(prompt)
            ids, spans = ids[is_text], (spans[is_text] - len(prompt)).clip(0)
        yield ids, spans if offsets else None


def _encoded(backend, texts, n_threads, offsets):
    """Yield the encoding of each text; few of them are in memory at once."""
    encode_batch = backend.encode_batch if offsets else backend.encode_batch_fast
    for chunk in text_chunks([texts]):
        if may_use_own_threads(n_threads):
            yield from encode_batch(texts[chunk], add_special_tokens=False)
        else:
            yield from (backend.encode(text, add_special_tokens=False) for text in texts[chunk])


def _joined(made, template, tokenizer, offsets, errors):
    """Make Windows from the row, lead, question length, first token and ids of each window."""
    ids = [np.concatenate([lead, part, template.after]) for _, lead, _, _, part in made]
    types = None
    if template.types is not None:
        before, question, between, document, after = template.types
        types = [
            np.concatenate(
                [before, [question] * n_question, between, [document] * len(part), after]
            ).astype(np.int32)
            for _, _, n_question, _, part in made
        ]
    rows, leads, firsts, sizes = (
        np.array(column, dtype=np.int64)
        for column in (
            [row for row, *_ in made],
            [len(lead) for _, lead, *_ in made],
            [first for *_, first, _ in made],
            [len(part) for *_, part in made],
        )
    )
    tokens = TokenRows(ids, types, np.zeros(len(made), dtype=bool))
    return Windows(tokens, rows, leads, firsts, sizes, offsets, errors)


def text_chunks(columns):
    """Yield slices of rows whose tokens fit in memory at once; a slice has at least one row."""
    sizes = [sum(map(len, texts)) for texts in zip(*columns, strict=True)]
    start, n_characters = 0, 0
    for row, size in enumerate(sizes):
        n_characters += size
        if row > start and (n_characters > CHARACTERS_AT_ONCE or row - start >= ROWS_AT_ONCE):
            yield slice(start, row)
            start, n_characters = row, size
    if len(sizes) > start:
        yield slice(start, len(sizes))
