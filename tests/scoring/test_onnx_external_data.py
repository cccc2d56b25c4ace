import copy
import pickle

import numpy as np
import pytest
from numpy.testing import assert_allclose
from onnx import TensorProto, helper

from sklearn_dl import OnnxScorer, clear_sessions
from sklearn_dl.models import _onnx as _onnx_model
from tests.scoring.onnx_graphs import WEIGHTS, external

X = np.array([[1.0, 2.0, 3.0], [-3.0, 0.0, 1.0]])
HIDDEN = X @ WEIGHTS


def test_scored_from_its_path(tmp_path, monkeypatch):
    path = external(tmp_path)
    assert_allclose(OnnxScorer(path).transform(X), HIDDEN.clip(0))
    assert_allclose(OnnxScorer(path, outputs="hidden").transform(X), HIDDEN)
    monkeypatch.chdir(tmp_path)
    clear_sessions()
    assert_allclose(OnnxScorer("model.onnx").transform(X), HIDDEN.clip(0))


def test_data_in_a_folder_below(tmp_path):
    (tmp_path / "data").mkdir()
    assert_allclose(OnnxScorer(external(tmp_path, location="data/w.bin")).transform(X)[0], [4, 10])


def test_pickle_carries_the_data(tmp_path):
    path = external(tmp_path)
    scorer = OnnxScorer(path, outputs="hidden").fit(X)
    data = pickle.dumps(scorer)
    again = pickle.dumps(pickle.loads(data))
    path.unlink()
    (tmp_path / "weights.bin").unlink()
    for made in (data, again):
        assert_allclose(pickle.loads(made).transform(X), HIDDEN)
        clear_sessions()
        assert_allclose(copy.deepcopy(pickle.loads(made)).transform(X), HIDDEN)


def test_pickle_by_name_and_hash(tmp_path):
    path = external(tmp_path)
    loaded = pickle.loads(pickle.dumps(OnnxScorer(path, embed_model=False)))
    assert_allclose(loaded.transform(X), HIDDEN.clip(0))
    (tmp_path / "weights.bin").write_bytes((2 * WEIGHTS).tobytes())
    with pytest.raises(ValueError, match="is not the one that this estimator was pickled with"):
        loaded.transform(X)


def test_limit_of_a_pickle(tmp_path, monkeypatch):
    path = external(tmp_path)
    monkeypatch.setattr(_onnx_model, "MAX_EMBEDDED_BYTES", 100)
    with pytest.raises(ValueError, match=r"a pickle can carry 2 GiB .*Set embed_model=False"):
        pickle.dumps(OnnxScorer(path))
    loaded = pickle.loads(pickle.dumps(OnnxScorer(path, embed_model=False)))
    assert_allclose(loaded.transform(X), HIDDEN.clip(0))


def test_bytes_cannot_be_followed(tmp_path):
    data = external(tmp_path).read_bytes()
    with pytest.raises(ValueError, match=r"weights in external data files.*pass the path"):
        OnnxScorer(data).transform(X)


@pytest.mark.parametrize("location", ["../weights.bin", "absolute", "link.bin", "sub/../../w.bin"])
def test_data_outside_the_folder(tmp_path, location):
    folder = tmp_path / "model"
    folder.mkdir()
    outside = tmp_path / "weights.bin"
    outside.write_bytes(WEIGHTS.tobytes())
    (folder / "link.bin").symlink_to(outside)
    (folder / "sub").mkdir()
    if location == "absolute":
        location = str(outside)
    path = external(folder, location=location)
    with pytest.raises(ValueError, match=r"refers to data outside its folder.*which are not read"):
        OnnxScorer(path).transform(X)


@pytest.mark.parametrize("place", ["branch", "constant", "sparse", "function"])
def test_data_outside_the_folder_of_an_inner_tensor(tmp_path, place):
    inner = helper.make_tensor("w", TensorProto.FLOAT, [3], [1.0, 2.0, 3.0])
    inner.ClearField("float_data")
    inner.data_location = TensorProto.EXTERNAL
    inner.external_data.add(key="location", value="../weights.bin")
    output = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    constant = helper.make_node("Constant", [], ["y"], value=inner)
    functions = []
    if place == "branch":
        branch = helper.make_graph(
            [helper.make_node("Identity", ["w"], ["y"])], "branch", [], [output], [inner]
        )
        node = helper.make_node("If", ["x"], ["y"], then_branch=branch, else_branch=branch)
    elif place == "sparse":
        indices = helper.make_tensor("i", TensorProto.INT64, [3], [0, 1, 2])
        sparse = helper.make_sparse_tensor(inner, indices, [5])
        node = helper.make_node("Constant", [], ["y"], sparse_value=sparse)
    elif place == "function":
        opset = [helper.make_opsetid("", 17)]
        functions = [helper.make_function("own", "f", [], ["y"], [constant], opset)]
        node = helper.make_node("f", [], ["y"], domain="own")
    else:
        node = constant
    x = helper.make_tensor_value_info("x", TensorProto.BOOL, [1])
    model = helper.make_model(
        helper.make_graph([node], "inner", [x], [output]),
        opset_imports=[helper.make_opsetid("", 17), helper.make_opsetid("own", 1)],
        functions=functions,
        ir_version=8,
    )
    path = tmp_path / "model" / "inner.onnx"
    path.parent.mkdir()
    path.write_bytes(model.SerializeToString())
    (tmp_path / "weights.bin").write_bytes(bytes(12))
    with pytest.raises(ValueError, match=r"refers to data outside its folder.*which are not read"):
        OnnxScorer(path).transform([[True]])


def test_data_file_that_becomes_a_link(tmp_path):
    folder = tmp_path / "model"
    folder.mkdir()
    path = external(folder)
    OnnxScorer(path).transform(X)
    (folder / "weights.bin").rename(tmp_path / "elsewhere")
    (folder / "weights.bin").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ValueError, match="refers to data outside its folder"):
        OnnxScorer(path).transform(X)


def test_missing_data_file(tmp_path):
    path = external(tmp_path)
    scorer = OnnxScorer(path).fit(X)
    (tmp_path / "weights.bin").unlink()
    for made in (scorer, OnnxScorer(path)):
        with pytest.raises(FileNotFoundError, match=r"needs the data file '.*weights\.bin'"):
            made.transform(X)


def test_changed_data_is_noticed(tmp_path):
    scorer = OnnxScorer(external(tmp_path), outputs="hidden")
    assert_allclose(scorer.transform(X), HIDDEN)
    (tmp_path / "weights.bin").write_bytes((10 * WEIGHTS).tobytes() + b"\0")
    assert_allclose(scorer.transform(X), 10 * HIDDEN)


def test_data_without_location(tmp_path):
    path = external(tmp_path)
    path.write_bytes(path.read_bytes().replace(b"location", b"nowhere!"))
    with pytest.raises((ValueError, FileNotFoundError), match=r"model\.onnx needs the data file"):
        OnnxScorer(path).transform(X)
