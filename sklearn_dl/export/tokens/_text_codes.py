"""The two forms of texts in a graph: strings, or bytes of UTF-8.

A text becomes a row of codes, one for each character. The tokenizer defines the codes. Two codes
are the same for all tokenizers: PADDING, at positions of a row without a character, and BEGINNING,
which can be put before a row.
"""

import numpy as np
import onnx_ir as ir

from sklearn_dl.export._graph import END, MICROSOFT, ML
from sklearn_dl.export.tokens._unicode import CHARACTERS, N_POINTS, UNASSIGNED

PADDING, BEGINNING = 0, 1
_PAGE = 256


def codes_of_strings(graph, codes, texts):
    """The codes of texts that are strings.

    Parameters
    ----------
    graph : Graph
    codes : int ndarray of shape (0x110000,)
        The code of each character. Code points that are not characters, and those of private
        planes, get the code of UNASSIGNED, because they would fill most of the table.
    texts : list of Value
        Strings [N, 1].

    Returns
    -------
    codes : Value
        int64 [n_texts * N, n]
    """
    # append a row with one character, because the split texts must have at least one column
    rows = graph.Concat(*(graph.Reshape(text, [-1]) for text in texts), ["a"], axis=0)
    options = {"mark": 0, "mincharnum": 1, "pad_value": "", "separators": [""]}
    split = graph.node("Tokenizer", rows, domain=MICROSOFT, dtype=str, **options)
    default = int(codes[UNASSIGNED])
    others = [point for point in CHARACTERS if codes[point] != default]
    found = graph.node(
        "LabelEncoder",
        split,
        domain=ML,
        keys_strings=["", *map(chr, others)],
        values_int64s=[PADDING, *codes[others].tolist()],
        default_int64=default,
    )
    return graph.Slice(found, [0], [-1], [0])


def codes_of_bytes(graph, look_up, texts):
    """The codes of texts that are bytes of UTF-8.

    Parameters
    ----------
    graph : Graph
    look_up : callable(points) -> Value
        Returns the codes of code points.
    texts : list of Value
        uint8 [N, n_bytes], padded with zeros.

    Returns
    -------
    codes : Value
        int64 [n_texts * N, n]. The code is PADDING for bytes that continue a character.
    """
    # up to three bytes follow the first of a character
    widths = [graph.Shape(text, start=1, end=2) for text in texts]
    longest = graph.Add(graph.Max(*widths), 3)
    padded = [
        graph.Pad(text, graph.Concat([0, 0, 0], graph.Sub(longest, width), axis=0))
        for text, width in zip(texts, widths, strict=True)
    ]
    rows = graph.Cast(graph.Concat(*padded, axis=0), to=ir.DataType.INT64)
    first, *others = (graph.Slice(rows, [k], [k - 3 if k < 3 else END], [1]) for k in range(4))
    point = total = first
    # the lowest first byte of a character of 2, 3 or 4 bytes
    for n_bytes, lead in (2, 0xC0), (3, 0xE0), (4, 0xF0):
        continued = graph.Sub(others[n_bytes - 2], 0x80)
        total = graph.Add(graph.Mul(total, 64), continued)
        longer = graph.Sub(total, lead * 64 ** (n_bytes - 1))
        point = graph.Where(graph.Less(first, lead), point, longer)
    number = graph.Range(1, graph.Add(graph.Squeeze(longest), -2), 1)
    n_bytes = graph.ReduceMax(graph.Where(graph.Equal(first, 0), 0, number), [1])
    begins = graph.Or(graph.Less(first, 0x80), graph.Not(graph.Less(first, 0xC0)))
    inside = graph.Not(graph.Greater(number, n_bytes))
    # bytes that are not UTF-8 must not give positions outside of the tables
    codes = look_up(graph.Clip(point, 0, N_POINTS - 1))
    return graph.Where(graph.And(begins, inside), codes, PADDING)


def look_up_points(graph, table, points):
    """Look up the value of each code point in a table.

    Parameters
    ----------
    graph : Graph
    table : int ndarray of shape (0x110000,)
    points : Value
        int64 of any shape.

    Returns
    -------
    values : Value
        int64 of the same shape.
    """
    # many pages of the table are equal
    pages, page_of = np.unique(table.reshape(-1, _PAGE), axis=0, return_inverse=True)
    page = graph.Gather(graph.integers(page_of), graph.Div(points, _PAGE))
    place = graph.Add(graph.Mul(page, _PAGE), graph.Mod(points, _PAGE))
    return graph.Gather(graph.integers(pages.ravel()), place)
