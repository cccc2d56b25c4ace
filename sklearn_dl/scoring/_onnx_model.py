"""ONNX models: found, read and checked, wherever they come from."""

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from hashlib import sha256
from itertools import chain
from pathlib import Path

from sklearn_dl.utils._optional import import_optional
from sklearn_dl.utils._sessions import also_clear

# protobuf's limit on one message
MAX_EMBEDDED_BYTES = 2**31 - 1

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
        onnx = _onnx()
        size = len(data) + sum(os.path.getsize(Path(self.folder, f)) for f in facts.external)
        if size > MAX_EMBEDDED_BYTES:
            raise ValueError(
                f"The model with its external data is {size / 2**30:.1f} GiB; a pickle can carry "
                "2 GiB of it. Set embed_model=False and keep the model's files beside the pickle."
            )
        model = onnx.load_model_from_string(data)
        onnx.load_external_data_for_model(model, self.folder)
        return model.SerializeToString()

    def for_pickle(self, embed):
        """Itself with its whole graph in memory (`embed`), or its hash alone."""
        return OnnxModel(self.sha256, data=self.read_whole() if embed else None)


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
    stamps = _stamp(path)
    external = _external_files(path, *stamps)
    for location in external:
        _check_location(location, path)
    return _from_path(path, *(_stamp(path, external) if external else stamps))


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
    onnx = _onnx()
    model = parse(data, name)
    graphs = [model.graph, *model.functions]
    nodes = [node for graph in graphs for node in all_nodes(graph)]
    ops = {node.op_type for node in nodes}
    external = set()
    for tensor in chain.from_iterable(map(_all_tensors, graphs)):
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
    onnx = _onnx()
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


def all_nodes(graph) -> Iterator:
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            for inner in (attribute.g, *attribute.graphs):
                yield from all_nodes(inner)


def _all_tensors(graph) -> Iterator:
    """The tensors that a graph or function holds, those of the graphs inside it too."""
    sparse = [*getattr(graph, "sparse_initializer", ())]
    yield from getattr(graph, "initializer", ())
    for node in graph.node:
        for attribute in node.attribute:
            yield from (attribute.t, *attribute.tensors)
            sparse += [attribute.sparse_tensor, *attribute.sparse_tensors]
            for inner in (attribute.g, *attribute.graphs):
                yield from _all_tensors(inner)
    for tensor in sparse:
        yield from (tensor.values, tensor.indices)


def _onnx():
    return import_optional("onnx", extra="onnx", purpose="OnnxScorer")
