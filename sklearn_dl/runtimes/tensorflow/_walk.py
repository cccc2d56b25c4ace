"""What is read off a TensorFlow graph: what its outputs need, where it ends, what mixes rows."""

from sklearn_dl.runtimes.tensorflow._reader import GraphReader

PLACEHOLDERS = {"Placeholder", "PlaceholderV2", "PlaceholderWithDefault"}
SAVERS = {"RestoreV2", "SaveV2", "MergeV2Checkpoints", "ShardedFilename"}
# nodes that end a graph without being a result
NO_RESULTS = {"Const", "NoOp", "Assert", "Placeholder", "VarHandleOp", "VariableV2"}
# they compute a range from all rows, unless they are given one
_RANGE_OPS = {"RequantizationRange", "RequantizationRangePerChannel"}
_RANGE_OPS |= {f"QuantizeAndDequantize{version}" for version in ("", "V2", "V4")}


def find_inputs(named_inputs, fetches):
    """What the outputs need.

    Parameters
    ----------
    named_inputs : dict of str to Fetch
        Of the signature.
    fetches : tuple of Fetch
        The outputs.

    Returns
    -------
    fed : dict of str to tf.Tensor
    required, optional : list of str
        The names in `fed`.
    unused : set of str
        Inputs of the signature that other outputs need.
    """
    offered = {tensor.name for fetch in named_inputs.values() for tensor in fetch.tensors}
    needed = _needed([tensor for fetch in fetches for tensor in fetch.tensors], offered)
    fed: dict = {}
    required: list = []
    optional: list = []
    unused: set = set()
    taken: set = set()
    for key, fetch in named_inputs.items():
        names = {tensor.name for tensor in fetch.tensors}
        if len(names) > 1 and names & needed.keys():
            raise ValueError(
                f"The outputs need the signature's input {key!r}, which is sparse or ragged: rows "
                "of X are not. Export the model with a dense input, or name others in `outputs`."
            )
        # two names of one tensor: the first counts
        if names <= needed.keys() - taken:
            (fed[key],) = fetch.tensors
            taken |= names
            required.append(key)
        else:
            unused.add(key)
    for name, tensor in sorted(needed.items()):
        if tensor.op.type in PLACEHOLDERS and name not in taken:
            fed[tensor.op.name] = tensor
            with_default = tensor.op.type == "PlaceholderWithDefault"
            (optional if with_default else required).append(tensor.op.name)
    return fed, required, optional, unused


def _needed(tensors, fed):
    """All tensors that the given ones depend on, and themselves: dict of name to tensor.

    What is behind those named in `fed` is not needed.
    """
    needed: dict = {}
    queue, seen = list(tensors), set()
    while queue:
        tensor = queue.pop()
        needed[tensor.name] = tensor
        ops = [] if tensor.name in fed else [tensor.op]
        while ops:
            op = ops.pop()
            if op.name in seen:
                continue
            seen.add(op.name)
            if op.type in PLACEHOLDERS:
                needed[op.outputs[0].name] = op.outputs[0]
            queue += op.inputs
            ops += op.control_inputs
    return needed


def leaves(graph):
    """First outputs of the nodes that no other node reads, but for the saver's."""
    ends = [
        op.outputs[0]
        for op in graph.get_operations()
        if op.outputs
        and op.type not in NO_RESULTS
        and not any(output.consumers() for output in op.outputs)
    ]
    reader = GraphReader(graph.as_graph_def())
    return [
        end
        for end in ends
        if not any(
            reader.nodes[location].op in SAVERS for location in reader.reached_from([end.name])
        )
    ]


def mixes_rows(graph_def):
    """Whether values are quantized by a range that is computed from all rows of a run."""
    for nodes in (graph_def.node, *(f.node_def for f in graph_def.library.function)):
        ops = {node.name: node.op for node in nodes}
        for node in nodes:
            if "range_given" in node.attr:
                computed = not node.attr["range_given"].b
            else:  # the default, which a SavedModel leaves out
                computed = node.op in _RANGE_OPS
            if computed:
                return True
            makers = {ops.get(name.lstrip("^").partition(":")[0]) for name in node.input[1:]}
            if node.op == "QuantizeV2" and makers & {"Min", "Max"}:
                return True
    return False
