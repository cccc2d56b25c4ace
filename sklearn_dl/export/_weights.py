"""Store the weights of an exported model in fewer bytes."""

import numpy as np
import onnx
from onnx import numpy_helper

# smaller constants (sizes, settings of operators, biases) do not change
_MIN_SIZE = 1024
_BLOCK = 32
_FLOATS = (onnx.TensorProto.FLOAT, onnx.TensorProto.DOUBLE)


def compress(model, weights):
    """Store the weights of a model as "float16" or "int8", in place.

    The model converts them back to their original type. ONNX Runtime does this once, when it loads
    the model. A tensor with numbers that are too large for float16 does not change.

    Parameters
    ----------
    model : onnx.ModelProto
    weights : {"float16", "int8"}
        "int8": blocks of 32 neighbouring weights share a scale, which is stored as float16.
    """
    graph = model.graph
    kept, nodes = [], []
    for tensor in graph.initializer:
        if tensor.data_type in _FLOATS and np.prod(tensor.dims) >= _MIN_SIZE:
            values = numpy_helper.to_array(tensor)
            if np.abs(values).max() <= np.finfo(np.float16).max:  # False for NaN
                make = _as_float16 if weights == "float16" else _as_int8
                tensors, restoring = make(tensor.name, values, tensor.data_type)
                kept += tensors
                nodes += restoring
                continue
        kept.append(tensor)
    nodes += graph.node
    del graph.initializer[:], graph.node[:]
    graph.initializer.extend(kept)
    graph.node.extend(nodes)


def _as_float16(name, values, kind):
    stored = f"{name}_float16"
    tensor = numpy_helper.from_array(values.astype(np.float16), stored)
    return [tensor], [onnx.helper.make_node("Cast", [stored], [name], to=kind)]


def _as_int8(name, values, kind):
    """Tensors and nodes that restore `values` from blocks of int8."""
    blocks = np.zeros((-(-values.size // _BLOCK), _BLOCK))
    blocks.reshape(-1)[: values.size] = values.ravel()
    scales = (np.abs(blocks).max(axis=1, keepdims=True) / 127).astype(np.float16)
    with np.errstate(divide="ignore", invalid="ignore"):
        levels = np.rint(blocks / scales.astype(np.float64))
    levels = np.nan_to_num(levels, posinf=0, neginf=0).clip(-127, 127).astype(np.int8)
    arrays = {"levels": levels, "scales": scales, "shape": np.array(values.shape, np.int64)}
    tensors = [numpy_helper.from_array(array, f"{name}_{what}") for what, array in arrays.items()]
    node = onnx.helper.make_node
    nodes = [
        node("Cast", [f"{name}_levels"], [f"{name}_whole"], to=kind),
        node("Cast", [f"{name}_scales"], [f"{name}_factors"], to=kind),
        node("Mul", [f"{name}_whole", f"{name}_factors"], [f"{name}_blocks"]),
    ]
    flat = f"{name}_blocks"
    if values.size % _BLOCK:
        ends = {"start": [0], "end": [values.size], "all": [-1]}
        for what, value in ends.items():
            tensors.append(numpy_helper.from_array(np.array(value, np.int64), f"{name}_{what}"))
        nodes += [
            node("Reshape", [flat, f"{name}_all"], [f"{name}_padded"]),
            node("Slice", [f"{name}_padded", f"{name}_start", f"{name}_end"], [f"{name}_flat"]),
        ]
        flat = f"{name}_flat"
    return tensors, [*nodes, node("Reshape", [flat, f"{name}_shape"], [name])]
