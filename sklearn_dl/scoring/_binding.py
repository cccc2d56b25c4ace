"""Find the values in X for each input of a graph."""

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
    count_rows,
    counted,
    is_empty_list,
    is_frame,
    is_missing,
    is_series,
    object_array,
    reject_non_column,
    require_columns,
    require_rows,
    set_or_check_features,
    split_columns,
)


def bind(X, graph, estimator, *, reset, allow_nan):
    """Make the source of each input (an object that reads its values batch by batch) from X.

    Parameters
    ----------
    X : anything that a scorer's `transform` accepts
    graph : opened graph
        See `GraphScorer`.
    estimator : estimator with the parameters `inputs` and `pixels`
        If `reset`, its `n_features_in_` and `feature_names_in_` are set. If not, X is checked
        against them.
    reset : bool
    allow_nan : bool
        Whether numbers may be NaN or infinite.

    Returns
    -------
    sources : dict of str to source
        By the name of the input.
    n_rows : int
    """
    sources, n_rows = _bind(X, graph, estimator, reset, allow_nan)
    if reset:
        require_rows(n_rows, estimator)
    for name in estimator.pixels or ():
        if name in sources and not getattr(sources[name], "from_images", False):
            raise ValueError(
                f"`pixels` has the input {name!r}, but X has no images for it. Put ImageLoader and "
                "ImageResizer before the scorer, without a PixelExtractor, or leave "
                f"{name!r} out of `pixels`."
            )
    for source in sources.values():
        if isinstance(source, PixelSource) and not reset:
            # warn only in `transform`: after `fit`, the same warning would appear twice
            warn_of_other_pixels(source.pixels, estimator.model)
    return sources, n_rows


def _bind(X, graph, estimator, reset, allow_nan):
    """As `bind`, but without the check that the inputs in `pixels` get images."""
    if isinstance(X, PixelArray):
        if estimator.inputs is not None or len(graph.inputs) != 1:
            raise ValueError(
                "X is the output of a PixelExtractor. Such an X needs a graph with one input, and "
                f"inputs=None; the inputs of this graph are {listed(graph.inputs)}."
            )
        spec = graph.inputs[0]
        return {spec.name: pixel_source(X, spec, estimator)}, len(X)
    if not graph.inputs and not graph.optional_inputs:
        raise ValueError(
            "The outputs do not depend on any input of the graph: name other tensors in `outputs`."
        )
    known = {spec.name for spec in (*graph.inputs, *graph.optional_inputs)} | {*graph.unused_inputs}
    unknown = [name for name in estimator.pixels or () if name not in known]
    if unknown:
        raise ValueError(
            f"`pixels` names unknown inputs {unknown}; the inputs that X can feed are "
            f"{sorted(known)}."
        )
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
    set_or_check_features(estimator, X, split_columns(X, estimator)[1], reset=reset)
    return {
        name: make_source(block, specs[name], estimator, allow_nan=allow_nan)
        for name, block in blocks.items()
    }, n_rows


def _bind_mapping(X, graph, estimator, allow_nan):
    """The source of each input, and the number of rows, from a dict whose keys name the inputs."""
    specs = {spec.name: spec for spec in (*graph.inputs, *graph.optional_inputs)}
    if len(specs) + len(graph.unused_inputs) == 1:
        (name,) = specs
        raise ValueError(
            f"X is a dict, but the graph has only one input, {name!r}: pass the array itself."
        )
    if estimator.inputs is not None:
        raise ValueError(
            "X is a dict, whose keys name the inputs: set inputs=None, or pass a data frame."
        )
    unknown = [key for key in X if key not in specs and key not in graph.unused_inputs]
    left = [spec.name for spec in graph.inputs if spec.name not in X]
    if unknown or left:
        what = f"has unknown keys {unknown}" if unknown else f"lacks the inputs {left}"
        raise ValueError(
            f"X is a dict that {what}; the inputs of the graph are {listed(specs.values())}."
        )
    sources, lengths = {}, {}
    for name in specs.keys() & X.keys():
        with naming_images(X[name], specs[name], estimator):
            sources[name], lengths[name] = _entry(X[name], specs[name], estimator, allow_nan)
    if len(set(lengths.values())) != 1:
        raise ValueError(f"The arrays of X have different numbers of rows: {lengths}.")
    n_rows = next(iter(lengths.values()))
    for attribute in ("n_features_in_", "feature_names_in_"):
        vars(estimator).pop(attribute, None)
    return sources, n_rows


def _entry(values, spec, estimator, allow_nan):
    """The source of one input, and its number of rows, from its value in a dict."""
    if isinstance(values, PixelArray):
        return pixel_source(values, spec, estimator), len(values)
    reject_non_column(values, estimator)
    if not isinstance(values, (list, tuple)) and not is_frame(values) and not is_series(values):
        values = np.asarray(values)  # they may be a tensor of another package
    cells = _cells(values, spec, estimator)
    if cells is None and spec.dtype != object and np.ndim(values) > 1 and not is_frame(values):
        numbers, errors = numbers_of(values, values, spec, estimator, allow_nan=allow_nan)
        return ArraySource(numbers, spec, errors), len(numbers)
    columns = [cells] if cells is not None else split_columns(values, estimator)[0]
    require_columns(columns, values, estimator)
    return make_source(columns, spec, estimator, allow_nan=allow_nan), len(columns[0])


def _wanted_columns(X, graph, estimator):
    """The columns of X for each input, or None if one input takes all of X."""
    required = [spec.name for spec in graph.inputs]
    wanted = estimator.inputs
    if wanted is not None:
        # `inputs` may also name inputs that the chosen outputs do not need
        wanted = {name: key for name, key in wanted.items() if name not in graph.unused_inputs}
        known = required + [spec.name for spec in graph.optional_inputs]
        unknown = [name for name in wanted if name not in known]
        left = [name for name in required if name not in wanted]
        if unknown or left or not wanted:
            what = f"unknown inputs {unknown}" if unknown else f"no columns for {left}"
            raise ValueError(
                f"`inputs` has {what}; the inputs of the graph are {listed(graph.inputs)}."
            )
        return wanted
    if len(required) == 1 and not graph.unused_inputs:
        return None
    names = split_columns(X, estimator)[1] or []
    if len(required) == 1 and not {*required, *graph.unused_inputs} <= set(names):
        return None
    if set(required) - set(names):
        raise ValueError(
            f"The graph has {len(required)} inputs: {listed(graph.inputs)}. Pass a data frame "
            f"whose columns have these names (X has {names or 'no column names'}), or a dict of "
            "arrays, or set `inputs`. If an input has one value for all rows, set it in "
            "`constants`."
        )
    return {name: name for name in required}


def _whole(X, spec, estimator, reset, allow_nan):
    """The source of the only input, and its number of rows, from all of X."""
    cells = _cells(X, spec, estimator)
    if cells is None and spec.dtype != object:
        names = None
        if is_frame(X):
            columns, names, _ = split_columns(X, estimator)
            require_columns(columns, X, estimator)
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
        columns = columns if cells is None else [cells]
    require_columns(columns, X, estimator)
    is_empty_table = not len(columns[0]) and getattr(X, "ndim", 1) == 2
    if reset or cells is None or names or is_empty_table:
        shown = X if names else np.empty((len(columns[0]), len(columns)), dtype=object)
        set_or_check_features(estimator, shown, names, reset=reset)
    return make_source(columns, spec, estimator, allow_nan=allow_nan), len(columns[0])


def _after_arrays(estimator):
    """Whether `fit` may have seen a column of arrays.

    If so, an X of equally long lists looks like a table, but their length must not be compared with
    `n_features_in_`.
    """
    return getattr(estimator, "n_features_in_", None) == 1


def select_columns(X, wanted, estimator):
    """The columns of X for each input.

    Parameters
    ----------
    X : DataFrame or 2-D array
    wanted : dict of str to (str, int, list or slice)
        Names or positions of the columns, by the name of the input.
    estimator : estimator
        Error messages name it.

    Returns
    -------
    blocks : dict of str to list of ndarray of shape (n_samples,)
    """
    columns, names, one_dimensional = split_columns(X, estimator)
    if one_dimensional:
        raise ValueError(
            "`inputs` selects columns of a data frame or of a 2-D array, but X is one column. Pass "
            "a data frame or a 2-D array, or set inputs=None."
        )

    def pick(name, key):
        """The columns that `key` selects for the input `name`."""
        if isinstance(key, slice):
            key = range(*key.indices(len(columns)))
        keys = key if isinstance(key, (list, tuple, range, np.ndarray)) else [key]
        picked = []
        for one in keys:
            if isinstance(one, str):
                if names is None or one not in names:
                    raise ValueError(
                        f"inputs[{name!r}] names the column {one!r}; X has "
                        f"{'no column names' if names is None else f'the columns {names}'}."
                    )
                picked.append(columns[names.index(one)])
            else:
                if not isinstance(one, (int, np.integer)) or isinstance(one, bool):
                    raise ValueError(
                        f"inputs[{name!r}]={key!r} must be the name or position of a column, a "
                        "list of these, or a slice."
                    )
                position = int(one)
                if not -len(columns) <= position < len(columns):
                    raise ValueError(
                        f"inputs[{name!r}] asks for column {position}, but X has "
                        f"{counted(len(columns), 'column')}."
                    )
                picked.append(columns[position])
        if not picked:
            raise ValueError(f"inputs[{name!r}]={key!r} selects no column.")
        return picked

    return {name: pick(name, key) for name, key in wanted.items()}


def _cells(X, spec, estimator):
    """The `nested_cells` of X, or an empty array if X is a column without rows.

    A column without rows may have lost its dtype, so an input of images accepts any such column.
    """
    if is_empty_list(X):
        return object_array([])
    if count_rows(X) or getattr(X, "ndim", 1) > 2:
        return nested_cells(X, estimator)
    columns, _, is_one_dimensional = split_columns(X, estimator)
    is_column = is_one_dimensional or len(spec.row_shape or ()) > 1
    is_nested = len(columns) == 1 and (is_column or columns[0].dtype == object)
    return object_array([]) if is_nested else None


def nested_cells(X, estimator):
    """The cells of X if it is a column of arrays or lazy images, else None.

    A list of lists is such a column only if the inner lists have different shapes.

    Parameters
    ----------
    X : list, ndarray, Series or frame
    estimator : estimator
        Error messages name it.

    Returns
    -------
    cells : object ndarray of shape (n_samples,) or None
    """
    if isinstance(X, (list, tuple)):
        kinds = (np.ndarray, list, tuple, LazyImage)
        if not X or not all(isinstance(row, kinds) or is_missing(row) for row in X):
            return None
        if any(isinstance(row, (np.ndarray, LazyImage)) for row in X):
            return object_array(X)
        if not all(isinstance(row, kinds) for row in X):  # the others are missing
            is_column = estimator.on_error == "nan" or any(isinstance(row, kinds) for row in X)
            return object_array(X) if is_column else None
        try:
            np.asarray(X)
        except ValueError:  # the rows have different shapes
            return object_array(X)
        return None
    if isinstance(X, np.ndarray) and (X.dtype != object or X.ndim > 2):
        return None
    kinds = (np.ndarray, list, tuple, LazyImage)
    columns, _, is_one_dimensional = split_columns(X, estimator)
    if is_one_dimensional and estimator.on_error == "nan" and all(map(is_missing, columns[0])):
        return columns[0]
    with_objects = [column for column in columns if column.dtype == object]
    nested = [c for c in with_objects if any(issubclass(t, kinds) for t in set(map(type, c)))]
    if nested and len(columns) > 1:
        raise ValueError(f"An input takes one column of arrays, got {len(columns)} columns.")
    return nested[0] if nested else None
