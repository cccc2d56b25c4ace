"""WordPiece as a graph: from the codes of characters to tokens."""

from math import ceil, log2
from typing import NamedTuple

import numpy as np
import onnx_ir as ir

from sklearn_dl.export._characters import ISOLATED, LETTER, NOTHING, OTHER, PADDING, ROW, SPACE
from sklearn_dl.export._double_array import build_double_array
from sklearn_dl.export._graph import END


class TokenStream(NamedTuple):
    """The tokens of all rows, one row after the other.

    Attributes
    ----------
    ids : Value
        int64 [n_tokens]
    word_ends : Value
        int64 [n_tokens]: for each token, the position behind the last token of its word.
    starts, counts : Value
        int64 [n_rows]: the position of the first token of each row, and the row's number of tokens.
    """

    ids: ir.Value
    word_ends: ir.Value
    starts: ir.Value
    counts: ir.Value


def find_tokens(graph, parts, characters, codes):
    """Tokenize rows of characters.

    Parameters
    ----------
    graph : Graph
    parts : TokenizerParts
    characters : Characters
    codes : Value
        int64 [n_rows, n]: the codes of the characters. Each row begins with BEGINNING, and may
        have PADDING anywhere.

    Returns
    -------
    stream : TokenStream
    """
    # all rows become one
    codes = _without(graph, codes, PADDING)
    if parts.special:
        codes = _replace_special(graph, parts, characters, codes)
    symbols = _without(graph, graph.Gather(graph.integers(characters.symbols), codes), NOTHING)
    kinds = graph.Gather(graph.integers(characters.kinds), symbols)
    previous = graph.Concat([-1], graph.Slice(kinds, [0], [-1]), axis=0)
    is_start = graph.Or(graph.Not(graph.Equal(kinds, previous)), graph.Equal(kinds, ISOLATED))
    pieces, lengths = _longest_pieces(graph, parts, characters, symbols, is_start)
    ids, is_token = _spell_words(graph, parts, is_start, pieces, lengths)
    is_token = graph.And(is_token, graph.Not(graph.Equal(kinds, SPACE)))
    ids = graph.Compress(ids, is_token)
    n_tokens = graph.Shape(ids)
    n_before = graph.CumSum(graph.Cast(is_token, to=ir.DataType.INT64), 0, exclusive=1)
    word_starts = graph.Concat(graph.Compress(n_before, is_start), n_tokens, axis=0)
    # words are counted from 1: so this is the next word
    word = graph.CumSum(graph.Cast(is_start, to=ir.DataType.INT64), 0)
    word_ends = graph.Gather(word_starts, graph.Compress(word, is_token))
    starts = graph.Compress(n_before, graph.Equal(symbols, ROW))
    ends = graph.Concat(graph.Slice(starts, [1], [END]), n_tokens, axis=0)
    return TokenStream(ids, word_ends, starts, graph.Sub(ends, starts))


def _without(graph, values, left_out):
    """All values in one row, but for those that are equal to `left_out`."""
    values = graph.Reshape(values, [-1])
    return graph.Compress(values, graph.Not(graph.Equal(values, left_out)))


def _replace_special(graph, parts, characters, codes):
    """Replace the characters of each special token by the code of the token."""
    letters = sorted(set("".join(parts.special)))
    numbers = {letter: number for number, letter in enumerate(letters, 1)}
    number_of_code = np.zeros(len(characters.symbols), dtype=np.int64)
    number_of_code[[characters.codes[ord(letter)] for letter in letters]] = list(numbers.values())
    sequences = {
        tuple(numbers[letter] for letter in content): characters.special[content]
        for content in parts.special
    }
    trie = build_double_array(sequences, len(letters) + 1)
    longest = max(map(len, parts.special))
    # few characters begin a special token: only these are followed
    begins = np.isin(number_of_code, [sequence[0] for sequence in sequences])
    at = graph.Reshape(graph.NonZero(graph.Gather(begins, codes)), [-1])
    padded = graph.Concat(codes, np.full(longest, PADDING), axis=0)

    def letter(k):
        code = graph.Gather(padded, graph.Add(at, k))
        return graph.Gather(graph.integers(number_of_code), code)

    found, lengths = _follow(graph, trie, letter, longest)
    # the code takes the place of the first character, and PADDING that of the others
    offsets = np.arange(longest)
    at, found, lengths = (graph.Unsqueeze(value, [1]) for value in (at, found, lengths))
    inside = graph.Less(offsets, lengths)
    places = graph.Where(inside, graph.Add(at, offsets), graph.Shape(codes))
    made = graph.Where(graph.And(inside, offsets == 0), found, PADDING)
    places, made = graph.Reshape(places, [-1]), graph.Reshape(made, [-1])
    return graph.Slice(graph.ScatterElements(padded, places, made), [0], [-longest])


def _longest_pieces(graph, parts, characters, symbols, is_start):
    """The longest piece that begins at each symbol: its token, and its length (0: there is none).

    A piece that begins a word is found at the beginning of words only, one that continues a word
    only elsewhere.
    """
    # symbols that begin a word have numbers of their own in the trie; so no piece reaches into the
    # next word
    n_symbols = len(characters.kinds)
    sequences = {
        (n_symbols + int(characters.symbols[code, 0]),): parts.special[content]
        for content, code in characters.special.items()
    }
    for piece, token in parts.pieces.items():
        for first, *others in _symbols(characters, piece):
            sequences[n_symbols + first, *others] = token
        if piece.startswith(parts.prefix):
            for continued in _symbols(characters, piece[len(parts.prefix) :]):
                sequences[continued] = token
    trie = build_double_array(sequences, 2 * n_symbols)
    longest = max(map(len, sequences))
    numbers = graph.Where(is_start, graph.Add(symbols, n_symbols), symbols)
    padded = graph.Concat(numbers, np.full(longest, NOTHING), axis=0)
    return _follow(graph, trie, lambda k: graph.Slice(padded, [k], [k - longest]), longest)


def _symbols(characters, piece):
    """The rows of symbols that spell a piece: none, one, or several."""
    kinds = (LETTER, OTHER, ISOLATED) if len(piece) == 1 else (LETTER, OTHER)
    symbols = [characters.symbols_of.get(c, {}) for c in piece]
    return [
        tuple(of_kind[kind] for of_kind in symbols)
        for kind in kinds
        if piece and all(kind in of_kind for of_kind in symbols)
    ]


def _follow(graph, trie, symbol, n_steps):
    """Follow a DoubleArray from many places at once.

    Parameters
    ----------
    graph : Graph
    trie : DoubleArray
    symbol : callable(k) -> Value
        int64 [n]: for each place, the symbol `k` steps after it. 0 leads nowhere.
    n_steps : int
        Length of the longest sequence.

    Returns
    -------
    values, lengths : Value
        int64 [n]: value and length of the longest sequence that begins at each place.
    """
    base, check = graph.integers(trie.base), graph.integers(trie.check)
    # the base of the root is 0
    cell: ir.Value | int = symbol(0)
    goes_on = graph.Equal(graph.Gather(check, cell), 0)
    cell = graph.Where(goes_on, cell, 0)
    for k in range(1, n_steps):
        following = graph.Add(graph.Gather(base, cell), symbol(k))
        goes_on = graph.And(goes_on, graph.Equal(graph.Gather(check, following), cell))
        cell = graph.Where(goes_on, following, cell)
    return tuple(graph.Gather(graph.integers(x), cell) for x in (trie.value, trie.length))


def _spell_words(graph, parts, is_start, pieces, lengths):
    """The token at each symbol, and whether there is one.

    Parameters
    ----------
    graph : Graph
    parts : TokenizerParts
    is_start : Value
        bool [n]: whether a word begins at this symbol.
    pieces, lengths : Value
        int64 [n]: the longest piece that begins at each symbol.

    Returns
    -------
    ids : Value
        int64 [n]
    is_token : Value
        bool [n]
    """
    n = graph.Shape(is_start)
    is_hole = graph.Equal(lengths, 0)
    # where the next piece of the word begins; n: nowhere
    following = graph.Add(graph.Range(0, graph.Squeeze(n), 1), lengths)
    no_next = graph.Or(is_hole, graph.Gather(graph.Concat(is_start, [True], axis=0), following))
    following = graph.Concat(graph.Where(no_next, n, following), n, axis=0)
    # pieces begin where words begin, and then where `following` leads: in each round twice as far
    begins = graph.Concat(is_start, [False], axis=0)
    for _ in range(ceil(log2(max(parts.longest_word, 2)))):
        places = graph.Where(begins, following, n)
        begins = graph.ScatterElements(begins, places, graph.Expand(True, graph.Shape(places)))
        following = graph.Gather(following, following)
    begins = graph.Slice(begins, [0], [-1])
    # words that have a hole or are too long
    word = graph.Sub(graph.CumSum(graph.Cast(is_start, to=ir.DataType.INT64), 0), 1)
    first = graph.Reshape(graph.NonZero(is_start), [-1])
    ends = graph.Concat(graph.Slice(first, [1], [END]), n, axis=0)
    is_unknown = graph.Greater(graph.Sub(ends, first), parts.longest_word)
    holes = graph.Compress(word, graph.And(begins, is_hole))
    yes = graph.Expand(True, graph.Shape(holes))
    is_unknown = graph.Gather(graph.ScatterElements(is_unknown, holes, yes), word)
    ids = graph.Where(is_unknown, parts.unknown, pieces)
    return ids, graph.And(begins, graph.Or(is_start, graph.Not(is_unknown)))
