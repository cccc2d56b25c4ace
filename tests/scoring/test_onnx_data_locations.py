"""Where the data files of an ONNX model may be: in its folder, or in the blobs of its repository.

A tensor that names another file is refused, in whatever part of the model the tensor is.
"""

import os

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from sklearn_dl import OnnxScorer
from tests.scoring.hostile_onnx import (
    EXPECTED,
    INNER_PLACES,
    X,
    assert_refused,
    external_tensor,
    field_paths_to,
    graph_with_inner_tensor,
    save,
    scores_of,
    two_layers_with,
)
from tests.scoring.onnx_graphs import WEIGHTS, external, two_layers


def two_layers_at(location, **entries):
    """`two_layers` whose weights are at a location, which need not exist."""
    proto = two_layers()
    proto.graph.initializer[0].CopyFrom(external_tensor(location, shape=(3, 2), **entries))
    return proto


# --- parts of a model that hold tensors


def test_a_tensor_outside_the_folder_is_refused_wherever_it_is(tmp_path):
    (tmp_path / "secret").write_bytes(bytes(12))
    (tmp_path / "model").mkdir()
    messages = {}
    for place in field_paths_to("TensorProto"):
        path = save(two_layers_with(external_tensor("../secret"), place), tmp_path / "model")
        messages[".".join(place)] = "not refused"
        try:
            OnnxScorer(path).transform(X)
        except ValueError as error:
            messages[".".join(place)] = str(error)
    refused = f"{path} refers to data outside its folder ('../secret'), which are not read."
    assert {place: message for place, message in messages.items() if message != refused} == {}


def test_places_of_tensors_are_those_of_the_installed_onnx():
    assert {
        "functions.attribute_proto.t",
        "functions.attribute_proto.g.initializer",
        "functions.node.attribute.sparse_tensor.values",
        "training_info.algorithm.initializer",
        "graph.node.attribute.graphs.sparse_initializer.indices",
    } <= {".".join(path) for path in field_paths_to("TensorProto")}


@pytest.mark.parametrize("place", INNER_PLACES)
def test_a_tensor_beside_the_model_is_read_wherever_it_is(tmp_path, place):
    (tmp_path / "data.bin").write_bytes(np.float32([1, 2, 3]).tobytes())
    path = save(graph_with_inner_tensor(place, "data.bin"), tmp_path)
    assert_array_equal(scores_of(path), X + np.float32([1, 2, 3]))
    assert_array_equal(OnnxScorer(path, outputs="y").transform(X), X + np.float32([1, 2, 3]))
    (tmp_path / "data.bin").write_bytes(bytes(8))
    message = r"needs bytes 0 to 12 of its data file 'data\.bin' for the tensor '[wc]'.*has 8"
    assert_refused(path, message)


# --- links


def test_hard_links_are_followed(tmp_path):
    store, folder = tmp_path / "store", tmp_path / "model"
    store.mkdir()
    folder.mkdir()
    external(store)
    for name in ("model.onnx", "weights.bin"):
        os.link(store / name, folder / name)
    assert_allclose(scores_of(folder / "model.onnx"), EXPECTED)


def test_the_model_file_may_be_a_link(tmp_path):
    (tmp_path / "elsewhere").mkdir()
    target = save(two_layers(), tmp_path / "elsewhere")
    (tmp_path / "link.onnx").symlink_to(target)
    assert_allclose(scores_of(tmp_path / "link.onnx"), EXPECTED)


def hugging_face_cache(folder, repository="models--org--name"):
    """The Hugging Face cache of a model with external data; returns the model's path in it."""
    blobs = folder / repository / "blobs"
    snapshot = folder / repository / "snapshots" / "0123abc" / "onnx"
    blobs.mkdir(parents=True)
    snapshot.mkdir(parents=True)
    external(blobs, location="model.onnx_data", name="aa")
    (blobs / "model.onnx_data").rename(blobs / "bb")
    (snapshot / "model.onnx").symlink_to("../../../blobs/aa")
    (snapshot / "model.onnx_data").symlink_to("../../../blobs/bb")
    return snapshot / "model.onnx"


def test_links_of_the_hugging_face_cache_are_followed(tmp_path):
    path = hugging_face_cache(tmp_path)
    assert_allclose(scores_of(path), EXPECTED)
    (tmp_path / "link").symlink_to(path.parent)
    assert_allclose(scores_of(tmp_path / "link" / "model.onnx"), EXPECTED)


@pytest.mark.parametrize(
    "target",
    [
        "../../../../models--other--one/blobs/bb",
        "../../../secret",
        "../../../blobs/on",
        "../../../blobs/below/bb",
        "/etc/hostname",
    ],
)
def test_links_of_the_hugging_face_cache_that_lead_elsewhere(tmp_path, target):
    path = hugging_face_cache(tmp_path)
    hugging_face_cache(tmp_path, "models--other--one")
    repository = tmp_path / "models--org--name"
    (repository / "secret").write_bytes(WEIGHTS.tobytes())
    (repository / "blobs" / "on").symlink_to("../secret")
    (repository / "blobs" / "below").mkdir()
    (repository / "blobs" / "below" / "bb").write_bytes(WEIGHTS.tobytes())
    data = path.with_name("model.onnx_data")
    data.unlink()
    data.symlink_to(target)
    assert_refused(path, r"refers to data outside its folder \('model\.onnx_data'\), which are not")


def test_the_model_itself_may_not_name_the_blobs(tmp_path):
    path = hugging_face_cache(tmp_path)
    path.unlink()
    path.write_bytes(external(path.parent, location="../../../blobs/bb", name="made").read_bytes())
    assert_refused(path, r"outside its folder \('\.\./\.\./\.\./blobs/bb'\), which are not read")


# --- what the model says


@pytest.mark.parametrize(
    "location",
    [
        "/weights.bin",
        "../weights.bin",
        "sub/../../weights.bin",
        "..",
        "..\\weights.bin",
        "sub\\weights.bin",
        "//server/share/weights.bin",
        "weights.bin\0",
    ],
    ids=[
        "absolute",
        "parent",
        "parent by a folder",
        "the parent itself",
        "parent by a backslash",
        "folder by a backslash",
        "server",
        "zero byte",
    ],
)
def test_locations_outside_the_folder_are_refused(tmp_path, location):
    path = save(two_layers_at(location), tmp_path)
    assert_refused(path, "refers to data outside its folder .*which are not read")


@pytest.mark.parametrize(
    "location",
    [
        pytest.param("x" * 300, id="long name"),
        pytest.param("x/" * 3000, id="deep folder"),
        pytest.param(".", id="its own folder"),
        pytest.param("", id="empty"),
        pytest.param("sub", id="folder"),
        pytest.param("loop", id="link to itself"),
        pytest.param("nowhere", id="link to nothing"),
    ],
)
def test_locations_that_are_not_a_file_are_refused(tmp_path, location):
    (tmp_path / "sub").mkdir()
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "nowhere").symlink_to("nothing")
    path = save(two_layers_at(location), tmp_path)
    assert_refused(path, r"model\.onnx (needs the data file|refers to data outside)")


@pytest.mark.skipif(os.name == "nt", reason="a colon is not allowed there")
def test_a_location_that_is_the_name_of_a_tensor(tmp_path):
    assert_allclose(scores_of(external(tmp_path, location="w:0")), EXPECTED)


def test_a_location_by_way_of_another_folder(tmp_path):
    (tmp_path / "sub").mkdir()
    path = external(tmp_path, location="sub/../weights.bin")
    assert_allclose(scores_of(path), EXPECTED)


def test_a_location_that_is_not_text(tmp_path):
    path = external(tmp_path)
    path.write_bytes(path.read_bytes().replace(b"weights.bin", b"\xff\xfeights.bin"))
    with pytest.raises(ValueError, match=r"model\.onnx"):
        OnnxScorer(path).transform(X)


# --- what is not a file on disk


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes here")
@pytest.mark.timeout(60)
def test_pipes_and_devices_do_not_hang(tmp_path):
    path = external(tmp_path)
    os.mkfifo(tmp_path / "model.pipe")
    assert_refused(tmp_path / "model.pipe", r"model\.pipe is not a regular file, so it is not read")
    (tmp_path / "weights.bin").unlink()
    os.mkfifo(tmp_path / "weights.bin")
    assert_refused(path, r"weights\.bin is not a regular file, so it is not read")
    assert_refused("/dev/zero", "/dev/zero is not a regular file, so it is not read")
    (tmp_path / "weights.bin").unlink()
    (tmp_path / "weights.bin").symlink_to("/dev/zero")
    assert_refused(path, "refers to data outside its folder")


def test_an_address_in_memory_is_a_file_name_like_any_other(tmp_path):
    """ONNX Runtime's own mark for bytes in memory made 1.22 read any address of the process."""
    location = "*/_ORT_MEM_ADDR_/*"
    (tmp_path / location).parent.mkdir(parents=True)
    (tmp_path / location).write_bytes(WEIGHTS.tobytes())
    assert_allclose(scores_of(save(two_layers_at(location), tmp_path)), EXPECTED)
    path = save(two_layers_at(location, offset=id(X)), tmp_path)
    assert_refused(path, "of its data file .*the file has 24")
