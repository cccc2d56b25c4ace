"""Flat arrays in a graph: all values of all rows, one after the other."""

from sklearn_dl.export._graph import END


def without(graph, values, left_out):
    """Return the values of an array that differ from `left_out`, as a flat array."""
    values = graph.Reshape(values, [-1])
    return graph.Compress(values, graph.Not(graph.Equal(values, left_out)))


def shifted(graph, values, k, fill):
    """Shift a flat array by `k` positions to the right, or to the left if `k` is negative.

    The free positions are filled with `fill`.
    """
    padding = [fill] * abs(k)
    if k > 0:
        return graph.Slice(graph.Concat(padding, values, axis=0), [0], [-k])
    return graph.Slice(graph.Concat(values, padding, axis=0), [-k], [END])
