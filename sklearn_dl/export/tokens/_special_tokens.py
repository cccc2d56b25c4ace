"""Special tokens that are typed in a text, as a graph."""

import numpy as np
import onnx_ir as ir

from sklearn_dl.export.tokens._double_array import build_double_array, follow
from sklearn_dl.export.tokens._flat import shifted
from sklearn_dl.export.tokens._text_codes import PADDING


def replace_special(graph, special, code_of, codes):
    """Replace the characters of each special token by the code of the token.

    Parameters
    ----------
    graph : Graph
    special : dict of str to int
        The code of each special token. No two of them may overlap in a text.
    code_of : callable(str) -> int
        Returns the code of a character, which no other character has.
    codes : Value
        int64 [n]: the codes of characters.

    Returns
    -------
    codes : Value
        int64 [n]. The first character of a special token is replaced by the code of the token, and
        its other characters by PADDING.
    """
    if not special:
        return codes
    letters = sorted(set("".join(special)))
    numbers = {letter: number for number, letter in enumerate(letters, 1)}
    # 0: the character is in no special token; the last entry, 0 too, is for all higher codes
    number_of_code = np.zeros(2 + max(map(code_of, letters)), dtype=np.int64)
    number_of_code[[code_of(letter) for letter in letters]] = list(numbers.values())
    sequences = {tuple(numbers[c] for c in content): code for content, code in special.items()}
    trie = build_double_array(sequences, len(letters) + 1)
    longest = max(map(len, special))
    padded = graph.Concat(codes, np.full(longest, PADDING), axis=0)
    small = graph.Min(padded, len(number_of_code) - 1)
    # the trie is followed only from characters that can begin a special token, which are few
    begins = np.isin(number_of_code, [sequence[0] for sequence in sequences])
    at = graph.Reshape(graph.NonZero(graph.Gather(begins, small)), [-1])

    def letter(k):
        return graph.Gather(graph.integers(number_of_code), graph.Gather(small, graph.Add(at, k)))

    found, lengths = follow(graph, trie, letter, longest)
    offsets = np.arange(longest)
    at, found, lengths = (graph.Unsqueeze(value, [1]) for value in (at, found, lengths))
    inside = graph.Less(offsets, lengths)
    places = graph.Where(inside, graph.Add(at, offsets), graph.Shape(codes))
    made = graph.Where(graph.And(inside, offsets == 0), found, PADDING)
    places, made = graph.Reshape(places, [-1]), graph.Reshape(made, [-1])
    return graph.Slice(graph.ScatterElements(padded, places, made), [0], [-longest])


def strip_white_space(graph, special, first_code, codes, is_white):
    """Remove the white space beside special tokens that include it.

    Parameters
    ----------
    graph : Graph
    special : list of SpecialToken
    first_code : int
        The code of the first special token. The others have the codes that follow it; no other
        code is higher.
    codes : Value
        int64 [n]
    is_white : Value
        bool [n]: whether each code is white space.

    Returns
    -------
    codes : Value
        int64 [n_left]
    """
    takes_before = np.array([False, *(token.lstrip for token in special)])
    takes_behind = np.array([False, *(token.rstrip for token in special)])
    # find the runs of white space, and the codes beside them
    before, after = shifted(graph, codes, 1, PADDING), shifted(graph, codes, -1, PADDING)
    begins = graph.And(is_white, graph.Not(shifted(graph, is_white, 1, False)))
    ends = graph.And(is_white, graph.Not(shifted(graph, is_white, -1, False)))

    def number(codes):
        return graph.Clip(graph.Sub(codes, first_code - 1), 0, len(special))

    is_taken = graph.Or(
        graph.Gather(takes_behind, number(graph.Compress(before, begins))),
        graph.Gather(takes_before, number(graph.Compress(after, ends))),
    )
    # runs are counted from 1
    run = graph.CumSum(graph.Cast(begins, to=ir.DataType.INT64), 0)
    is_taken = graph.Gather(graph.Concat([False], is_taken, axis=0), run)
    return graph.Compress(codes, graph.Not(graph.And(is_white, is_taken)))
