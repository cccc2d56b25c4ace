"""What a TensorFlow graph is asked for: dense, ragged and sparse tensors as arrays of numpy."""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from sklearn_dl.runtimes._scoring_loop import TensorSpec
from sklearn_dl.utils._columns import object_array


@dataclass(frozen=True, slots=True)
class Fetch:
    """An output: its tensors, and the function that makes one array of their values.

    Parameters
    ----------
    spec : TensorSpec
    tensors : tuple of tf.Tensor
    assemble : callable(*arrays) -> ndarray
        With one value, or missing, per row.
    """

    spec: TensorSpec
    tensors: tuple
    assemble: Callable[..., Any]


def dense_fetch(graph, name, tensor_name):
    """The Fetch of a tensor of the graph."""
    tensor = _tensor(graph, name, tensor_name)
    return Fetch(TensorSpec(name, shape_of(tensor), dtype_of(tensor)), (tensor,), from_graph)


def signature_fetch(graph, name, info):
    """The Fetch of an output or input of a signature.

    Parameters
    ----------
    graph : tf.Graph
    name : str
        What the signature calls it.
    info : TensorInfo
        A dense tensor; a ragged one, whose rows become arrays; a sparse one, which becomes dense.

    Raises
    ------
    ValueError
        If the graph has no such tensor.
    """
    kind = info.WhichOneof("encoding")
    if kind == "coo_sparse":
        sparse = info.coo_sparse
        parts = (
            sparse.indices_tensor_name,
            sparse.values_tensor_name,
            sparse.dense_shape_tensor_name,
        )
        return _sparse_fetch(graph, name, parts, info.tensor_shape)
    if kind == "composite_tensor":
        spec = info.composite_tensor.type_spec
        parts = tuple(part.name for part in info.composite_tensor.components)
        if spec.type_spec_class == spec.RAGGED_TENSOR_SPEC and len(parts) > 1:
            return _ragged_fetch(graph, name, parts)
        tensors = tuple(_tensor(graph, name, part) for part in parts)

        def refuse(*_):
            raise ValueError(
                f"The output {name!r} is a {spec.type_spec_class_name or 'composite tensor'}, "
                "which is no array; name others in `outputs`."
            )

        return Fetch(TensorSpec(name, None, None), tensors, refuse)
    return dense_fetch(graph, name, info.name)


def refuse_objects(fetches):
    """Raise if an output is a list, a table or another object inside TensorFlow, not an array."""
    for fetch in fetches:
        for tensor in fetch.tensors:
            if tensor.dtype.base_dtype.name in ("resource", "variant"):
                raise ValueError(
                    f"The output {fetch.spec.name!r} is an object inside TensorFlow (a "
                    f"{tensor.dtype.base_dtype.name}), not an array; name others in `outputs`."
                )


def _ragged_fetch(graph, name, parts):
    values, *splits = (_tensor(graph, name, part) for part in parts)
    inner = shape_of(values)
    shape = None if inner is None else (None,) * (len(splits) + 1) + inner[1:]

    def assemble(values, *splits):
        rows = from_graph(values)
        for edges in reversed(splits):
            rows = object_array([rows[start:stop] for start, stop in pairwise(edges)])
        return rows

    return Fetch(TensorSpec(name, shape, dtype_of(values)), (values, *splits), assemble)


def _sparse_fetch(graph, name, parts, stated):
    tensors = tuple(_tensor(graph, name, part) for part in parts)
    shape = None
    if not stated.unknown_rank:
        shape = tuple(None if dim.size < 0 else dim.size for dim in stated.dim)
    dtype = dtype_of(tensors[1])

    def assemble(positions, values, sizes):
        if not shape or None in shape[1:]:
            raise ValueError(
                f"The output {name!r} is sparse, and the longest row of a batch decides its width; "
                "name others in `outputs`, or export it as a dense or ragged tensor."
            )
        values = from_graph(values)
        rows = np.full((sizes[0], *shape[1:]), "" if values.dtype == object else 0, values.dtype)
        rows[tuple(positions.T)] = values
        return rows

    return Fetch(TensorSpec(name, shape, dtype), tensors, assemble)


def _tensor(graph, name, tensor_name):
    try:
        return graph.get_tensor_by_name(tensor_name)
    except (KeyError, ValueError) as error:
        raise ValueError(
            f"The signature's {name!r} is {tensor_name!r}, a tensor that the graph does not have."
        ) from error


def shape_of(tensor):
    """The shape of a tensor, with None for sizes that are not known; None: rank unknown."""
    return None if tensor.shape.rank is None else tuple(tensor.shape.as_list())


def dtype_of(tensor):
    """The dtype of a tensor's values as arrays of numpy; None: there is none."""
    dtype = tensor.dtype.base_dtype
    try:
        kind = np.dtype(dtype.as_numpy_dtype)
    except (KeyError, TypeError):  # a list of tensors, a table
        return None
    if kind.kind == "V":
        return np.dtype(np.float32) if dtype.is_floating else None
    return kind


def from_graph(array):
    """Values that a session gives: bytes of UTF-8 as str, and float32 for bfloat16."""
    array = np.asarray(array)
    if array.dtype == object:
        return _decoded(array)
    # numpy does not count with bfloat16
    return array.astype(np.float32) if array.dtype.kind == "V" else array


def _decoded(array):
    cells = np.empty(array.shape, dtype=object)
    for position, cell in np.ndenumerate(array):
        try:
            cells[position] = cell.decode() if isinstance(cell, bytes) else cell
        except UnicodeDecodeError:
            cells[position] = cell
    return cells
