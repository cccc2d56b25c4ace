"""Refuse ONNX graphs that could do harm, before they run."""

from collections import Counter
from collections.abc import Iterator
from functools import cache
from graphlib import CycleError, TopologicalSorter

# operators of ONNX Runtime and its add-ons; by name only, because providers ignore the domain
_UNSAFE_OPS = {
    "ATen": "calls any function of PyTorch",
    "AzureAudioToText": "sends its input to a server",
    "AzureTextToText": "sends its input to a server",
    "AzureTritonInvoker": "sends its input to a server",
    "EPContext": "reads a file of machine code",
    "OpenAIAudioToText": "sends its input to a server",
    "PyOp": "runs Python",
    "PythonOp": "runs Python",
    "PythonOpGrad": "runs Python",
    "Snpe": "runs machine code",
    "TritonOp": "runs Python",
}

# ONNX Runtime inlines every call: deeper calls overflow the stack of some versions
_MAX_CALL_DEPTH = 100
_MAX_NODES = 1_000_000


@cache
def _fields(descriptor):
    """Return (name, is a list) of each field that can contain a node or tensor at any depth."""
    return tuple(
        (field.name, field.default_value is not None)
        for field in descriptor.fields
        if field.message_type is not None and _holds_nodes_or_tensors(field.message_type)
    )


def _holds_nodes_or_tensors(descriptor):
    seen, queue = set(), [descriptor]
    while queue:
        kind = queue.pop()
        if kind.full_name in ("onnx.NodeProto", "onnx.TensorProto"):
            return True
        if kind.full_name not in seen:
            seen.add(kind.full_name)
            queue += [f.message_type for f in kind.fields if f.message_type is not None]
    return False


def walk(*messages) -> Iterator:
    """Yield every node and tensor inside ONNX messages, and the messages that contain them.

    It follows the fields that the installed onnx declares, so that no field is forgotten: inner
    graphs, functions and the defaults of their attributes, sparse tensors, training graphs.

    Parameters
    ----------
    *messages : protobuf messages
        A ModelProto, GraphProto, FunctionProto or NodeProto.

    Yields
    ------
    message : protobuf message
        In no particular order; `messages` are among them.
    """
    stack = list(messages)
    while stack:
        message = stack.pop()
        yield message
        for name, is_list in _fields(message.DESCRIPTOR):
            if is_list:
                stack += getattr(message, name)
            elif message.HasField(name):
                stack.append(getattr(message, name))


def search(model, name):
    """Return the nodes and tensors of a parsed model; raise an error if it could do harm.

    Parameters
    ----------
    model : onnx.ModelProto
    name : str
        Name of the model in messages.

    Returns
    -------
    nodes : list of onnx.NodeProto
    tensors : list of onnx.TensorProto
        All tensors of the model. Both lists include those of inner graphs and functions.

    Raises
    ------
    ValueError
        If an operator uses files or a server, or runs Python or machine code, or if functions
        call each other in a circle, too deeply or too often.
    """
    nodes, tensors = [], []
    for message in walk(model):
        kind = message.DESCRIPTOR.name
        if kind == "NodeProto":
            nodes.append(message)
            if message.op_type in _UNSAFE_OPS:
                raise ValueError(
                    f"{name} contains the operator {message.op_type} (node {message.name!r}), "
                    f"which {_UNSAFE_OPS[message.op_type]}, so it was not loaded. Export the model "
                    "without this operator."
                )
        elif kind == "TensorProto":
            tensors.append(message)
    if model.functions:
        _check_calls(model, name)
    return nodes, tensors


def _check_calls(model, name):
    """Raise a ValueError if functions call each other in a circle, too deeply or too often."""
    keys = {_function_key(function, function.name) for function in model.functions}
    calls, n_nodes = {}, {}
    for function in model.functions:
        key = _function_key(function, function.name)
        calls[key], n_nodes[key] = _calls(function, keys)
    try:
        order = [*TopologicalSorter(calls).static_order()]
    except CycleError as error:
        circle = [key[1] for key in error.args[1]]
        raise ValueError(f"{name} has functions that call themselves ({circle}).") from None
    depth: dict = {}
    for key in order:  # what is called comes before what calls it
        depth[key] = 1 + max((depth[called] for called in calls[key]), default=0)
        inlined = sum(times * n_nodes[called] for called, times in calls[key].items())
        n_nodes[key] = min(n_nodes[key] + inlined, _MAX_NODES + 1)
    called, size = _calls(model.graph, keys)
    deepest = max((depth[key] for key in called), default=0)
    size += sum(times * n_nodes[key] for key, times in called.items())
    if deepest > _MAX_CALL_DEPTH:
        raise ValueError(
            f"{name} nests calls of functions {deepest} deep; at most {_MAX_CALL_DEPTH} levels are "
            "allowed."
        )
    if size > _MAX_NODES:
        raise ValueError(
            f"{name} has functions whose calls make a graph of more than {_MAX_NODES:,} nodes."
        )


def _function_key(message, op_type):
    domain = "" if message.domain == "ai.onnx" else message.domain
    return domain, op_type, message.overload


def _calls(message, keys):
    """Count the calls of each function of `keys` in a graph or function, and its nodes."""
    nodes = [node for node in walk(message) if node.DESCRIPTOR.name == "NodeProto"]
    called = Counter(_function_key(node, node.op_type) for node in nodes)
    return Counter({key: called[key] for key in called.keys() & keys}), len(nodes)
