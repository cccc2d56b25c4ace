"""A tokenizer as a graph: from texts to the tokens that a network reads."""

from functools import partial
from typing import Any

import onnx_ir as ir

from sklearn_dl.export.tokens._byte_level import ByteLevel
from sklearn_dl.export.tokens._text_codes import (
    BEGINNING,
    PADDING,
    codes_of_bytes,
    codes_of_strings,
)
from sklearn_dl.export.tokens._token_rows import TokenRows, Tokens, cut_pair, lay_out
from sklearn_dl.export.tokens._tokenizer_parts import UnknownTokenizer, read_parts
from sklearn_dl.export.tokens._wordpiece import WordPiece

__all__ = ["TokenRows", "UnknownTokenizer", "tokenize"]

_MODELS: dict[str, Any] = {"WordPiece": WordPiece, "BPE": ByteLevel}


def tokenize(graph, tokenizer, texts, form):
    """Add what `Tokenizer.encode` and `Tokenizer.pad` compute for a batch.

    All rows of a run are padded to the length of the longest one.

    Parameters
    ----------
    graph : Graph
    tokenizer : sklearn_dl.text._tokenizer.Tokenizer
    texts : list of Value
        One or two columns. Two are read together.
    form : {"string", "utf8"}
        "string": strings of shape [N, 1]. Characters of the private planes 15 and 16 are read like
        unassigned code points. With BPE, all unassigned code points of the planes 4 to 14 are read
        as the same code point. JavaScript cuts strings at NUL. "utf8": uint8 of shape
        [N, n_bytes], padded with zeros.

    Returns
    -------
    rows : TokenRows

    Raises
    ------
    UnknownTokenizer
        If the tokenizer cannot be reproduced exactly.
    """
    parts = read_parts(tokenizer)
    kind = parts.model["type"]
    if kind not in _MODELS:
        raise UnknownTokenizer(f"its model {kind} is not one of {', '.join(_MODELS)}")
    model = _MODELS[kind](parts)
    if form == "string":
        codes = codes_of_strings(graph, model.codes, texts)
    else:
        codes = codes_of_bytes(graph, partial(model.codes_of, graph), texts)
    prompt = tokenizer.prompt if len(texts) == 1 else ""
    before = [BEGINNING, *model.codes[list(map(ord, prompt))].tolist()]
    n_rows = graph.Shape(codes, start=0, end=1)
    before = graph.Expand([before], graph.Concat(n_rows, [1], axis=0))
    stream = model.find_tokens(graph, graph.Concat(before, codes, axis=1))
    layout = parts.layouts[len(texts) - 1]
    room = tokenizer.max_length - sum(segment.text is None for segment in layout)
    if len(texts) == 1:
        starts = [graph.Unsqueeze(stream.starts, [1])]
        counts = [graph.Unsqueeze(graph.Min(stream.counts, room), [1])]
    else:
        first, second = _halves(graph, _counts_of_beginnings(graph, tokenizer, codes, stream))
        starts = _halves(graph, stream.starts)
        counts = cut_pair(graph, first, second, room)
    tokens = [Tokens(stream.ids, *of_text) for of_text in zip(starts, counts, strict=True)]
    return lay_out(graph, layout, tokens, tokenizer.pad_id, tokenizer.takes_types)


def _halves(graph, values):
    """Return the values of the first texts and of the second texts, each of shape [N, 1]."""
    values = graph.Reshape(values, [2, -1, 1])
    return graph.Gather(values, 0), graph.Gather(values, 1)


def _counts_of_beginnings(graph, tokenizer, codes, stream):
    """Return the numbers of tokens of the texts of pairs, after long texts are shortened.

    `Tokenizer.encode` shortens long texts before it reads the two texts together.
    """
    is_character = graph.Cast(graph.Not(graph.Equal(codes, PADDING)), to=ir.DataType.INT64)
    n_characters = graph.ReduceSum(is_character, [1], keepdims=0)
    is_long = graph.And(
        graph.Greater(n_characters, tokenizer.n_whole_characters),
        graph.Greater(stream.counts, tokenizer.max_length),
    )
    last = graph.Add(stream.starts, tokenizer.max_length - 1)
    # this position may be outside of the tokens if the text is not long
    last = graph.Min(last, graph.Shape(stream.ids))
    ends = graph.Gather(graph.Concat(stream.word_ends, [0], axis=0), last)
    return graph.Where(is_long, graph.Sub(ends, stream.starts), stream.counts)
