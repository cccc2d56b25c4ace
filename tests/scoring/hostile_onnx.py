"""Generators of hostile and damaged ONNX files, and checks that they are refused."""

import pickle

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from onnx import AttributeProto, ModelProto, TensorProto, helper, numpy_helper

from sklearn_dl import OnnxScorer, clear_sessions
from tests.scoring.onnx_graphs import WEIGHTS, model, negate, node, two_layers, value

# an input of `two_layers` and its output
X = np.array([[1.0, 2.0, 3.0], [-3.0, 0.0, 1.0]], dtype=np.float32)
EXPECTED = (X @ WEIGHTS).clip(0)

OPSETS = [helper.make_opsetid("", 17), helper.make_opsetid("own", 1)]


def save(proto, folder, name="model.onnx"):
    """Write a ModelProto to a file; returns its path."""
    path = folder / name
    path.write_bytes(proto.SerializeToString())
    return path


def assert_refused(path, match):
    """Neither scoring nor pickling takes the file, and the error says why."""
    for use in (lambda: OnnxScorer(path).transform(X), lambda: pickle.dumps(OnnxScorer(path))):
        clear_sessions()
        with pytest.raises((ValueError, FileNotFoundError), match=match):
            use()


def scores_of(path):
    """What the file gives for `X`; its unpickled scorer must give the same."""
    clear_sessions()
    scorer = OnnxScorer(path)
    scores = scorer.transform(X)
    loaded = pickle.loads(pickle.dumps(scorer))
    clear_sessions()
    assert_array_equal(loaded.transform(X), scores)
    return scores


def external_tensor(location, name="w", shape=(3,), **entries):
    """A float tensor whose bytes are in a data file."""
    tensor = TensorProto(name=name, data_type=TensorProto.FLOAT, dims=shape)
    tensor.data_location = TensorProto.EXTERNAL
    for key, entry in {"location": location, **entries}.items():
        tensor.external_data.add(key=key, value=str(entry))
    return tensor


def field_paths_to(kind):
    """Every path of field names from a ModelProto to messages called `kind`, no field twice."""
    found, queue = [], [(ModelProto.DESCRIPTOR, ())]
    while queue:
        descriptor, path = queue.pop()
        for field in descriptor.fields:
            if field.message_type is None or field in path:
                continue
            if field.message_type.full_name == f"onnx.{kind}":
                found.append([step.name for step in (*path, field)])
            queue.append((field.message_type, (*path, field)))
    return sorted(found)


def two_layers_with(message, path):
    """`two_layers` with a message where a path of field names leads, new messages on the way."""
    made = two_layers()
    here = made
    for name in path:
        below = getattr(here, name)
        here = below.add() if hasattr(below, "add") else below
        if name == "functions":
            here.name = "unused"
    here.MergeFrom(message)
    return made


INNER_PLACES = ["initializer", "constant", "sparse", "branch", "branch of branch", "function"]
INNER_PLACES += ["function of function", "default of a function's attribute"]


def graph_with_inner_tensor(place, location):
    """y = x + [1, 2, 3] of 3 columns, the constant in a data file and hidden in `place`."""
    inner = external_tensor(location)
    constant = node("Constant", [], ["c"], value=inner)
    functions, nodes, weights = [], [], []
    if place == "initializer":
        inner.name = "c"
        weights = [inner]
    elif place == "constant":
        nodes = [constant]
    elif place == "sparse":
        indices = helper.make_tensor("i", TensorProto.INT64, [3], [0, 1, 2])
        sparse = helper.make_sparse_tensor(inner, indices, [3])
        nodes = [node("Constant", [], ["c"], sparse_value=sparse)]
    elif place in ("branch", "branch of branch"):
        branch = helper.make_graph(
            [node("Identity", ["w"], ["v"])], "in", [], [value("v", np.float32, [3])], [inner]
        )
        if place == "branch of branch":
            again = node("If", ["yes"], ["v"], then_branch=branch, else_branch=branch)
            branch = helper.make_graph([again], "out", [], [value("v", np.float32, [3])])
        yes = numpy_helper.from_array(np.array(True), "yes")
        weights = [yes]
        nodes = [node("If", ["yes"], ["c"], then_branch=branch, else_branch=branch)]
    elif place in ("function", "function of function"):
        functions = [helper.make_function("own", "f", [], ["c"], [constant], OPSETS)]
        if place == "function of function":
            call = node("f", [], ["c"], domain="own")
            functions.append(helper.make_function("own", "g", [], ["c"], [call], OPSETS))
        nodes = [node(functions[-1].name, [], ["c"], domain="own")]
    else:
        reference = node("Constant", [], ["c"])
        reference.attribute.add(name="value", ref_attr_name="value", type=AttributeProto.TENSOR)
        default = helper.make_attribute("value", inner)
        functions = [
            helper.make_function(
                "own", "f", [], ["c"], [reference], OPSETS, attribute_protos=[default]
            )
        ]
        nodes = [node("f", [], ["c"], domain="own")]
    graph = helper.make_graph(
        [*nodes, node("Add", ["x", "c"], ["y"])],
        "inner",
        [value("x", np.float32, ["N", 3])],
        [value("y", np.float32, ["N", 3])],
        weights,
    )
    return helper.make_model(graph, functions=functions, opset_imports=OPSETS, ir_version=9)


def graph_that_calls(functions):
    """A graph that calls the last of `functions`: each has the names of those that it calls."""
    made = []
    for name, called in functions.items():
        tensors = ["a", *(f"t{i}" for i in range(1, len(called))), "b"]
        nodes = [
            node(other, [tensors[i]], [tensors[i + 1]], domain="own")
            for i, other in enumerate(called)
        ]
        made.append(
            helper.make_function(
                "own", name, ["a"], ["b"], nodes or [node("Neg", ["a"], ["b"])], OPSETS
            )
        )
    spec = (np.float32, ["N", 2])
    graph = model([node(name, ["x"], ["y"], domain="own")], {"x": spec}, {"y": spec}).graph
    return helper.make_model(graph, functions=made, opset_imports=OPSETS, ir_version=8)


def graph_of_doubling_calls(depth):
    """2 ** `depth` nodes by `depth` functions, each of which calls the one before it twice."""
    calls = {f"f{i}": [f"f{i - 1}"] * 2 for i in range(1, depth + 1)}
    return graph_that_calls({"f0": [], **calls})


def endless_loop():
    """A Loop that never stops."""
    body = helper.make_graph(
        [node("Identity", ["go"], ["continue_from"]), node("Neg", ["v"], ["w"])],
        "body",
        [value("i", np.int64, []), value("go", bool, []), value("v", np.float32, ["N", 2])],
        [value("continue_from", bool, []), value("w", np.float32, ["N", 2])],
    )
    spec = (np.float32, ["N", 2])
    return model(
        [node("Loop", ["", "true", "x"], ["y"], body=body)],
        {"x": spec},
        {"y": spec},
        {"true": np.array(True)},
    )


def growing_loop():
    """A Loop whose value doubles until no memory is left."""
    body = helper.make_graph(
        [node("Identity", ["go"], ["continue_from"]), node("Concat", ["v", "v"], ["w"], axis=0)],
        "body",
        [value("i", np.int64, []), value("go", bool, []), value("v", np.float32, None)],
        [value("continue_from", bool, []), value("w", np.float32, None)],
    )
    return model(
        [node("Loop", ["", "true", "x"], ["y"], body=body)],
        {"x": (np.float32, ["N", 2])},
        {"y": (np.float32, None)},
        {"true": np.array(True)},
    )


def nested_graphs(depth):
    """Bytes of a graph inside a graph inside a graph, which protobuf would not write."""

    def field(number, content):
        size, digits = len(content), b""
        while size > 127:
            digits += bytes([size & 127 | 128])
            size >>= 7
        return bytes([number << 3 | 2]) + digits + bytes([size]) + content

    graph = negate().graph.SerializeToString()
    for _ in range(depth):
        attribute = field(1, b"then_branch") + field(6, graph)  # AttributeProto.name, .g
        graph = field(1, field(4, b"If") + field(5, attribute))  # GraphProto.node
    return field(7, graph)  # ModelProto.graph
