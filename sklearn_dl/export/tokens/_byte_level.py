"""Byte-level byte-pair encoding as a graph: from the codes of characters to tokens."""

import numpy as np
import onnx_ir as ir

from sklearn_dl.export.tokens._byte_pairs import merge_pairs
from sklearn_dl.export.tokens._flat import shifted, without
from sklearn_dl.export.tokens._special_tokens import replace_special, strip_white_space
from sklearn_dl.export.tokens._text_codes import BEGINNING, PADDING, look_up_points
from sklearn_dl.export.tokens._token_rows import token_stream
from sklearn_dl.export.tokens._tokenizer_parts import UnknownTokenizer, allow, only
from sklearn_dl.export.tokens._unicode import ALIKE, CHARACTERS, N_POINTS, WHITE_SPACE

# kinds of characters: the beginning of a row or a special token, a space, other white space, a
# letter, a number, anything else
_BOUNDARY, _SPACE, _WHITE, _LETTER, _NUMBER, _OTHER = range(6)
# the code of a character is its code point plus this; higher codes are special tokens
_FIRST = 2
_SPECIAL = N_POINTS + _FIRST
# number of characters that are examined together
_BLOCK = 64


class ByteLevel:
    """A byte-level BPE tokenizer.

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
        allow("normalizer", parts.normalizers, set())
        split = only("pre-tokenizer", parts.pre_tokenizers, {"ByteLevel"})
        for option, value in (("add_prefix_space", False), ("use_regex", True)):
            if split[option] != value:
                raise UnknownTokenizer(f"its pre-tokenizer has {option}={split[option]}")
        self.codes = np.arange(N_POINTS) + _FIRST
        self._kinds = _kinds(parts.backend.pre_tokenizer)
        self._special = parts.special
        self._tokens_of_bytes = _tokens_of_bytes(parts)
        self._merges = _merges(parts.model)

    def codes_of(self, graph, points):
        """The codes of code points, a Value."""
        return graph.Add(points, _FIRST)

    def find_tokens(self, graph, codes):
        """As `WordPiece.find_tokens`."""
        codes = without(graph, codes, PADDING)
        numbers = {token.content: _SPECIAL + k for k, token in enumerate(self._special)}
        codes = replace_special(graph, numbers, lambda c: ord(c) + _FIRST, codes)
        codes = without(graph, codes, PADDING)
        kinds = self._kinds_of(graph, codes)
        if any(token.lstrip or token.rstrip for token in self._special):
            is_white = graph.Or(graph.Equal(kinds, _SPACE), graph.Equal(kinds, _WHITE))
            codes = strip_white_space(graph, self._special, _SPECIAL, codes, is_white)
            kinds = self._kinds_of(graph, codes)
        symbols, begins = _bytes(graph, codes, _word_starts(graph, codes, kinds))
        # the beginning of a row is a word of one token, which has its own id
        special = [token.id for token in self._special]
        row = 1 + max(*self._tokens_of_bytes, *special, *map(max, self._merges))
        ids = [*self._tokens_of_bytes, row, *special]
        tokens = graph.Gather(graph.integers(ids), symbols)
        words = graph.Sub(graph.CumSum(graph.Cast(begins, to=ir.DataType.INT64), 0), 1)
        if self._merges:
            n_words = graph.Shape(graph.Compress(words, begins))
            tokens, words = merge_pairs(graph, self._merges, row + 1, tokens, words, n_words)
        begins_row = graph.Equal(tokens, row)
        begins_word = graph.Not(graph.Equal(words, shifted(graph, words, 1, -1)))
        return token_stream(graph, tokens, graph.Not(begins_row), begins_word, begins_row)

    def _kinds_of(self, graph, codes):
        is_boundary = graph.Or(graph.Equal(codes, BEGINNING), graph.Less(_SPECIAL - 1, codes))
        points = graph.Clip(graph.Sub(codes, _FIRST), 0, N_POINTS - 1)
        return graph.Where(is_boundary, _BOUNDARY, look_up_points(graph, self._kinds, points))


def _word_starts(graph, codes, kinds):
    r"""Where GPT-2's regular expression begins a word, as a Value: bool [n].

    The expression is 's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+
    """

    def is_(values, *some):
        """Which values are equal to one of one or two numbers."""
        found = [graph.Equal(values, one) for one in some]
        return found[0] if len(found) == 1 else graph.Or(*found)

    before, after = shifted(graph, kinds, 1, _BOUNDARY), shifted(graph, kinds, -1, _BOUNDARY)
    is_white, was_white = is_(kinds, _SPACE, _WHITE), is_(before, _SPACE, _WHITE)
    # a run of white space is one word; but if another character follows, the last white space
    # begins a new word, and if it is a space, the character continues this word
    ends = graph.Greater(after, _WHITE)
    starts = graph.And(is_white, graph.Or(graph.Not(was_white), ends))
    differs = graph.Not(graph.Or(graph.Equal(kinds, before), is_(before, _SPACE)))
    starts = graph.Or(starts, graph.And(graph.Greater(kinds, _WHITE), differs))
    starts = graph.Or(starts, is_(kinds, _BOUNDARY))
    # contractions such as 's, if an apostrophe begins a word
    code = {c: ord(c) + _FIRST for c in "'stmdrevl"}
    apostrophe = graph.And(is_(codes, code["'"]), graph.Not(is_(before, _SPACE, _OTHER)))
    first, second = shifted(graph, codes, -1, PADDING), shifted(graph, codes, -2, PADDING)
    one = graph.Or(is_(first, code["s"], code["t"]), is_(first, code["m"], code["d"]))
    re_ve = graph.And(is_(first, code["r"], code["v"]), is_(second, code["e"]))
    two = graph.Or(re_ve, graph.And(is_(first, code["l"]), is_(second, code["l"])))
    short, long = graph.And(apostrophe, one), graph.And(apostrophe, two)
    inside = graph.Or(
        shifted(graph, graph.Or(short, long), 1, False), shifted(graph, long, 2, False)
    )
    behind = graph.Or(shifted(graph, short, 2, False), shifted(graph, long, 3, False))
    return graph.Or(graph.And(starts, graph.Not(inside)), behind)


def _bytes(graph, codes, starts):
    """The bytes of characters in UTF-8, and whether a word begins at each of them.

    256 is the beginning of a row. Higher numbers are special tokens.
    """
    points = graph.Sub(codes, _FIRST)
    first = points
    for n_following, lowest, lead in ((1, 0x80, 0xC0), (2, 0x800, 0xE0), (3, 0x10000, 0xF0)):
        byte = graph.Add(graph.Div(points, 64**n_following), lead)
        first = graph.Where(graph.Less(points, lowest), first, byte)
    special = graph.Add(graph.Sub(points, N_POINTS), 257)
    first = graph.Where(graph.Less(points, N_POINTS), first, special)
    columns = [graph.Where(graph.Less(points, 0), 256, first)]
    for n_following, lowest in ((2, 0x10000), (1, 0x800), (0, 0x80)):
        byte = graph.Add(graph.Mod(graph.Div(points, 64**n_following), 64), 0x80)
        exists = graph.And(graph.Less(lowest - 1, points), graph.Less(points, N_POINTS))
        columns.append(graph.Where(exists, byte, -1))
    symbols = graph.Concat(*(graph.Unsqueeze(column, [1]) for column in columns), axis=1)
    begins = graph.Pad(graph.Unsqueeze(starts, [1]), [0, 0, 0, 3], False)
    symbols, begins = graph.Reshape(symbols, [-1]), graph.Reshape(begins, [-1])
    exists = graph.Less(-1, symbols)
    return graph.Compress(symbols, exists), graph.Compress(begins, exists)


def _kinds(pre_tokenizer):
    """Find the kind of each code point with the pre-tokenizer: ndarray of shape (0x110000,)."""

    def one_word(before, texts):
        """Which of these texts, which have equal lengths, make one word with `before`."""
        texts = [before + text for text in texts]
        words = pre_tokenizer.pre_tokenize_str("\n".join(texts))
        starts = np.array([start for _, (start, _) in words])
        length = len(texts[0]) + 1
        inside = starts[starts % length < length - 1]
        return np.bincount(inside // length, minlength=len(texts)) == 1

    points = np.array([*CHARACTERS, *(start for start, _ in ALIKE)])
    kinds = np.zeros(N_POINTS, dtype=np.uint8)
    kinds[points] = _WHITE
    # most characters are letters or others, so most blocks have characters of one kind only
    for size in (_BLOCK, 1):
        for before, kind in (("a", _LETTER), ("!", _OTHER), ("1", _NUMBER)):
            blocks = points[: len(points) // size * size].reshape(-1, size)
            found = one_word(before, ["".join(map(chr, block)) for block in blocks.tolist()])
            kinds[blocks[found]] = kind
            points = np.concatenate([blocks[~found].ravel(), points[blocks.size :]])
    kinds[ord(" ")] = _SPACE
    for start, stop in ALIKE:
        kinds[start:stop] = kinds[start]
    white = "".join(map(chr, np.flatnonzero((kinds == _SPACE) | (kinds == _WHITE))))
    assert white == WHITE_SPACE, ascii(white)
    return kinds


def _tokens_of_bytes(parts):
    """The tokens of all bytes that occur in UTF-8, and 0 for the other bytes."""
    vocabulary = parts.model["vocab"]
    tokens = [0] * 256
    # characters in which all of these bytes occur
    points = [*range(0x800), *range(0x800, 0x10000, 0x800), *range(0x10000, N_POINTS, 0x10000)]
    for character in (chr(point) for point in points if point != 0xD800):
        [(letters, _)] = parts.backend.pre_tokenizer.pre_tokenize_str(character)
        for byte, letter in zip(character.encode(), letters, strict=True):
            if letter not in vocabulary:
                raise UnknownTokenizer(f"its vocabulary has no token for the byte {byte}")
            tokens[byte] = vocabulary[letter]
    return tokens


def _merges(model):
    """The merges, by rank: for each, the two tokens, and the token that they become."""
    for option in ("dropout", "continuing_subword_prefix", "end_of_word_suffix", "ignore_merges"):
        if model[option]:
            raise UnknownTokenizer(f"its model has {option}={model[option]!r}")
    vocabulary = model["vocab"]
    return [
        (vocabulary[left], vocabulary[right], vocabulary[left + right])
        for left, right in model["merges"]
    ]
