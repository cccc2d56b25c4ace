"""ONNX graphs: found, read, checked, cut and opened."""

import difflib
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np

from sklearn_dl.scoring._scorer import TensorSpec
from sklearn_dl.scoring._sessions import also_clear
from sklearn_dl.utils._optional import import_optional

# protobuf's limit on one message
MAX_EMBEDDED_BYTES = 2**31 - 1

_DTYPES: dict[str, np.dtype] = {
    "float": np.dtype(np.float32),
    "double": np.dtype(np.float64),
    "float16": np.dtype(np.float16),
    "bool": np.dtype(bool),
    "string": np.dtype(object),
    **{f"{u}int{b}": np.dtype(f"{u}int{b}") for u in ("", "u") for b in (8, 16, 32, 64)},
}
_NAN_OPS = {
    "Imputer",
    "IsInf",
    "IsNaN",
    "TreeEnsemble",
    "TreeEnsembleClassifier",
    "TreeEnsembleRegressor",
}


@dataclass(frozen=True, slots=True)
class OnnxModel:
    """The content of a model, wherever it came from.

    Parameters
    ----------
    sha256 : str
        Of the graph's bytes, followed by those of its external data files.
    data : bytes or None
        The graph; None: it is read from `path` when needed.
    path : str or None
    """

    sha256: str
    data: bytes | None = field(default=None, compare=False)
    path: str | None = field(default=None, compare=False)

    @property
    def folder(self):
        """Folder of the file, for its external data; empty if there is no file."""
        return os.path.dirname(self.path or "")

    @property
    def name(self):
        """For messages."""
        return self.path or f"<{len(self.data or b'')} bytes>"

    def read(self):
        """The bytes of the graph, without external data."""
        return Path(self.path or "").read_bytes() if self.data is None else self.data

    def read_whole(self):
        """The bytes of the graph with its external data inside.

        Raises
        ------
        ValueError
            If they are more than protobuf can hold (2 GiB).
        """
        data = self.read()
        facts = graph_facts(self)
        if not facts.external:
            return data
        onnx = _onnx("pickling")
        size = len(data) + sum(os.path.getsize(Path(self.folder, f)) for f in facts.external)
        if size > MAX_EMBEDDED_BYTES:
            raise ValueError(
                f"The model with its external data is {size / 2**30:.1f} GiB; a pickle can carry "
                "2 GiB of it. Set embed_model=False and keep the model's files beside the pickle."
            )
        model = onnx.load_model_from_string(data)
        onnx.load_external_data_for_model(model, self.folder)
        return model.SerializeToString()


@dataclass(frozen=True, slots=True)
class GraphFacts:
    """What is read off a graph once.

    Parameters
    ----------
    kind : {"convolution", "sequence", "table"}
    external : tuple of str
        External data files, relative to the model's folder.
    handles_nan : bool
        Whether operators that give NaN and infinity a meaning occur (tree ensembles, imputers).
    """

    kind: str
    external: tuple
    handles_nan: bool


def resolve(model):
    """Find the content of OnnxScorer's `model`.

    Parameters
    ----------
    model : str, Path, bytes or onnx.ModelProto

    Returns
    -------
    content : OnnxModel

    Raises
    ------
    FileNotFoundError
        If there is no such file, nor a registered model of that name.
    ValueError
        If it is no ONNX model, or refers to data outside its folder.
    """
    if isinstance(model, bytes):
        return _from_bytes(model)
    if hasattr(model, "SerializeToString"):
        return _from_bytes(model.SerializeToString())
    path = os.path.abspath(_find_file(model))
    if os.path.isdir(path):
        raise ValueError(f"model={os.fspath(model)!r} is a folder, not an ONNX file.")
    external = _external_files(path, *_stamp(path))
    for location in external:
        _check_location(location, path)
    return _from_path(path, *_stamp(path, external))


def _find_file(model):
    name = os.fspath(model)
    if os.path.exists(name):
        return name
    from sklearn_dl import models  # the registry reads its entries when it is asked for

    known = models.list_models()
    if isinstance(model, str) and name in known:
        return models.model_path(name)
    if "://" in name:
        raise ValueError(f"model={name!r} is a URL; nothing is fetched. Give a file or its bytes.")
    raise FileNotFoundError(
        f"model={name!r} is neither a file nor a registered model; registered are {known}."
    )


def _stamp(path, others=()):
    folder = os.path.dirname(path)
    stats = [os.stat(path), *(os.stat(os.path.join(folder, other)) for other in others)]
    return tuple((stat.st_ino, stat.st_size, stat.st_mtime_ns) for stat in stats)


@also_clear
@lru_cache(maxsize=8)
def _from_bytes(data):
    content = OnnxModel(sha256(data).hexdigest(), data=data)
    if graph_facts(content).external:
        raise ValueError(
            "The model keeps its weights in external data files, which bytes cannot be followed "
            "to; give the path of the model."
        )
    return content


@lru_cache(maxsize=32)
def _external_files(path, stamp):
    return _facts(Path(path).read_bytes(), path).external


@lru_cache(maxsize=32)
def _from_path(path, *stamps):
    digest = sha256(Path(path).read_bytes())
    folder = os.path.dirname(path)
    for name in _external_files(path, stamps[0]):
        with open(os.path.join(folder, name), "rb") as file:
            while chunk := file.read(2**20):
                digest.update(chunk)
    return OnnxModel(digest.hexdigest(), path=path)


def graph_facts(content):
    """The facts of a model.

    Raises
    ------
    ValueError
        If it is no ONNX model.
    """
    return _facts_of(content, content.path is None)


@also_clear
@lru_cache(maxsize=32)
def _facts_of(content, embedded):
    # a file with external data and a pickle's copy of both are one content: they differ here only
    return _facts(content.read(), content.name)


def _facts(data, name):
    onnx = _onnx("OnnxScorer")
    model = parse(data, name)
    graphs = [model.graph, *model.functions]
    nodes = [node for graph in graphs for node in _all_nodes(graph)]
    ops = {node.op_type for node in nodes}
    external = set()
    for tensor in _all_tensors(model.graph, nodes):
        if tensor.data_location == onnx.TensorProto.EXTERNAL:
            external.add({e.key: e.value for e in tensor.external_data}.get("location", ""))
    if ops & {"Conv", "ConvInteger", "QLinearConv"}:
        kind = "convolution"
    elif ops & {"Softmax", "LayerNormalization", "Attention", "LSTM", "GRU"} and len(nodes) > 50:
        kind = "sequence"
    else:
        kind = "table"
    return GraphFacts(kind, tuple(sorted(external)), bool(ops & _NAN_OPS))


def parse(data, name):
    """Parse the bytes of a graph; `name` is for the message."""
    onnx = _onnx("OnnxScorer")
    from google.protobuf.message import DecodeError

    try:
        model = onnx.load_model_from_string(data)
    except DecodeError as error:
        raise ValueError(f"{name} is not an ONNX model, or is damaged: {error}") from error
    if not model.graph.node:
        raise ValueError(f"{name} is not an ONNX model: it holds no graph.")
    return model


def _check_location(location, name):
    folder = os.path.dirname(name)
    full = os.path.realpath(os.path.join(folder, location))
    inside = os.path.commonpath([os.path.realpath(folder), full]) == os.path.realpath(folder)
    if os.path.isabs(location) or not inside:
        raise ValueError(f"{name} refers to data outside its folder ({location!r}): refused.")
    if not os.path.isfile(full):
        raise FileNotFoundError(f"{name} needs the data file {full!r}, which does not exist.")


def _all_nodes(graph) -> Iterator:
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            for inner in (attribute.g, *attribute.graphs):
                yield from _all_nodes(inner)


def _all_tensors(graph, nodes) -> Iterator:
    yield from graph.initializer
    for sparse in graph.sparse_initializer:
        yield from (sparse.values, sparse.indices)
    for node in nodes:
        for attribute in node.attribute:
            yield from (attribute.t, *attribute.tensors)
            for inner in (attribute.g, *attribute.graphs):
                yield from inner.initializer


def cut(model, outputs):
    """Keep of a parsed graph what the tensors `outputs` need, in place.

    Parameters
    ----------
    model : onnx.ModelProto
    outputs : tuple of str
        Outputs of the graph, or of nodes inside it.

    Raises
    ------
    ValueError
        If there is no such tensor; the message lists what there is.
    """
    onnx = _onnx("OnnxScorer")
    graph = model.graph
    declared = {output.name: output for output in graph.output}
    maker = {name: node for node in graph.node for name in node.output if name}
    for name in outputs:
        if name not in maker and name not in declared:
            close = difflib.get_close_matches(name, maker, n=5)
            inner = f"; inner tensors with names like it: {close}" if close else ""
            raise ValueError(
                f"The graph has no output {name!r}; its outputs are {list(declared)}{inner}. Any "
                "tensor of its nodes can be named."
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
            queue += [inner_input for inner in _inner_nodes(node) for inner_input in inner.input]
    _keep(graph.node, lambda node: any(output in needed for output in node.output))
    _keep(graph.initializer, lambda tensor: tensor.name in needed)
    _keep(graph.sparse_initializer, lambda tensor: tensor.values.name in needed)
    _keep(graph.input, lambda value: value.name in needed)


def _inner_nodes(node):
    for attribute in node.attribute:
        for graph in (attribute.g, *attribute.graphs):
            yield from _all_nodes(graph)


def _keep(repeated, wanted):
    kept = [item for item in repeated if wanted(item)]
    del repeated[:]
    repeated.extend(kept)


@dataclass(frozen=True, slots=True)
class OnnxSession:
    """An open session with what is asked of it at every call."""

    session: Any
    inputs: tuple
    optional_inputs: tuple
    outputs: tuple
    unused_inputs: frozenset
    facts: GraphFacts

    def run(self, feeds):
        """Run the graph; safe to be called by several threads at once."""
        return self.session.run([spec.name for spec in self.outputs], feeds)


def open_session(content, outputs, n_threads, providers, options, log_level):
    """Open an ONNX Runtime session.

    Parameters
    ----------
    content : OnnxModel
    outputs : tuple of str or None
        None: the graph's own.
    n_threads : int
    providers : list
    options : dict
        Attributes of `onnxruntime.SessionOptions`, or its config entries (names with a dot).
    log_level : int
        2: warnings, 4: fatal errors only.

    Raises
    ------
    ValueError
        If the graph cannot be run, an option is unknown, or a provider is not there.
    """
    ort = import_optional("onnxruntime", extra="onnx", purpose="OnnxScorer")
    data = content.read()
    unused: frozenset = frozenset()
    if outputs is not None:
        model = parse(data, content.name)
        names = {value.name for value in model.graph.input}
        cut(model, outputs)
        unused = frozenset(names - {value.name for value in model.graph.input})
        data = model.SerializeToString()
    session_options = _session_options(ort, n_threads, options, log_level)
    facts = graph_facts(content)
    if facts.external:
        session_options.add_session_config_entry(
            "session.model_external_initializers_file_folder_path", content.folder
        )
    try:
        session = ort.InferenceSession(data, session_options, providers=providers)
    except Exception as error:  # ONNX Runtime has a class per status code, none of them public
        raise ValueError(f"ONNX Runtime cannot run {content.name}: {error}") from error
    return OnnxSession(
        session,
        tuple(map(_spec, session.get_inputs())),
        tuple(map(_spec, session.get_overridable_initializers())),
        tuple(map(_spec, session.get_outputs())),
        unused,
        facts,
    )


def _session_options(ort, n_threads, options, log_level):
    made = ort.SessionOptions()
    made.log_severity_level = log_level
    made.intra_op_num_threads = n_threads
    made.inter_op_num_threads = 1
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
            hint = "use n_threads" if name == "intra_op_num_threads" else f"known are {known}"
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
            raise ValueError(f"session_options {name}={value!r} must be {kind}.") from None
    return made


def _spec(value):
    kind = value.type
    if kind.startswith("seq(map("):
        return TensorSpec(value.name, None, _DTYPES.get(kind[:-3].rpartition("(")[2]))
    dtype = _DTYPES.get(kind.removeprefix("tensor(").removesuffix(")"))
    # ONNX Runtime shows an unknown rank as it shows rank 0, which nothing with rows can have
    return TensorSpec(value.name, tuple(value.shape or ()) or None, dtype)


def _onnx(purpose):
    return import_optional("onnx", extra="onnx", purpose=purpose)
