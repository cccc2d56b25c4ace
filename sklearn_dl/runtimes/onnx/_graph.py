"""ONNX graphs: cut down to the requested outputs, and opened as sessions."""

import difflib
from dataclasses import dataclass
from typing import Any

from sklearn_dl.models._onnx import GraphFacts, graph_facts, parse, serialize
from sklearn_dl.models._onnx_external import share
from sklearn_dl.models._onnx_safety import search, walk
from sklearn_dl.runtimes._scoring_loop import check_bfloat16
from sklearn_dl.runtimes._sessions import cached_session, leave_to_parent
from sklearn_dl.runtimes.onnx._ends import cast_ends, needs_casts, spec_of
from sklearn_dl.runtimes.onnx._runtime import import_onnxruntime
from sklearn_dl.utils._optional import import_optional

_AUTO_PROVIDERS = ("CUDAExecutionProvider", "CPUExecutionProvider")
_CONFIG = {
    # bytes can be a model in ONNX and in ORT format at once; only the ONNX model was checked
    "session.load_model_format": "ONNX",
    # without it, older versions of ONNX Runtime copy the data files' bytes
    "session.use_external_initializer_file_buffers_directly": "1",
}


def cut(model, outputs):
    """Remove from a parsed graph, in place, all that the tensors `outputs` do not need.

    Parameters
    ----------
    model : onnx.ModelProto
    outputs : tuple of str
        Names of outputs of the graph, or of nodes inside it.

    Raises
    ------
    ValueError
        If the graph has no such tensor; the message lists its outputs.
    """
    onnx = import_optional("onnx", extra="onnx", purpose="OnnxScorer")
    graph = model.graph
    declared = {output.name: output for output in graph.output}
    maker = {name: node for node in graph.node for name in node.output if name}
    for name in outputs:
        if name not in maker and name not in declared:
            close = difflib.get_close_matches(name, maker, n=5)
            inner = f"; tensors with similar names: {close}" if close else ""
            raise ValueError(
                f"The graph has no output {name!r}; its outputs are {list(declared)}{inner}. "
                "`outputs` can name any tensor that a node of the graph computes."
            )
    # ONNX Runtime infers the type of an output that declares none
    kept = [declared.get(name) or onnx.ValueInfoProto(name=name) for name in outputs]
    del graph.output[:]
    graph.output.extend(kept)

    needed, queue = set(), list(outputs)
    while queue:
        name = queue.pop()
        if name in needed:
            continue
        needed.add(name)
        if name in maker:
            node = maker[name]
            queue += [*node.input, *node.output]
            inner_nodes = (m for m in walk(*node.attribute) if m.DESCRIPTOR.name == "NodeProto")
            queue += [inner_input for inner in inner_nodes for inner_input in inner.input]
    _keep(graph.node, lambda node: any(output in needed for output in node.output))
    _keep(graph.initializer, lambda tensor: tensor.name in needed)
    _keep(graph.sparse_initializer, lambda tensor: tensor.values.name in needed)
    _keep(graph.input, lambda value: value.name in needed)


def _keep(repeated, wanted):
    kept = [item for item in repeated if wanted(item)]
    del repeated[:]
    repeated.extend(kept)


@dataclass(frozen=True, slots=True)
class OnnxSession:
    """An open session, and what every call needs to know about it."""

    session: Any
    inputs: tuple
    optional_inputs: tuple
    outputs: tuple
    unused_inputs: frozenset
    facts: GraphFacts
    shared: tuple  # memory from which ONNX Runtime reads weights: kept as long as the session
    names: dict  # renamed inputs and outputs: their names in the session

    @property
    def kind(self):
        return self.facts.kind

    @property
    def handles_nan(self):
        return self.facts.handles_nan

    @property
    def mixes_rows(self):
        return self.facts.mixes_rows

    @property
    def metadata(self):
        """The file's metadata: dict of str to str."""
        return self.session.get_modelmeta().custom_metadata_map

    @property
    def on_gpu(self):
        return self.session.get_providers()[0] != "CPUExecutionProvider"

    def run(self, feeds):
        """Run the graph; several threads may call this at once."""
        names = self.names
        for name in names.keys() & feeds.keys():
            check_bfloat16(name, feeds[name])
        return self.session.run(
            [names.get(spec.name, spec.name) for spec in self.outputs],
            {names.get(name, name): values for name, values in feeds.items()},
        )


def shared_session(content, outputs, n_threads, providers="auto", options=None, log_level=4):
    """Return the session of a graph from the cache; open it if the cache does not have it.

    Parameters
    ----------
    content, outputs, n_threads, options, log_level
        As in `open_session`.
    providers : "auto" or list

    Raises
    ------
    ValueError
        If a provider is not available or could not be started, and as in `open_session`.
    """
    found, options = resolve_providers(providers), options or {}
    key = (content.sha256, outputs, n_threads, repr(found), repr(options), log_level)
    session = cached_session(
        key,
        lambda: open_session(content, outputs, n_threads, found, options, log_level),
        content.n_bytes,
    )
    if providers != "auto":
        wanted = found[0] if isinstance(found[0], str) else found[0][0]
        started = session.session.get_providers()
        if wanted not in started:
            raise ValueError(
                f"ONNX Runtime could not start {wanted}; it has started {started}. Use "
                'providers="auto" to run without it.'
            )
    return session


def resolve_providers(providers):
    """The list of ONNX Runtime's providers for `providers` ("auto" or a list) on this machine."""
    ort = import_onnxruntime(purpose="running an ONNX graph")
    available = ort.get_available_providers()
    if isinstance(providers, str):
        return [provider for provider in _AUTO_PROVIDERS if provider in available]
    names = [p if isinstance(p, str) else p[0] for p in providers]
    if not names or set(names) - set(available):
        raise ValueError(
            f'providers={providers!r} must be "auto" or a list of at least one of {available}.'
        )
    return list(providers)


def open_session(content, outputs, n_threads, providers, options, log_level):
    """Open an ONNX Runtime session.

    Parameters
    ----------
    content : OnnxModel
    outputs : tuple of str or None
        None: the outputs of the graph.
    n_threads : int
    providers : list
    options : dict
        Attributes of `onnxruntime.SessionOptions`, or config entries (their names have a dot).
    log_level : int
        2: warnings, 4: fatal errors only.

    Raises
    ------
    ValueError
        If the graph cannot be run, or an option is unknown or has a wrong value.
    """
    ort = import_onnxruntime(purpose="OnnxScorer")
    data, shared, unused = _prepare(content, outputs)
    session_options = _session_options(ort, n_threads, options, log_level)
    session_options.add_external_initializers_from_files_in_memory(
        [*shared], [*shared.values()], [len(data) for data in shared.values()]
    )
    try:
        session, names = _start(ort, data, session_options, providers), {}
        if needs_casts(session):
            model = parse(data, content.name)
            names = cast_ends(model, session.get_inputs(), session.get_outputs())
            data = serialize(model, content.name)
            session = _start(ort, data, session_options, providers)
        inputs, optional_inputs, made = (
            tuple(spec_of(value, names) for value in found)
            for found in (
                session.get_inputs(),
                session.get_overridable_initializers(),
                session.get_outputs(),
            )
        )
    except Exception as error:  # ONNX Runtime has a class per status code, none of them public
        raise ValueError(f"ONNX Runtime cannot run {content.name}: {error}") from error
    facts, memory = graph_facts(content), tuple(shared.values())
    return OnnxSession(session, inputs, optional_inputs, made, unused, facts, memory, names)


def _start(ort, data, options, providers):
    """An InferenceSession on the first provider that starts; the CPU is the last resort."""

    def start(providers):
        # ONNX Runtime's own fallback prints to stdout
        return leave_to_parent(
            ort.InferenceSession(data, options, providers=providers, enable_fallback=0)
        )

    for i in range(len(providers)):
        try:
            return start(providers[i:])
        except Exception:
            if providers[i:] == ["CPUExecutionProvider"]:
                raise
    return start(["CPUExecutionProvider"])


def _prepare(content, outputs):
    """Return the graph's bytes, those of its data files by name, and the inputs that were cut."""
    model = parse(content.read(), content.name)
    names = {value.name for value in model.graph.input}
    if outputs is not None:
        cut(model, outputs)
    tensors = search(model, content.name)[1]
    shared = share(model.graph.initializer, tensors, content.path)
    content.check_unchanged()
    # fields that onnx does not know were not checked; a newer ONNX Runtime might know them
    model.DiscardUnknownFields()
    # an environment variable can make ONNX Runtime read session options from this entry
    _keep(model.metadata_props, lambda entry: entry.key != "ort_config")
    unused = frozenset(names - {value.name for value in model.graph.input})
    return serialize(model, content.name), shared, unused


def _session_options(ort, n_threads, options, log_level):
    """The SessionOptions of ONNX Runtime for `open_session`, with the user's `options`."""
    made = ort.SessionOptions()
    made.log_severity_level = log_level
    made.intra_op_num_threads = n_threads
    made.inter_op_num_threads = 1
    for name, value in _CONFIG.items():
        made.add_session_config_entry(name, value)
    for name, value in options.items():
        if "." in name:
            made.add_session_config_entry(name, str(value))
            continue
        known = [
            n
            for n in dir(made)
            if not n.startswith("_") and not callable(getattr(made, n)) and n != "has_providers"
        ]
        known.remove("intra_op_num_threads")
        if name not in known:
            hint = "use n_threads" if name == "intra_op_num_threads" else f"use one of {known}"
            raise ValueError(f"session_options has {name!r}, which cannot be set: {hint}.")
        enum = type(getattr(made, name))
        if isinstance(value, str) and hasattr(enum, "__members__"):
            if value not in enum.__members__:
                raise ValueError(
                    f"session_options {name}={value!r} must be one of {list(enum.__members__)}."
                )
            value = enum.__members__[value]
        try:
            setattr(made, name, value)
        except TypeError:
            kind = enum.__name__
            raise ValueError(f"session_options {name}={value!r} must be of type {kind}.") from None
    return made
