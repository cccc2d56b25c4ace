"""TensorFlow models that try to do more than compute, each hidden in another place.

Each takes a folder for the model, and the path of a file that it writes (`planted`) or reads
(`secret`, numbers or "cat,7" lines), and returns the path of the model.
"""

from tensorflow import make_tensor_proto
from tensorflow.core.framework import attr_value_pb2, graph_pb2, types_pb2

from sklearn_dl.runtimes.tensorflow._load import read_saved_model
from tests.scoring.tensorflow_models import affine, words_model

HERE = "here"


def changed(folder, change):
    """Change the graph of a SavedModel in its file."""
    saved = read_saved_model(folder, "model")
    change(saved.meta_graphs[0])
    with open(f"{folder}/saved_model.pb", "wb") as file:
        file.write(saved.SerializeToString())
    return folder


def function_of(graph_def, start):
    """The function of a graph whose name begins with `start`."""
    (found,) = [f for f in graph_def.library.function if f.signature.name.startswith(start)]
    return found


def add_node(nodes, name, op, inputs=(), **attributes):
    node = nodes.add(name=name, op=op, input=inputs)
    for key, value in attributes.items():
        node.attr[key].CopyFrom(value)
    return node


def of_type(kind):
    return attr_value_pb2.AttrValue(type=kind)


def add_text(nodes, name, text):
    value = attr_value_pb2.AttrValue(tensor=make_tensor_proto(text))
    return add_node(nodes, name, "Const", dtype=of_type(types_pb2.DT_STRING), value=value)


def add_writing(nodes, planted, inside):
    """Nodes that write `planted`; the name of the one to wait for."""
    end = ":output:0" if inside else ""
    add_text(nodes, "planted_name", str(planted))
    add_text(nodes, "planted_text", HERE)
    add_node(nodes, "write", "WriteFile", [f"planted_name{end}", f"planted_text{end}"])
    return "^write"


def _scoring_call(meta_graph):
    """The node that the default signature gives."""
    (info,) = meta_graph.signature_def["serving_default"].outputs.values()
    name = info.name.partition(":")[0]
    (call,) = [node for node in meta_graph.graph_def.node if node.name == name]
    return call


def _scoring_function(meta_graph):
    return function_of(meta_graph.graph_def, "__inference_score")


def _wait_for(function, wait):
    """Have a function's result wait for one of its nodes."""
    (tensor,) = function.ret.values()
    (result,) = [node for node in function.node_def if node.name == tensor.partition(":")[0]]
    result.input.append(wait)


def _write_when_scored(meta_graph, planted):
    function = _scoring_function(meta_graph)
    _wait_for(function, add_writing(function.node_def, planted, inside=True))
    return function


def _call(nodes, name):
    """Add a call without arguments and results; returns the function that it names."""
    call = add_node(nodes, name, "StatefulPartitionedCall")
    for kind in ("Tin", "Tout"):
        call.attr[kind].list.SetInParent()
    return call.attr["f"]


# --- names that hide something from who searches by name


def in_a_function_without_a_name(folder, planted):
    """A dict keyed by functions' names takes it for the graph itself, where `write` is harmless."""

    def change(meta_graph):
        graph_def = meta_graph.graph_def
        call = _scoring_call(meta_graph)
        call.input.append(add_writing(graph_def.node, planted, inside=False))
        function = graph_def.library.function.add()
        function.signature.SetInParent()
        add_node(function.node_def, "write", "NoOp")

    affine(folder)
    return changed(folder, change)


def in_one_of_two_functions_of_a_name(folder, planted):
    def change(meta_graph):
        harmless = meta_graph.graph_def.library.function.add()
        harmless.CopyFrom(_scoring_function(meta_graph))
        harmless.signature.name = "for_a_moment"
        _write_when_scored(meta_graph, planted)
        harmless.signature.name = _scoring_function(meta_graph).signature.name

    affine(folder)
    return changed(folder, change)


def in_one_of_two_nodes_of_a_name(folder, planted):
    def change(meta_graph):
        function = _write_when_scored(meta_graph, planted)
        add_node(function.node_def, "write", "NoOp")

    affine(folder)
    return changed(folder, change)


def in_a_function_called_as_an_operation(folder, planted):
    def change(meta_graph):
        _write_when_scored(meta_graph, planted)
        meta_graph.graph_def.library.function.add().signature.name = "WriteFile"

    affine(folder)
    return changed(folder, change)


def as_the_function_of_a_call(folder, planted):
    def change(meta_graph):
        function = _scoring_function(meta_graph)
        _call(function.node_def, "write").func.name = "WriteFile"
        _wait_for(function, "^write")

    affine(folder)
    return changed(folder, change)


# --- the saver's own operations, run when the model is scored


def _add_to_saver(meta_graph, planted):
    """Add a function to the saver that saves elsewhere; returns its name."""
    graph_def = meta_graph.graph_def
    saves = graph_def.library.function.add()
    saves.signature.name = "saves_elsewhere"
    saves.signature.is_stateful = True
    add_text(saves.node_def, "prefix", str(planted))
    add_text(saves.node_def, "names", ["a"])
    add_text(saves.node_def, "slices", [""])
    save = add_node(
        saves.node_def,
        "save",
        "SaveV2",
        ["prefix:output:0", "names:output:0", "slices:output:0", "prefix:output:0"],
    )
    save.attr["dtypes"].list.type.append(types_pb2.DT_STRING)
    saves.control_ret["save"] = "save"
    saves.signature.control_output.append("save")
    saver = function_of(graph_def, "__inference__traced_save")
    _call(saver.node_def, "elsewhere").func.name = saves.signature.name
    return saves.signature.name


def saver_behind_a_polymorphic_function(folder, planted):
    """The call's function is an attribute that the caller of the caller gives."""

    def change(meta_graph):
        saving = _add_to_saver(meta_graph, planted)
        calls = meta_graph.graph_def.library.function.add()
        calls.signature.name = "calls_what_it_is_told"
        calls.signature.is_stateful = True
        calls.signature.attr.add(name="told", type="func")
        _call(calls.node_def, "call").placeholder = "told"
        calls.control_ret["call"] = "call"
        calls.signature.control_output.append("call")
        score = _scoring_function(meta_graph)
        told = _call(score.node_def, "outer").func
        told.name = "calls_what_it_is_told"
        told.attr["told"].func.name = saving
        _wait_for(score, "^outer")

    affine(folder)
    return changed(folder, change)


def saver_as_a_gradient(folder, planted):
    def change(meta_graph):
        saving = _add_to_saver(meta_graph, planted)
        library = meta_graph.graph_def.library
        library.function.add().signature.name = "harmless"
        library.gradient.add(function_name="harmless", gradient_func=saving)
        score = _scoring_function(meta_graph)
        gradient = add_node(score.node_def, "gradient", "SymbolicGradient")
        gradient.attr["f"].func.name = "harmless"
        for kind in ("Tin", "Tout"):
            gradient.attr[kind].list.SetInParent()
        _wait_for(score, "^gradient")

    affine(folder)
    return changed(folder, change)


def saver_in_a_signature(folder, planted):
    def change(meta_graph):
        saving = _add_to_saver(meta_graph, planted)
        _call(meta_graph.graph_def.node, "saved").func.name = saving
        _scoring_call(meta_graph).input.append("^saved")

    affine(folder)
    return changed(folder, change)


def saver_in_the_initialisation(folder, planted):
    def change(meta_graph):
        saving = _add_to_saver(meta_graph, planted)
        _call(meta_graph.graph_def.node, "saved").func.name = saving
        init = meta_graph.signature_def["__saved_model_init_op"].outputs["__saved_model_init_op"]
        init.name = "saved"

    affine(folder)
    return changed(folder, change)


def saver_in_the_restoring(folder, planted):
    def change(meta_graph):
        saving = _add_to_saver(meta_graph, planted)
        nodes, saver = meta_graph.graph_def.node, meta_graph.saver_def
        _call(nodes, "saved").func.name = saving
        add_node(nodes, "both", "NoOp", [f"^{saver.restore_op_name}", "^saved"])
        saver.restore_op_name = "both"

    affine(folder)
    return changed(folder, change)


WRITING = [
    in_a_function_without_a_name,
    in_one_of_two_functions_of_a_name,
    in_one_of_two_nodes_of_a_name,
    in_a_function_called_as_an_operation,
    as_the_function_of_a_call,
    saver_behind_a_polymorphic_function,
    saver_as_a_gradient,
    saver_in_a_signature,
    saver_in_the_initialisation,
    saver_in_the_restoring,
]


# --- reading: what would be read is a file outside the model's folder


def _restoring_function(meta_graph):
    return function_of(meta_graph.graph_def, "__inference__traced_restore")


def checkpoint_of_another_folder(folder, secret):
    """The restoring function has a prefix of its own."""

    def change(meta_graph):
        function = _restoring_function(meta_graph)
        add_text(function.node_def, "elsewhere", str(secret))
        (node,) = [node for node in function.node_def if node.op == "RestoreV2"]
        node.input[0] = "elsewhere:output:0"

    affine(folder)
    return changed(folder, change)


def checkpoint_named_by_the_restore_op(folder, secret):
    """`restore_op_name` is another RestoreV2 of the graph."""

    def change(meta_graph):
        nodes = meta_graph.graph_def.node
        add_text(nodes, "elsewhere", str(secret))
        add_text(nodes, "names", [""])
        add_text(nodes, "slices", [""])
        restore = add_node(nodes, "restore", "RestoreV2", ["elsewhere", "names", "slices"])
        restore.attr["dtypes"].list.type.append(types_pb2.DT_FLOAT)
        meta_graph.saver_def.restore_op_name = "restore"

    affine(folder)
    return changed(folder, change)


def checkpoint_called_twice(folder, secret):
    """A second call of the restoring function, with another prefix, beside the saver's."""

    def change(meta_graph):
        nodes = meta_graph.graph_def.node
        add_text(nodes, "elsewhere", str(secret))
        saver = meta_graph.saver_def
        (call,) = [node for node in nodes if node.name == saver.restore_op_name]
        second = nodes.add()
        second.CopyFrom(call)
        second.name, second.input[0] = "second", "elsewhere"
        second.input.append(f"^{call.name}")
        add_node(nodes, "both", "NoOp", [f"^{call.name}", "^second"])
        saver.restore_op_name = "both"

    affine(folder)
    return changed(folder, change)


def checkpoint_when_scored(folder, secret):
    """The saver's filename is asked for as an input of the model."""

    def change(meta_graph):
        saver = meta_graph.saver_def
        signature = meta_graph.signature_def["serving_default"]
        signature.outputs["restored"].name = f"{saver.restore_op_name}:0"

    affine(folder)
    return changed(folder, change)


def asset_that_a_table_reads_when_scored(folder, secret):
    """The asset's tensor is a constant, which scoring does not feed."""

    def change(meta_graph):
        nodes = meta_graph.graph_def.node
        asset = meta_graph.asset_file_def[0].tensor_info.name.partition(":")[0]
        (placeholder,) = [node for node in nodes if node.name == asset]
        nodes.remove(placeholder)
        add_text(nodes, asset, str(secret))
        (initialise,) = [node for node in nodes if node.name == "StatefulPartitionedCall_1"]
        initialise.input[0] = asset
        (init,) = [node for node in nodes if node.name == "NoOp"]
        init.input.remove("^StatefulPartitionedCall_1")
        _scoring_call(meta_graph).input.append("^StatefulPartitionedCall_1")

    return changed(words_model(folder), change)


def asset_in_a_shared_variable(folder, secret):
    """Two handles of one variable: the asset is assigned to one, the secret to the other."""

    def change(meta_graph):
        nodes = meta_graph.graph_def.node
        (handle,) = [node for node in nodes if node.name == "Variable"]
        twin = nodes.add()
        twin.CopyFrom(handle)
        twin.name = "twin"
        add_text(nodes, "elsewhere", str(secret))
        add_node(
            nodes,
            "overwrite",
            "AssignVariableOp",
            ["twin", "elsewhere", "^Variable/Assign"],
            dtype=of_type(types_pb2.DT_STRING),
        )
        (read,) = [node for node in nodes if node.name == "ReadVariableOp"]
        read.input.append("^overwrite")

    return changed(words_model(folder), change)


def asset_in_a_variable_assigned_twice(folder, secret):
    def change(meta_graph):
        nodes = meta_graph.graph_def.node
        add_text(nodes, "elsewhere", str(secret))
        add_node(
            nodes,
            "overwrite",
            "AssignVariableOp",
            ["Variable", "elsewhere", "^Variable/Assign"],
            dtype=of_type(types_pb2.DT_STRING),
        )
        (read,) = [node for node in nodes if node.name == "ReadVariableOp"]
        read.input.append("^overwrite")

    return changed(words_model(folder), change)


def asset_beside_a_second_call(folder, secret):
    """The function that fills the table is called with the secret too."""

    def change(meta_graph):
        nodes = meta_graph.graph_def.node
        add_text(nodes, "elsewhere", str(secret))
        (call,) = [node for node in nodes if node.name == "StatefulPartitionedCall_1"]
        second = nodes.add()
        second.CopyFrom(call)
        second.name, second.input[0] = "second", "elsewhere"
        call.input.append("^second")
        (init,) = [node for node in nodes if node.name == "NoOp"]
        init.input.append("^second")

    return changed(words_model(folder), change)


def table_of_a_constant_path(folder, secret):
    def change(meta_graph):
        nodes = meta_graph.graph_def.node
        add_text(nodes, "elsewhere", str(secret))
        (call,) = [node for node in nodes if node.name == "StatefulPartitionedCall_1"]
        call.input[0] = "elsewhere"

    return changed(words_model(folder), change)


READING = [
    checkpoint_of_another_folder,
    checkpoint_named_by_the_restore_op,
    checkpoint_called_twice,
    checkpoint_when_scored,
    asset_that_a_table_reads_when_scored,
    asset_in_a_shared_variable,
    asset_in_a_variable_assigned_twice,
    asset_beside_a_second_call,
    table_of_a_constant_path,
]


# --- graphs inside a string or an object


def frozen_nodes(path, *nodes):
    """A frozen graph of an input x, an output y and more nodes, which y waits for."""
    graph_def = graph_pb2.GraphDef()
    add_node(graph_def.node, "x", "Placeholder", dtype=of_type(types_pb2.DT_FLOAT))
    add_node(
        graph_def.node,
        "y",
        "Identity",
        ["x", *(f"^{node.name}" for node in nodes)],
        T=of_type(types_pb2.DT_FLOAT),
    )
    graph_def.node.extend(nodes)
    path.write_bytes(graph_def.SerializeToString())
    return path
