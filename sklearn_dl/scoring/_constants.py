"""Inputs of a graph that have one value for all rows."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from sklearn_dl.runtimes._scoring_loop import TensorSpec, listed
from sklearn_dl.scoring._input_casts import cast, exact_integers
from sklearn_dl.utils._messages import brief


def fill(graph, constants, takes_bytes):
    """Return the graph with its constants filled in: X then feeds only the other inputs.

    Parameters
    ----------
    graph : opened graph
        See `GraphScorer`.
    constants : dict of str to value, or None
        Numbers, strings or arrays, by the name of the input.
    takes_bytes : bool
        Whether strings may be bytes.

    Returns
    -------
    graph : opened graph
        Its `inputs` and `optional_inputs` do not contain the constants.

    Raises
    ------
    ValueError
        If a name is unknown, or a value does not match its input.
    """
    if not constants:
        return graph
    specs = {spec.name: spec for spec in (*graph.inputs, *graph.optional_inputs)}
    unknown = [name for name in constants if name not in specs and name not in graph.unused_inputs]
    if unknown:
        raise ValueError(
            f"`constants` has unknown inputs {unknown}; the inputs of the graph are "
            f"{listed(specs.values())}."
        )
    if not specs.keys() - constants.keys():
        raise ValueError(
            "`constants` has every input of the graph: leave out the inputs that X feeds."
        )
    batches = {
        spec.shape[0] for name, spec in specs.items() if name not in constants and spec.shape
    }
    constants = [
        _constant(value, specs[name], batches, takes_bytes)
        for name, value in constants.items()
        if name in specs
    ]
    return FilledGraph(graph, {constant.spec.name: constant for constant in constants})


@dataclass(frozen=True, slots=True)
class Constant:
    """An input that has one value for all rows.

    Parameters
    ----------
    spec : TensorSpec
        The input.
    value : ndarray
        The whole input, or one row of it.
    by_row : bool
        Whether `value` is one row, which is repeated for each row of a batch.
    """

    spec: TensorSpec
    value: np.ndarray
    by_row: bool

    def feed(self, n_rows):
        """The array that the graph is fed for a batch of `n_rows` rows."""
        if not self.by_row:
            return self.value
        return np.ascontiguousarray(np.broadcast_to(self.value, (n_rows, *self.value.shape)))


class FilledGraph:
    """An opened graph that adds its constants to what it is fed.

    All other attributes are those of the graph.
    """

    def __init__(self, graph, constants):
        self._graph, self.constants = graph, constants
        self.inputs = tuple(spec for spec in graph.inputs if spec.name not in constants)
        self.optional_inputs = tuple(
            spec for spec in graph.optional_inputs if spec.name not in constants
        )

    def __getattr__(self, name) -> Any:
        return getattr(self._graph, name)

    def run(self, feeds):
        """Run the graph; several threads may call it at once."""
        n_rows = len(next(iter(feeds.values())))
        filled = {name: constant.feed(n_rows) for name, constant in self.constants.items()}
        return self._graph.run({**feeds, **filled})


def _constant(value, spec, batches, takes_bytes):
    """Make a Constant of a value, in the dtype and shape of its input.

    Parameters
    ----------
    value : number, str or array-like
    spec : TensorSpec
        The input.
    batches : set
        The sizes or names of the first axes of the inputs that X feeds.
    takes_bytes : bool
    """
    where = f"constants[{spec.name!r}]"
    try:
        array = _typed(value, spec, takes_bytes)
    except (TypeError, ValueError, OverflowError) as error:
        reason = str(error).removeprefix("Row 0: ")  # a constant has no rows
        raise ValueError(f"{where} does not match the input {spec}: {reason}") from error
    shape = spec.shape
    if shape is None:
        return Constant(spec, array, by_row=False)
    first = shape[0] if shape else 0
    # if no other input has an axis of this name, it is not the batch axis
    is_batch = not isinstance(first, int) and (first is None or first in batches)
    if is_batch and array.ndim == len(shape) and len(array) == 1:
        array = array[0]
    wanted = shape[1:] if is_batch else shape
    if array.ndim == 0 and all(isinstance(size, int) for size in wanted):
        array = np.full(wanted, array)
    if array.ndim != len(wanted) or any(
        isinstance(size, int) and size != seen
        for size, seen in zip(wanted, array.shape, strict=True)
    ):
        what = "a value for one row of the" if is_batch else "a value for the whole"
        raise ValueError(
            f"{where} has shape {array.shape}. Set {what} input {spec}, or a single number if all "
            "its sizes are known."
        )
    return Constant(spec, array, is_batch)


def _typed(value, spec, takes_bytes):
    """The value as an array with the dtype of its input; its shape is unchanged."""
    if spec.dtype == object:
        array = np.asarray(value, dtype=object)
        kinds = (str, bytes) if takes_bytes else str
        if not all(isinstance(cell, kinds) for cell in array.flat):
            raise ValueError(f"it takes strings, got {brief(value)}")
        return array
    array = np.asarray(value)
    if array.dtype == object and any(cell is None for cell in array.flat):
        raise ValueError("it takes numbers, got None")
    if array.dtype.kind not in "biufO":
        raise ValueError(f"it takes numbers, got {brief(value)}")
    flat = array.reshape(1, -1)
    if array.dtype.kind in "Of":
        numbers = flat.astype(np.float64) if array.dtype == object else flat
        flat = exact_integers(numbers, np.asarray(value, dtype=object).reshape(1, -1), spec)
    return cast(flat, spec, [0]).reshape(array.shape)
