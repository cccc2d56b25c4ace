"""Byte-pair encoding as a graph: neighbouring tokens of a word are merged, pair by pair."""

import numpy as np
import onnx_ir as ir

from sklearn_dl.export._graph import END, Graph
from sklearn_dl.export.tokens._double_array import build_double_array

# higher than all ranks and positions
_NOTHING = np.iinfo(np.int64).max


def merge_pairs(graph, merges, n_tokens, tokens, words, n_words):
    """Merge neighbouring tokens of words, until no pair can be merged.

    In each word, the pair of the lowest rank is merged first. If several have this rank, the left
    one is merged first.

    Parameters
    ----------
    graph : Graph
    merges : list of (int, int, int)
        Two tokens, and the token that they become, by increasing rank.
    n_tokens : int
        All tokens are less than this number.
    tokens : Value
        int64 [n]
    words : Value
        int64 [n]: the number of the word that each token belongs to. The numbers never decrease.
    n_words : Value
        int64 [1]

    Returns
    -------
    tokens, words : Value
        int64 [n_left]
    """
    # tokens are counted from 1, because no cell of a trie follows symbol 0
    ranks = {(left + 1, right + 1): rank for rank, (left, right, _) in enumerate(merges)}
    trie = build_double_array(ranks, n_tokens + 1)
    tables = {
        "base": graph.integers(trie.base),
        "check": graph.integers(trie.check),
        "rank": graph.integers(trie.value),
        "result": graph.integers([result for *_, result in merges]),
        "alone": _alone(merges),
        "nothing": graph.Expand(_NOTHING, n_words),
    }
    any_token = graph.Greater(graph.Squeeze(graph.Shape(tokens)), 0)
    body = _round(graph.opset, tables)
    return graph.Loop(None, any_token, tokens, words, body=body, n_outputs=2)


def _alone(merges):
    """Which merges must be done one at a time, because other merges may come before the next one.

    These are merges whose result is part of a merge with a lower rank. They exist if several merges
    have the same result.
    """
    lowest: dict[int, int] = {}
    for rank, (left, right, _) in enumerate(merges):
        lowest.setdefault(left, rank)
        lowest.setdefault(right, rank)
    return np.array([lowest.get(result, rank) < rank for rank, (*_, result) in enumerate(merges)])


def _round(opset, tables):
    """The body of the loop: in each word, merge all pairs of the lowest rank."""
    body = Graph(opset)
    body.input("iteration", np.int64, ())
    body.input("go_on", bool, ())
    tokens = body.input("tokens", np.int64, (None,))
    words = body.input("words", np.int64, (None,))
    left, right = body.Slice(tokens, [0], [-1]), body.Slice(tokens, [1], [END])
    word, next_word = body.Slice(words, [0], [-1]), body.Slice(words, [1], [END])
    cell = body.Add(left, 1)
    pair = body.Add(body.Add(body.Gather(tables["base"], cell), right), 1)
    is_pair = body.And(
        body.Equal(body.Gather(tables["check"], pair), cell), body.Equal(word, next_word)
    )
    rank = body.Where(is_pair, body.Gather(tables["rank"], pair), _NOTHING)
    lowest = body.ScatterElements(tables["nothing"], word, rank, reduction="min")
    is_lowest = body.And(is_pair, body.Equal(rank, body.Gather(lowest, word)))
    # if pairs overlap (a a a), every second pair is merged
    begins = body.And(
        is_lowest, body.Not(body.Concat([False], body.Slice(is_lowest, [0], [-1]), axis=0))
    )
    position = body.Range(0, body.Squeeze(body.Shape(left)), 1)
    run = body.CumSum(body.Cast(begins, to=ir.DataType.INT64), 0)
    first = body.Gather(body.Concat([0], body.Compress(position, begins), axis=0), run)
    is_even = body.Equal(body.Mod(body.Sub(position, first), 2), 0)
    is_merged = body.And(is_lowest, is_even)
    rank = body.Where(is_merged, rank, 0)
    if tables["alone"].any():
        place = body.Where(is_lowest, position, _NOTHING)
        leftmost = body.ScatterElements(tables["nothing"], word, place, reduction="min")
        is_leftmost = body.Equal(position, body.Gather(leftmost, word))
        is_alone = body.Gather(tables["alone"], rank)
        is_merged = body.And(is_merged, body.Or(is_leftmost, body.Not(is_alone)))
    result = body.Gather(tables["result"], rank)
    merged = body.Concat(
        body.Where(is_merged, result, left), body.Slice(tokens, [-1], [END]), axis=0
    )
    is_left = body.Not(body.Concat([False], is_merged, axis=0))
    tokens_left, words_left = body.Compress(merged, is_left), body.Compress(words, is_left)
    fewer = body.Less(body.Shape(tokens_left), body.Shape(tokens))
    body.output("any_merged", body.Squeeze(fewer), bool, ())
    body.output("tokens_left", tokens_left, np.int64, (None,))
    body.output("words_left", words_left, np.int64, (None,))
    return body
