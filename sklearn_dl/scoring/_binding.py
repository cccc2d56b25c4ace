"""Which columns of X are which inputs of a graph."""

import numpy as np

from sklearn_dl.images import LazyImage, PixelArray
from sklearn_dl.scoring._scorer import listed
from sklearn_dl.scoring._sources import ArraySource, PixelSource, check_numbers, make_source
from sklearn_dl.utils._columns import (
    is_frame,
    object_array,
    reject_non_column,
    set_or_check_features,
    split_columns,
)


def bind(X, graph, estimator, *, reset, allow_nan):
    """Bind X to the inputs of a graph.

    Parameters
    ----------
    X : as a scorer's `transform` takes it
    graph : opened graph
        With `inputs` and `optional_inputs`, tuples of TensorSpec, and `unused_inputs`, names that
        other outputs of the graph need.
    estimator : estimator with the parameter `inputs`
        Gets `n_features_in_` and `feature_names_in_` if `reset`, else X is checked against them.
    reset, allow_nan : bool

    Returns
    -------
    sources : dict of str to source
    n_rows : int
    """
    if isinstance(X, PixelArray):
        if estimator.inputs is not None or len(graph.inputs) != 1:
            raise ValueError(
                f"Pixels are for a graph with one input; this has {listed(graph.inputs)}."
            )
        _check_rows(len(X), estimator)
        return {graph.inputs[0].name: PixelSource(X, graph.inputs[0])}, len(X)
    reject_non_column(X, estimator)
    if not graph.inputs and not graph.optional_inputs:
        raise ValueError("The outputs asked for do not depend on any input; name others.")
    wanted = _wanted_columns(X, graph, estimator)
    if wanted is None:
        source, n_rows = _whole(X, graph.inputs[0], estimator, reset, allow_nan)
        return {graph.inputs[0].name: source}, n_rows
    specs = {spec.name: spec for spec in (*graph.inputs, *graph.optional_inputs)}
    blocks = select_columns(X, wanted, estimator)
    n_rows = len(next(iter(blocks.values()))[0])
    _check_rows(n_rows, estimator)
    set_or_check_features(estimator, X, split_columns(X, estimator)[1], reset=reset)
    return {
        name: make_source(block, specs[name], estimator, allow_nan=allow_nan)
        for name, block in blocks.items()
    }, n_rows


def _wanted_columns(X, graph, estimator):
    """Columns of X for each input, or None where one input takes all of X."""
    required = [spec.name for spec in graph.inputs]
    wanted = estimator.inputs
    if wanted is not None:
        # columns for inputs that other `outputs` need are left aside
        wanted = {name: key for name, key in wanted.items() if name not in graph.unused_inputs}
        known = required + [spec.name for spec in graph.optional_inputs]
        unknown = [name for name in wanted if name not in known]
        left = [name for name in required if name not in wanted]
        if unknown or left or not wanted:
            what = f"unknown inputs {unknown}" if unknown else f"no columns for {left}"
            raise ValueError(f"`inputs` has {what}; the graph has {listed(graph.inputs)}.")
        return wanted
    if len(required) == 1 and not graph.unused_inputs:
        return None
    names = split_columns(X, estimator)[1] or []
    if len(required) == 1 and not {*required, *graph.unused_inputs} <= set(names):
        return None
    if set(required) - set(names):
        raise ValueError(
            f"The graph has {len(required)} inputs: {listed(graph.inputs)}. Give a data frame "
            f"whose columns carry their names (X has {names or 'no names'}), or set `inputs`."
        )
    return {name: name for name in required}


def _whole(X, spec, estimator, reset, allow_nan):
    """All of X for the only input."""
    cells = nested_cells(X, estimator)
    if cells is None and spec.dtype != object:
        values = check_numbers(X, estimator, allow_nan=allow_nan)
        if values.ndim == 2:
            names = split_columns(X, estimator)[1] if is_frame(X) else None
            if not (_after_arrays(estimator) and isinstance(X, (list, tuple)) and not reset):
                set_or_check_features(estimator, X if names else values, names, reset=reset)
        return ArraySource(values, spec), len(values)
    columns, names = [cells], None
    if cells is None or is_frame(X):
        columns, names, _ = split_columns(X, estimator)
    _check_rows(len(columns[0]) if columns else 0, estimator)
    if reset or cells is None or names:
        shown = X if names else np.empty((len(columns[0]), len(columns)), dtype=object)
        set_or_check_features(estimator, shown, names, reset=reset)
    return make_source(columns, spec, estimator, allow_nan=allow_nan), len(columns[0])


def _after_arrays(estimator):
    """Whether `fit` may have seen a column of arrays: rows of one length now look like a table."""
    return getattr(estimator, "n_features_in_", None) == 1


def _check_rows(n_rows, estimator):
    if not n_rows:
        raise ValueError(
            f"Found array with 0 sample(s) while a minimum of 1 is required by "
            f"{type(estimator).__name__}."
        )


def select_columns(X, wanted, estimator):
    """Columns of X for each input.

    Parameters
    ----------
    X : DataFrame or 2-D array
    wanted : dict of str to (str, int, list or slice), or None
        None: columns that carry the names of the inputs.
    estimator : estimator, for messages

    Returns
    -------
    blocks : dict of str to list of ndarray
    """
    columns, names, one_dimensional = split_columns(X, estimator)
    if one_dimensional:
        raise ValueError("Several inputs need a data frame or a 2-D array, got one column.")

    def pick(name, key):
        if isinstance(key, slice):
            key = range(*key.indices(len(columns)))
        keys = key if isinstance(key, (list, tuple, range, np.ndarray)) else [key]
        picked = []
        for one in keys:
            if isinstance(one, str):
                if names is None or one not in names:
                    raise ValueError(
                        f"inputs[{name!r}] names the column {one!r}; X has "
                        f"{'no column names' if names is None else names}."
                    )
                picked.append(columns[names.index(one)])
            else:
                if not isinstance(one, (int, np.integer)) or isinstance(one, bool):
                    raise ValueError(
                        f"inputs[{name!r}]={key!r} must be names or positions of columns."
                    )
                position = int(one)
                if not -len(columns) <= position < len(columns):
                    raise ValueError(
                        f"inputs[{name!r}] asks for column {position} of {len(columns)}."
                    )
                picked.append(columns[position])
        if not picked:
            raise ValueError(f"inputs[{name!r}]={key!r} selects no column.")
        return picked

    return {name: pick(name, key) for name, key in wanted.items()}


def nested_cells(X, estimator):
    """The cells of a column whose rows are arrays, or None if X is none such.

    Parameters
    ----------
    X : list, ndarray, Series or frame
    """
    if isinstance(X, (list, tuple)):
        if not X or not all(isinstance(row, (np.ndarray, list, tuple, LazyImage)) for row in X):
            return None
        if any(isinstance(row, (np.ndarray, LazyImage)) for row in X):
            return object_array(X)
        try:
            np.asarray(X)
        except ValueError:  # numpy makes no array of rows of unequal shapes
            return object_array(X)
        return None
    if isinstance(X, np.ndarray) and (X.dtype != object or X.ndim > 2):
        return None
    kinds = (np.ndarray, list, tuple, LazyImage)
    columns = split_columns(X, estimator)[0]
    nested = [c for c in columns if c.dtype == object and any(isinstance(v, kinds) for v in c)]
    if nested and len(columns) > 1:
        raise ValueError(
            f"A graph with one input takes one column of arrays, got {len(columns)} columns."
        )
    return nested[0] if nested else None
