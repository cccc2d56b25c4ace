"""Keras files that try to read other files, or to run code, while they are built.

Each case changes a harmless file, and is given the folder that holds a secret: "secret.bin",
"secret.h5" (its dataset "w" and its groups) and "secret.txt" hold 42 or "topsecret".
"""

import json
import zipfile
from io import BytesIO

import h5py
import numpy as np

from tests.scoring.tensorflow_models import tf

SHAPE = (3, 2)


def make_secrets(folder):
    values = np.full(SHAPE, 42, dtype=np.float32)
    values.tofile(folder / "secret.bin")
    (folder / "secret.txt").write_text("topsecret\n")
    with h5py.File(folder / "secret.h5", "w") as file:
        for name in ("w", "0", "kernel"):
            file[name] = values
        file["1"] = file["bias"] = np.zeros(2, np.float32)


def make_harmless(folder):
    """A dense layer and a lookup of words, in both formats."""
    keras = tf.keras
    dense = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    ids = keras.Input((1,), dtype="int64")
    lookup = keras.layers.StringLookup(vocabulary=["a", "b"], invert=True)
    words = keras.Model(ids, lookup(ids))
    for suffix in (".keras", ".h5"):
        dense.save(folder / f"dense{suffix}")
        words.save(folder / f"words{suffix}")


# --- weights


def _kernel(file):
    found = []
    file.visititems(lambda name, item: found.append(name) if _is_kernel(item) else None)
    return found[0]


def _is_kernel(item):
    return isinstance(item, h5py.Dataset) and item.shape == SHAPE


def external_data(file, folder):
    name = _kernel(file)
    del file[name]
    file.create_dataset(name, SHAPE, "f4", external=[(folder / "secret.bin", 0, 24)])


def external_link(file, folder):
    name = _kernel(file)
    del file[name]
    file[name] = h5py.ExternalLink(folder / "secret.h5", "/w")


def external_group(file, folder):
    name = _kernel(file).rpartition("/")[0]
    del file[name]
    file[name] = h5py.ExternalLink(folder / "secret.h5", "/")


def virtual_data(file, folder):
    name = _kernel(file)
    del file[name]
    layout = h5py.VirtualLayout(SHAPE, "f4")
    layout[:] = h5py.VirtualSource(folder / "secret.h5", "w", shape=SHAPE)
    file.create_virtual_dataset(name, layout)


WEIGHTS = [external_data, external_link, external_group, virtual_data]


def with_weights(folder, suffix, change):
    path = folder / f"dense{suffix}"
    if suffix == ".h5":
        with h5py.File(path, "r+") as file:
            change(file, folder)
        return path

    def rewrite(files):
        data = BytesIO(files["model.weights.h5"])
        with h5py.File(data, "r+") as file:
            change(file, folder)
        files["model.weights.h5"] = data.getvalue()

    return _rewritten(path, rewrite)


# --- configurations


def vocabulary_elsewhere(layers, folder):
    (lookup,) = [layer for layer in layers if layer["class_name"] == "StringLookup"]
    lookup["config"]["vocabulary"] = str(folder / "secret.txt")
    lookup["config"].pop("vocabulary_size", None)
    lookup.pop("build_config", None)


def another_layer(class_name, module="keras.layers", **config):
    def change(layers, folder):
        given = {key: str(folder / value) for key, value in config.items()}
        layers[1] = {
            "module": module,
            "class_name": class_name,
            "config": {"name": "other", **given},
            "registered_name": None,
            "build_config": {"input_shape": [None, 3]},
        }

    change.__name__ = class_name
    return change


def another_activation(name, module):
    def change(layers, folder):
        layers[1]["config"]["activation"] = {
            "module": module,
            "class_name": "function",
            "config": name,
            "registered_name": name,
        }

    change.__name__ = f"{module}.{name}"
    return change


CONFIGURATIONS = [
    another_layer("TFSMLayer", filepath="saved_model"),
    another_layer("TorchModuleWrapper", module_="pickle"),
    another_layer("Popen", "subprocess", args="touch"),
    another_layer("load_model", "keras.models", filepath="dense.keras"),
    another_activation("system", "os"),
    another_activation("get_file", "keras.utils"),
    another_activation("enable_unsafe_deserialization", "keras.config"),
]


def with_configuration(folder, name, suffix, change):
    path = folder / f"{name}{suffix}"
    if suffix == ".h5":
        with h5py.File(path, "r+") as file:
            file.attrs["model_config"] = _changed(file.attrs["model_config"], change, folder)
        return path

    def rewrite(files):
        files["config.json"] = _changed(files["config.json"], change, folder)
        for name in [name for name in files if name.startswith("assets")]:
            del files[name]

    return _rewritten(path, rewrite)


def _changed(text, change, folder):
    model = json.loads(text)
    change(model["config"]["layers"], folder)
    return json.dumps(model)


def _rewritten(path, rewrite):
    with zipfile.ZipFile(path) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    rewrite(files)
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return path
