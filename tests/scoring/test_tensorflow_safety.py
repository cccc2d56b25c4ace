"""Graphs that do more than compute are refused before anything of them is loaded."""

import fnmatch
import os
import pickle
import re
import zipfile

import numpy as np
import pytest
from tensorflow.core.framework import op_def_pb2
from tensorflow.python.client import pywrap_tf_session
from tensorflow.python.ops import io_ops

from sklearn_dl import TensorFlowScorer
from sklearn_dl.scoring._tensorflow_files import bind_files, find_loading
from sklearn_dl.scoring._tensorflow_load import read_saved_model
from sklearn_dl.scoring._tensorflow_model import TensorFlowModel
from sklearn_dl.scoring._tensorflow_safety import operations, refuse_unsafe, scopes_of
from tests.scoring import hostile_graphs
from tests.scoring.hostile_graphs import changed
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
    with pytest.raises(ValueError, match=r"names the asset .*, outside its folder: refused"):
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


@pytest.mark.parametrize("make", hostile_graphs.WRITING, ids=lambda make: make.__name__)
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
    ids=lambda make: make.__name__,
)
def test_hidden_operations_do_write_in_a_model_that_is_trusted(tmp_path, planted, make):
    TensorFlowScorer(make(tmp_path / "model", planted), allow_unsafe_ops=True).transform(X)
    assert list(tmp_path.glob("planted*")) != []


@pytest.mark.parametrize("make", hostile_graphs.READING, ids=lambda make: make.__name__)
def test_a_file_outside_the_folder_is_never_read(tmp_path, make):
    with_table = make.__name__.startswith(("asset", "table"))
    if with_table:
        secret = tmp_path / "secret.csv"
        secret.write_text("cat,666\n")
    else:
        secret = tmp_path / "secret" / "variables" / "variables"
        affine(tmp_path / "secret", 666.0)
    model = make(tmp_path / "model", secret)
    rows = ["cat"] if with_table else X
    with pytest.raises(ValueError, match=r"(RestoreV2|FileV2) \(.*Nothing of it was loaded"):
        TensorFlowScorer(model).transform(rows)
    if make in (
        hostile_graphs.checkpoint_named_by_the_restore_op,
        hostile_graphs.checkpoint_when_scored,
    ):
        return  # these read files only with another model or other rows
    trusted = TensorFlowScorer(model, allow_unsafe_ops=True)
    assert 666 in trusted.transform(rows)


def test_the_paths_that_are_read_are_constants_inside_the_folder(tmp_path):
    vocabulary = tmp_path / "words.csv"
    vocabulary.write_text("cat,7\n")
    folder = with_vocabulary(tmp_path / "model", vocabulary)
    (meta_graph,) = read_saved_model(folder, "model").meta_graphs
    bound = bind_files(meta_graph, find_loading("model", meta_graph, folder))
    nodes = {
        (scope, node.name): node
        for scope, nodes in scopes_of(meta_graph.graph_def)
        for node in nodes
    }
    read = {}
    for scope, name in bound:
        node = nodes[scope, name]
        path = node.input[0 if node.op == "RestoreV2" else 1].partition(":")[0]
        read[node.op] = nodes[scope, path].attr["value"].tensor.string_val[0].decode()
    assert read == {
        "RestoreV2": f"{folder}/variables/variables",
        "InitializeTableFromTextFileV2": f"{folder}/assets/words.csv",
    }
    assert not {node.op for node in nodes.values()} & {"SaveV2", "MergeV2Checkpoints"}


def graph_of(op, inside):
    graph_def = v1.GraphDef()
    nodes = graph_def.node
    if inside:
        function = graph_def.library.function.add()
        function.signature.name, nodes = "f", function.node_def
    nodes.add(name="n", op=op)
    return graph_def


def registered_operations():
    operations_ = op_def_pb2.OpList()
    operations_.ParseFromString(pywrap_tf_session.TF_GetBuffer(pywrap_tf_session.TF_GetAllOpList()))
    return {op.name: op for op in operations_.op}


def test_every_operation_that_is_not_allowed_is_refused_by_name():
    lists = operations()
    for op in registered_operations().keys() - lists.allowed | {"MadeUpByUs"}:
        for inside in (False, True):
            with pytest.raises(ValueError, match=rf"process: {re.escape(op)} \((f/)?n\) \w"):
                refuse_unsafe("model", graph_of(op, inside))
    for op in lists.allowed:
        refuse_unsafe("model", graph_of(op, True))


def test_every_operation_of_tensorflow_is_on_one_list():
    """Where it fails, TensorFlow has new operations: read what they do, and put them on a list."""
    lists, registered = operations(), registered_operations()
    assert sorted(op for op in registered if not lists.is_known(op)) == []
    assert sorted(lists.allowed - registered.keys()) == []
    on_both = {
        op for op in lists.allowed for pattern in lists.refused if fnmatch.fnmatchcase(op, pattern)
    }
    assert on_both == set()


def test_no_operation_that_is_allowed_takes_a_place():
    """Whatever has an argument that is named as a file, folder, address or program is not."""
    words = ("file", "directory", "address", "logdir", "path", "url", "descriptor", "module")
    registered = registered_operations()
    found = {
        (op, argument.name)
        for op in operations().allowed & registered.keys()
        for argument in (*registered[op].input_arg, *registered[op].attr)
        if any(word in argument.name for word in words)
    }
    assert found == {("CTCBeamSearchDecoder", "top_paths")}  # a number


@pytest.mark.parametrize("kind", [tf.variant, tf.resource])
@pytest.mark.parametrize("place", ["constant", "list", "function"])
def test_an_object_inside_a_constant(kind, place):
    graph_def = graph_of("Const", False)
    value = graph_def.node[0].attr["value"]
    if place == "function":
        value.func.name = "f"
        graph_def.library.function.add().signature.name = "f"
        value = value.func.attr["value"]
    tensor = value.list.tensor.add() if place == "list" else value.tensor
    tensor.dtype = kind.as_datatype_enum
    with pytest.raises(ValueError, match=r"'n' holds a resource or an object.*Nothing of it was"):
        refuse_unsafe("model", graph_def)


def test_a_function_that_is_named_deep_inside_an_attribute():
    graph_def = graph_of("NoOp", False)
    outer = graph_def.node[0].attr["f"].list.func.add()
    outer.attr["g"].func.attr["h"].func.name = "WriteFile"
    with pytest.raises(ValueError, match=r"WriteFile \(n\) reads or writes files"):
        refuse_unsafe("model", graph_def)


def test_the_error_is_one_for_all_operations(tmp_path):
    graph_def = graph_of("ReadFile", False)
    graph_def.node.add(name="m", op="PyFunc")
    graph_def.node.add(name="o", op="ReadFile")
    with pytest.raises(ValueError, match="process: PyFunc") as error:
        refuse_unsafe("model", graph_def)
    assert str(error.value) == (
        "model holds operations that may touch files, the network, Python or the process: "
        "PyFunc (m) runs Python, or a program inside a string that no scan reads; "
        "ReadFile (n) reads or writes files or addresses. Nothing of it was loaded. If you trust "
        "its source, set allow_unsafe_ops=True."
    )


@pytest.mark.parametrize("file", ["variables/variables.index", "assets/words.csv"])
def test_a_file_that_is_missing_is_named(tmp_path, file):
    vocabulary = tmp_path / "words.csv"
    vocabulary.write_text("cat,7\n")
    with_vocabulary(tmp_path / "model", vocabulary)
    (tmp_path / "model" / file).unlink()
    with pytest.raises(FileNotFoundError, match=rf"needs .*{file}, which does not exist"):
        TensorFlowScorer(tmp_path / "model").transform(["cat"])


def test_a_folder_of_links_to_the_blobs_of_its_repository(tmp_path):
    """The Hugging Face cache; any other link out of the folder is refused."""
    vocabulary = tmp_path / "words.csv"
    vocabulary.write_text("cat,7\n")
    with_vocabulary(tmp_path / "model", vocabulary)
    folder, blobs = tmp_path / "models--a--b" / "snapshots" / "0f", tmp_path / "models--a--b/blobs"
    blobs.mkdir(parents=True)
    for number, file in enumerate(p for p in (tmp_path / "model").rglob("*") if p.is_file()):
        link = folder / file.relative_to(tmp_path / "model")
        link.parent.mkdir(parents=True, exist_ok=True)
        file.rename(blobs / str(number))
        link.symlink_to(blobs / str(number))
    scorer = TensorFlowScorer(folder)
    assert scorer.transform(["cat"]).tolist() == [[7]]
    assert pickle.loads(pickle.dumps(scorer)).transform(["cat"]).tolist() == [[7]]
    (folder / "assets" / "words.csv").unlink()
    (folder / "assets" / "words.csv").symlink_to(vocabulary)
    with pytest.raises(ValueError, match="leads out of the model's folder"):
        TensorFlowScorer(folder).transform(["cat"])


def chain_of_functions(depth, circular=False):
    """A graph that calls f0, which calls f1, and so on."""
    graph_def = graph_of("f0", False)
    for number in range(depth):
        function = graph_def.library.function.add()
        function.signature.name = f"f{number}"
        if number + 1 < depth or circular:
            call = hostile_graphs.add_node(function.node_def, "call", "PartitionedCall")
            call.attr["f"].func.name = f"f{(number + 1) % depth}"
    return graph_def


def test_functions_that_call_themselves_or_too_deep():
    refuse_unsafe("model", chain_of_functions(100))
    for depth in (1, 2, 30):
        with pytest.raises(ValueError, match="functions call themselves"):
            refuse_unsafe("model", chain_of_functions(depth, circular=True))
    with pytest.raises(ValueError, match="functions call each other more than 100 deep"):
        refuse_unsafe("model", chain_of_functions(5000))


@pytest.mark.parametrize("place", ["attr", "arg_attr"])
def test_attributes_of_a_function_itself(place):
    graph_def = chain_of_functions(1)
    (function,) = graph_def.library.function
    attributes = function.attr if place == "attr" else function.arg_attr[0].attr
    attributes["f"].func.name = "WriteFile"
    with pytest.raises(ValueError, match=r"WriteFile \(f0\) reads or writes files"):
        refuse_unsafe("model", graph_def)
    del attributes["f"]
    attributes["f"].tensor.dtype = tf.variant.as_datatype_enum
    with pytest.raises(ValueError, match="'f0' holds a resource or an object"):
        refuse_unsafe("model", graph_def)


def test_attributes_of_a_function_that_its_nodes_take_by_name():
    graph_def = chain_of_functions(1)
    (function,) = graph_def.library.function
    given = function.signature.attr.add(name="told", type="func")
    refuse_unsafe("model", graph_def)
    given.default_value.func.name = "WriteFile"
    call = hostile_graphs.add_node(function.node_def, "call", "PartitionedCall")
    call.attr["f"].placeholder = "told"
    with pytest.raises(ValueError, match="the function 'f0' has attributes of its own"):
        refuse_unsafe("model", graph_def)


def with_pipeline(folder, used):
    """A queue and a data set that the training needed."""
    with tf.Graph().as_default(), v1.Session() as session:
        x = v1.placeholder(tf.float32, (None, 3), name="x")
        queue = tf.queue.FIFOQueue(4, tf.float32)
        batches = v1.data.make_one_shot_iterator(tf.data.TFRecordDataset("train.tfrecord"))
        read = tf.strings.length(batches.get_next())
        waited = tf.reduce_sum(queue.dequeue()) * 0
        y = tf.identity(x + (waited if used else 0.0), name="y")
        tf.add(tf.cast(read, tf.float32), waited, name="loss")
        v1.saved_model.simple_save(session, str(folder), {"x": x}, {"y": y})
    return folder


def test_input_pipelines_that_nothing_runs_are_cut_off(tmp_path):
    scorer = TensorFlowScorer(with_pipeline(tmp_path / "unused", used=False))
    np.testing.assert_array_equal(scorer.transform(X), X)
    with pytest.raises(ValueError, match="IteratorGetNext"):
        scorer.set_params(outputs="loss").transform(X)
    with pytest.raises(ValueError, match=r"FIFOQueueV2 .* waits for another run"):
        TensorFlowScorer(with_pipeline(tmp_path / "used", used=True)).transform(X)


def test_a_version_that_is_a_link(tmp_path):
    affine(tmp_path / "elsewhere")
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "7").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ValueError, match="leads out of the model's folder"):
        TensorFlowScorer(tmp_path / "model").transform(X)


def test_a_path_that_is_a_pattern(tmp_path):
    """TensorFlow would read the checkpoint of the folder "model"."""
    affine(tmp_path / "model", 666.0)
    affine(tmp_path / "mode[l]")
    with pytest.raises(ValueError, match="rename the folder"):
        TensorFlowScorer(tmp_path / "mode[l]").transform(X)


def test_files_of_a_saved_model_that_are_none(tmp_path):
    vocabulary = tmp_path / "words.csv"
    vocabulary.write_text("cat,7\n")
    folder = tmp_path / "model"
    with_vocabulary(folder, vocabulary)
    (folder / "saved_model.pbtxt").write_text("meta_graphs {}")
    data = (folder / "saved_model.pb").read_bytes()
    (folder / "saved_model.pb").unlink()
    os.mkfifo(folder / "saved_model.pb")
    with pytest.raises(ValueError, match="has no graph with tags"):
        TensorFlowScorer(folder).transform(["cat"])
    (folder / "saved_model.pb").unlink()
    (folder / "saved_model.pb").write_bytes(data)

    def long_name(meta_graph):
        meta_graph.asset_file_def[0].filename = "a" * 5000

    changed(folder, long_name)
    with pytest.raises((ValueError, FileNotFoundError), match="aaa"):
        TensorFlowScorer(folder).transform(["cat"])
