"""Outputs of a TensorFlow graph: dense, ragged and sparse tensors as numpy arrays."""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from sklearn_dl.runtimes._scoring_loop import TensorSpec
from sklearn_dl.utils._columns import object_array


@dataclass(frozen=True, slots=True)
class Fetch:
    """An output: its tensors, and the function that makes one array from their values.

    Parameters
    ----------
    spec : TensorSpec
    tensors : tuple of tf.Tensor
    assemble : callable(*arrays) -> ndarray
        The array has one entry per row.
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
        Its name in the signature.
    info : TensorInfo
        It describes a dense tensor, a ragged one (whose rows become arrays) or a sparse one (which
        becomes dense).

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
                "which is not an array; name other tensors in `outputs`."
            )

        return Fetch(TensorSpec(name, None, None), tensors, refuse)
    return dense_fetch(graph, name, info.name)


def refuse_objects(fetches):
    """Raise a ValueError if an output is an object inside TensorFlow, such as a list or a table."""
    for fetch in fetches:
        for tensor in fetch.tensors:
            if tensor.dtype.base_dtype.name in ("resource", "variant"):
                raise ValueError(
                    f"The output {fetch.spec.name!r} is an object inside TensorFlow (a "
                    f"{tensor.dtype.base_dtype.name}), not an array; name other tensors in "
                    "`outputs`."
                )


def _ragged_fetch(graph, name, parts):
    """The Fetch of a ragged tensor: each row becomes an array."""
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
    """The Fetch of a sparse tensor: it becomes dense."""
    tensors = tuple(_tensor(graph, name, part) for part in parts)
    shape = None
    if not stated.unknown_rank:
        shape = tuple(None if dim.size < 0 else dim.size for dim in stated.dim)
    dtype = dtype_of(tensors[1])

    def assemble(positions, values, sizes):
        if not shape or None in shape[1:]:
            raise ValueError(
                f"The output {name!r} is sparse, and its width depends on the longest row of a "
                "batch; name other tensors in `outputs`, or export it as a dense or ragged tensor."
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
            f"The signature says that {name!r} is the tensor {tensor_name!r}, which the graph does "
            "not have."
        ) from error


def shape_of(tensor):
    """The shape of a tensor, with None for unknown sizes, or None if the rank is unknown."""
    return None if tensor.shape.rank is None else tuple(tensor.shape.as_list())


def dtype_of(tensor):
    """The dtype of a tensor's values in numpy arrays, or None if they have none."""
    dtype = tensor.dtype.base_dtype
    try:
        kind = np.dtype(dtype.as_numpy_dtype)
    except (KeyError, TypeError):  # a list of tensors, a table
        return None
    if kind.kind == "V":
        return np.dtype(np.float32) if dtype.is_floating else None
    return kind


def from_graph(array):
    """Convert an array from a session: UTF-8 bytes become str, bfloat16 becomes float32."""
    array = np.asarray(array)
    if array.dtype == object:
        return _decoded(array)
    # numpy does not compute with bfloat16
    return array.astype(np.float32) if array.dtype.kind == "V" else array


def _decoded(array):
    cells = np.empty(array.shape, dtype=object)
    for position, cell in np.ndenumerate(array):
        try:
            cells[position] = cell.decode() if isinstance(cell, bytes) else cell
        except UnicodeDecodeError:
            cells[position] = cell
    return cells
