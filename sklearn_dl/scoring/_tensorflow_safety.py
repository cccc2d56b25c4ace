"""What a TensorFlow graph may do besides compute: read off its protobufs before it is loaded.

The graph runs when it is scored, and parts of it when it is loaded (restoring variables,
filling tables). https://github.com/tensorflow/tensorflow/blob/master/SECURITY.md
"""

import re
from pathlib import PurePosixPath

# operations that touch files, the network, Python or the life of the process; without a version
# fmt: off
_UNSAFE = frozenset({
    "Abort", "AssertCardinalityDataset", "BigQueryReader", "CSVDataset", "CacheDataset",
    "CheckpointReader", "CloseSummaryWriter", "ConfigureDistributedTPU", "ConfigureTPUEmbedding",
    "CreateSummaryDbWriter", "CreateSummaryFileWriter", "CreateTRTResourceHandle",
    "DataServiceDataset", "DatasetToTFRecord", "DebugIdentity", "DebugNanCount",
    "DebugNumericSummary", "DecodeProto", "DistributedSave", "EagerPyFunc", "EncodeProto",
    "ExternalDataset", "FileSystemSetConfiguration", "FixedLengthRecordDataset",
    "FixedLengthRecordReader", "FixedUnigramCandidateSampler", "FlushSummaryWriter",
    "GenerateVocabRemapping", "ImportEvent", "InitializeTRTResource",
    "InitializeTableFromTextFile", "LMDBDataset", "LMDBReader", "ListSnapshotChunksDataset",
    "LoadAndRemapMatrix", "LoadDataset", "MatchingFiles", "MatchingFilesDataset",
    "MergeV2Checkpoints", "Print", "PyFunc", "PyFuncStateless", "ReadFile", "ReaderRead",
    "ReaderReadUpTo", "RecordInput", "RegisterDataset", "RemoteCall", "RemoteFusedGraphExecute",
    "Restore", "RestoreSlice", "Rpc", "RpcCall", "RpcClient", "RpcServer", "RpcServerRegister",
    "RpcServerStart", "Save", "SaveDataset", "SaveSlices", "SerializeTRTResource",
    "SnapshotChunkDataset", "SnapshotDataset", "SnapshotDatasetReader",
    "SnapshotNestedDatasetReader", "SqlDataset", "TFRecordDataset", "TFRecordReader",
    "TRTEngineOp", "TextLineDataset", "TextLineReader", "TryRpc", "WholeFileReader",
    "WriteAudioSummary", "WriteFile", "WriteGraphSummary", "WriteHistogramSummary",
    "WriteImageSummary", "WriteRawProtoSummary", "WriteScalarSummary", "WriteSummary",
})
# fmt: on
# what a SavedModel's own saver needs: saving never runs, restoring when the model is loaded
SAVING = frozenset({"Save", "MergeV2Checkpoints"})
RESTORING = frozenset({"Restore"})
# fills a table from a file; excused where the file is one of the model's assets
_FILLING = "InitializeTableFromTextFile"


def kind_of(op):
    """The name of an operation without its version and stage."""
    return re.sub(r"V\d+$", "", op.removeprefix("Experimental"))


def is_unsafe(op):
    """Whether an operation touches files, the network, Python or the process."""
    return op in _UNSAFE or kind_of(op) in _UNSAFE


def refuse_unsafe(name, graph_def, meta_graph=None, outputs=()):
    """Raise if a graph or its function library holds operations that do more than compute.

    Parameters
    ----------
    name : str
        Of the model, for the message.
    graph_def : GraphDef
    meta_graph : MetaGraphDef or None
        Whose saver and assets excuse the operations that they need. None: nothing is excused.
    outputs : sequence of str
        Nodes that will be run, besides those of the signatures.

    Raises
    ------
    ValueError
        If there are any; it names them.
    """
    graph = GraphReader(graph_def)
    excused = _excused(graph, meta_graph, outputs) if meta_graph is not None else set()
    found: dict = {}
    for (scope, node), op in graph.ops.items():
        if is_unsafe(op) and (scope, node) not in excused:
            found.setdefault(op, f"{scope}/{node}" if scope else node)
    if found:
        listed = ", ".join(f"{op} ({node})" for op, node in sorted(found.items()))
        raise ValueError(
            f"{name} holds operations that touch files, the network, Python or the process: "
            f"{listed}. Nothing of it was loaded. If you trust its source, set "
            "allow_unsafe_ops=True."
        )


def _excused(graph, meta_graph, outputs):
    """Places of the saver's operations, and of those that fill tables from the model's assets."""
    scored = graph.reached_from([*_started(meta_graph), *outputs])
    restoring = graph.reached_from([meta_graph.saver_def.restore_op_name])
    # the loader opens them below the model's folder, wherever their names lead
    inside = [a for a in meta_graph.asset_file_def if not _leads_out(a.filename)]
    assets = {_node_name(asset.tensor_info.name) for asset in inside}
    excused = set()
    for place, op in graph.ops.items():
        kind = kind_of(op)
        if (
            (kind in SAVING and place not in scored | restoring)
            or (kind in RESTORING and place not in scored)
            or (kind == _FILLING and graph.comes_from(place, 1, assets))
        ):
            excused.add(place)
    return excused


def _leads_out(name):
    return PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts or "\\" in name


def _started(meta_graph):
    """Names of the nodes that loading and scoring run."""
    for signature in meta_graph.signature_def.values():
        for info in signature.outputs.values():
            yield info.name
            yield from (part.name for part in info.composite_tensor.components)
            sparse = info.coo_sparse
            yield from (
                sparse.values_tensor_name,
                sparse.indices_tensor_name,
                sparse.dense_shape_tensor_name,
            )
    for key in ("saved_model_main_op", "legacy_init_op"):
        yield from meta_graph.collection_def[key].node_list.value


class GraphReader:
    """Who needs whom. A place is (function, node); the function of the graph itself is ""."""

    def __init__(self, graph_def):
        self.ops, self._inputs, self._called = {}, {}, {}
        self._callers: dict = {}
        self._arguments = {}
        scopes = [("", graph_def.node)]
        for function in graph_def.library.function:
            name = function.signature.name
            self._arguments[name] = [arg.name for arg in function.signature.input_arg]
            scopes.append((name, function.node_def))
        self._nodes_of = {scope: [node.name for node in nodes] for scope, nodes in scopes}
        for scope, nodes in scopes:
            for node in nodes:
                place = scope, node.name
                self.ops[place] = node.op
                self._inputs[place] = [_node_name(tensor) for tensor in node.input]
                called = [name for name in _functions(node) if name in self._nodes_of]
                self._called[place] = called
                for name in called:
                    self._callers.setdefault(name, []).append(place)

    def reached_from(self, names):
        """Places that run when the nodes `names` of the graph run."""
        reached: set = set()
        queue = [("", _node_name(name)) for name in names]
        while queue:
            place = queue.pop()
            if place in reached or place not in self.ops:
                continue
            reached.add(place)
            queue += [(place[0], name) for name in self._inputs[place]]
            queue += [(f, name) for f in self._called[place] for name in self._nodes_of[f]]
        return reached

    def comes_from(self, place, position, names, seen=()):
        """Whether an input of `place` is always one of the graph's nodes `names`, unchanged."""
        scope, name = place[0], self._inputs[place][position]
        source = scope, name
        if source in seen:
            return False
        if source in self.ops:
            if self.ops[source] == "Identity":
                return self.comes_from(source, 0, names, (*seen, source))
            if self.ops[source] == "ReadVariableOp":
                return self._assigned_from(source, names, (*seen, source))
            return not scope and name in names
        if name not in self._arguments.get(scope, ()):
            return False
        argument = self._arguments[scope].index(name)
        callers = self._callers.get(scope, [])
        # only plain calls hand their inputs on in order
        plain = all(self.ops[c].endswith("PartitionedCall") for c in callers)
        return (
            bool(callers)
            and plain
            and all(self.comes_from(caller, argument, names, (*seen, source)) for caller in callers)
        )

    def _assigned_from(self, place, names, seen):
        """Whether a variable that is read holds nothing but what is one of `names`."""
        scope, variable = place[0], self._inputs[place][0]
        if self.ops.get((scope, variable)) != "VarHandleOp":
            return False
        users = [p for p, read in self._inputs.items() if p[0] == scope and variable in read]
        kinds = {self.ops[user] for user in users}
        assigned = [user for user in users if self.ops[user] == "AssignVariableOp"]
        return (
            kinds <= {"AssignVariableOp", "ReadVariableOp", "VarIsInitializedOp"}
            and bool(assigned)
            and all(self.comes_from(user, 1, names, seen) for user in assigned)
        )


def _node_name(tensor):
    return tensor.removeprefix("^").partition(":")[0]


def _functions(node):
    """Names of the functions that a node calls."""
    yield node.op
    for attribute in node.attr.values():
        for function in (attribute.func, *attribute.list.func):
            if function.name:
                yield function.name
