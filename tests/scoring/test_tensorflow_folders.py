"""Files of a SavedModel: which are read, where they may be, and errors about others."""

import os
import pickle
import zipfile

import numpy as np
import pytest

from sklearn_dl import TensorFlowScorer
from sklearn_dl.models._tensorflow import TensorFlowModel
from sklearn_dl.runtimes.tensorflow._files import bind_files, find_loading
from sklearn_dl.runtimes.tensorflow._load import read_saved_model
from sklearn_dl.runtimes.tensorflow._safety import scopes_of
from tests.scoring.hostile_graphs import changed
from tests.scoring.tensorflow_models import affine, words_model

X = np.ones((2, 3), dtype=np.float32)


def test_the_paths_that_are_read_are_constants_inside_the_folder(tmp_path):
    folder = words_model(tmp_path / "model")
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


# --- assets


def rename_asset(name):
    """A change of a graph: its asset has another name."""

    def change(meta_graph):
        meta_graph.asset_file_def[0].filename = name

    return change


@pytest.mark.parametrize("name", ["../../secret.csv", "/etc/passwd", "..\\secret.csv"])
def test_an_asset_outside_the_folder_is_refused(tmp_path, name):
    folder = changed(words_model(tmp_path / "model"), rename_asset(name))
    with pytest.raises(ValueError, match=r"refers to the asset .* outside its folder"):
        TensorFlowScorer(folder).transform(["cat"])


def test_an_asset_with_a_name_that_is_too_long_is_named(tmp_path):
    folder = changed(words_model(tmp_path / "model"), rename_asset("a" * 5000))
    with pytest.raises((ValueError, FileNotFoundError), match="aaa"):
        TensorFlowScorer(folder).transform(["cat"])


@pytest.mark.parametrize("file", ["variables/variables.index", "assets/words.csv"])
def test_a_file_that_is_missing_is_named(tmp_path, file):
    words_model(tmp_path / "model")
    (tmp_path / "model" / file).unlink()
    with pytest.raises(FileNotFoundError, match=rf"needs .*{file}, which does not exist"):
        TensorFlowScorer(tmp_path / "model").transform(["cat"])


# --- links


def test_a_link_out_of_the_folder_is_refused(tmp_path):
    folder = tmp_path / "model"
    affine(folder)
    (tmp_path / "secret").write_text("secret")
    (folder / "assets").mkdir(exist_ok=True)
    (folder / "assets" / "link").symlink_to(tmp_path / "secret")
    with pytest.raises(ValueError, match="leads out of the model's folder"):
        TensorFlowScorer(folder).transform(X)


def test_a_version_that_is_a_link_out_of_the_folder_is_refused(tmp_path):
    affine(tmp_path / "elsewhere")
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "7").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ValueError, match="leads out of the model's folder"):
        TensorFlowScorer(tmp_path / "model").transform(X)


def move_to_cache(model, repository):
    """Make a folder of links to blobs, as the Hugging Face cache does; returns the folder."""
    folder, blobs = repository / "snapshots" / "0f", repository / "blobs"
    blobs.mkdir(parents=True)
    files = [path for path in model.rglob("*") if path.is_file()]
    for number, file in enumerate(files):
        link = folder / file.relative_to(model)
        link.parent.mkdir(parents=True, exist_ok=True)
        file.rename(blobs / str(number))
        link.symlink_to(blobs / str(number))
    return folder


def test_links_to_the_blobs_of_the_repository_are_followed_and_no_others(tmp_path):
    words_model(tmp_path / "model")
    folder = move_to_cache(tmp_path / "model", tmp_path / "models--a--b")
    scorer = TensorFlowScorer(folder)
    assert scorer.transform(["cat"]).tolist() == [[7]]
    assert pickle.loads(pickle.dumps(scorer)).transform(["cat"]).tolist() == [[7]]
    (folder / "assets" / "words.csv").unlink()
    (folder / "assets" / "words.csv").symlink_to(tmp_path / "words.csv")
    with pytest.raises(ValueError, match="leads out of the model's folder"):
        TensorFlowScorer(folder).transform(["cat"])


# --- paths and files of other kinds


@pytest.mark.parametrize(
    "name",
    ["../out.txt", "/tmp/out.txt", "a/../../out.txt"],
    ids=["parent", "absolute", "parent inside"],
)
def test_a_packed_folder_stays_in_its_folder(tmp_path, name):
    packed = tmp_path / "packed.zip"
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr(name, "out")
    content = TensorFlowModel("saved_model", "0" * 64, packed.read_bytes())
    scorer = pickle.loads(pickle.dumps(TensorFlowScorer(content)))
    with pytest.raises(ValueError, match=r"unsafe path .* it was not unpacked"):
        scorer.transform(X)


def test_a_folder_whose_name_is_a_pattern_is_refused(tmp_path):
    """TensorFlow would read the checkpoint of the folder "model"."""
    affine(tmp_path / "model", 666.0)
    affine(tmp_path / "mode[l]")
    with pytest.raises(ValueError, match="rename the folder"):
        TensorFlowScorer(tmp_path / "mode[l]").transform(X)


def test_a_pipe_in_place_of_the_graph_is_not_read(tmp_path):
    words_model(tmp_path / "model")
    (tmp_path / "model" / "saved_model.pbtxt").write_text("meta_graphs {}")
    (tmp_path / "model" / "saved_model.pb").unlink()
    os.mkfifo(tmp_path / "model" / "saved_model.pb")
    with pytest.raises(ValueError, match="has no graph with tags"):
        TensorFlowScorer(tmp_path / "model").transform(["cat"])
