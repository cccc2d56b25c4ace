"""How a SavedModel uses files: operations that save, its checkpoint and its assets.

Operations that save are removed. Operations that read get the path of one of the model's own files
as a constant, so that they can read no other file.
"""

import os
import re
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath

from sklearn_dl.models._links import check_link
from sklearn_dl.runtimes.tensorflow._reader import GraphReader, node_name, tensor_name
from sklearn_dl.runtimes.tensorflow._safety import operations, scopes_of

_SAVING = frozenset({"SaveV2", "MergeV2Checkpoints"})
_RESTORING = frozenset({"RestoreV2"})
_FILLING = frozenset({"InitializeTableFromTextFile", "InitializeTableFromTextFileV2"})
# signatures that only loading runs, never scoring
INIT_SIGNATURES = frozenset({"__saved_model_init_op", "__saved_model_train_op"})


@dataclass(frozen=True, slots=True)
class Loading:
    """The operations to run when a SavedModel is loaded, and the paths to feed.

    Attributes
    ----------
    restore : str
        The operation that restores the variables, or "" if there is none.
    filename : str
        The tensor that is fed `checkpoint` when `restore` runs.
    checkpoint : str
        Prefix of the paths of the variables' files.
    init : str
        The operation that fills tables, or "" if there is none.
    assets : dict of str to str
        The path that each tensor is fed when `init` runs, by the tensor's name.
    """

    restore: str
    filename: str
    checkpoint: str
    init: str
    assets: dict


def find_loading(name, meta_graph, folder):
    """Find what the session has to run to load a SavedModel.

    Parameters
    ----------
    name : str
        Name of the model in messages.
    meta_graph : MetaGraphDef
    folder : str or Path

    Raises
    ------
    ValueError
        If an asset is outside the folder, or TensorFlow would read the folder's path as a pattern.
    FileNotFoundError
        If the variables or an asset do not exist.
    """
    saver = meta_graph.saver_def
    checkpoint = Path(folder, "variables", "variables")
    index = checkpoint.with_name("variables.index")
    if saver.restore_op_name and re.search(r"[*?\[\]\\]", str(checkpoint)):
        raise ValueError(
            f"The path of {name} contains one of the characters * ? [ ] \\, which TensorFlow reads "
            "as a pattern of other paths; rename the folder."
        )
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
    packed = meta_graph.collection_def["saved_model_assets"].any_list.value  # from TensorFlow 1
    try:
        return [AssetFileDef.FromString(asset.value) for asset in packed]
    except DecodeError as error:
        raise ValueError(f"{name} is damaged: its list of assets cannot be read.") from error


def _asset_path(name, folder, filename):
    given = PurePosixPath(filename)
    if given.is_absolute() or ".." in given.parts or "\\" in filename or "\0" in filename:
        raise ValueError(
            f"{name} refers to the asset {filename!r} outside its folder, so it was not loaded."
        )
    path = Path(folder, "assets", given)
    check_link(path, folder)
    if not os.path.isfile(path):
        raise FileNotFoundError(f"{name} needs the asset {path}, which does not exist.")
    return str(path)


def bind_files(meta_graph, loading, outputs=()):
    """Change a graph so that it can save nothing, and read nothing but the model's own files.

    Savers and input pipelines that nothing runs are removed. An operation that restores reads the
    checkpoint, if only `loading.restore` runs it and its path comes from the saver's filename. An
    operation that fills a table reads an asset, if only `loading.init` runs it and its path comes
    from that asset's tensor. All other operations stay as they are; `refuse_unsafe` refuses them.

    Parameters
    ----------
    meta_graph : MetaGraphDef
        Its `graph_def` is changed in place.
    loading : Loading
    outputs : sequence of str
        Names of nodes that will be run, in addition to the nodes of the signatures.

    Returns
    -------
    bound : set of (str, str)
        Locations (function, node) of the operations that now read a constant path.
    """
    graph_def = meta_graph.graph_def
    scored = {node_name(tensor) for tensor in [*_signature_outputs(meta_graph), *outputs]}
    _cut_unused(graph_def, loading, scored)
    graph = GraphReader(graph_def)
    restored = graph.reached_from([loading.restore])
    filled = graph.reached_from([loading.init])
    elsewhere = graph.reached_from(scored)
    checkpoint = {tensor_name(loading.filename): loading.checkpoint}
    assets = {tensor_name(name): path for name, path in loading.assets.items()}
    paths = {}
    for location, node in graph.nodes.items():
        if node.op in _RESTORING and location in restored - filled - elsewhere:
            paths[location] = 0, checkpoint.get(graph.source(location, 0))
        elif node.op in _FILLING and location in filled - restored - elsewhere:
            paths[location] = 1, assets.get(graph.source(location, 1))
    bound = {location for location, (_, path) in paths.items() if path is not None}
    for scope, nodes in scopes_of(graph_def):
        for name in [name for where, name in bound if where == scope]:
            position, path = paths[scope, name]
            graph.nodes[scope, name].input[position] = _add_constant(nodes, path, scope)
    return bound


def _cut_unused(graph_def, loading, scored):
    """Remove savers and input pipelines that nothing runs: training leaves them in many models."""
    restored = GraphReader(graph_def).reached_from([loading.restore])
    pipelines = operations().pipelines

    def is_unused_saver(location, op):
        return op in _SAVING or (op in _RESTORING and location not in restored)

    def is_pipeline(_, op):
        return any(fnmatchcase(op, pattern) for pattern in pipelines)

    for is_unused in (is_unused_saver, is_pipeline):
        graph = GraphReader(graph_def)
        locations = {
            location for location, node in graph.nodes.items() if is_unused(location, node.op)
        }
        functions, nodes = graph.that_run(locations)
        kept = {*scored, node_name(loading.restore), node_name(loading.init)}
        if not nodes & kept and not functions & graph.gradients:
            _remove(graph_def.node, lambda node, nodes=nodes: node.name in nodes)
            _remove(
                graph_def.library.function,
                lambda function, functions=functions: function.signature.name in functions,
            )


def _remove(repeated, unwanted):
    for position in reversed(range(len(repeated))):
        if unwanted(repeated[position]):
            del repeated[position]


def _add_constant(nodes, text, scope):
    """Add a node whose output is `text`; return the name by which other nodes read it."""
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
    """Yield the names of the tensors that the signatures for scoring have as outputs."""
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
