"""Find, read and check ONNX models."""

import os
from dataclasses import dataclass, field, replace
from functools import lru_cache
from hashlib import sha256
from pathlib import Path

from sklearn_dl.models import _onnx_external
from sklearn_dl.models._content import embedded
from sklearn_dl.models._find import find_path
from sklearn_dl.models._onnx_safety import search, walk
from sklearn_dl.utils._lfs import refuse_pointer
from sklearn_dl.utils._memos import BytesMemo, also_clear
from sklearn_dl.utils._messages import brief
from sklearn_dl.utils._optional import import_optional
from sklearn_dl.utils._stamp import file_stamp

MAX_EMBEDDED_BYTES = _onnx_external.MAX_GRAPH_BYTES

_NAN_OPS = {
    "Imputer",
    "IsInf",
    "IsNaN",
    "TreeEnsemble",
    "TreeEnsembleClassifier",
    "TreeEnsembleRegressor",
}
# these operators compute one scale for all rows of a run
_DYNAMIC_OPS = {"DynamicQuantizeLinear", "DynamicQuantizeLSTM", "DynamicQuantizeMatMul"}


@dataclass(frozen=True, slots=True, weakref_slot=True)
class OnnxModel:
    """The content of an ONNX model, or only its hash.

    Parameters
    ----------
    sha256 : str
        Hash of the graph's bytes, followed by those of its external data files. For a registered
        model that was exported on this machine: hash of the files that it was exported from.
    data : bytes or None
        Bytes of the graph. None: they are read from `path` when needed.
    path : str or None
        None: the graph is in `data`, or only its hash is known.
    stamps : tuple of tuple
        The `file_stamp` of each file when its hash was computed.
    """

    sha256: str
    data: bytes | None = field(default=None, compare=False)
    path: str | None = field(default=None, compare=False)
    stamps: tuple = field(default=(), compare=False, repr=False)

    @property
    def name(self):
        """Where the content came from, for messages."""
        return self.path or f"<{len(self.data or b'')} bytes>"

    def read(self):
        """Return the bytes of the graph, without external data."""
        return _read(self.path) if self.data is None else self.data

    def n_bytes(self):
        """Size of the graph and its external data, in bytes."""
        if self.path is None:
            return len(self.data or b"")
        files = [_onnx_external.data_file(name, self.path) for name in graph_facts(self).external]
        return sum(os.path.getsize(file) for file in [self.path, *files])

    def read_whole(self):
        """Return the bytes of the graph with its external data inside.

        Raises
        ------
        ValueError
            If the graph would be larger than protobuf allows (2 GiB), or if the files changed
            since their hash was computed.
        """
        data = self.read()
        if graph_facts(self).external:
            model = parse(data, self.name)
            external = _onnx_external.external_tensors(search(model, self.name)[1], self.name)
            files = _onnx_external.DataFiles(self.path)
            size = len(data) + sum(len(files.read(tensor)) for tensor in external)
            if size > MAX_EMBEDDED_BYTES:
                raise ValueError(
                    f"The model with its external data is {size / 2**30:.1f} GiB; a pickle can "
                    "carry 2 GiB at most. Set embed_model=False, and keep the model's files at "
                    "their path."
                )
            for tensor in external:
                tensor.put_inside(files.read(tensor))
            data = serialize(model, self.name)
        self.check_unchanged()
        return data

    def check_unchanged(self):
        """Raise a ValueError if the files changed since their hash was computed."""
        if self.path is None:
            return
        stamp = file_stamp(self.path)
        if (stamp, *map(file_stamp, _data_files(self.path, stamp))) != self.stamps:
            raise ValueError(f"{self.path} or its data changed while they were read; try again.")

    def for_pickle(self, embed):
        """Return the content with its whole graph in memory (`embed`), or with its hash only."""
        if not embed:
            return OnnxModel(self.sha256)
        return embedded(self, lambda: OnnxModel(self.sha256, data=self.read_whole()))


@dataclass(frozen=True, slots=True)
class GraphFacts:
    """Facts about a graph, collected once by reading it.

    Parameters
    ----------
    kind : {"convolution", "sequence", "table"}
        What the graph seems to process; the default batch size depends on it.
    external : tuple of str
        External data files, relative to the model's folder.
    handles_nan : bool
        Whether the graph has operators that handle NaN and infinity (tree ensembles, imputers).
    mixes_rows : bool
        Whether a row's result depends on the other rows of its run: values are quantized with a
        scale that is computed from all of them.
    """

    kind: str
    external: tuple
    handles_nan: bool
    mixes_rows: bool = False


def find_onnx(model):
    """Find the content of OnnxScorer's `model`.

    Parameters
    ----------
    model : str, Path, bytes, bytearray or onnx.ModelProto

    Returns
    -------
    content : OnnxModel

    Raises
    ------
    FileNotFoundError
        If there is neither a file nor a registered model of that name.
    ValueError
        If it is not an ONNX model, has an operator that is refused, or refers to data outside its
        folder.
    """
    if isinstance(model, memoryview):
        raise ValueError("model is a memoryview, whose bytes may change: pass bytes(view).")
    if isinstance(model, (bytes, bytearray)):
        return _from_bytes(bytes(model))
    if hasattr(model, "SerializeToString"):
        return _from_bytes(serialize(model, "The model"))
    return from_found(find_path(model, "a file"))


def from_found(found):
    """Return the OnnxModel of a file that `find_path` has found.

    It raises the errors of `find_onnx`.
    """
    path = found.path
    if os.path.isdir(path):
        raise ValueError(f"model={brief(path)} is a folder, not an ONNX file.{_files_in(path)}")
    stamp = file_stamp(path)
    files = _data_files(path, stamp)
    content = _from_path(path, (stamp, *map(file_stamp, files)), files)
    return replace(content, sha256=found.identity) if found.identity else content


def _data_files(path, stamp):
    """The paths of the external data files of the file at `path`, whose stamp is `stamp`."""
    return tuple(_onnx_external.data_file(name, path) for name in _external_files(path, stamp))


def _files_in(folder):
    """Return a hint for a message: the first ONNX files of a folder."""
    top = Path(folder)
    paths = sorted([*top.glob("*.onnx"), *top.glob("onnx/*.onnx")])[:5]
    found = [path.relative_to(top).as_posix() for path in paths]
    return f" It contains {', '.join(found)}: pass the path of one." if found else ""


def _read(path):
    with _onnx_external.open_file(path) as file:
        size = os.fstat(file.fileno()).st_size
        if size > _onnx_external.MAX_GRAPH_BYTES:
            raise ValueError(
                f"{path} is not an ONNX model: it is {size / 2**30:.1f} GiB, but a graph has at "
                "most 2 GiB without its external data."
            )
        return file.read(size)


def _content_of(data):
    content = OnnxModel(sha256(data).hexdigest(), data=data)
    if graph_facts(content).external:
        raise ValueError(
            "The model keeps its weights in external data files, which cannot be found from bytes; "
            "pass the path of the model."
        )
    return content


_from_bytes = also_clear(BytesMemo(_content_of, 2**28))


@lru_cache(maxsize=32)
def _external_files(path, _stamp):
    return _facts(_read(path), path).external


@lru_cache(maxsize=32)
def _from_path(path, stamps, files):
    digest = sha256(_read(path))
    for name in files:
        with _onnx_external.open_file(name) as file:
            while chunk := file.read(2**20):
                digest.update(chunk)
    return OnnxModel(digest.hexdigest(), path=path, stamps=stamps)


def graph_facts(content):
    """Return the facts about a model's graph.

    Raises
    ------
    ValueError
        If it is not an ONNX model.
    """
    # a file with external data and its copy in a pickle have one hash, but differ in `external`
    known = _known_facts(content.sha256, content.path is None)
    if not known:
        known.append(_facts(content.read(), content.name))
    return known[0]


@also_clear
@lru_cache(maxsize=256)
def _known_facts(sha256, embedded):
    """Return the list that keeps the facts about one content; it is empty at first.

    The arguments do not contain the model's bytes, so this cache does not keep them.
    """
    return []


def _facts(data, name):
    nodes, tensors = search(parse(data, name), name)
    ops = {node.op_type for node in nodes}
    external = {tensor.location for tensor in _onnx_external.external_tensors(tensors, name)}
    if ops & {"Conv", "ConvInteger", "QLinearConv"}:
        kind = "convolution"
    elif ops & {"Softmax", "LayerNormalization", "Attention", "LSTM", "GRU"} and len(nodes) > 50:
        kind = "sequence"
    else:
        kind = "table"
    mixes_rows = bool(ops & _DYNAMIC_OPS) or _has_computed_scale(nodes, tensors)
    return GraphFacts(kind, tuple(sorted(external)), bool(ops & _NAN_OPS), mixes_rows)


def _has_computed_scale(nodes, tensors):
    """Return whether a QuantizeLinear node has a scale that depends on the graph's inputs."""
    queue = [node.input[1] for node in nodes if node.op_type == "QuantizeLinear"]
    if not queue:
        return False
    maker = {name: node for node in nodes for name in node.output}
    known = {"", *(tensor.name for tensor in tensors)}
    while queue:
        name = queue.pop()
        if name in known:
            continue
        known.add(name)
        if name not in maker:  # an input of the graph, a function or a loop
            return True
        inner_nodes = (m for m in walk(*maker[name].attribute) if m.DESCRIPTOR.name == "NodeProto")
        for node in (maker[name], *inner_nodes):
            queue += node.input
    return False


def parse(data, name):
    """Parse the bytes of a graph; `name` is the name of the model in messages."""
    onnx = _onnx()
    from google.protobuf.message import DecodeError

    refuse_pointer(data, name)
    try:
        model = onnx.load_model_from_string(data)
    # protobuf's Python implementation raises the last two
    except (DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ValueError(f"{name} is not an ONNX model, or is damaged: {error}") from error
    if not model.graph.node:
        raise ValueError(f"{name} is not an ONNX model: it holds no graph.")
    return model


def serialize(model, name):
    """The bytes of a parsed graph; `name` is the name of the model in messages."""
    from google.protobuf.message import EncodeError

    try:
        return model.SerializeToString()
    except (EncodeError, ValueError) as error:  # ValueError: older protobuf
        raise ValueError(f"{name} cannot be written as ONNX (at most 2 GiB): {error}") from error


def _onnx():
    return import_optional("onnx", extra="onnx", purpose="OnnxScorer")
