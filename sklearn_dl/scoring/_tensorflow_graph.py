"""TensorFlow graphs as open sessions.

Everything runs through the version-1 session: it loads what TensorFlow 2's loader refuses
(reference variables, two names of one tensor, objects it does not know), reaches any tensor of the
graph, and traces nothing.
"""

import difflib
from dataclasses import dataclass
from typing import Any

import numpy as np

from sklearn_dl.scoring._scorer import TensorSpec, listed
from sklearn_dl.scoring._tensorflow_files import INIT_SIGNATURES
from sklearn_dl.scoring._tensorflow_load import load
from sklearn_dl.scoring._tensorflow_reader import GraphReader
from sklearn_dl.scoring._tensorflow_runtime import quiet, use_tensorflow

_PLACEHOLDERS = {"Placeholder", "PlaceholderV2", "PlaceholderWithDefault"}
_NAN_OPS = {"IsNan", "IsInf", "IsFinite"}
# nodes that end a graph without being a result
_NO_RESULTS = {"Const", "NoOp", "Assert", "Placeholder", "VarHandleOp", "VariableV2"}


@dataclass(frozen=True, slots=True)
class Signature:
    """What a SavedModel offers under a name.

    Parameters
    ----------
    inputs, outputs : tuple of TensorSpec
    """

    inputs: tuple
    outputs: tuple

    def __str__(self):
        return f"({listed(self.inputs)}) -> ({listed(self.outputs)})"


@dataclass(frozen=True, slots=True)
class TensorFlowGraph:
    """An open session with what is asked of it at every call."""

    session: Any
    inputs: tuple
    optional_inputs: tuple
    outputs: tuple
    unused_inputs: frozenset
    signatures: dict
    kind: str
    handles_nan: bool
    on_gpu: bool
    _tensors: dict
    _fetched: list
    _calls: dict
    _row_by_row: bool

    def run(self, feeds):
        """Run the graph; safe to be called by several threads at once."""
        names = tuple(feeds)
        call = self._calls.get(names)
        if call is None:
            call = self._calls[names] = self.session.make_callable(
                self._fetched, feed_list=[self._tensors[name] for name in names]
            )
        outputs = [_from_graph(array) for array in call(*map(self._fed, names, feeds.values()))]
        return [output[None] for output in outputs] if self._row_by_row else outputs

    def _fed(self, name, values):
        tensor = self._tensors[name]
        if self._row_by_row:
            values = values[0]
        elif tensor.shape.rank == 0 and values.ndim:
            if values.dtype != object and (values != values[0]).any():
                raise ValueError(f"the input {name!r} is one value for all rows; the rows differ")
            values = values[0]
        kind = tensor.dtype.base_dtype.as_numpy_dtype
        return values if kind is np.object_ else np.asarray(values, dtype=kind)


def _from_graph(array):
    array = np.asarray(array)
    if array.dtype == object:
        return _decoded(array)
    # numpy does not count with bfloat16
    return array.astype(np.float32) if array.dtype.kind == "V" else array


def _decoded(array):
    cells = np.empty(array.shape, dtype=object)
    for place, cell in np.ndenumerate(array):
        try:
            cells[place] = cell.decode() if isinstance(cell, bytes) else cell
        except UnicodeDecodeError:
            cells[place] = cell
    return cells


def open_graph(
    content, *, signature, tags, outputs, n_threads, device, add_batch_dim, allow_unsafe, verbose
):
    """Open a session on a model.

    Parameters
    ----------
    content : TensorFlowModel
    signature : str
    tags : tuple of str
    outputs : tuple of str or None
    n_threads : int
    device : str
    add_batch_dim, allow_unsafe : bool
    verbose : int

    Raises
    ------
    ValueError
        If the model is damaged, unsafe, or has no such signature, tags or tensor.
    """
    tf = use_tensorflow(verbose)
    options: dict = {"device_count": {"GPU": 0}} if device == "cpu" else {}
    config = tf.compat.v1.ConfigProto(
        intra_op_parallelism_threads=n_threads,
        inter_op_parallelism_threads=n_threads,
        use_per_session_threads=True,
        allow_soft_placement=True,
        **options,
    )
    config.gpu_options.allow_growth = True
    with quiet(tf, verbose):
        session, signatures, graph_def = load(tf, content, tags, outputs, config, allow_unsafe)
        return _opened(
            tf, session, signatures, graph_def, signature, outputs, device, add_batch_dim
        )


def _opened(tf, session, signatures, graph_def, name, outputs, device, add_batch_dim):
    """The TensorFlowGraph of a session."""
    graph = session.graph
    offered = {
        key: Signature(
            tuple(_spec(graph, k, info.name) for k, info in sorted(sig.inputs.items())),
            tuple(_spec(graph, k, info.name) for k, info in sorted(sig.outputs.items())),
        )
        for key, sig in signatures.items()
        if key not in INIT_SIGNATURES
    }
    if name in offered:
        sig = signatures[name]
        named_inputs = {key: info.name for key, info in sorted(sig.inputs.items())}
        named_outputs = {key: info.name for key, info in sorted(sig.outputs.items())}
    elif offered and not (name == "serving_default" and outputs):
        listed_ = "; ".join(f"{key!r}: {value}" for key, value in offered.items())
        raise ValueError(f"The model has no signature {name!r}; it has {listed_}.")
    else:
        named_inputs, named_outputs = {}, {}
    if outputs is None:
        fetched = named_outputs or {t.op.name: t.name for t in _leaves(graph)}
        if not fetched:
            raise ValueError("No result was found in the graph: name tensors in `outputs`.")
    else:
        fetched = {o: named_outputs.get(o) or _tensor_name(graph, o, offered) for o in outputs}
    tensors = [graph.get_tensor_by_name(tensor) for tensor in fetched.values()]
    needed = _needed(tensors)

    fed: dict = {}
    unused, taken = set(), set()
    required: list = []
    optional: list = []
    for key, tensor in named_inputs.items():
        # two names of one tensor: the first counts
        if tensor in needed and tensor not in taken:
            fed[key] = needed[tensor]
            taken.add(tensor)
            required.append(key)
        else:
            unused.add(key)
    for name, tensor in sorted(needed.items()):
        if tensor.op.type in _PLACEHOLDERS and name not in taken:
            fed[tensor.op.name] = tensor
            with_default = tensor.op.type == "PlaceholderWithDefault"
            (optional if with_default else required).append(tensor.op.name)

    def specs(names):
        return tuple(_spec(graph, key, fed[key].name, add_batch_dim) for key in names)

    ops = {node.op for node in graph_def.node}
    ops |= {node.op for f in graph_def.library.function for node in f.node_def}
    return TensorFlowGraph(
        session,
        specs(required),
        specs(optional),
        tuple(_spec(graph, key, tensor, add_batch_dim) for key, tensor in fetched.items()),
        frozenset(unused),
        offered,
        "convolution" if ops & {"Conv2D", "DepthwiseConv2dNative", "Conv1D"} else "table",
        bool(ops & _NAN_OPS),
        device != "cpu" and bool(tf.config.list_physical_devices("GPU")),
        fed,
        tensors,
        {},
        add_batch_dim and all(tensor.shape.rank is not None for tensor in fed.values()),
    )


def _spec(graph, name, tensor_name, add_batch_dim=False):
    try:
        tensor = graph.get_tensor_by_name(tensor_name)
    except (KeyError, ValueError) as error:
        raise ValueError(
            f"The signature's {name!r} is {tensor_name!r}, a tensor that the graph does not have."
        ) from error
    dtype = tensor.dtype.base_dtype
    try:
        kind = np.dtype(dtype.as_numpy_dtype)
    except TypeError:
        kind = None
    if kind is not None and kind.kind == "V":
        kind = np.dtype(np.float32) if dtype.is_floating else None
    shape = None if tensor.shape.rank is None else tuple(tensor.shape.as_list())
    if add_batch_dim and shape is not None:
        shape = (1, *shape)  # one row is a batch
    return TensorSpec(name, shape, kind)


def _tensor_name(graph, asked, offered):
    """The graph's tensor that `asked` ("name" or "name:0") means."""
    name = asked if ":" in asked else f"{asked}:0"
    try:
        return graph.get_tensor_by_name(name).name
    except (KeyError, ValueError):
        names = [op.name for op in graph.get_operations() if op.outputs]
        close = difflib.get_close_matches(asked.partition(":")[0], names, n=5)
        ends = [tensor.op.name for tensor in _leaves(graph)]
        raise ValueError(
            f"The graph has no output {asked!r}; "
            + (f"its signatures are {[f'{k}: {v}' for k, v in offered.items()]}" if offered else "")
            + (f"it ends in {ends[-5:]}" if not offered else "")
            + (f"; tensors with names like it: {close}." if close else ".")
        ) from None


def _leaves(graph):
    """First outputs of the nodes that no other node reads, but for the saver's."""
    ends = [
        op.outputs[0]
        for op in graph.get_operations()
        if op.outputs
        and op.type not in _NO_RESULTS
        and not any(output.consumers() for output in op.outputs)
    ]
    reader = GraphReader(graph.as_graph_def())
    savers = {"RestoreV2", "SaveV2", "MergeV2Checkpoints"}
    return [
        end
        for end in ends
        if not any(reader.nodes[place].op in savers for place in reader.reached_from([end.name]))
    ]


def _needed(tensors):
    """All tensors that the given ones depend on, and themselves: dict of name to tensor."""
    needed: dict = {}
    queue, seen = list(tensors), set()
    while queue:
        tensor = queue.pop()
        needed[tensor.name] = tensor
        if tensor.op.name in seen:
            continue
        seen.add(tensor.op.name)
        queue += tensor.op.inputs
        for control in tensor.op.control_inputs:
            queue += [*control.inputs, *control.outputs]
    return needed
