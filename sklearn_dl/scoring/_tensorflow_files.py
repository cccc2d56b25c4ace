"""What a SavedModel does with files: the parts that save, its checkpoint, its assets.

Operations that save are cut off. Those that read are given the path of a file of the model as a
constant, so that whatever else the graph does, they can read nothing else.
"""

from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from sklearn_dl.models._links import check_link
from sklearn_dl.scoring._tensorflow_safety import functions_in, scopes_of

_SAVING = frozenset({"SaveV2", "MergeV2Checkpoints"})
_RESTORING = frozenset({"RestoreV2"})
_FILLING = frozenset({"InitializeTableFromTextFile", "InitializeTableFromTextFileV2"})
_CALLS = {"PartitionedCall", "StatefulPartitionedCall"}
# signatures that loading runs, and scoring never
INIT_SIGNATURES = frozenset({"__saved_model_init_op", "__saved_model_train_op"})


@dataclass(frozen=True, slots=True)
class Loading:
    """What has to be run when a SavedModel is loaded.

    Attributes
    ----------
    restore : str
        The operation that restores the variables; empty: there is none.
    filename : str
        The tensor that is fed `checkpoint` meanwhile.
    checkpoint : str
        Prefix of the variables' files.
    init : str
        The operation that fills tables; empty: there is none.
    assets : dict of str to str
        Tensor to path: what is fed meanwhile.
    """

    restore: str
    filename: str
    checkpoint: str
    init: str
    assets: dict


def find_loading(name, meta_graph, folder):
    """What the session has to run to load a SavedModel.

    Parameters
    ----------
    name : str
        Of the model, for messages.
    meta_graph : MetaGraphDef
    folder : str or Path

    Raises
    ------
    ValueError
        If an asset is outside the folder.
    FileNotFoundError
        If the variables or an asset are not there.
    """
    saver = meta_graph.saver_def
    checkpoint = Path(folder, "variables", "variables")
    index = checkpoint.with_name("variables.index")
    if saver.restore_op_name and not index.is_file():
        raise FileNotFoundError(f"{name} needs the file {index}, which does not exist.")
    return Loading(
        saver.restore_op_name,
        saver.filename_tensor_name,
        str(checkpoint),
        _init_op(meta_graph),
        {
            asset.tensor_info.name: _asset_path(name, folder, asset.filename)
            for asset in _assets(name, meta_graph)
        },
    )


def _init_op(meta_graph):
    signature = meta_graph.signature_def.get("__saved_model_init_op")
    if signature is not None:
        return signature.outputs["__saved_model_init_op"].name
    for key in ("saved_model_main_op", "legacy_init_op"):
        if key in meta_graph.collection_def:
            nodes = meta_graph.collection_def[key].node_list.value
            return nodes[0] if nodes else ""
    return ""


def _assets(name, meta_graph):
    from google.protobuf.message import DecodeError
    from tensorflow.core.protobuf.meta_graph_pb2 import AssetFileDef

    if meta_graph.asset_file_def or "saved_model_assets" not in meta_graph.collection_def:
        return list(meta_graph.asset_file_def)
    packed = meta_graph.collection_def["saved_model_assets"].any_list.value  # of TensorFlow 1
    try:
        return [AssetFileDef.FromString(asset.value) for asset in packed]
    except DecodeError as error:
        raise ValueError(f"{name} is damaged: its list of assets cannot be read.") from error


def _asset_path(name, folder, filename):
    given = PurePosixPath(filename)
    if given.is_absolute() or ".." in given.parts or "\\" in filename or "\0" in filename:
        raise ValueError(f"{name} names the asset {filename!r}, outside its folder: refused.")
    path = Path(folder, "assets", given)
    check_link(path, folder)
    if not path.is_file():
        raise FileNotFoundError(f"{name} needs the asset {path}, which does not exist.")
    return str(path)


def bind_files(meta_graph, loading, outputs=()):
    """Change a graph so that it can save nothing, and read nothing but the model's own files.

    Only exact patterns are changed: savers that nothing runs are removed; the one that restores
    starts from the saver's filename; tables are filled from an asset, by the initialisation alone.
    What does not fit them stays as it is, to be refused.

    Parameters
    ----------
    meta_graph : MetaGraphDef
        Its `graph_def` is changed in place.
    loading : Loading
    outputs : sequence of str
        Nodes that will be run, besides those of the signatures.

    Returns
    -------
    bound : set of (str, str)
        Function and node of the operations that read a constant path now.
    """
    graph_def = meta_graph.graph_def
    scored = {node_name(tensor) for tensor in [*_signature_outputs(meta_graph), *outputs]}
    _cut_savers(graph_def, loading, scored)
    graph = GraphReader(graph_def)
    restored = graph.reached_from([loading.restore])
    filled = graph.reached_from([loading.init])
    elsewhere = graph.reached_from(scored)
    checkpoint = {_tensor(loading.filename): loading.checkpoint}
    assets = {_tensor(name): path for name, path in loading.assets.items()}
    paths = {}
    for place, node in graph.nodes.items():
        if node.op in _RESTORING and place in restored - filled - elsewhere:
            paths[place] = 0, checkpoint.get(graph.source(place, 0))
        elif node.op in _FILLING and place in filled - restored - elsewhere:
            paths[place] = 1, assets.get(graph.source(place, 1))
    bound = {place for place, (_, path) in paths.items() if path is not None}
    for scope, nodes in scopes_of(graph_def):
        for name in [name for where, name in bound if where == scope]:
            position, path = paths[scope, name]
            graph.nodes[scope, name].input[position] = _add_constant(nodes, path, scope)
    return bound


def _cut_savers(graph_def, loading, scored):
    """Remove what saves, and what restores for other savers, if nothing that is run needs it."""
    graph = GraphReader(graph_def)
    restored = graph.reached_from([loading.restore])
    places = {
        place
        for place, node in graph.nodes.items()
        if node.op in _SAVING or (node.op in _RESTORING and place not in restored)
    }
    functions, nodes = graph.that_run(places)
    kept = {*scored, node_name(loading.restore), node_name(loading.init)}
    if nodes & kept or functions & graph.gradients:
        return
    _remove(graph_def.node, lambda node: node.name in nodes)
    _remove(graph_def.library.function, lambda function: function.signature.name in functions)


def _remove(repeated, unwanted):
    for position in reversed(range(len(repeated))):
        if unwanted(repeated[position]):
            del repeated[position]


def _add_constant(nodes, text, scope):
    """Add a node that gives `text`; returns what another node of its graph reads it by."""
    from tensorflow import dtypes, make_tensor_proto

    names = {node.name for node in nodes}
    name = "sklearn_dl_path"
    while name in names:
        name += "_"
    node = nodes.add(name=name, op="Const")
    node.attr["dtype"].type = dtypes.string.as_datatype_enum
    node.attr["value"].tensor.CopyFrom(make_tensor_proto(text))
    return f"{name}:output:0" if scope else name


def _signature_outputs(meta_graph):
    """Names of the tensors that scoring can be asked for by a signature."""
    for key, signature in meta_graph.signature_def.items():
        if key in INIT_SIGNATURES:
            continue
        for info in signature.outputs.values():
            yield info.name
            yield from (part.name for part in info.composite_tensor.components)
            sparse = info.coo_sparse
            yield from (
                sparse.values_tensor_name,
                sparse.indices_tensor_name,
                sparse.dense_shape_tensor_name,
            )


class GraphReader:
    """Who needs whom. A place is (function, node); the function of the graph itself is "".

    Parameters
    ----------
    graph_def : GraphDef

    Attributes
    ----------
    nodes : dict of (str, str) to NodeDef
    gradients : set of str
        Functions that are the gradient of another, or have one.
    """

    def __init__(self, graph_def):
        self.nodes = {}
        self._of_function: dict = {}
        self._named_by: dict = {}
        self._arguments = {
            function.signature.name: [argument.name for argument in function.signature.input_arg]
            for function in graph_def.library.function
        }
        for scope, nodes in scopes_of(graph_def):
            self._of_function.setdefault(scope, [])
            for node in nodes:
                place = scope, node.name
                self.nodes[place] = node
                self._of_function[scope].append(place)
                for name in (node.op, *functions_in(node)):
                    self._named_by.setdefault(name, []).append(place)
        library = graph_def.library
        self.gradients = {
            *(gradient.gradient_func for gradient in library.gradient),
            *(gradient.function_name for gradient in library.gradient),
            *(gradient.gradient_func for gradient in library.registered_gradients),
        }

    def reached_from(self, names):
        """Places that may run when the nodes `names` of the graph itself run."""
        reached: set = set()
        queue = [("", node_name(name)) for name in names]
        while queue:
            place = queue.pop()
            if place in reached or place not in self.nodes:
                continue
            reached.add(place)
            node = self.nodes[place]
            queue += [(place[0], node_name(tensor)) for tensor in node.input]
            for name in (node.op, *functions_in(node)):
                queue += self._of_function.get(name, ()) if name else ()
        return reached

    def that_run(self, places):
        """Functions, and nodes of the graph itself, that run one of `places` when they run."""
        readers: dict = {}
        for place, node in self.nodes.items():
            for tensor in node.input:
                readers.setdefault((place[0], node_name(tensor)), []).append(place)
        functions, found, queue = set(), set(), list(places)
        while queue:
            place = queue.pop()
            if place in found:
                continue
            found.add(place)
            scope = place[0]
            if scope:
                functions.add(scope)
                queue += self._named_by.get(scope, ())
            else:
                queue += readers.get(place, ())
        return functions, {name for scope, name in found if not scope}

    def source(self, place, position):
        """The tensor of the graph itself that an input always is, unchanged; None: not known.

        Followed are Identity, the argument of a function that is called in one place, and
        variables that are assigned once and that nothing else can reach.
        """
        seen = set()
        while place not in seen:
            seen.add(place)
            scope, inputs = place[0], self.nodes[place].input
            if position >= len(inputs):
                return None
            tensor = inputs[position]
            name = node_name(tensor)
            made_by = self.nodes.get((scope, name))
            if made_by is None:
                caller = self._only_caller(scope)
                if caller is None or name not in self._arguments[scope]:
                    return None
                place, position = caller, self._arguments[scope].index(name)
            elif made_by.op == "Identity":
                place, position = (scope, name), 0
            elif made_by.op == "ReadVariableOp":
                assignment = self._only_assignment(scope, made_by)
                if assignment is None:
                    return None
                place, position = assignment, 1
            else:
                return None if scope else _tensor(tensor)
        return None

    def _only_caller(self, function):
        """The node of the graph itself that calls a function, if it alone names it."""
        named = self._named_by.get(function, [])
        if len(named) != 1 or named[0][0] or function in self.gradients:
            return None
        return named[0] if self.nodes[named[0]].op in _CALLS else None

    def _only_assignment(self, scope, reading):
        """The one node that assigns to the variable that `reading` reads."""
        if scope or not reading.input:
            return None
        variable = node_name(reading.input[0])
        key = self._variable_key((scope, variable))
        handles = [place for place in self.nodes if self._variable_key(place) == key]
        users = [
            place
            for place in self._of_function[scope]
            if variable in map(node_name, self.nodes[place].input)
        ]
        kinds = [self.nodes[user].op for user in users]
        alone = set(kinds) <= {"AssignVariableOp", "ReadVariableOp", "VarIsInitializedOp"}
        if key is None or len(handles) != 1 or not alone or kinds.count("AssignVariableOp") != 1:
            return None
        return users[kinds.index("AssignVariableOp")]

    def _variable_key(self, place):
        """What names a variable in the session; None: the node makes no variable."""
        node = self.nodes.get(place)
        if node is None or node.op != "VarHandleOp":
            return None
        return node.attr["shared_name"].s or node.name.encode()


def node_name(tensor):
    """The node that makes a tensor, or that a control input waits for."""
    return tensor.removeprefix("^").partition(":")[0]


def _tensor(name):
    """A tensor's name without the number of a node's first output."""
    return name.removesuffix(":0")
