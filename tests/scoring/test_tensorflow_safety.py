"""Models that write, read or run Python when they are loaded or scored are refused.

Nothing of them is loaded. hostile_graphs.py has the models that hide what they do.
"""

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from tensorflow.python.ops import io_ops

from sklearn_dl import TensorFlowScorer
from sklearn_dl.runtimes.tensorflow._load import read_saved_model
from tests.scoring import hostile_graphs
from tests.scoring.hostile_graphs import changed
from tests.scoring.tensorflow_models import affine, frozen, tf, v1, words_model

X = np.ones((2, 3), dtype=np.float32)


def name_of(function):
    return function.__name__


@pytest.fixture
def planted(tmp_path):
    """The path of a file that a hostile model writes."""
    return tmp_path / "planted.txt"


def make_input():
    return v1.placeholder(tf.float32, (None, 3), name="x")


def write_then_give(x, planted):
    """Operations that write the file before they give `x`."""
    with tf.control_dependencies([tf.io.write_file(str(planted), "here")]):
        return tf.identity(x, name="y")


def assert_refused(scorer, planted, op="WriteFile"):
    """`fit` and `transform` name the operation and how to trust it; the file is not written."""
    for method in (scorer.fit, scorer.transform):
        with pytest.raises(ValueError, match=rf"{op} \(.*Nothing of it was loaded") as error:
            method(X)
        assert "allow_unsafe_ops=True" in str(error.value)
    assert not planted.exists()


# --- places of an operation in a model


def test_a_frozen_graph_that_writes_is_refused_unless_it_is_trusted(tmp_path, planted):
    path = frozen(tmp_path / "model.pb", lambda: write_then_give(make_input(), planted))
    assert_refused(TensorFlowScorer(path), planted)
    assert_array_equal(TensorFlowScorer(path, allow_unsafe_ops=True).transform(X), X)
    assert planted.read_text() == "here"


class WritingModule(tf.Module):
    """A module whose function calls another one, which writes, under a condition."""

    def __init__(self, planted):
        super().__init__()
        self.planted = str(planted)

    @tf.function(input_signature=[tf.TensorSpec((None, 3), tf.float32)])
    def inner(self, x):
        return write_then_give(x, self.planted)

    @tf.function(input_signature=[tf.TensorSpec((None, 3), tf.float32)])
    def score(self, x):
        return tf.cond(tf.reduce_sum(x) > 0, lambda: self.inner(x), lambda: x)


def test_a_function_that_another_function_calls_is_searched(tmp_path, planted):
    module = WritingModule(planted)
    tf.saved_model.save(module, str(tmp_path / "model"), signatures=module.score)
    assert_refused(TensorFlowScorer(tmp_path / "model"), planted)
    assert_refused(TensorFlowScorer(module), planted)


def save_version_1_model(folder, planted, writes_at_start):
    """A TensorFlow 1 model with an operation that writes, which may be its initialisation."""
    with tf.Graph().as_default(), v1.Session() as session:
        tf.identity(make_input(), name="y")
        write = tf.io.write_file(str(planted), "here")
        builder = v1.saved_model.Builder(str(folder))
        options = {"main_op": write} if writes_at_start else {}
        builder.add_meta_graph_and_variables(session, ["serve"], **options)
        builder.save()


@pytest.mark.parametrize("writes_at_start", [True, False])
def test_an_operation_is_refused_at_the_start_and_where_nothing_runs_it(
    tmp_path, planted, writes_at_start
):
    save_version_1_model(tmp_path / "model", planted, writes_at_start)
    assert_refused(TensorFlowScorer(tmp_path / "model", outputs="y"), planted)


def test_a_graph_of_other_tags_is_searched_too(tmp_path, planted):
    folder = affine(tmp_path / "model")
    save_version_1_model(tmp_path / "other", planted, writes_at_start=True)
    saved = read_saved_model(folder, "model")
    other = read_saved_model(tmp_path / "other", "other").meta_graphs[0]
    other.meta_info_def.tags[:] = ["train"]
    saved.meta_graphs.append(other)
    (tmp_path / "model" / "saved_model.pb").write_bytes(saved.SerializeToString())
    assert_refused(TensorFlowScorer(folder), planted)


def test_python_inside_a_graph_is_refused(tmp_path, planted):
    def build():
        tf.identity(tf.numpy_function(lambda v: v, [make_input()], tf.float32), name="y")

    path = frozen(tmp_path / "model.pb", build)
    assert_refused(TensorFlowScorer(path), planted, op="PyFunc")


# --- the saver that each SavedModel has


def test_a_saver_in_a_frozen_graph_is_refused(tmp_path, planted):
    def build():
        x = make_input()
        save = io_ops.save_v2(str(planted), ["x"], [""], [x])
        with tf.control_dependencies([save]):
            tf.identity(x, name="y")

    path = frozen(tmp_path / "model.pb", build)
    assert_refused(TensorFlowScorer(path), planted, op="SaveV2")


def test_the_saver_of_a_saved_model_is_refused_only_where_it_is_run(tmp_path, planted):
    folder = affine(tmp_path / "model")
    assert_array_equal(TensorFlowScorer(folder).transform(X), 2 * X)

    def save_when_scored(meta_graph):
        name = meta_graph.saver_def.save_tensor_name
        meta_graph.signature_def["serving_default"].outputs["saved"].name = name

    changed(folder, save_when_scored)
    assert_refused(TensorFlowScorer(folder), planted, op="SaveV2")


def test_the_saver_is_refused_as_an_output(tmp_path):
    folder = affine(tmp_path / "model")
    saver = read_saved_model(folder, "model").meta_graphs[0].saver_def
    scorer = TensorFlowScorer(folder, outputs=saver.save_tensor_name)
    with pytest.raises(ValueError, match="SaveV2"):
        scorer.transform(X)


# --- models that hide what they do


@pytest.mark.parametrize("make", hostile_graphs.WRITING, ids=name_of)
def test_what_writes_is_refused_wherever_it_hides(tmp_path, planted, make):
    scorer = TensorFlowScorer(make(tmp_path / "model", planted))
    with pytest.raises(ValueError, match="Nothing of it was loaded"):
        scorer.transform(X)
    assert list(tmp_path.glob("planted*")) == []


@pytest.mark.parametrize(
    "make",
    [
        hostile_graphs.in_a_function_without_a_name,
        hostile_graphs.saver_in_a_signature,
        hostile_graphs.saver_in_the_initialisation,
        hostile_graphs.saver_in_the_restoring,
    ],
    ids=name_of,
)
def test_what_hides_does_write_in_a_model_that_is_trusted(tmp_path, planted, make):
    TensorFlowScorer(make(tmp_path / "model", planted), allow_unsafe_ops=True).transform(X)
    assert list(tmp_path.glob("planted*")) != []


# these read files only with another model or other rows
READS_NOTHING_HERE = (
    hostile_graphs.checkpoint_named_by_the_restore_op,
    hostile_graphs.checkpoint_when_scored,
)


@pytest.mark.parametrize("make", hostile_graphs.READING, ids=name_of)
def test_a_file_outside_the_folder_is_read_only_by_a_model_that_is_trusted(tmp_path, make):
    if make.__name__.startswith(("asset", "table")):
        rows, secret = ["cat"], tmp_path / "secret.csv"
        secret.write_text("cat,666\n")
    else:
        rows, secret = X, tmp_path / "secret" / "variables" / "variables"
        affine(tmp_path / "secret", 666.0)
    model = make(tmp_path / "model", secret)
    with pytest.raises(ValueError, match=r"(RestoreV2|FileV2) \(.*Nothing of it was loaded"):
        TensorFlowScorer(model).transform(rows)
    if make not in READS_NOTHING_HERE:
        trusted = TensorFlowScorer(model, allow_unsafe_ops=True)
        assert 666 in trusted.transform(rows)


def test_a_table_filled_from_a_constant_path_is_refused(tmp_path):
    def forget_the_asset(meta_graph):
        del meta_graph.asset_file_def[:]

    folder = changed(words_model(tmp_path / "model"), forget_the_asset)
    with pytest.raises(ValueError, match="InitializeTableFromTextFileV2"):
        TensorFlowScorer(folder).transform(["cat"])


# --- operations for training


def save_with_pipeline(folder, queue_is_used):
    """A model beside a queue and a data set, of which the output may need the queue."""
    with tf.Graph().as_default(), v1.Session() as session:
        x = make_input()
        queue = tf.queue.FIFOQueue(4, tf.float32)
        batches = v1.data.make_one_shot_iterator(tf.data.TFRecordDataset("train.tfrecord"))
        read = tf.strings.length(batches.get_next())
        waited = tf.reduce_sum(queue.dequeue()) * 0
        y = tf.identity(x + (waited if queue_is_used else 0.0), name="y")
        tf.add(tf.cast(read, tf.float32), waited, name="loss")
        v1.saved_model.simple_save(session, str(folder), {"x": x}, {"y": y})
    return folder


def test_input_pipelines_that_nothing_runs_are_cut_off(tmp_path):
    scorer = TensorFlowScorer(save_with_pipeline(tmp_path / "unused", queue_is_used=False))
    assert_array_equal(scorer.transform(X), X)
    with pytest.raises(ValueError, match="IteratorGetNext"):
        scorer.set_params(outputs="loss").transform(X)
    used = save_with_pipeline(tmp_path / "used", queue_is_used=True)
    with pytest.raises(ValueError, match=r"FIFOQueueV2 .* waits for another run"):
        TensorFlowScorer(used).transform(X)
