"""A trie in two arrays, which a graph can follow with additions and lookups only."""

from itertools import count
from typing import NamedTuple

import numpy as np


class DoubleArray(NamedTuple):
    """A trie over sequences of ints, as arrays over its cells (Aoe, 1989).

    The root is cell 0. From cell `s`, symbol `c` leads to cell ``base[s] + c`` if ``check`` of that
    cell is `s`, and nowhere otherwise.

    Attributes
    ----------
    base, check : int64 ndarray of shape (n_cells,)
        `check` is -1 at positions that are not used. ``base[s] + c`` is a position in `check` for
        every cell `s` and every symbol `c` below `n_symbols`.
    value, length : int64 ndarray of shape (n_cells,)
        Value and length of the longest sequence that is a prefix of the path to this cell, or -1
        and 0 if there is none.
    """

    base: np.ndarray
    check: np.ndarray
    value: np.ndarray
    length: np.ndarray


def build_double_array(sequences, n_symbols):
    """Build the trie of sequences.

    Parameters
    ----------
    sequences : dict of tuple of int to int
        The value of each sequence. Symbols are at least 1 and below `n_symbols`.
    n_symbols : int

    Returns
    -------
    trie : DoubleArray
    """
    # parents have lower numbers than their children
    children: list[dict[int, int]] = [{}]
    values, lengths = [-1], [0]
    for sequence, value in sorted(sequences.items()):
        node = 0
        for symbol in sequence:
            known = children[node].get(symbol)
            if known is None:
                known = children[node][symbol] = len(children)
                children.append({})
                values.append(values[node])
                lengths.append(lengths[node])
            node = known
        # a sequence comes after its prefixes, so that its nodes inherit their values
        values[node], lengths[node] = value, len(sequence)
    bases = _bases(children)
    cell = np.zeros(len(children), dtype=np.int64)
    parent = np.full(len(children), -1)
    for node, below in enumerate(children):
        for symbol, child in below.items():
            cell[child] = bases[node] + symbol
            parent[child] = node
    n_cells = int(bases.max()) + n_symbols
    made = DoubleArray(
        np.zeros(n_cells, dtype=np.int64),
        np.full(n_cells, -1),
        np.full(n_cells, -1),
        np.zeros(n_cells, dtype=np.int64),
    )
    made.base[cell] = bases
    made.check[cell[1:]] = cell[parent[1:]]
    made.value[cell] = values
    made.length[cell] = lengths
    return made


def _bases(children):
    """Choose a base for each node, so that no two nodes have a child in the same cell.

    The nodes with the most children come first. Each takes the lowest base that is free. The free
    cells are the bits of a Python int, which has infinitely many bits: operations on bits try all
    bases at once.
    """
    bases = np.zeros(len(children), dtype=np.int64)
    # the root's base is 0, and its own cell is taken
    free = ~(1 | sum(1 << symbol for symbol in children[0]))
    several = [node for node, below in enumerate(children) if node and len(below) > 1]
    for node in sorted(several, key=lambda node: -len(children[node])):
        fits = -1
        for symbol in children[node]:
            fits &= free >> symbol
        base = (fits & -fits).bit_length() - 1
        free ^= sum(1 << symbol for symbol in children[node]) << base
        bases[node] = base
    # a single child fits into any free cell that is not before its symbol
    cells = (cell for cell in count() if free >> cell & 1)
    single = [(min(below), node) for node, below in enumerate(children) if node and len(below) == 1]
    for symbol, node in sorted(single):
        bases[node] = next(cell for cell in cells if cell >= symbol) - symbol
    return bases


def follow(graph, trie, symbol, n_steps):
    """Follow a trie in a graph, from many positions at once.

    Parameters
    ----------
    graph : Graph
    trie : DoubleArray
    symbol : callable(k) -> Value
        int64 [n]: for each position, the symbol `k` steps after it. No cell follows symbol 0.
    n_steps : int
        Length of the longest sequence.

    Returns
    -------
    values, lengths : Value
        int64 [n]: value and length of the longest sequence that begins at each position.
    """
    base, check = graph.integers(trie.base), graph.integers(trie.check)
    # the base of the root is 0
    goes_on = graph.Equal(graph.Gather(check, symbol(0)), 0)
    cell = graph.Where(goes_on, symbol(0), 0)
    for k in range(1, n_steps):
        following = graph.Add(graph.Gather(base, cell), symbol(k))
        goes_on = graph.And(goes_on, graph.Equal(graph.Gather(check, following), cell))
        cell = graph.Where(goes_on, following, cell)
    return tuple(graph.Gather(graph.integers(x), cell) for x in (trie.value, trie.length))
