"""TensorFlow models of every format, loaded into sessions."""

import re
import tempfile
from contextlib import contextmanager
from pathlib import Path

from sklearn_dl.runtimes._sessions import leave_to_parent
from sklearn_dl.runtimes.tensorflow._files import bind_files, find_loading
from sklearn_dl.runtimes.tensorflow._runtime import require_eager
from sklearn_dl.runtimes.tensorflow._safety import refuse_unsafe


def load(tf, content, tags, outputs, config, allow_unsafe):
    """Load a model into a new session.

    Parameters
    ----------
    tf : module
    content : TensorFlowModel
    tags : sequence of str
        The tags of the graph to load from a SavedModel.
    outputs : sequence of str or None
        Names of tensors that will be computed, in addition to the outputs of the signatures.
    config : tf.compat.v1.ConfigProto
    allow_unsafe : bool
        Whether the graph may do more than compute.

    Returns
    -------
    session : tf.compat.v1.Session
    signatures : dict of str to SignatureDef
    graph_def : GraphDef
        The graph that was loaded.

    Raises
    ------
    ValueError
        If the model is damaged, unsafe, or has no graph with these tags.
    FileNotFoundError
        If a file of a SavedModel does not exist.
    ImportError
        If this version of Keras cannot read an untrusted file safely.
    """
    with content.on_disk() as path:
        if content.kind == "graph":
            graph_def = _read_graph(tf, content.name, path)
            if not allow_unsafe:
                refuse_unsafe(content.name, graph_def)
            session = _import(tf, content.name, graph_def, config)
            return session, {}, graph_def
        if content.kind == "saved_model":
            return _load_saved_model(tf, content.name, path, tags, outputs, config, allow_unsafe)
        with tempfile.TemporaryDirectory(prefix="sklearn_dl_") as folder:
            _export_keras_file(tf, content, path, folder, allow_unsafe)
            return _load_saved_model(
                tf, content.name, folder, ("serve",), outputs, config, allow_unsafe
            )


def _read_graph(tf, name, path):
    graph_def = tf.compat.v1.GraphDef()
    _parse(graph_def, Path(path).read_bytes(), name, "a frozen graph (GraphDef)")
    if not graph_def.node:
        raise ValueError(f"{name} is not a frozen graph (GraphDef): it contains no nodes.")
    return graph_def


def _import(tf, name, graph_def, config, producer_ops=None):
    graph = tf.Graph()
    with graph.as_default(), _explained(name):
        tf.graph_util.import_graph_def(graph_def, name="", producer_op_list=producer_ops)
    return leave_to_parent(tf.compat.v1.Session(graph=graph, config=config))


def _load_saved_model(tf, name, folder, tags, outputs, config, allow_unsafe):
    """Do what `tf.compat.v1.saved_model.load` does, with the same protobuf that was checked."""
    saved = read_saved_model(folder, name)
    chosen = [m for m in saved.meta_graphs if set(m.meta_info_def.tags) == set(tags)]
    if not chosen:
        found = [tuple(m.meta_info_def.tags) for m in saved.meta_graphs]
        raise ValueError(
            f"{name} has no graph with tags={tuple(tags)!r}; it has graphs with the tags {found}."
        )
    meta_graph = chosen[0]
    loading = find_loading(name, meta_graph, folder)
    if not allow_unsafe:
        for other in saved.meta_graphs:
            if other is not meta_graph:
                refuse_unsafe(
                    name, other.graph_def, bind_files(other, find_loading(name, other, folder))
                )
        bound = bind_files(meta_graph, loading, outputs or ())
        refuse_unsafe(name, meta_graph.graph_def, bound)
    info = meta_graph.meta_info_def
    producer_ops = info.stripped_op_list if info.HasField("stripped_op_list") else None
    session = _import(tf, name, meta_graph.graph_def, config, producer_ops)
    with _explained(name):
        if loading.restore:
            session.run(loading.restore, {loading.filename: loading.checkpoint})
        if loading.init:
            session.run(loading.init, loading.assets)
    return session, dict(meta_graph.signature_def), meta_graph.graph_def


def read_saved_model(folder, name):
    """Read the SavedModel message (a protobuf) of a folder."""
    from google.protobuf import text_format
    from tensorflow.core.protobuf.saved_model_pb2 import SavedModel

    saved = SavedModel()
    binary, text = Path(folder, "saved_model.pb"), Path(folder, "saved_model.pbtxt")
    if binary.is_file():
        _parse(saved, binary.read_bytes(), name, "a SavedModel")
    else:
        try:
            text_format.Parse(text.read_text(encoding="utf-8"), saved)
        except (text_format.ParseError, UnicodeDecodeError, RecursionError) as error:
            raise ValueError(f"{name} is not a SavedModel, or is damaged: {error}") from error
    if not saved.meta_graphs:
        raise ValueError(f"{name} is not a SavedModel: it contains no graph.")
    return saved


def _parse(message, data, name, what):
    from google.protobuf.message import DecodeError

    try:
        message.ParseFromString(data)
    # protobuf in pure Python raises UnicodeDecodeError
    except (DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise ValueError(f"{name} is not {what}, or is damaged: {error}") from error


def is_safe_keras(version):
    """Whether a version of Keras reads no file except the one that is passed to it."""
    parts = tuple(int(part) for part in re.findall(r"\d+", version)[:3])
    return (3, 12, 4) <= parts < (3, 13) or parts >= (3, 14, 1)


def export_keras(tf, model, folder):
    """Write a Keras model as a SavedModel whose outputs are named after the output layers.

    Raises
    ------
    ValueError
        If TensorFlow's eager execution is switched off.
    """
    require_eager(tf)
    model.export(folder, verbose=False)
    # a Sequential model has a functional one inside
    names = getattr(getattr(model, "_functional", None) or model, "output_names", [])
    saved = read_saved_model(folder, "The exported model")
    for meta_graph in saved.meta_graphs:
        signatures = meta_graph.signature_def
        numbered = {f"output_{i}": name for i, name in enumerate(names)}
        default = signatures["serving_default"]
        if default.outputs.keys() != numbered.keys() or len(set(names)) < len(names):
            return
        # the signature "serve" keeps the numbered names
        signatures["serve"].CopyFrom(default)
        default.outputs.clear()
        for number, name in numbered.items():
            default.outputs[name].CopyFrom(signatures["serve"].outputs[number])
    Path(folder, "saved_model.pb").write_bytes(saved.SerializeToString())


def _export_keras_file(tf, content, path, folder, allow_unsafe):
    """Write a Keras file as a SavedModel."""
    keras = tf.keras
    if not (allow_unsafe or is_safe_keras(keras.__version__)):
        raise ImportError(
            f"With Keras {keras.__version__}, a Keras file can read other files into its weights. "
            "Keras 3.12.4, and 3.14.1 or later, refuse that; install one of them: "
            'pip install "sklearn-dl[tensorflow]"'
        )
    if keras.backend.backend() != "tensorflow":
        raise ValueError(
            f"Keras runs on {keras.backend.backend()!r} in this process; TensorFlowScorer needs "
            'the environment variable KERAS_BACKEND to be "tensorflow" or unset.'
        )
    require_eager(tf)
    try:
        model = keras.models.load_model(path, compile=False, safe_mode=not allow_unsafe)
    except Exception as error:  # Keras raises TypeError, ValueError, OSError and others
        if content.kind == "h5" and _holds_no_layers(path):
            raise ValueError(
                f"{content.name} contains only weights, without the layers that they belong to. "
                "Build the model in Python, call its load_weights, and pass the model to "
                "TensorFlowScorer, or save the whole model (model.save) to a .keras file."
            ) from error
        raise ValueError(
            f"Keras cannot load {content.name}: {_first_line(error)}. Lambda layers and classes of "
            "your own contain code, which is not loaded from files. Build the model in Python, and "
            "pass it to TensorFlowScorer, or export it (model.export) as a SavedModel."
        ) from error
    with _explained(content.name):
        export_keras(tf, model, folder)


def _holds_no_layers(path):
    """Whether a file is an HDF5 file that does not describe the layers of its weights."""
    import h5py  # Keras needs it

    try:
        with h5py.File(path, "r") as file:
            return "model_config" not in file.attrs
    except OSError:
        return False


@contextmanager
def _explained(name):
    """Turn an error of TensorFlow into a ValueError that names the model."""
    try:
        yield
    except Exception as error:  # TensorFlow has a class per status code
        raise ValueError(f"TensorFlow cannot load {name}: {_first_line(error)}") from error


def _first_line(error):
    return str(error).strip().partition("\n")[0] or type(error).__name__
