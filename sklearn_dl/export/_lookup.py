"""Look up the cells of a column in a list of values."""

import numpy as np

from sklearn_dl.export._graph import ML
from sklearn_dl.utils._columns import is_missing


def positions(table, column, values, exporter):
    """The position of each cell of a column in a list of distinct values.

    Parameters
    ----------
    table : Table
    column : int
        Position of the column in the table.
    values : ndarray of shape (n_values,)
        Numbers are compared as numpy compares them; NaN equals NaN. A value that the column cannot
        hold, such as None beside strings, is never found.
    exporter : Exporter

    Returns
    -------
    positions : Value, int64 of shape (N,)
        `n_values` for a cell that is not among the values.
    """
    (block,) = exporter.select(table, [column]).blocks
    cells = exporter.graph.Reshape(exporter.value(block), [-1])
    if block.is_text:
        return _of_strings(cells, values, exporter)
    values = _numbers(values, exporter)
    if block.dtype.kind in "biu" and values.dtype.kind in "biu":
        cells = exporter.cast(cells, block.dtype, np.int64)
        keys = {key: i for i, key in enumerate(values.astype(np.int64).tolist())}
        return _of_keys(cells, "keys_int64s", keys, len(values), exporter)
    return _of_floats(exporter.cast(cells, block.dtype, np.float64), values, exporter)


def _of_strings(cells, values, exporter):
    if values.dtype.kind not in "OU":
        _refuse_type("numbers", "strings", exporter)
    keys = {value: i for i, value in enumerate(values.tolist()) if isinstance(value, str)}
    return _of_keys(cells, "keys_strings", keys, len(values), exporter)


def _of_keys(cells, kind, keys, unknown, exporter):
    if not keys:
        return exporter.graph.Expand(unknown, exporter.graph.Shape(cells))
    return exporter.graph.LabelEncoder(
        cells,
        domain=ML,
        **{kind: list(keys)},
        values_int64s=list(keys.values()),
        default_int64=unknown,
    )


def _of_floats(cells, values, exporter):
    graph = exporter.graph
    cells = graph.Unsqueeze(cells, [1])
    equal = graph.Equal(cells, values.astype(np.float64).reshape(1, -1))
    if np.isnan(values).any():
        equal = graph.Or(equal, graph.And(graph.IsNaN(cells), np.isnan(values).reshape(1, -1)))
    unknown = len(values)
    # at most one value is equal
    offsets = graph.Where(equal, np.arange(unknown).reshape(1, -1) - unknown, 0)
    return graph.Add(graph.ReduceSum(offsets, [1], keepdims=0), unknown)


def _numbers(values, exporter):
    """Return the values as numbers. They are an object array if other values were among them."""
    if values.dtype.kind in "OU":
        values = np.array([np.nan if is_missing(value) else value for value in values.tolist()])
    if values.dtype.kind not in "biuf":
        _refuse_type("values other than numbers", "numbers", exporter)
    return values


def _refuse_type(fitted_on, gets, exporter):
    exporter.refuse(
        f"it was fitted on {fitted_on}, but gets {gets}",
        "Pass an X_sample whose columns have the types that it was fitted on.",
    )
