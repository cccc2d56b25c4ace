"""The lists of TensorFlow's operations, and the search of a graph for those not allowed."""

import fnmatch
import re

import pytest
from tensorflow.core.framework import op_def_pb2
from tensorflow.python.client import pywrap_tf_session

from sklearn_dl.runtimes.tensorflow._safety import operations, refuse_unsafe
from tests.scoring.hostile_graphs import add_node
from tests.scoring.tensorflow_models import tf, v1


def graph_of(op, in_function=False):
    """A graph of one node "n", which may stand in a function "f"."""
    graph_def = v1.GraphDef()
    nodes = graph_def.node
    if in_function:
        function = graph_def.library.function.add()
        function.signature.name, nodes = "f", function.node_def
    nodes.add(name="n", op=op)
    return graph_def


def chain_of_functions(depth, circular=False):
    """A graph that calls f0, which calls f1, and so on."""
    graph_def = graph_of("f0")
    for number in range(depth):
        function = graph_def.library.function.add()
        function.signature.name = f"f{number}"
        if number + 1 < depth or circular:
            call = add_node(function.node_def, "call", "PartitionedCall")
            call.attr["f"].func.name = f"f{(number + 1) % depth}"
    return graph_def


def registered_operations():
    """All operations of this TensorFlow by name."""
    found = op_def_pb2.OpList()
    found.ParseFromString(pywrap_tf_session.TF_GetBuffer(pywrap_tf_session.TF_GetAllOpList()))
    return {op.name: op for op in found.op}


# --- the lists


def test_every_operation_of_tensorflow_is_on_one_list():
    """Where it fails, TensorFlow has new operations: read what they do, and put them on a list."""
    lists, registered = operations(), registered_operations()
    assert sorted(op for op in registered if not lists.is_known(op)) == []
    assert sorted(lists.allowed - registered.keys()) == []
    on_both = {
        op for op in lists.allowed for pattern in lists.refused if fnmatch.fnmatchcase(op, pattern)
    }
    assert on_both == set()


def test_no_allowed_operation_has_an_argument_that_names_a_place():
    """A file, folder, address or program."""
    words = ("file", "directory", "address", "logdir", "path", "url", "descriptor", "module")
    registered = registered_operations()
    found = {
        (op, argument.name)
        for op in operations().allowed & registered.keys()
        for argument in (*registered[op].input_arg, *registered[op].attr)
        if any(word in argument.name for word in words)
    }
    assert found == {("CTCBeamSearchDecoder", "top_paths")}  # a number


# --- the search


def test_every_operation_that_is_not_allowed_is_refused_by_name():
    lists = operations()
    for op in registered_operations().keys() - lists.allowed | {"MadeUpByUs"}:
        for in_function, name in ((False, "n"), (True, "f/n")):
            with pytest.raises(ValueError, match=rf"process: {re.escape(op)} \({name}\) \w"):
                refuse_unsafe("model", graph_of(op, in_function))
    for op in lists.allowed:
        refuse_unsafe("model", graph_of(op, in_function=True))


def test_one_error_names_all_operations():
    graph_def = graph_of("ReadFile")
    graph_def.node.add(name="m", op="PyFunc")
    graph_def.node.add(name="o", op="ReadFile")
    with pytest.raises(ValueError, match="process: PyFunc") as error:
        refuse_unsafe("model", graph_def)
    assert str(error.value) == (
        "model contains operations that may touch files, the internet, Python or the process: "
        "PyFunc (m) runs Python, or a program inside a string, which cannot be checked; "
        "ReadFile (n) reads or writes files or addresses. Nothing of it was loaded. If you trust "
        "its source, set allow_unsafe_ops=True."
    )


@pytest.mark.parametrize("kind", ["variant", "resource"])
@pytest.mark.parametrize("place", ["constant", "list", "function"])
def test_an_object_inside_a_constant_is_refused(kind, place):
    graph_def = graph_of("Const")
    value = graph_def.node[0].attr["value"]
    if place == "function":
        value.func.name = "f"
        graph_def.library.function.add().signature.name = "f"
        value = value.func.attr["value"]
    tensor = value.list.tensor.add() if place == "list" else value.tensor
    tensor.dtype = tf.as_dtype(kind).as_datatype_enum
    with pytest.raises(ValueError, match=r"'n' contains a resource or an object.*Nothing of it"):
        refuse_unsafe("model", graph_def)


@pytest.mark.parametrize("in_function", [False, True])
@pytest.mark.parametrize(
    ("name", "message"), [("n", "two nodes have the name 'n'"), ("", "a node has no name")]
)
def test_nodes_need_names_of_their_own(name, message, in_function):
    graph_def = graph_of("NoOp", in_function)
    nodes = graph_def.library.function[0].node_def if in_function else graph_def.node
    refuse_unsafe("model", graph_def)
    nodes.add(name=name, op="NoOp")
    with pytest.raises(ValueError, match=f"{message}. Nothing of it was loaded"):
        refuse_unsafe("model", graph_def)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("f", "two functions have the name 'f'"),
        ("", "a function has no name"),
        ("WriteFile", "the function 'WriteFile' has the name of an operation"),
    ],
)
def test_functions_need_names_of_their_own(name, message):
    graph_def = graph_of("NoOp", in_function=True)
    refuse_unsafe("model", graph_def)
    graph_def.library.function.add().signature.name = name
    with pytest.raises(ValueError, match=message):
        refuse_unsafe("model", graph_def)


def test_a_function_named_deep_inside_an_attribute_is_found():
    graph_def = graph_of("NoOp")
    outer = graph_def.node[0].attr["f"].list.func.add()
    outer.attr["g"].func.attr["h"].func.name = "WriteFile"
    with pytest.raises(ValueError, match=r"WriteFile \(n\) reads or writes files"):
        refuse_unsafe("model", graph_def)


# --- functions of a graph


def test_functions_may_not_call_themselves_nor_each_other_too_deep():
    refuse_unsafe("model", chain_of_functions(100))
    for depth in (1, 2, 30):
        with pytest.raises(ValueError, match="functions call themselves"):
            refuse_unsafe("model", chain_of_functions(depth, circular=True))
    with pytest.raises(ValueError, match="functions call each other more than 100 deep"):
        refuse_unsafe("model", chain_of_functions(5000))


@pytest.mark.parametrize("place", ["attr", "arg_attr"])
def test_attributes_of_a_function_are_searched(place):
    graph_def = chain_of_functions(1)
    (function,) = graph_def.library.function
    attributes = function.attr if place == "attr" else function.arg_attr[0].attr
    attributes["f"].func.name = "WriteFile"
    with pytest.raises(ValueError, match=r"WriteFile \(f0\) reads or writes files"):
        refuse_unsafe("model", graph_def)
    del attributes["f"]
    attributes["f"].tensor.dtype = tf.variant.as_datatype_enum
    with pytest.raises(ValueError, match="'f0' contains a resource or an object"):
        refuse_unsafe("model", graph_def)


def test_attributes_that_nodes_of_a_function_take_by_name_are_refused():
    graph_def = chain_of_functions(1)
    (function,) = graph_def.library.function
    given = function.signature.attr.add(name="told", type="func")
    refuse_unsafe("model", graph_def)
    given.default_value.func.name = "WriteFile"
    call = add_node(function.node_def, "call", "PartitionedCall")
    call.attr["f"].placeholder = "told"
    with pytest.raises(ValueError, match="the function 'f0' has an attribute with a default value"):
        refuse_unsafe("model", graph_def)
