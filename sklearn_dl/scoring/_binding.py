"""Which columns of X are which inputs of a graph."""

from collections.abc import Mapping

import numpy as np
from scipy.sparse import issparse

from sklearn_dl.images import LazyImage, PixelArray
from sklearn_dl.runtimes._scoring_loop import listed
from sklearn_dl.scoring._card_pixels import warn_of_other_pixels
from sklearn_dl.scoring._input_checks import naming_images, number_table, numbers_of
from sklearn_dl.scoring._input_sources import (
    ArraySource,
    PixelSource,
    make_source,
    pixel_source,
)
from sklearn_dl.utils._columns import (
    is_frame,
    is_series,
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
    estimator : estimator with the parameters `inputs` and `pixels`
        Gets `n_features_in_` and `feature_names_in_` if `reset`, else X is checked against them.
    reset, allow_nan : bool

    Returns
    -------
    sources : dict of str to source
    n_rows : int
    """
    sources, n_rows = _bind(X, graph, estimator, reset, allow_nan)
    for name in estimator.pixels or ():
        if name in sources and not getattr(sources[name], "from_images", False):
            raise ValueError(
                f"`pixels` says how images become {name!r}, but X has no images there. Put "
                "ImageLoader and ImageResizer before, without a PixelExtractor, or leave "
                f"{name!r} out of `pixels`."
            )
    for source in sources.values():
        if isinstance(source, PixelSource) and not reset:  # `transform` follows a `fit`
            warn_of_other_pixels(source.pixels, estimator.model)
    return sources, n_rows


def _bind(X, graph, estimator, reset, allow_nan):
    if isinstance(X, PixelArray):
        if estimator.inputs is not None or len(graph.inputs) != 1:
            raise ValueError(
                f"Pixels are for a graph with one input; this has {listed(graph.inputs)}."
            )
        _check_rows(len(X), estimator)
        spec = graph.inputs[0]
        return {spec.name: pixel_source(X, spec, estimator)}, len(X)
    if not graph.inputs and not graph.optional_inputs:
        raise ValueError("The outputs asked for do not depend on any input of X; name others.")
    known = {spec.name for spec in (*graph.inputs, *graph.optional_inputs)} | {*graph.unused_inputs}
    unknown = [name for name in estimator.pixels or () if name not in known]
    if unknown:
        raise ValueError(f"`pixels` has unknown inputs {unknown}; X is for {sorted(known)}.")
    if isinstance(X, Mapping) and not issparse(X):
        return _bind_mapping(X, graph, estimator, allow_nan)
    reject_non_column(X, estimator)
    wanted = _wanted_columns(X, graph, estimator)
    if wanted is None:
        with naming_images(X, graph.inputs[0], estimator):
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


def _bind_mapping(X, graph, estimator, allow_nan):
    """A dict of arrays, whose keys are the inputs."""
    specs = {spec.name: spec for spec in (*graph.inputs, *graph.optional_inputs)}
    if len(specs) + len(graph.unused_inputs) == 1:
        (name,) = specs
        raise ValueError(
            f"X is a dict, which is for graphs with several inputs; X is only for {name!r} here: "
            "give the array itself."
        )
    if estimator.inputs is not None:
        raise ValueError(
            "X is a dict, whose keys are the inputs: leave `inputs` at None, or give a data frame."
        )
    unknown = [key for key in X if key not in specs and key not in graph.unused_inputs]
    left = [spec.name for spec in graph.inputs if spec.name not in X]
    if unknown or left:
        what = f"the unknown inputs {unknown}" if unknown else f"nothing for {left}"
        raise ValueError(f"X is a dict with {what}; the graph has {listed(specs.values())}.")
    sources, lengths = {}, {}
    for name in specs.keys() & X.keys():
        with naming_images(X[name], specs[name], estimator):
            sources[name], lengths[name] = _entry(X[name], specs[name], estimator, allow_nan)
    if len(set(lengths.values())) != 1:
        raise ValueError(f"The arrays of X differ in their numbers of rows: {lengths}.")
    n_rows = next(iter(lengths.values()))
    _check_rows(n_rows, estimator)
    for attribute in ("n_features_in_", "feature_names_in_"):
        vars(estimator).pop(attribute, None)
    return sources, n_rows


def _entry(values, spec, estimator, allow_nan):
    """The source of one input, and its number of rows, from its array."""
    if isinstance(values, PixelArray):
        return pixel_source(values, spec, estimator), len(values)
    reject_non_column(values, estimator)
    if not isinstance(values, (list, tuple)) and not is_frame(values) and not is_series(values):
        values = np.asarray(values)  # tensors of other packages
    cells = nested_cells(values, estimator)
    if cells is None and spec.dtype != object and np.ndim(values) > 1 and not is_frame(values):
        numbers, errors = numbers_of(values, values, spec, estimator, allow_nan=allow_nan)
        return ArraySource(numbers, spec, errors), len(numbers)
    columns = [cells] if cells is not None else split_columns(values, estimator)[0]
    _check_rows(len(columns[0]) if columns else 0, estimator)
    return make_source(columns, spec, estimator, allow_nan=allow_nan), len(columns[0])


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
            f"whose columns carry their names (X has {names or 'no names'}) or a dict of arrays, "
            "or set `inputs`; an input with one value for all rows goes into `constants`."
        )
    return {name: name for name in required}


def _whole(X, spec, estimator, reset, allow_nan):
    """All of X for the only input."""
    cells = nested_cells(X, estimator)
    if cells is None and spec.dtype != object:
        names = None
        if is_frame(X):
            columns, names, _ = split_columns(X, estimator)
            _check_rows(len(X), estimator)
            values, errors = number_table(columns, spec, estimator, allow_nan=allow_nan)
        else:
            values, errors = numbers_of(X, X, spec, estimator, allow_nan=allow_nan)
        were_arrays = _after_arrays(estimator) and isinstance(X, (list, tuple)) and not reset
        if values.ndim == 2 and not were_arrays:
            set_or_check_features(estimator, X if names else values, names, reset=reset)
        return ArraySource(values, spec, errors), len(values)
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
        raise ValueError(
            "Several inputs need a data frame, a 2-D array or a dict of arrays, got one column."
        )

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
    with_objects = [column for column in columns if column.dtype == object]
    nested = [c for c in with_objects if any(issubclass(t, kinds) for t in set(map(type, c)))]
    if nested and len(columns) > 1:
        raise ValueError(f"An input takes one column of arrays, got {len(columns)} columns.")
    return nested[0] if nested else None
