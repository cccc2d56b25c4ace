"""Tiny TensorFlow and Keras models, and the real ones where they are at hand."""

import os
from pathlib import Path

import numpy as np
import pytest

from sklearn_dl.runtimes.tensorflow._runtime import import_tensorflow

tf = import_tensorflow()
v1 = tf.compat.v1

SHARED = Path(
    os.environ.get("SKLEARN_DL_SHARED", Path(__file__).resolve().parents[3] / "shared")
).joinpath("data")
needs_shared = pytest.mark.skipif(
    not SHARED.is_dir(), reason=f"the real models are not at {SHARED} (SKLEARN_DL_SHARED)"
)
WEIGHTS = np.arange(6, dtype=np.float32).reshape(3, 2) - 2


def frozen(path, build):
    """Write the graph that `build` makes as a GraphDef; returns the path."""
    with tf.Graph().as_default() as graph:
        build()
        content = graph.as_graph_def().SerializeToString(deterministic=True)
        Path(path).write_bytes(content)
    return str(path)


def relu(dtype=tf.float32, shape=(None, None)):
    def build():
        tf.identity(tf.nn.relu(v1.placeholder(dtype, shape, name="x")), name="y")

    return build


def same(dtype=tf.float32, shape=(None, None)):
    def build():
        tf.identity(v1.placeholder(dtype, shape, name="x"), name="y")

    return build


def two_layers():
    """hidden = x @ WEIGHTS, y = relu(hidden)."""
    x = v1.placeholder(tf.float32, (None, 3), name="x")
    hidden = tf.matmul(x, tf.constant(WEIGHTS), name="hidden")
    tf.nn.relu(hidden, name="y")


def mean_color():
    x = v1.placeholder(tf.float32, (None, None, None, 3), name="x")
    tf.reduce_mean(x, (1, 2), name="y")


class Affine(tf.Module):
    """TensorFlow 2: a variable, and two signatures."""

    def __init__(self, factor=2.0):
        super().__init__()
        self.factor = tf.Variable(factor)

    @tf.function(input_signature=[tf.TensorSpec((None, 3), tf.float32, name="x")])
    def score(self, x):
        return {"scaled": x * self.factor}

    @tf.function(
        input_signature=[
            tf.TensorSpec((None, 2), tf.float32, name="a"),
            tf.TensorSpec((None, 2), tf.float32, name="b"),
        ]
    )
    def add(self, a, b):
        return {"sum": a + self.factor * b, "difference": a - b}


def affine(folder, factor=2.0):
    module = Affine(factor)
    signatures = {"serving_default": module.score, "add": module.add}
    tf.saved_model.save(module, str(folder), signatures=signatures)
    return str(folder)


def with_reference_variables(folder):
    """TensorFlow 1: a reference variable, and two names of one input."""
    with tf.Graph().as_default(), v1.Session() as session:
        x = v1.placeholder(tf.float32, (None, 3), name="x")
        weights = v1.get_variable("w", initializer=WEIGHTS, use_resource=False)
        y = tf.matmul(x, weights, name="y")
        session.run(v1.global_variables_initializer())
        info = v1.saved_model.build_tensor_info
        signature = v1.saved_model.build_signature_def(
            {"first": info(x), "second": info(x)}, {"scores": info(y)}, "serving"
        )
        builder = v1.saved_model.Builder(str(folder))
        builder.add_meta_graph_and_variables(session, ["serve"], {"serving_default": signature})
        builder.save()
    return str(folder)


def with_vocabulary(folder, vocabulary):
    """TensorFlow 2: a table that is filled from an asset when the model is loaded."""

    class Lookup(tf.Module):
        def __init__(self):
            super().__init__()
            filled = tf.lookup.TextFileInitializer(
                str(vocabulary), tf.string, 0, tf.int64, 1, delimiter=","
            )
            self.table = tf.lookup.StaticHashTable(filled, -1)

        @tf.function(input_signature=[tf.TensorSpec((None,), tf.string, name="word")])
        def find(self, word):
            return {"id": self.table.lookup(word)}

    module = Lookup()
    tf.saved_model.save(module, str(folder), signatures=module.find)
    return str(folder)


def keras_model(n_outputs=2):
    keras = tf.keras
    keras.utils.set_random_seed(0)
    inputs = keras.Input((3,), name="features")
    hidden = keras.layers.Dense(4, activation="relu", name="hidden")(inputs)
    outputs = keras.layers.Dense(n_outputs, activation="softmax", name="scores")(hidden)
    return keras.Model(inputs, outputs)


MODEL_FILES = ["saved_model", "graph", "keras"]


def save_model(kind, folder):
    """Write a model of one of MODEL_FILES that takes rows of three numbers; returns its path."""
    folder = Path(folder)
    folder.mkdir(exist_ok=True)
    if kind == "saved_model":
        return affine(folder / "model")
    if kind == "graph":
        return frozen(folder / "model.pb", two_layers)
    keras_model().save(folder / "model.keras")
    return str(folder / "model.keras")


def words_model(folder):
    """Write a model that gives 7 for "cat" and -1 for other words, from the asset words.csv."""
    vocabulary = Path(folder).with_name("words.csv")
    vocabulary.write_text("cat,7\n")
    return with_vocabulary(folder, vocabulary)
