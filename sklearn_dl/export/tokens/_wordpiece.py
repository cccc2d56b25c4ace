"""WordPiece as a graph: from the codes of characters to tokens."""

from math import ceil, log2

import numpy as np
import onnx_ir as ir

from sklearn_dl.export._graph import END
from sklearn_dl.export.tokens._characters import (
    ISOLATED,
    LETTER,
    NOTHING,
    OTHER,
    ROW,
    SPACE,
    read_characters,
)
from sklearn_dl.export.tokens._double_array import build_double_array, follow
from sklearn_dl.export.tokens._flat import shifted, without
from sklearn_dl.export.tokens._special_tokens import replace_special
from sklearn_dl.export.tokens._text_codes import PADDING, look_up_points
from sklearn_dl.export.tokens._token_rows import token_stream
from sklearn_dl.export.tokens._tokenizer_parts import UnknownTokenizer


class WordPiece:
    """A WordPiece tokenizer.

    Parameters
    ----------
    parts : TokenizerParts

    Attributes
    ----------
    codes : int ndarray of shape (0x110000,)
        The code of each character.

    Raises
    ------
    UnknownTokenizer
        If a graph cannot do what the tokenizer does.
    """

    def __init__(self, parts):
        model = parts.model
        if model["unk_token"] not in model["vocab"]:
            raise UnknownTokenizer(f"its token {model['unk_token']!r} for unknown words has no id")
        self._characters = read_characters(parts)
        self.codes = self._characters.codes
        self._special = parts.special
        self._pieces = model["vocab"]
        self._prefix = model["continuing_subword_prefix"]
        self._unknown = model["vocab"][model["unk_token"]]
        self._longest_word = model["max_input_chars_per_word"]

    def codes_of(self, graph, points):
        """The codes of code points, a Value."""
        return look_up_points(graph, self.codes, points)

    def find_tokens(self, graph, codes):
        """Tokenize rows of characters.

        Parameters
        ----------
        graph : Graph
        codes : Value
            int64 [n_rows, n]: the codes of the characters. Each row begins with BEGINNING, and may
            have PADDING anywhere.

        Returns
        -------
        stream : TokenStream
        """
        characters = self._characters
        # join all rows into one
        codes = without(graph, codes, PADDING)
        codes = replace_special(
            graph, characters.special, lambda c: characters.codes[ord(c)], codes
        )
        symbols = without(graph, graph.Gather(graph.integers(characters.symbols), codes), NOTHING)
        kinds = graph.Gather(graph.integers(characters.kinds), symbols)
        differs = graph.Not(graph.Equal(kinds, shifted(graph, kinds, 1, -1)))
        is_start = graph.Or(differs, graph.Equal(kinds, ISOLATED))
        pieces, lengths = self._longest_pieces(graph, symbols, is_start)
        ids, is_token = self._spell_words(graph, is_start, pieces, lengths)
        is_token = graph.And(is_token, graph.Not(graph.Equal(kinds, SPACE)))
        return token_stream(graph, ids, is_token, is_start, graph.Equal(symbols, ROW))

    def _longest_pieces(self, graph, symbols, is_start):
        """Find the longest piece that begins at each symbol: its token, and its length (0: none).

        Pieces that begin a word are found only at the beginning of words. Pieces that continue a
        word are found only elsewhere.
        """
        # symbols that begin a word have separate numbers in the trie, so that no piece extends into
        # the next word
        characters = self._characters
        n_symbols = len(characters.kinds)
        sequences = {
            (n_symbols + int(characters.symbols[characters.special[token.content], 0]),): token.id
            for token in self._special
        }
        for piece, token in self._pieces.items():
            for first, *others in _symbols(characters, piece):
                sequences[n_symbols + first, *others] = token
            if piece.startswith(self._prefix):
                for continued in _symbols(characters, piece[len(self._prefix) :]):
                    sequences[continued] = token
        trie = build_double_array(sequences, 2 * n_symbols)
        longest = max(map(len, sequences))
        numbers = graph.Where(is_start, graph.Add(symbols, n_symbols), symbols)
        padded = graph.Concat(numbers, np.full(longest, NOTHING), axis=0)
        return follow(graph, trie, lambda k: graph.Slice(padded, [k], [k - longest]), longest)

    def _spell_words(self, graph, is_start, pieces, lengths):
        """Find the token at each symbol, and whether there is one.

        Parameters
        ----------
        graph : Graph
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
        # where the next piece of the word begins, or n if there is none
        following = graph.Add(graph.Range(0, graph.Squeeze(n), 1), lengths)
        no_next = graph.Or(is_hole, graph.Gather(graph.Concat(is_start, [True], axis=0), following))
        following = graph.Concat(graph.Where(no_next, n, following), n, axis=0)
        # pieces begin where words begin, and at the positions in `following`; each round goes twice
        # as far as the one before
        begins = graph.Concat(is_start, [False], axis=0)
        for _ in range(ceil(log2(max(self._longest_word, 2)))):
            places = graph.Where(begins, following, n)
            begins = graph.ScatterElements(begins, places, graph.Expand(True, graph.Shape(places)))
            following = graph.Gather(following, following)
        begins = graph.Slice(begins, [0], [-1])
        # words that have a symbol without a piece, or are too long, are unknown
        word = graph.Sub(graph.CumSum(graph.Cast(is_start, to=ir.DataType.INT64), 0), 1)
        first = graph.Reshape(graph.NonZero(is_start), [-1])
        ends = graph.Concat(graph.Slice(first, [1], [END]), n, axis=0)
        is_unknown = graph.Greater(graph.Sub(ends, first), self._longest_word)
        holes = graph.Compress(word, graph.And(begins, is_hole))
        yes = graph.Expand(True, graph.Shape(holes))
        is_unknown = graph.Gather(graph.ScatterElements(is_unknown, holes, yes), word)
        ids = graph.Where(is_unknown, self._unknown, pieces)
        return ids, graph.And(begins, graph.Or(is_start, graph.Not(is_unknown)))


def _symbols(characters, piece):
    """Return the sequences of symbols that spell a piece: none, one, or several."""
    kinds = (LETTER, OTHER, ISOLATED) if len(piece) == 1 else (LETTER, OTHER)
    symbols = [characters.symbols_of.get(c, {}) for c in piece]
    return [
        tuple(of_kind[kind] for of_kind in symbols)
        for kind in kinds
        if piece and all(kind in of_kind for of_kind in symbols)
    ]
