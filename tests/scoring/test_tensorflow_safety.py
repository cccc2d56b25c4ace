"""Graphs that do more than compute are refused before anything of them is loaded."""

import pickle
import zipfile

import numpy as np
import pytest
from tensorflow.python.framework import op_def_registry
from tensorflow.python.ops import io_ops

from sklearn_dl import TensorFlowScorer
from sklearn_dl.scoring._tensorflow_graph import read_saved_model
from sklearn_dl.scoring._tensorflow_model import TensorFlowModel
from sklearn_dl.scoring._tensorflow_safety import is_unsafe
from tests.scoring.tensorflow_models import affine, frozen, tf, v1, with_vocabulary

X = np.ones((2, 3), dtype=np.float32)


@pytest.fixture
def planted(tmp_path):
    return tmp_path / "planted.txt"


def written(x, planted):
    with tf.control_dependencies([tf.io.write_file(str(planted), "here")]):
        return tf.identity(x, name="y")


def refused(scorer, planted, op="WriteFile"):
    for work in (scorer.fit, scorer.transform):
        with pytest.raises(ValueError, match=rf"{op} \(.*Nothing of it was loaded") as error:
            work(X)
        assert "allow_unsafe_ops=True" in str(error.value)
    assert not planted.exists()


def test_in_a_frozen_graph(tmp_path, planted):
    def build():
        written(v1.placeholder(tf.float32, (None, 3), name="x"), planted)

    path = frozen(tmp_path / "model.pb", build)
    refused(TensorFlowScorer(path), planted)
    np.testing.assert_array_equal(TensorFlowScorer(path, allow_unsafe_ops=True).transform(X), X)
    assert planted.read_text() == "here"


class Writing(tf.Module):
    def __init__(self, planted):
        super().__init__()
        self.planted = str(planted)

    @tf.function(input_signature=[tf.TensorSpec((None, 3), tf.float32)])
    def inner(self, x):
        return written(x, self.planted)

    @tf.function(input_signature=[tf.TensorSpec((None, 3), tf.float32)])
    def score(self, x):
        return tf.cond(tf.reduce_sum(x) > 0, lambda: self.inner(x), lambda: x)


def test_in_a_function_of_a_function(tmp_path, planted):
    module = Writing(planted)
    tf.saved_model.save(module, str(tmp_path / "model"), signatures=module.score)
    refused(TensorFlowScorer(tmp_path / "model"), planted)
    refused(TensorFlowScorer(module), planted)


def version_1_model(folder, planted, init=True):
    with tf.Graph().as_default(), v1.Session() as session:
        x = v1.placeholder(tf.float32, (None, 3), name="x")
        tf.identity(x, name="y")
        written_op = tf.io.write_file(str(planted), "here")
        builder = v1.saved_model.Builder(str(folder))
        options = {"main_op": written_op} if init else {}
        builder.add_meta_graph_and_variables(session, ["serve"], **options)
        builder.save()


@pytest.mark.parametrize("init", [True, False])
def test_in_an_initialiser_and_unused(tmp_path, planted, init):
    version_1_model(tmp_path / "model", planted, init)
    refused(TensorFlowScorer(tmp_path / "model", outputs="y"), planted)


def changed(folder, change):
    saved = read_saved_model(folder, "model")
    change(saved.meta_graphs[0])
    (folder / "saved_model.pb").write_bytes(saved.SerializeToString())


def test_in_a_graph_of_other_tags(tmp_path, planted):
    folder = tmp_path / "model"
    affine(folder)
    version_1_model(tmp_path / "other", planted)
    saved = read_saved_model(folder, "model")
    other = read_saved_model(tmp_path / "other", "other").meta_graphs[0]
    other.meta_info_def.tags[:] = ["train"]
    saved.meta_graphs.append(other)
    (folder / "saved_model.pb").write_bytes(saved.SerializeToString())
    refused(TensorFlowScorer(folder), planted)


def test_python_inside_a_model(tmp_path, planted):
    def build():
        x = v1.placeholder(tf.float32, (None, 3), name="x")
        tf.identity(tf.numpy_function(lambda v: v, [x], tf.float32), name="y")

    refused(TensorFlowScorer(frozen(tmp_path / "model.pb", build)), planted, "PyFunc")


def test_the_saver_is_excused_only_where_it_is_not_run(tmp_path, planted):
    def build():
        x = v1.placeholder(tf.float32, (None, 3), name="x")
        save = io_ops.save_v2(str(planted), ["x"], [""], [x])
        with tf.control_dependencies([save]):
            tf.identity(x, name="y")

    refused(TensorFlowScorer(frozen(tmp_path / "model.pb", build)), planted, "SaveV2")
    folder = tmp_path / "model"
    affine(folder)
    TensorFlowScorer(folder).transform(X)

    def save_when_scored(meta_graph):
        name = meta_graph.saver_def.save_tensor_name
        meta_graph.signature_def["serving_default"].outputs["saved"].name = name

    changed(folder, save_when_scored)
    refused(TensorFlowScorer(folder), planted, "SaveV2")


def test_the_saver_is_refused_as_an_output(tmp_path):
    folder = tmp_path / "model"
    affine(folder)
    saver = read_saved_model(folder, "model").meta_graphs[0].saver_def
    scorer = TensorFlowScorer(folder, outputs=saver.save_tensor_name)
    with pytest.raises(ValueError, match="SaveV2"):
        scorer.transform(X)


@pytest.mark.parametrize("name", ["../../secret.csv", "/etc/passwd", "..\\secret.csv"])
def test_an_asset_outside_the_folder(tmp_path, name):
    vocabulary = tmp_path / "words.csv"
    vocabulary.write_text("cat,7\n")
    folder = tmp_path / "model"
    with_vocabulary(folder, vocabulary)

    def lead_out(meta_graph):
        meta_graph.asset_file_def[0].filename = name

    changed(folder, lead_out)
    with pytest.raises(ValueError, match="InitializeTableFromTextFileV2"):
        TensorFlowScorer(folder).transform(["cat"])


def test_a_table_filled_from_a_constant_path(tmp_path):
    folder = tmp_path / "model"
    vocabulary = tmp_path / "words.csv"
    vocabulary.write_text("cat,7\n")
    with_vocabulary(folder, vocabulary)

    def no_asset(meta_graph):
        del meta_graph.asset_file_def[:]

    changed(folder, no_asset)
    with pytest.raises(ValueError, match="InitializeTableFromTextFileV2"):
        TensorFlowScorer(folder).transform(["cat"])


def test_a_lambda_layer_in_a_file_is_refused(tmp_path):
    keras = tf.keras
    inputs = keras.Input((3,))
    model = keras.Model(inputs, keras.layers.Lambda(lambda x: 2 * x)(inputs))
    for suffix in (".keras", ".h5"):
        model.save(tmp_path / f"model{suffix}")
        with pytest.raises(ValueError, match=r"Lambda layers and classes of your own hold code"):
            TensorFlowScorer(tmp_path / f"model{suffix}").transform(X)
    # in memory it is the user's own code, and only its graph is kept
    np.testing.assert_array_equal(TensorFlowScorer(model).transform(X), 2 * X)


@pytest.mark.parametrize("name", ["../out.txt", "/tmp/out.txt", "a/../../out.txt"])
def test_a_packed_folder_stays_in_its_folder(tmp_path, name):
    packed = tmp_path / "packed.zip"
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr(name, "out")
    content = TensorFlowModel("saved_model", "0" * 64, packed.read_bytes())
    scorer = pickle.loads(pickle.dumps(TensorFlowScorer(content)))
    with pytest.raises(ValueError, match="refused"):
        scorer.transform(X)


def test_a_link_out_of_the_folder(tmp_path):
    folder = tmp_path / "model"
    affine(folder)
    (tmp_path / "secret").write_text("secret")
    (folder / "assets").mkdir(exist_ok=True)
    (folder / "assets" / "link").symlink_to(tmp_path / "secret")
    with pytest.raises(ValueError, match="leads out of the model's folder"):
        TensorFlowScorer(folder).transform(X)


def test_every_registered_operation_that_takes_a_place_is_known():
    """Whatever has an argument that is named as a file, folder or address is."""
    words = ("filename", "file_pattern", "directory", "address", "logdir", "vocab_file")
    # a prefix of a string only; files are opened by others
    harmless = {"ShardedFilename", "ShardedFilespec"}
    operations = filter(None, map(op_def_registry.get, dir(tf.raw_ops)))
    found = {
        op.name
        for op in operations
        for argument in (*op.input_arg, *op.attr)
        if any(word in argument.name for word in words)
    }
    unknown = sorted(name for name in found - harmless if not is_unsafe(name))
    assert len(found) > 20
    assert unknown == []
