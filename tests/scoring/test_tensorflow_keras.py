"""Keras: models that change in memory, layers, and files that do more than store a model."""

import shutil
import subprocess
import sys
import warnings

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from sklearn_dl import TensorFlowScorer, clear_sessions
from sklearn_dl.runtimes.tensorflow import _live
from sklearn_dl.runtimes.tensorflow import _load as _tensorflow_load
from tests.scoring import hostile_keras
from tests.scoring.tensorflow_models import Affine, affine, keras_model, tf

keras = tf.keras
layers = keras.layers
X = np.arange(6, dtype=np.float32).reshape(2, 3) / 6


def sequential():
    keras.utils.set_random_seed(0)
    return keras.Sequential([keras.Input((3,)), layers.Rescaling(2.0), layers.Dense(2, "relu")])


def set_scale(model):
    model.layers[0].scale = 5.0


def set_activation(model):
    model.layers[1].activation = keras.activations.tanh


def seven_times(x):
    return 7 * x


def set_function(model):
    model.layers[1].activation = seven_times


@pytest.mark.slow
@pytest.mark.parametrize(
    "change",
    [
        lambda model: model.add(layers.Rescaling(3.0)),
        lambda model: model.add(layers.Activation("softmax")),
        set_scale,
        set_activation,
        set_function,
    ],
    ids=["add", "add_activation", "scale", "activation", "function"],
)
def test_a_model_in_memory_whose_layers_change(change):
    model = sequential()
    scorer = TensorFlowScorer(model)
    before = scorer.transform(X)
    change(model)
    after = scorer.transform(X)
    assert_allclose(after, model(X).numpy(), rtol=1e-6)
    assert not np.allclose(after, before)


class Factor(keras.Model):
    def __init__(self, factor):
        super().__init__()
        self.factor = factor

    def call(self, x):
        return self.factor * x


def test_a_model_whose_class_is_the_users_own():
    model = Factor(2.0)
    model(X)
    scorer = TensorFlowScorer(model)
    assert_allclose(scorer.transform(X), 2 * X)
    model.factor = 3.0
    assert_allclose(scorer.transform(X), 3 * X)


def test_a_vocabulary_that_is_set_again():
    words = keras.Input((1,), dtype="string")
    lookup = layers.StringLookup(vocabulary=["cat"])
    scorer = TensorFlowScorer(keras.Model(words, lookup(words)))
    assert scorer.transform([["cat"], ["dog"]]).tolist() == [[1], [0]]
    lookup.set_vocabulary(["dog"])
    assert scorer.transform([["cat"], ["dog"]]).tolist() == [[0], [1]]


class Table(tf.Module):
    def __init__(self):
        super().__init__()
        self.table = tf.lookup.experimental.MutableHashTable(tf.string, tf.int64, -1)
        self.table.insert(["cat"], [7])

    @tf.function(input_signature=[tf.TensorSpec((None,), tf.string, name="word")])
    def __call__(self, word):
        return {"id": self.table.lookup(word)}


@pytest.mark.slow
def test_a_table_in_memory_that_changes():
    module = Table()
    scorer = TensorFlowScorer(module)
    assert scorer.transform(["cat", "dog"]).tolist() == [[7], [-1]]
    module.table.insert(["dog"], [8])
    assert scorer.transform(["cat", "dog"]).tolist() == [[7], [8]]


@pytest.mark.slow
def test_a_model_that_did_not_change_is_exported_once(monkeypatch):
    exports = []
    real = _live.pack
    monkeypatch.setattr(_live, "pack", lambda f: exports.append(f) or real(f))
    for model in (sequential(), keras_model()):
        scorer = TensorFlowScorer(model)
        for _ in range(3):
            scorer.transform(X)
    assert len(exports) == 2


def text_vectorization():
    made = layers.TextVectorization(ngrams=2)
    made.adapt(["a b c", "b c d"])
    return made


def normalization():
    made = layers.Normalization()
    made.adapt(X)
    return made


SEQUENCE, IMAGE, TEXT = (6, 4), (8, 8, 3), (1,)
LAYERS = {
    "LSTM": (SEQUENCE, lambda: layers.LSTM(3)),
    "Bidirectional": (SEQUENCE, lambda: layers.Bidirectional(layers.GRU(3, return_sequences=True))),
    "TimeDistributed": (SEQUENCE, lambda: layers.TimeDistributed(layers.Dense(2))),
    "SeparableConv2D": (IMAGE, lambda: layers.SeparableConv2D(2, 3, activation="gelu")),
    "Conv2DTranspose": (IMAGE, lambda: layers.Conv2DTranspose(2, 3, strides=2)),
    "Resizing": (IMAGE, lambda: layers.Resizing(4, 5, interpolation="bicubic")),
    "GroupNormalization": (IMAGE, lambda: layers.GroupNormalization(3)),
    "MaxPooling2D": (IMAGE, lambda: layers.MaxPooling2D()),
    "Normalization": ((3,), normalization),
    "BatchNormalization": ((3,), lambda: layers.BatchNormalization()),
    "StringLookup": (
        TEXT,
        lambda: layers.StringLookup(vocabulary=["a b", "c"], output_mode="one_hot"),
    ),
    "TextVectorization": (TEXT, text_vectorization),
    "Hashing": (TEXT, lambda: layers.Hashing(4)),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", LAYERS)
def test_a_layer_gives_what_keras_gives(name):
    shape, make = LAYERS[name]
    layer = make()
    of_text = shape == TEXT
    inputs = keras.Input(shape, dtype="string" if of_text else "float32")
    model = keras.Model(inputs, layer(inputs))
    rng = np.random.default_rng(0)
    rows = np.array([["a b"], ["c"]], dtype=object) if of_text else rng.random((2, *shape))
    expected = model(tf.constant(rows, tf.string) if of_text else rows.astype(np.float32))
    found = TensorFlowScorer(model, output_shape="native").transform(rows)
    assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


@pytest.fixture(scope="module")
def harmless_files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("harmless")
    hostile_keras.make_secrets(folder)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "You are saving your model as an HDF5 file")
        hostile_keras.make_harmless(folder)
    return folder


@pytest.fixture
def files(harmless_files, tmp_path):
    """A folder of secrets and harmless files, which a test may change."""
    clear_sessions()  # a session of another test that had the same content
    return shutil.copytree(harmless_files, tmp_path, dirs_exist_ok=True)


@pytest.mark.slow
@pytest.mark.parametrize("suffix", [".keras", ".h5"])
def test_harmless_files(files, suffix):
    assert TensorFlowScorer(files / f"dense{suffix}").transform(X).shape == (2, 2)
    assert TensorFlowScorer(files / f"words{suffix}").transform([[1], [2]]).tolist() == [
        ["a"],
        ["b"],
    ]


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
@pytest.mark.parametrize("change", hostile_keras.WEIGHTS, ids=lambda change: change.__name__)
def test_weights_in_another_file(files, suffix, change):
    path = hostile_keras.with_weights(files, suffix, change)
    with pytest.raises(ValueError, match="Keras cannot load"):
        TensorFlowScorer(path).transform(X)


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
def test_a_vocabulary_in_another_file(files, suffix):
    change = hostile_keras.vocabulary_elsewhere
    path = hostile_keras.with_configuration(files, "words", suffix, change)
    with pytest.raises(ValueError, match="Keras cannot load"):
        TensorFlowScorer(path).transform([[1]])


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
@pytest.mark.parametrize("change", hostile_keras.CONFIGURATIONS, ids=lambda c: c.__name__)
def test_classes_and_functions_that_are_not_layers(files, suffix, change):
    path = hostile_keras.with_configuration(files, "dense", suffix, change)
    with pytest.raises(ValueError, match="Keras cannot load"):
        TensorFlowScorer(path).transform(X)


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
@pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5 file")
def test_a_lambda_layer_in_a_file_is_refused(tmp_path, suffix):
    inputs = keras.Input((3,))
    model = keras.Model(inputs, layers.Lambda(lambda x: 2 * x)(inputs))
    model.save(tmp_path / f"model{suffix}")
    with pytest.raises(ValueError, match=r"Lambda layers and classes of your own contain code"):
        TensorFlowScorer(tmp_path / f"model{suffix}").transform(X)
    # in memory it is the user's own code, and only its graph is kept
    assert_array_equal(TensorFlowScorer(model).transform(X), 2 * X)


@pytest.mark.parametrize("version", ["3.10.0", "3.12.3", "3.13.2", "3.14.0"])
def test_a_keras_that_reads_other_files_is_refused(files, monkeypatch, version):
    monkeypatch.setattr(keras, "__version__", version)
    with pytest.raises(ImportError, match=rf"Keras {version}.*sklearn-dl\[tensorflow\]"):
        TensorFlowScorer(files / "dense.keras").transform(X)


@pytest.mark.parametrize("version", ["3.12.4", "3.14.1", "3.15.0", "4.0.0.dev1"])
def test_versions_of_keras_that_do_not(version):
    assert _tensorflow_load.is_safe_keras(version)


def two_outputs():
    inputs = keras.Input((3,), name="features")
    score = layers.Dense(2, name="score")(inputs)
    return keras.Model(inputs, [score, layers.Rescaling(2.0, name="twice")(inputs)])


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["memory", ".keras", ".h5"])
def test_outputs_keep_their_names(tmp_path, kind):
    model = two_outputs()
    if kind != "memory":
        model.save(tmp_path / f"model{kind}")
    scorer = TensorFlowScorer(model if kind == "memory" else tmp_path / f"model{kind}")
    names = ["score_0", "score_1", "twice_0", "twice_1", "twice_2"]
    assert scorer.get_feature_names_out().tolist() == names
    assert [spec.name for spec in scorer.signatures_["serving_default"].outputs] == [
        "score",
        "twice",
    ]
    assert_allclose(scorer.transform(X), np.concatenate(model(X), axis=1), rtol=1e-6)
    # Keras' own names go on
    for name in ("twice", "output_1"):
        one = TensorFlowScorer(scorer.model, outputs=name)
        assert [spec.name for spec in one.outputs_] == [name]
        assert_allclose(one.transform(X), 2 * X)


@pytest.mark.slow
def test_outputs_of_other_models_keep_their_names():
    last = sequential()
    assert TensorFlowScorer(last).outputs_[0].name == last.layers[-1].name
    inputs = keras.Input((3,))
    named = keras.Model(inputs, {"b": layers.Rescaling(2.0)(inputs), "a": inputs})
    assert [spec.name for spec in TensorFlowScorer(named).outputs_] == ["a", "b"]
    own = Factor(2.0)
    own(X)
    assert TensorFlowScorer(own).outputs_[0].name == "output_0"


@pytest.mark.parametrize("name", ["net.weights.h5", "net.h5"])
def test_a_file_of_weights_only(tmp_path, name):
    two_outputs().save_weights(tmp_path / "net.weights.h5")
    (tmp_path / "net.weights.h5").rename(tmp_path / name)
    with pytest.raises(ValueError, match=rf"{name} contains only weights, without the layers"):
        TensorFlowScorer(tmp_path / name).transform(X)


def test_inside_a_graph_nothing_is_executed_eagerly(tmp_path):
    """Behave like a process that has switched eager execution off."""
    keras_model().save(tmp_path / "model.keras")
    path = affine(tmp_path / "saved")
    models = (tmp_path / "model.keras", Affine(), sequential())
    clear_sessions()
    with tf.Graph().as_default():
        assert TensorFlowScorer(path).transform([[1, 2, 3]]).tolist() == [[2, 4, 6]]
        for model in models:
            with pytest.raises(ValueError, match="eager execution is switched off"):
                TensorFlowScorer(model).transform([[1, 2, 3]])


_NOT_EAGER = """
import sys
import tensorflow as tf
tf.compat.v1.disable_eager_execution()
from sklearn_dl import TensorFlowScorer, clear_sessions
print(TensorFlowScorer(sys.argv[1]).transform([[1, 2, 3]]).tolist())
for model in (sys.argv[2], tf.Module(), tf.keras.Sequential([tf.keras.Input((3,))])):
    try:
        TensorFlowScorer(model).transform([[1, 2, 3]])
    except ValueError as error:
        print("eager execution is switched off" in str(error))
"""


@pytest.mark.slow
def test_eager_execution_switched_off(tmp_path):
    keras_model().save(tmp_path / "model.keras")
    arguments = [affine(tmp_path / "saved"), str(tmp_path / "model.keras")]
    ran = subprocess.run(
        [sys.executable, "-c", _NOT_EAGER, *arguments], capture_output=True, text=True, check=True
    )
    assert ran.stdout.split("\n")[:-1] == ["[[2.0, 4.0, 6.0]]", "True", "True", "True"]
