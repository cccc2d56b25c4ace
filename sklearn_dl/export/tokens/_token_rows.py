"""Rows of tokens in a graph: texts and pairs, truncated, with special tokens, and padded."""

from typing import NamedTuple

import onnx_ir as ir

from sklearn_dl.export._graph import END


class TokenRows(NamedTuple):
    """The inputs of a network. All are int64 [n_rows, length of the longest row].

    Attributes
    ----------
    ids, mask : Value
        The tokens, padded on the right, and a mask with 1 for tokens and 0 for padding.
    types : Value or None
        The text of a pair that each token belongs to, and 0 for single texts. None: the encoder
        takes no types.
    """

    ids: ir.Value
    mask: ir.Value
    types: ir.Value | None


class TokenStream(NamedTuple):
    """The tokens of all rows, one row after the other.

    Attributes
    ----------
    ids : Value
        int64 [n_tokens]
    word_ends : Value
        int64 [n_tokens]: for each token, the position after the last token of its word.
    starts, counts : Value
        int64 [n_rows]: the position of the first token of each row, and the row's number of tokens.
    """

    ids: ir.Value
    word_ends: ir.Value
    starts: ir.Value
    counts: ir.Value


def token_stream(graph, ids, is_token, begins_word, begins_row):
    """Make a TokenStream from the tokens at some of n positions.

    Parameters
    ----------
    graph : Graph
    ids : Value
        int64 [n]
    is_token : Value
        bool [n]: whether there is a token at this position.
    begins_word, begins_row : Value
        bool [n]: whether a word begins at this position, and whether a row does.

    Returns
    -------
    stream : TokenStream
    """
    ids = graph.Compress(ids, is_token)
    n_tokens = graph.Shape(ids)
    n_before = graph.CumSum(graph.Cast(is_token, to=ir.DataType.INT64), 0, exclusive=1)
    word_starts = graph.Concat(graph.Compress(n_before, begins_word), n_tokens, axis=0)
    # words are counted from 1, so this is the position of the next word in `word_starts`
    word = graph.CumSum(graph.Cast(begins_word, to=ir.DataType.INT64), 0)
    word_ends = graph.Gather(word_starts, graph.Compress(word, is_token))
    starts = graph.Compress(n_before, begins_row)
    ends = graph.Concat(graph.Slice(starts, [1], [END]), n_tokens, axis=0)
    return TokenStream(ids, word_ends, starts, graph.Sub(ends, starts))


class Tokens(NamedTuple):
    """The tokens of one text of each row.

    Attributes
    ----------
    ids : Value
        int64 [n_tokens]: the tokens of all rows, one row after the other, and perhaps other tokens.
    starts, counts : Value
        int64 [n_rows, 1]: where a row begins in `ids`, and how many of its tokens are used.
    """

    ids: ir.Value
    starts: ir.Value
    counts: ir.Value


def cut_pair(graph, first, second, room):
    """Truncate pairs of texts to `room` tokens. The longer text of a pair is truncated first.

    Parameters
    ----------
    graph : Graph
    first, second : Value
        int64: the numbers of tokens of the texts.
    room : int

    Returns
    -------
    first, second : Value
        The numbers of tokens that are left.
    """
    shorter, longer = graph.Min(first, second), graph.Max(first, second)
    # truncate the longer text, until the two are equal
    left = graph.Max(shorter, graph.Sub(room, shorter))
    # then truncate both
    both = graph.Greater(graph.Add(shorter, left), room)
    fits = graph.Not(graph.Greater(graph.Add(first, second), room))
    shorter = graph.Where(both, room // 2, shorter)
    left = graph.Where(fits, longer, graph.Where(both, room - room // 2, left))
    swapped = graph.Greater(first, second)
    return graph.Where(swapped, left, shorter), graph.Where(swapped, shorter, left)


def lay_out(graph, layout, texts, pad_id, takes_types):
    """Put the tokens of texts, and the special tokens, into rows.

    Parameters
    ----------
    graph : Graph
    layout : list of Segment
    texts : list of Tokens
    pad_id : int
    takes_types : bool
        Whether the encoder takes token types.

    Returns
    -------
    rows : TokenRows
    """
    ends, end = [], 0
    for segment in layout:
        end = graph.Add(end, 1 if segment.text is None else texts[segment.text].counts)
        ends.append(end)
    # a run without rows has no longest row, so append a length of 0
    longest = graph.ReduceMax(graph.Concat(end, [[0]], axis=0), keepdims=0)
    columns = graph.Unsqueeze(graph.Range(0, longest, 1), [0])
    ids, types = graph.constant(pad_id), graph.constant(0)
    for segment, start, end in zip(layout, [0, *ends], ends, strict=False):
        token = segment.id
        if segment.text is not None:
            text = texts[segment.text]
            place = graph.Add(graph.Sub(columns, start), text.starts)
            # columns outside of this segment may be outside of the tokens
            place = graph.Clip(place, 0, graph.Squeeze(graph.Shape(text.ids)))
            token = graph.Gather(graph.Concat(text.ids, [0], axis=0), place)
        inside = graph.And(graph.Not(graph.Less(columns, start)), graph.Less(columns, end))
        ids = graph.Where(inside, token, ids)
        types = graph.Where(inside, segment.type if len(texts) == 2 else 0, types)
    mask = graph.Cast(graph.Less(columns, end), to=ir.DataType.INT64)
    return TokenRows(ids, mask, types if takes_types else None)
