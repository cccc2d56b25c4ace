import os

import numpy as np
import pytest
from google.protobuf import text_format
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone

from sklearn_dl import TensorFlowScorer
from sklearn_dl.runtimes.tensorflow import _live
from sklearn_dl.runtimes.tensorflow._graph import open_graph
from sklearn_dl.runtimes.tensorflow._load import read_saved_model
from sklearn_dl.scoring import _tensorflow_scorer
from tests.scoring.tensorflow_models import (
    WEIGHTS,
    Affine,
    affine,
    frozen,
    keras_model,
    relu,
    tf,
    two_layers,
    v1,
    with_reference_variables,
    with_vocabulary,
)

X = np.arange(12, dtype=np.float32).reshape(4, 3) - 5


def test_frozen_graph(tmp_path):
    scorer = TensorFlowScorer(frozen(tmp_path / "model.pb", two_layers))
    assert_array_equal(scorer.transform(X), np.maximum(X @ WEIGHTS, 0))
    assert [str(spec) for spec in scorer.inputs_] == ["'x': shape ('?', 3), float32"]
    assert [str(spec) for spec in scorer.outputs_] == ["'y': shape ('?', 2), float32"]
    assert scorer.signatures_ == {}
    assert scorer.get_feature_names_out().tolist() == ["y_0", "y_1"]


@pytest.mark.parametrize("name", ["hidden", "hidden:0"])
def test_inner_tensors_of_a_frozen_graph(tmp_path, name):
    scorer = TensorFlowScorer(frozen(tmp_path / "model.pb", two_layers), outputs=name)
    assert_array_equal(scorer.transform(X), X @ WEIGHTS)


def test_saved_model(tmp_path):
    scorer = TensorFlowScorer(affine(tmp_path))
    assert_array_equal(scorer.transform(X), 2 * X)
    assert set(scorer.signatures_) == {"serving_default", "add"}
    assert [spec.name for spec in scorer.signatures_["add"].inputs] == ["a", "b"]
    assert scorer.model_path_ == str(tmp_path)


def test_another_signature_and_one_of_its_outputs(tmp_path):
    a, b = X[:, :2], X[:, 1:]
    columns = {"a": [0, 1], "b": [1, 2]}
    scorer = TensorFlowScorer(affine(tmp_path), signature="add", inputs=columns)
    assert_array_equal(scorer.transform(X), np.hstack([a - b, a + 2 * b]))
    assert [spec.name for spec in scorer.outputs_] == ["difference", "sum"]
    scorer.set_params(outputs="sum")
    assert_array_equal(scorer.transform(X), a + 2 * b)


@pytest.mark.parametrize("name", ["saved_model.pb", "saved_model.pbtxt"])
def test_the_file_inside_a_saved_models_folder(tmp_path, name):
    affine(tmp_path)
    if name.endswith("txt"):
        saved = read_saved_model(tmp_path, "model")
        (tmp_path / name).write_text(text_format.MessageToString(saved))
        (tmp_path / "saved_model.pb").unlink()
    assert_array_equal(TensorFlowScorer(tmp_path / name).transform(X), 2 * X)


def test_the_highest_version_of_a_folder(tmp_path):
    for version in (9, 10):
        affine(tmp_path / str(version), float(version))
    (tmp_path / "11").mkdir()
    scorer = TensorFlowScorer(tmp_path)
    assert_array_equal(scorer.transform(X), 10 * X)
    assert scorer.model_path_ == os.path.join(tmp_path, "10")


def test_reference_variables_and_two_names_of_one_input(tmp_path):
    scorer = TensorFlowScorer(with_reference_variables(tmp_path))
    assert_allclose(scorer.fit(X).transform(X), X @ WEIGHTS)
    assert [spec.name for spec in scorer.inputs_] == ["first"]


def test_a_saver_of_the_training_script_beside_that_of_the_saved_model(tmp_path):
    with tf.Graph().as_default(), v1.Session() as session:
        x = v1.placeholder(tf.float32, (None, 3), name="x")
        y = tf.matmul(x, v1.get_variable("w", initializer=WEIGHTS), name="y")
        v1.train.Saver()
        session.run(v1.global_variables_initializer())
        v1.saved_model.simple_save(session, str(tmp_path / "model"), {"x": x}, {"y": y})
    assert_allclose(TensorFlowScorer(tmp_path / "model").transform(X), X @ WEIGHTS)


def test_no_signature(tmp_path):
    with tf.Graph().as_default(), v1.Session() as session:
        x = v1.placeholder(tf.float32, (None, 3), name="x")
        v1.get_variable("w", initializer=WEIGHTS)
        tf.identity(x * 3, name="y")
        session.run(v1.global_variables_initializer())
        builder = v1.saved_model.Builder(str(tmp_path / "model"))
        builder.add_meta_graph_and_variables(session, ["serve"])
        builder.save()
    scorer = TensorFlowScorer(tmp_path / "model", outputs="y")
    assert_array_equal(scorer.transform(X), 3 * X)


def test_a_table_filled_from_an_asset(tmp_path):
    vocabulary = tmp_path / "words.csv"
    vocabulary.write_text("cat,7\ndog,8\n")
    scorer = TensorFlowScorer(with_vocabulary(tmp_path / "model", vocabulary))
    vocabulary.unlink()
    found = scorer.transform(np.array(["dog", "cow", "cat"], dtype=object))
    assert found.tolist() == [[8], [-1], [7]]


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
@pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5 file")
def test_keras_files(tmp_path, suffix):
    model = keras_model()
    model.save(tmp_path / f"model{suffix}")
    scorer = TensorFlowScorer(tmp_path / f"model{suffix}")
    assert_allclose(scorer.transform(X), model(X).numpy(), rtol=1e-6)


def test_a_keras_model_in_memory():
    model = keras_model()
    scorer = TensorFlowScorer(model)
    assert_allclose(scorer.transform(X), model(X).numpy(), rtol=1e-6)
    assert scorer.model_path_ is None


@pytest.mark.slow
def test_a_model_in_memory_is_exported_once_and_again_when_its_weights_change(monkeypatch):
    opened = []
    monkeypatch.setattr(
        _tensorflow_scorer, "open_graph", lambda *a, **k: opened.append(a) or open_graph(*a, **k)
    )
    for model, variable in ((keras_model(), "weights"), (Affine(), "variables")):
        opened.clear()
        scorer = TensorFlowScorer(model)
        if variable == "variables":
            scorer.set_params(signature="score")
        before = scorer.transform(X)
        assert_array_equal(scorer.transform(X), before)
        assert len(opened) == 1
        first = getattr(model, variable)[0]
        first.assign(first * 2)
        after = scorer.transform(X)
        assert not np.allclose(after, before)
        assert len(opened) == 2


@pytest.mark.slow
def test_clones_share_the_export_of_a_model_in_memory(monkeypatch):
    exports = []
    real = _live.pack
    monkeypatch.setattr(_live, "pack", lambda f: exports.append(f) or real(f))
    for scorer in (TensorFlowScorer(keras_model()), TensorFlowScorer(Affine(), signature="score")):
        exports.clear()
        expected = scorer.transform(X)
        for copied in (clone(scorer), clone(clone(scorer))):
            assert copied.model is not scorer.model
            assert_array_equal(copied.transform(X), expected)
        assert len(exports) == 1


def test_a_module_in_memory():
    scorer = TensorFlowScorer(Affine(3.0))
    with pytest.raises(
        ValueError, match=r"has no signature 'serving_default'; it has .*'add': \('a'"
    ):
        scorer.transform(X)
    scorer.set_params(signature="score")
    assert_array_equal(scorer.transform(X), 3 * X)


def test_nothing_is_left_behind_and_the_globals_stay(tmp_path, monkeypatch):
    path = affine(tmp_path / "model")
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    environment, level = dict(os.environ), tf.get_logger().level
    model = keras_model()
    TensorFlowScorer(path).transform(X)
    TensorFlowScorer(model).transform(X)
    assert not list((tmp_path / "temporary").iterdir())
    assert dict(os.environ) == environment
    assert tf.get_logger().level == level


def test_batches_of_any_size_give_the_same(tmp_path):
    path = frozen(tmp_path / "model.pb", relu())
    expected = np.maximum(X, 0)
    for batch_size in (1, 2, 3, "auto"):
        assert_array_equal(TensorFlowScorer(path, batch_size=batch_size).transform(X), expected)
