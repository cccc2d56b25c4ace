"""TensorFlow and Keras models in memory, exported to bytes."""

import json
import os
import sys
import tempfile
from hashlib import sha256
from pathlib import Path
from weakref import WeakKeyDictionary

import numpy as np

from sklearn_dl.models._tensorflow import TensorFlowModel, pack
from sklearn_dl.runtimes.tensorflow._load import export_keras
from sklearn_dl.runtimes.tensorflow._runtime import require_eager, use_tensorflow

# the digest of each model's state, and its last export: an export takes a while, and two exports
# of the same model differ in their bytes
_exported: WeakKeyDictionary = WeakKeyDictionary()


def content_in_memory(model):
    """Return the present content of a model in memory; export it only if its state has changed."""
    tf = use_tensorflow()
    if not isinstance(model, (tf.Module, tf.keras.Model)):
        raise TypeError(f"model is {type(model).__name__}, not a path, tf.Module or keras.Model.")
    require_eager(tf)
    state = _state(tf, model)
    before, content = _exported.get(model, (None, None))
    if state is None or before != state:
        with tempfile.TemporaryDirectory(prefix="sklearn_dl_") as folder:
            if isinstance(model, tf.keras.Model):
                export_keras(tf, model, folder)
            else:
                tf.saved_model.save(model, folder, signatures=_signatures(model))
            data = pack(Path(folder))
        content = TensorFlowModel("saved_model", sha256(data).hexdigest(), data=data)
        _exported[model] = state, content
    return content


def _state(tf, model):
    """Digest of all that an export of `model` depends on, or None if that cannot be read."""
    digest = sha256()
    for variable in model.variables:
        digest.update(np.asarray(tf.convert_to_tensor(variable)).tobytes())
    if isinstance(model, tf.keras.Model):
        configuration = _configuration(tf, model)
        if configuration is None:
            return None
        digest.update(configuration)
    else:
        tables = (tf.lookup.experimental.MutableHashTable, tf.lookup.experimental.DenseHashTable)
        if any(model._flatten(predicate=lambda part: isinstance(part, tables))):
            return None
    return digest.digest()


def _configuration(tf, model):
    """The configuration of a Keras model as bytes, or None if parts are not Keras's own."""
    layers = model._flatten_layers()
    if not all(_is_of_keras(type(layer)) for layer in layers):
        return None
    for layer in layers:
        if not all(_is_of_keras(value) for value in vars(layer).values() if callable(value)):
            return None
    # vocabularies may have been adapted or set since the layers were made
    words = [layer.get_vocabulary() for layer in layers if hasattr(layer, "get_vocabulary")]
    return json.dumps([tf.keras.utils.serialize_keras_object(model), words], default=str).encode()


def _is_of_keras(value):
    module = getattr(value, "__module__", None) or type(value).__module__
    return module.partition(".")[0] == "keras"


def share_export(model, copied):
    """Use one export for a model and its deep copy: a grid search copies it for each fold."""
    tensorflow = sys.modules.get("tensorflow")
    if tensorflow is None or isinstance(model, (str, os.PathLike, TensorFlowModel)):
        return
    if isinstance(model, (tensorflow.Module, tensorflow.keras.Model)):
        content_in_memory(model)
        _exported[copied] = _exported[model]


def _signatures(module):
    """The functions with an input signature, by name.

    `serving_default` is `__call__` or, without it, the only function.
    """
    found = {}
    for name in dir(type(module)):
        function = getattr(module, name, None)
        if getattr(function, "input_signature", None) is not None:
            found[name] = function
    default = found.pop("__call__", None) or (
        next(iter(found.values())) if len(found) == 1 else None
    )
    return found | ({"serving_default": default} if default is not None else {})
