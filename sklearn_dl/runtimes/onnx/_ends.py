"""Inputs and outputs of ONNX graphs: their specs, and casts of types that numpy does not know."""

import numpy as np

from sklearn_dl.runtimes._scoring_loop import TensorSpec
from sklearn_dl.utils._optional import import_optional

_DTYPES: dict[str, np.dtype] = {
    "float": np.dtype(np.float32),
    "double": np.dtype(np.float64),
    "float16": np.dtype(np.float16),
    "bool": np.dtype(bool),
    "string": np.dtype(object),
    **{f"{u}int{b}": np.dtype(f"{u}int{b}") for u in ("", "u") for b in (8, 16, 32, 64)},
}
# type in ONNX Runtime: the type of onnx.TensorProto that replaces it; inputs keep their range
CAST_INPUTS = {"tensor(bfloat16)": "FLOAT"}
CAST_OUTPUTS = {
    **CAST_INPUTS,
    **{f"tensor(float8{kind})": "FLOAT" for kind in ("e4m3fn", "e4m3fnuz", "e5m2", "e5m2fnuz")},
    "tensor(int4)": "INT8",
    "tensor(uint4)": "UINT8",
}


def spec_of(value, names):
    """The TensorSpec of an input or output of a session; `names` is what `cast_ends` returns."""
    own = {inside: outside for outside, inside in names.items()}
    name, kind = own.get(value.name, value.name), value.type
    if kind.startswith("seq(map("):
        return TensorSpec(name, None, _DTYPES.get(kind[:-3].rpartition("(")[2]))
    dtype = _DTYPES.get(kind.removeprefix("tensor(").removesuffix(")"))
    # ONNX Runtime shows an unknown rank like rank 0; a tensor with rows never has rank 0
    return TensorSpec(name, tuple(value.shape or ()) or None, dtype)


def needs_casts(session):
    """Whether an input or output of a session has a type that `cast_ends` casts."""
    return any(value.type in CAST_INPUTS for value in session.get_inputs()) or any(
        value.type in CAST_OUTPUTS for value in session.get_outputs()
    )


def cast_ends(model, inputs, outputs):
    """Add casts to inputs and outputs of a parsed graph whose types numpy lacks, in place.

    Parameters
    ----------
    model : onnx.ModelProto
    inputs, outputs : sequence of onnxruntime.NodeArg
        The inputs and outputs of the session of `model`.

    Returns
    -------
    names : dict of str to str
        The new name of each input and output that was changed, by its old name.
    """
    onnx = import_optional("onnx", extra="onnx", purpose="OnnxScorer")
    graph, names = model.graph, {}
    taken = {name for node in graph.node for name in (*node.input, *node.output)}
    taken |= {value.name for value in (*graph.input, *graph.output)}

    def renamed(values, name, kind):
        new = f"{name}_{kind.lower()}"
        while new in taken:
            new += "_"
        taken.add(new)
        names[name] = new
        value = next(value for value in values if value.name == name)
        value.name = new
        value.type.tensor_type.elem_type = onnx.TensorProto.DataType.Value(kind)
        return new

    for found in inputs:
        if found.type in CAST_INPUTS:
            new = renamed(graph.input, found.name, CAST_INPUTS[found.type])
            to = onnx.TensorProto.BFLOAT16
            graph.node.insert(0, onnx.helper.make_node("Cast", [new], [found.name], to=to))
    for found in outputs:
        if found.type in CAST_OUTPUTS:
            kind = CAST_OUTPUTS[found.type]
            new = renamed(graph.output, found.name, kind)
            to = onnx.TensorProto.DataType.Value(kind)
            graph.node.append(onnx.helper.make_node("Cast", [found.name], [new], to=to))
    return names


def inner_tensors(model):
    """The tensors that `outputs` can name in a parsed graph: TensorSpecs in the order of its nodes.

    Shapes and types are those that the graph states, or that onnx infers.
    """
    onnx = import_optional("onnx", extra="onnx", purpose="OnnxScorer")
    try:
        graph = onnx.shape_inference.infer_shapes(model).graph
    except Exception:  # onnx and protobuf raise errors of their own, e.g. for large models
        graph = model.graph
    stated = {value.name: value.type for value in (*graph.value_info, *graph.output)}
    made = [name for node in graph.node if node.op_type != "Constant" for name in node.output]
    return tuple(_stated_spec(onnx, name, stated.get(name)) for name in made if name)


def _stated_spec(onnx, name, kind):
    if kind is None or kind.WhichOneof("value") != "tensor_type":
        return TensorSpec(name, None, None)
    tensor = kind.tensor_type
    shape = None
    if tensor.HasField("shape"):
        dims = tensor.shape.dim
        shape = tuple(d.dim_value if d.HasField("dim_value") else d.dim_param or None for d in dims)
    known = onnx.TensorProto.DataType.keys()
    numbers = onnx.TensorProto.DataType.values()
    label = known[numbers.index(tensor.elem_type)] if tensor.elem_type in numbers else ""
    label = CAST_OUTPUTS.get(f"tensor({label.lower()})", label)
    return TensorSpec(name, shape, _DTYPES.get(label.lower()))
