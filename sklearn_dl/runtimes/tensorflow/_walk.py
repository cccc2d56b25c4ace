"""Inspect a TensorFlow graph: which inputs the outputs need, how it ends, if it mixes rows."""

from sklearn_dl.runtimes.tensorflow._reader import GraphReader

PLACEHOLDERS = {"Placeholder", "PlaceholderV2", "PlaceholderWithDefault"}
SAVERS = {"RestoreV2", "SaveV2", "MergeV2Checkpoints", "ShardedFilename"}
# operations whose outputs are not results, even if no other node reads them
NO_RESULTS = {"Const", "NoOp", "Assert", "Placeholder", "VarHandleOp", "VariableV2"}
# operations that compute a range from all rows, unless a range is passed to them
_RANGE_OPS = {"RequantizationRange", "RequantizationRangePerChannel"}
_RANGE_OPS |= {f"QuantizeAndDequantize{version}" for version in ("", "V2", "V4")}


def find_inputs(named_inputs, fetches):
    """Find the inputs that the outputs need.

    Parameters
    ----------
    named_inputs : dict of str to Fetch
        The inputs of the signature.
    fetches : tuple of Fetch
        The outputs.

    Returns
    -------
    fed : dict of str to tf.Tensor
        The tensors to feed, by the names of the inputs.
    required, optional : list of str
        The names in `fed` of inputs without and with a default value.
    unused : set of str
        Inputs of the signature that these outputs do not need.

    Raises
    ------
    ValueError
        If the outputs need a sparse or ragged input.
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
                f"The outputs need the signature's input {key!r}, which is sparse or ragged, but "
                "rows of X are dense. Export the model with a dense input, or name other tensors "
                "in `outputs`."
            )
        # if a tensor has two names, the first one counts
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
    """`tensors`, and all tensors that they depend on: dict of name to tensor.

    Tensors on which only tensors in `fed` depend are left out.
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
    """The first output of each node that no other node reads, without the saver's nodes."""
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
    """Whether values are quantized with a range that is computed from all rows of a batch."""
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
