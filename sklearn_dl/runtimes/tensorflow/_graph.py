"""TensorFlow graphs as open sessions.

Everything runs in sessions of TensorFlow 1. They load what TensorFlow 2's loader refuses (reference
variables, two names of one tensor, objects that it does not know), provide access to any tensor of
the graph, and do not need tracing.
"""

import difflib
from dataclasses import dataclass
from typing import Any

import numpy as np

from sklearn_dl.runtimes._scoring_loop import TensorSpec, check_bfloat16, listed
from sklearn_dl.runtimes.tensorflow._files import INIT_SIGNATURES
from sklearn_dl.runtimes.tensorflow._load import load
from sklearn_dl.runtimes.tensorflow._outputs import (
    dense_fetch,
    dtype_of,
    refuse_objects,
    shape_of,
    signature_fetch,
)
from sklearn_dl.runtimes.tensorflow._runtime import quiet, use_tensorflow
from sklearn_dl.runtimes.tensorflow._walk import (
    NO_RESULTS,
    PLACEHOLDERS,
    SAVERS,
    find_inputs,
    leaves,
    mixes_rows,
)

_NAN_OPS = {"IsNan", "IsInf", "IsFinite"}


@dataclass(frozen=True, slots=True)
class Signature:
    """A signature of a SavedModel: the inputs and outputs that it offers under one name.

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
    """An open session, and what every call needs to know about it."""

    session: Any
    inputs: tuple
    optional_inputs: tuple
    outputs: tuple
    unused_inputs: frozenset
    signatures: dict
    kind: str
    handles_nan: bool
    mixes_rows: bool
    on_gpu: bool
    _tensors: dict
    _fetches: tuple
    _calls: dict
    _row_by_row: bool

    def run(self, feeds):
        """Run the graph; several threads may call this at once."""
        names = tuple(feeds)
        call = self._calls.get(names)
        if call is None:
            call = self._calls[names] = self.session.make_callable(
                [list(fetch.tensors) for fetch in self._fetches],
                feed_list=[self._tensors[name] for name in names],
            )
        found = call(*map(self._fed, names, feeds.values()))
        outputs = [f.assemble(*parts) for f, parts in zip(self._fetches, found, strict=True)]
        return [output[None] for output in outputs] if self._row_by_row else outputs

    def inner_tensors(self):
        """The tensors that `outputs` can name: tuple of TensorSpec."""
        return tuple(
            TensorSpec(tensor.name.removesuffix(":0"), shape_of(tensor), dtype_of(tensor))
            for op in self.session.graph.get_operations()
            if op.type not in NO_RESULTS | PLACEHOLDERS | SAVERS
            for tensor in op.outputs
            if tensor.dtype.base_dtype.name not in ("resource", "variant")
        )

    def _fed(self, name, values):
        tensor = self._tensors[name]
        if self._row_by_row:
            values = values[0]
        elif tensor.shape.rank == 0 and values.ndim:
            if (values != values[0]).any():
                raise ValueError(
                    f"the input {name!r} takes one value for all rows, but the rows differ"
                )
            values = values[0]
        if tensor.dtype.base_dtype.name == "bfloat16":
            check_bfloat16(name, values)
        kind = tensor.dtype.base_dtype.as_numpy_dtype
        return values if kind is np.object_ else np.asarray(values, dtype=kind)


def open_graph(
    content, *, signature, tags, outputs, n_threads, device, add_batch_dim, allow_unsafe, verbose
):
    """Open a session on a model; the parameters are those of `TensorFlowScorer`.

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
    """The TensorFlowGraph of a session, for one of its signatures and the requested outputs."""
    graph = session.graph
    offered = {
        key: Signature(
            tuple(signature_fetch(graph, k, info).spec for k, info in sorted(sig.inputs.items())),
            tuple(signature_fetch(graph, k, info).spec for k, info in sorted(sig.outputs.items())),
        )
        for key, sig in signatures.items()
        if key not in INIT_SIGNATURES
    }
    if name in offered:
        sig = signatures[name]
        named_inputs = {k: signature_fetch(graph, k, v) for k, v in sorted(sig.inputs.items())}
        named_outputs = {k: signature_fetch(graph, k, v) for k, v in sorted(sig.outputs.items())}
    elif offered and not (name == "serving_default" and outputs):
        listed_ = "; ".join(f"{key!r}: {value}" for key, value in offered.items())
        raise ValueError(f"The model has no signature {name!r}; it has {listed_}.")
    else:
        named_inputs, named_outputs = {}, {}
    if outputs is None:
        fetches = tuple(named_outputs.values()) or tuple(
            dense_fetch(graph, t.op.name, t.name) for t in leaves(graph)
        )
        if not fetches:
            raise ValueError("No output was found in the graph; name tensors in `outputs`.")
    else:
        named = _other_names(graph, signatures, named_outputs) | named_outputs
        fetches = tuple(
            named.get(o) or dense_fetch(graph, o, _tensor_name(graph, o, offered)) for o in outputs
        )
    refuse_objects(fetches)
    fed, required, optional, unused = find_inputs(named_inputs, fetches)

    def specs(names):
        return tuple(_spec(key, fed[key], add_batch_dim) for key in names)

    ops = {node.op for node in graph_def.node}
    ops |= {node.op for f in graph_def.library.function for node in f.node_def}
    return TensorFlowGraph(
        session,
        specs(required),
        specs(optional),
        tuple(_with_batch(fetch.spec, add_batch_dim) for fetch in fetches),
        frozenset(unused),
        offered,
        "convolution" if ops & {"Conv2D", "DepthwiseConv2dNative", "Conv1D"} else "table",
        bool(ops & _NAN_OPS),
        mixes_rows(graph_def),
        device != "cpu" and bool(tf.config.list_physical_devices("GPU")),
        fed,
        fetches,
        {},
        add_batch_dim and all(tensor.shape.rank is not None for tensor in fed.values()),
    )


def _other_names(graph, signatures, named_outputs):
    """The outputs of the chosen signature by the names that other signatures give them."""
    own = {tensor.name for fetch in named_outputs.values() for tensor in fetch.tensors}
    return {
        key: dense_fetch(graph, key, info.name)
        for signature in signatures.values()
        for key, info in signature.outputs.items()
        if info.name in own
    }


def _spec(name, tensor, add_batch_dim):
    return _with_batch(TensorSpec(name, shape_of(tensor), dtype_of(tensor)), add_batch_dim)


def _with_batch(spec, add_batch_dim):
    if not add_batch_dim or spec.shape is None:
        return spec
    return spec._replace(shape=(1, *spec.shape))  # a batch is one row


def _tensor_name(graph, asked, offered):
    """The full name of the tensor that `asked` ("name" or "name:0") means."""
    name = asked if ":" in asked else f"{asked}:0"
    try:
        return graph.get_tensor_by_name(name).name
    except (KeyError, ValueError):
        names = [op.name for op in graph.get_operations() if op.outputs]
        close = difflib.get_close_matches(asked.partition(":")[0], names, n=5)
        ends = [tensor.op.name for tensor in leaves(graph)]
        raise ValueError(
            f"The graph has no output {asked!r}; "
            + (f"its signatures are {[f'{k}: {v}' for k, v in offered.items()]}" if offered else "")
            + (f"it ends in the tensors {ends[-5:]}" if not offered else "")
            + (f"; tensors with similar names: {close}." if close else ".")
        ) from None
