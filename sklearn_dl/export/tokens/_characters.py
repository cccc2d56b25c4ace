"""Tables of how a tokenizer reads characters. The tokenizer itself computes them.

A text is a row of *codes*, one for each character. A code stands for the *symbols* to which the
normalizer converts the character: none (it is removed), one, or several. Characters that are in no
piece of the vocabulary share symbols, so that there are far fewer codes than characters.
"""

from collections import Counter
from typing import NamedTuple

import numpy as np
import tokenizers

from sklearn_dl.export.tokens._text_codes import BEGINNING, PADDING
from sklearn_dl.export.tokens._tokenizer_parts import UnknownTokenizer, allow, only
from sklearn_dl.export.tokens._unicode import ALIKE, CHARACTERS, N_POINTS, SURROGATES, WHITE_SPACE

# kinds of symbols: a word is a run of symbols of one kind, or one isolated symbol
SPACE, LETTER, OTHER, ISOLATED = range(4)
# the first symbols: none, the beginning of a row, and for each kind, characters in no piece
NOTHING, ROW, _UNKNOWN = 0, 1, 2
_FIRST_KINDS = [SPACE, SPACE, SPACE, LETTER, OTHER, ISOLATED]
# normalizers that convert each character independently of its neighbours, except that NFD and NFKD,
# which may be a part of BertNormalizer, sort accents
_NORMALIZERS = {"BertNormalizer", "Lowercase", "NFD", "NFKD", "StripAccents"}
# pre-tokenizers that split texts by the kinds of single characters
_PRE_TOKENIZERS = {"BertPreTokenizer", "Whitespace", "WhitespaceSplit"}
# number of characters that are examined together
_BLOCK = 64
# a letter that normalizers do not change, and to which they convert no other character
_BETWEEN = "\u01bb"


class Characters(NamedTuple):
    """Tables of characters, codes and symbols.

    Attributes
    ----------
    codes : int32 ndarray of shape (0x110000,)
        The code of each character.
    symbols : int32 ndarray of shape (n_codes, n)
        The symbols of each code, padded with NOTHING.
    kinds : int32 ndarray of shape (n_symbols,)
        The kind of each symbol.
    symbols_of : dict of str to dict of int to int
        For a character of the vocabulary: the kinds that it may have, and its symbol for each.
    special : dict of str to int
        The code of each special token. It has one symbol.
    """

    codes: np.ndarray
    symbols: np.ndarray
    kinds: np.ndarray
    symbols_of: dict[str, dict[int, int]]
    special: dict[str, int]


def read_characters(parts):
    """Read all characters with a tokenizer.

    Parameters
    ----------
    parts : TokenizerParts

    Returns
    -------
    characters : Characters

    Raises
    ------
    UnknownTokenizer
        If the tokenizer may read a character differently, depending on its neighbours.
    """
    allow("normalizer", parts.normalizers, _NORMALIZERS)
    only("pre-tokenizer", parts.pre_tokenizers, _PRE_TOKENIZERS)
    readings = _readings(parts)
    symbols_of, kinds = _number_symbols(
        parts.model["vocab"], {c for row in readings.values() for c in row}
    )
    # codes by their symbols, and by a str that distinguishes codes with equal symbols
    numbers: dict[tuple, int] = {((), "padding"): PADDING, ((ROW,), "beginning"): BEGINNING}
    special = {}
    for token in parts.special:
        special[token.content] = numbers[(len(kinds),), "special token"] = len(numbers)
        kinds.append(ISOLATED)
    # special tokens are found by the codes of their characters, so each of these has its own code
    own = set("".join(special))
    unknown_letter = (_UNKNOWN + LETTER,), ""
    codes = np.full(N_POINTS, numbers.setdefault(unknown_letter, len(numbers)), dtype=np.int32)
    for character, row in readings.items():
        symbols = tuple(symbols_of.get(c, {}).get(kind, _UNKNOWN + kind) for c, kind in row)
        key = symbols, character if character in own else ""
        codes[ord(character)] = numbers.setdefault(key, len(numbers))
    for start, stop in ALIKE:
        codes[start:stop] = codes[start]
    codes[SURROGATES] = PADDING
    table = np.full((len(numbers), max(len(s) for s, _ in numbers)), NOTHING, dtype=np.int32)
    for (symbols, _), code in numbers.items():
        table[code, : len(symbols)] = symbols
    return Characters(codes, table, np.array(kinds, dtype=np.int32), symbols_of, special)


def _readings(parts):
    """Return how the tokenizer reads each character, as a dict of lists of (character, kind).

    A character is left out if no special token contains it, and if it becomes one letter that is in
    no piece.
    """
    characters = list(map(chr, [*CHARACTERS, *(start for start, _ in ALIKE)]))
    made = _normalized(parts.backend.normalizer, characters)
    normalized = sorted(set("".join(made)))
    kinds = _kinds(parts.backend.pre_tokenizer, normalized)
    in_pieces = set("".join(parts.model["vocab"]))
    in_special = {character for token in parts.special for character in token.content}
    if any(map(_sorts_accents, parts.normalizers)):
        # other letters do not matter: a word with a letter that is in no piece is always unknown
        _check_order([c for c in normalized if c in in_pieces or c in kinds])
    readings = {}
    for character, becomes in zip(characters, made, strict=True):
        is_letter = len(becomes) == 1 and becomes not in kinds
        if is_letter and becomes not in in_pieces and character not in in_special:
            continue
        row = [(c, kinds.get(c, LETTER)) for c in becomes]
        # the normalizer puts spaces around a Chinese character, which isolate it
        if [kind == SPACE for _, kind in row] == [True, False, True]:
            row = [(row[1][0], ISOLATED)]
        readings[character] = row
    for space in WHITE_SPACE:
        # special tokens may include the white space beside them
        if any(kind != SPACE for _, kind in readings.get(space, [(space, LETTER)])):
            raise UnknownTokenizer(f"it reads the white space {space!r} as a part of a word")
    return readings


def _normalized(normalizer, characters):
    """Return the str to which the normalizer converts each character, as a list."""
    if normalizer is None:
        return characters
    made = normalizer.normalize_str(_BETWEEN.join(characters)).split(_BETWEEN)
    # _BETWEEN itself has become two empty strings
    own = characters.index(_BETWEEN)
    return [*made[:own], _BETWEEN, *made[own + 2 :]]


def _kinds(pre_tokenizer, characters):
    """Return the kinds of normalized characters, as a dict without letters."""

    def count_words(texts):
        """The number of words in each of these texts, which have the same length."""
        starts = [start for _, (start, _) in pre_tokenizer.pre_tokenize_str(" ".join(texts))]
        return np.bincount(np.array(starts) // (len(texts[0]) + 1), minlength=len(texts))

    # most characters are letters: a block of letters makes one word
    blocks = [characters[k : k + _BLOCK] for k in range(0, len(characters), _BLOCK)]
    n_words = count_words(["x" + "".join(block).ljust(_BLOCK, "x") + "x" for block in blocks])
    others = [c for block, n in zip(blocks, n_words, strict=True) if n != 1 for c in block]
    # the number of words in "xccx" shows the kind of c
    n_words = count_words([f"x{c}{c}x" for c in others])
    kind_of = {1: LETTER, 2: SPACE, 3: OTHER, 4: ISOLATED}
    kinds = {c: kind_of[n] for c, n in zip(others, n_words.tolist(), strict=True)}
    return {c: kind for c, kind in kinds.items() if kind != LETTER}


def _sorts_accents(normalizer):
    if normalizer["type"] == "BertNormalizer":
        strips = normalizer["strip_accents"]
        return normalizer["lowercase"] if strips is None else strips
    return normalizer["type"] in ("NFD", "NFKD")


def _check_order(characters):
    """Raise an error if the normalizer may change the order of one of these characters."""
    sort = tokenizers.normalizers.NFD().normalize_str
    first, last = "\u0334", "\u0345"  # in the order of accents
    for c in characters:
        if sort(c + first) != sort(c) + first or sort(last + c) != last + sort(c):
            raise UnknownTokenizer(f"its normalizer sorts accents, and {c!r} is in its vocabulary")


def _number_symbols(pieces, seen):
    """Number the symbols of the vocabulary.

    Parameters
    ----------
    pieces : iterable of str
    seen : set of (str, int)
        Characters and kinds that occur.

    Returns
    -------
    symbols_of : dict of str to dict of int to int
        As in `Characters`.
    kinds : list of int
        The kind of each symbol.
    """
    counts = Counter("".join(pieces))
    kinds = list(_FIRST_KINDS)
    symbols_of: dict[str, dict[int, int]] = {}
    # frequent symbols have low numbers, so that the trie is denser
    for c in sorted(counts, key=lambda c: (-counts[c], c)):
        for kind in (LETTER, OTHER, ISOLATED):
            if (c, kind) in seen:
                symbols_of.setdefault(c, {})[kind] = len(kinds)
                kinds.append(kind)
    return symbols_of, kinds
