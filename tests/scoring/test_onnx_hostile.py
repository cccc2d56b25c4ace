"""ONNX files that mean harm, and honest ones that look like them."""

import math
import os
import pickle
import re
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from onnx import NodeProto, TensorProto, helper

from sklearn_dl import OnnxScorer, clear_sessions
from sklearn_dl.scoring import _onnx_external, _onnx_graph, _onnx_model, _onnx_safety
from tests.scoring.hostile_onnx import (
    INNER,
    calling,
    doubling,
    endless_loop,
    growing_loop,
    inner_tensor,
    nested,
    outside,
    paths_to,
    placed,
)
from tests.scoring.onnx_graphs import WEIGHTS, external, model, negate, node, two_layers

X = np.array([[1.0, 2.0, 3.0], [-3.0, 0.0, 1.0]], dtype=np.float32)
EXPECTED = (X @ WEIGHTS).clip(0)


def saved(made, folder, name="model.onnx"):
    path = folder / name
    path.write_bytes(made.SerializeToString())
    return path


def scores(path, X=X):
    """What a model gives, which its pickle must give too."""
    clear_sessions()
    scorer = OnnxScorer(path)
    scored = scorer.transform(X)
    loaded = pickle.loads(pickle.dumps(scorer))
    clear_sessions()
    assert_array_equal(loaded.transform(X), scored)
    return scored


def refused(path, match, X=X):
    for use in (lambda: OnnxScorer(path).transform(X), lambda: pickle.dumps(OnnxScorer(path))):
        clear_sessions()
        with pytest.raises((ValueError, FileNotFoundError), match=match):
            use()


# --- where tensors and operators hide


@pytest.mark.parametrize("place", paths_to("TensorProto"), ids=".".join)
def test_a_tensor_outside_the_folder_is_found_wherever_it_is(tmp_path, place):
    (tmp_path / "secret").write_bytes(bytes(12))
    (tmp_path / "model").mkdir()
    path = saved(placed(place, outside("../secret")), tmp_path / "model")
    with pytest.raises(ValueError, match=r"outside its folder \('\.\./secret'\): refused"):
        OnnxScorer(path).transform(X)


def test_places_are_those_of_the_installed_onnx():
    places = [".".join(place) for place in paths_to("TensorProto")]
    assert {
        "functions.attribute_proto.t",
        "functions.attribute_proto.g.initializer",
        "functions.node.attribute.sparse_tensor.values",
        "training_info.algorithm.initializer",
        "graph.node.attribute.graphs.sparse_initializer.indices",
    } <= set(places)


@pytest.mark.parametrize("place", paths_to("NodeProto"), ids=".".join)
@pytest.mark.parametrize("op_type", sorted(_onnx_safety._UNSAFE_OPS))
@pytest.mark.parametrize("domain", ["", "com.microsoft"])
def test_an_unsafe_operator_is_found_wherever_it_is(place, op_type, domain):
    made = placed(place, NodeProto(op_type=op_type, domain=domain, name="bad"))
    with pytest.raises(
        ValueError, match=rf"the operator {op_type} \(node 'bad'\), which .*refused"
    ):
        OnnxScorer(made).transform(X)


def test_operator_that_reads_a_file(tmp_path):
    context = node(
        "EPContext", ["x"], ["y"], domain="com.microsoft", embed_mode=0, ep_cache_context="/x.bin"
    )
    made = negate()
    made.graph.node[0].CopyFrom(context)
    made.opset_import.append(helper.make_opsetid("com.microsoft", 1))
    refused(saved(made, tmp_path), r"model\.onnx holds the operator EPContext .*reads a file")
    assert_array_equal(OnnxScorer(negate()).transform(X), -X)


def test_operators_of_the_installed_build_that_name_files():
    """A newer ONNX Runtime that reads files by another operator makes this fail: judge it."""
    from onnxruntime.capi._pybind_state import get_all_operator_schema

    words = ("file", "path", "library", "url", "uri", "python", "cache_context")
    found = {
        schema.name
        for schema in get_all_operator_schema()
        if any(word in name.lower() for name in schema.attributes for word in words)
    }
    assert found == {"EPContext"}


# --- honest tensors in those places


@pytest.mark.parametrize("place", INNER)
def test_a_tensor_beside_the_model_is_read_wherever_it_is(tmp_path, place):
    (tmp_path / "data.bin").write_bytes(np.float32([1, 2, 3]).tobytes())
    path = saved(inner_tensor(place, "data.bin"), tmp_path)
    assert_array_equal(scores(path), X + np.float32([1, 2, 3]))
    assert_array_equal(OnnxScorer(path, outputs="y").transform(X), X + np.float32([1, 2, 3]))
    (tmp_path / "data.bin").write_bytes(bytes(8))
    refused(path, r"needs bytes 0 to 12 of its data file 'data\.bin' for the tensor '[wc]'.*has 8")


# --- where data files may lie


def test_hard_links(tmp_path):
    store = tmp_path / "store"
    store.mkdir()
    external(store)
    folder = tmp_path / "model"
    folder.mkdir()
    for name in ("model.onnx", "weights.bin"):
        os.link(store / name, folder / name)
    assert_allclose(scores(folder / "model.onnx"), EXPECTED)


def test_model_file_that_is_a_link(tmp_path):
    (tmp_path / "elsewhere").mkdir()
    target = saved(two_layers(), tmp_path / "elsewhere")
    (tmp_path / "link.onnx").symlink_to(target)
    assert_allclose(scores(tmp_path / "link.onnx"), EXPECTED)


def hub(folder, repository="models--org--name"):
    """The Hugging Face cache of a model with external data; the model's path in it."""
    blobs = folder / repository / "blobs"
    snapshot = folder / repository / "snapshots" / "0123abc" / "onnx"
    blobs.mkdir(parents=True)
    snapshot.mkdir(parents=True)
    external(blobs, location="model.onnx_data", name="aa")
    (blobs / "model.onnx_data").rename(blobs / "bb")
    (snapshot / "model.onnx").symlink_to("../../../blobs/aa")
    (snapshot / "model.onnx_data").symlink_to("../../../blobs/bb")
    return snapshot / "model.onnx"


def test_cache_of_hugging_face(tmp_path):
    path = hub(tmp_path)
    assert_allclose(scores(path), EXPECTED)
    (tmp_path / "link").symlink_to(path.parent)
    assert_allclose(scores(tmp_path / "link" / "model.onnx"), EXPECTED)


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
def test_links_of_the_cache_that_lead_elsewhere(tmp_path, target):
    path = hub(tmp_path)
    hub(tmp_path, "models--other--one")
    repository = tmp_path / "models--org--name"
    (repository / "secret").write_bytes(WEIGHTS.tobytes())
    (repository / "blobs" / "on").symlink_to("../secret")
    (repository / "blobs" / "below").mkdir()
    (repository / "blobs" / "below" / "bb").write_bytes(WEIGHTS.tobytes())
    data = path.with_name("model.onnx_data")
    data.unlink()
    data.symlink_to(target)
    refused(path, r"refers to data outside its folder \('model\.onnx_data'\): refused")


def test_the_model_itself_may_not_name_the_blobs(tmp_path):
    path = hub(tmp_path)
    path.unlink()
    path.write_bytes(external(path.parent, location="../../../blobs/bb", name="made").read_bytes())
    refused(path, r"outside its folder \('\.\./\.\./\.\./blobs/bb'\): refused")


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
)
def test_locations_that_are_refused(tmp_path, location):
    made = two_layers()
    made.graph.initializer[0].CopyFrom(outside(location, shape=(3, 2)))
    refused(saved(made, tmp_path), "refers to data outside its folder .*refused")


@pytest.mark.skipif(os.name == "nt", reason="a colon is not allowed there")
def test_location_that_is_the_name_of_a_tensor(tmp_path):
    assert_allclose(scores(external(tmp_path, location="w:0")), EXPECTED)


def test_location_by_way_of_another_folder(tmp_path):
    (tmp_path / "sub").mkdir()
    path = external(tmp_path, location="sub/../weights.bin")
    assert_allclose(scores(path), EXPECTED)


@pytest.mark.parametrize("location", ["x" * 300, "x/" * 3000, ".", "", "sub", "loop", "nowhere"])
def test_locations_that_are_no_file(tmp_path, location):
    (tmp_path / "sub").mkdir()
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "nowhere").symlink_to("nothing")
    made = two_layers()
    made.graph.initializer[0].CopyFrom(outside(location, shape=(3, 2)))
    refused(saved(made, tmp_path), r"model\.onnx (needs the data file|refers to data outside)")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes here")
@pytest.mark.timeout(20)
def test_pipes_and_devices_do_not_hang(tmp_path):
    path = external(tmp_path)
    os.mkfifo(tmp_path / "model.pipe")
    refused(tmp_path / "model.pipe", r"model\.pipe is not a regular file: refused")
    (tmp_path / "weights.bin").unlink()
    os.mkfifo(tmp_path / "weights.bin")
    refused(path, r"weights\.bin is not a regular file: refused")
    refused("/dev/zero", "/dev/zero is not a regular file: refused")
    (tmp_path / "weights.bin").unlink()
    (tmp_path / "weights.bin").symlink_to("/dev/zero")
    refused(path, "refers to data outside its folder")


def test_address_in_memory(tmp_path):
    """ONNX Runtime's own mark for bytes in memory made 1.22 read any address of the process."""
    below = tmp_path / "*" / "_ORT_MEM_ADDR_"
    below.mkdir(parents=True)
    (below / "*").write_bytes(WEIGHTS.tobytes())
    made = two_layers()
    made.graph.initializer[0].CopyFrom(outside("*/_ORT_MEM_ADDR_/*", shape=(3, 2)))
    assert_allclose(scores(saved(made, tmp_path)), EXPECTED)  # a file like any other
    made.graph.initializer[0].external_data.add(key="offset", value=str(id(X)))
    refused(saved(made, tmp_path), "of its data file .*the file has 24")


# --- which bytes of them


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ({"offset": 4}, r"needs bytes 4 to 28 of .*'w'; the file has 24.*another model"),
        ({"offset": -1}, r"'w' has the offset '-1', which is not an integer of 0 or more"),
        ({"offset": 2**63}, r"needs bytes 9223372036854775808 to 9223372036854775832"),
        ({"offset": 10**30}, "has the offset '1000000000000000000000000000000'"),
        ({"offset": "1_0"}, "has the offset '1_0'"),
        ({"offset": "\u0661"}, "has the offset"),
        ({"offset": ""}, "has the offset ''"),
        ({"length": 20}, r"'w' needs 24 bytes, and its length is 20"),
        ({"length": 2**63 - 1}, "'w' needs 24 bytes, and its length is 9223372036854775807"),
        ({"length": -24}, "has the length '-24'"),
    ],
)
def test_bytes_beyond_the_file(tmp_path, entries, message):
    (tmp_path / "weights.bin").write_bytes(WEIGHTS.tobytes())
    made = two_layers()
    made.graph.initializer[0].CopyFrom(outside("weights.bin", shape=(3, 2), **entries))
    refused(saved(made, tmp_path), rf"model\.onnx.*{message}")


@pytest.mark.parametrize("n_bytes", [0, 1, 23])
def test_short_data_file(tmp_path, n_bytes):
    path = external(tmp_path)
    (tmp_path / "weights.bin").write_bytes(WEIGHTS.tobytes()[:n_bytes])
    refused(path, f"needs bytes 0 to 24 .*the file has {n_bytes}")


@pytest.mark.parametrize(
    ("shape", "kind", "message"),
    [
        ((3, -2), "FLOAT", r"has the shape \(3, -2\)"),
        ((2**62, 2**62), "FLOAT", "needs bytes 0 to 85070591730234615865843651857942052864"),
        ((3, 2), "STRING", "is of the type STRING, which has no fixed size"),
        ((3, 2), "UNDEFINED", "is of the type UNDEFINED"),
        ((3, 2), 999, "is of the type 999"),
    ],
)
def test_tensor_of_no_size(tmp_path, shape, kind, message):
    (tmp_path / "weights.bin").write_bytes(bytes(1000))
    made = two_layers()
    tensor = made.graph.initializer[0]
    tensor.CopyFrom(outside("weights.bin", shape=shape))
    tensor.data_type = TensorProto.DataType.Value(kind) if isinstance(kind, str) else kind
    refused(saved(made, tmp_path), message)


def test_two_entries_of_a_name(tmp_path):
    path = external(tmp_path)
    made = onnx.load_model_from_string(path.read_bytes())
    made.graph.initializer[0].external_data.add(key="location", value="other.bin")
    refused(saved(made, tmp_path), "'w' has two entries 'location'")


def test_location_that_is_not_text(tmp_path):
    path = external(tmp_path)
    path.write_bytes(path.read_bytes().replace(b"weights.bin", b"\xff\xfeights.bin"))
    with pytest.raises(ValueError, match=r"model\.onnx"):
        OnnxScorer(path).transform(X)


@pytest.mark.parametrize("offset", [0, 1, 3, 4, 4095])
def test_offsets_that_are_not_aligned(tmp_path, offset):
    (tmp_path / "weights.bin").write_bytes(bytes(offset) + WEIGHTS.tobytes())
    made = two_layers()
    tensor = outside("weights.bin", shape=(3, 2), offset=offset, length=24, checksum="none")
    made.graph.initializer[0].CopyFrom(tensor)
    path = saved(made, tmp_path)
    assert_allclose(scores(path), EXPECTED)
    assert_allclose(OnnxScorer(path, outputs="hidden").transform(X), X @ WEIGHTS)


@pytest.mark.parametrize("length", [{}, {"length": 0}, {"length": 24}])
def test_length_that_is_not_given(tmp_path, length):
    (tmp_path / "weights.bin").write_bytes(WEIGHTS.tobytes() + bytes(100))
    made = two_layers()
    made.graph.initializer[0].CopyFrom(outside("weights.bin", shape=(3, 2), **length))
    assert_allclose(scores(saved(made, tmp_path)), EXPECTED)


SIZES = {"BOOL": 1, "FLOAT": 4, "DOUBLE": 8, "COMPLEX64": 8, "COMPLEX128": 16, "BFLOAT16": 2}
SIZES |= {"FLOAT16": 2, "INT8": 1, "UINT8": 1, "INT16": 2, "UINT16": 2, "INT32": 4, "UINT32": 4}
SIZES |= {"INT64": 8, "UINT64": 8, "INT4": 0.5, "UINT4": 0.5, "INT2": 0.25, "UINT2": 0.25}
SIZES |= {"FLOAT4E2M1": 0.5, "FLOAT8E8M0": 1, "FLOAT8E4M3FN": 1, "FLOAT8E4M3FNUZ": 1}
SIZES |= {"FLOAT8E5M2": 1, "FLOAT8E5M2FNUZ": 1, "FLOAT6E2M3": 0.75, "FLOAT6E3M2": 0.75}


@pytest.mark.parametrize("kind", sorted({*TensorProto.DataType.keys()} - {"UNDEFINED", "STRING"}))
@pytest.mark.parametrize("n_values", [0, 1, 3, 8])
def test_sizes_of_types(kind, n_values):
    tensor = outside("w.bin", shape=(n_values, 1))
    tensor.data_type = TensorProto.DataType.Value(kind)
    expected = math.ceil(n_values * SIZES[kind])
    assert _onnx_external.ExternalTensor(tensor, "model").n_bytes == expected


def test_empty_tensor_in_an_empty_file(tmp_path):
    (tmp_path / "empty.bin").write_bytes(b"")
    made = model(
        [node("Concat", ["x", "w"], ["y"], axis=0)],
        {"x": (np.float32, ["N", 3])},
        {"y": (np.float32, ["N", 3])},
    )
    made.graph.initializer.append(outside("empty.bin", shape=(0, 3)))
    assert_array_equal(scores(saved(made, tmp_path)), X)


# --- what ONNX Runtime is given


def test_no_file_is_left_for_onnx_runtime_to_open(tmp_path):
    (tmp_path / "data.bin").write_bytes(np.float32([1, 2, 3]).tobytes())
    for place in INNER:
        path = saved(inner_tensor(place, "data.bin"), tmp_path)
        data, shared, _ = _onnx_graph._prepare(_onnx_model.resolve(path), None)
        tensors = _onnx_safety.search(onnx.load_model_from_string(data), "prepared")[1]
        outside = _onnx_external.external_tensors(tensors, "prepared")
        assert [tensor.location for tensor in outside] == [*shared]
        assert b"data.bin" not in data


def test_fields_that_this_onnx_does_not_know_are_not_run():
    made = two_layers().SerializeToString() + b"\xfa\x3f\x06secret"
    data = _onnx_graph._prepare(_onnx_model.resolve(made), None)[0]
    assert b"secret" in made
    assert b"secret" not in data
    assert_allclose(OnnxScorer(made).transform(X), EXPECTED)


def test_session_options_in_the_model_are_not_taken(tmp_path, monkeypatch):
    monkeypatch.setenv("ORT_LOAD_CONFIG_FROM_MODEL", "1")
    monkeypatch.chdir(tmp_path)
    made = two_layers()
    config = '{"session_options": {"enable_profiling": 1}}'
    made.metadata_props.add(key="ort_config", value=config)
    made.metadata_props.add(key="labels", value="a,b")
    assert_allclose(OnnxScorer(made).transform(X), EXPECTED)
    clear_sessions()
    assert list(tmp_path.iterdir()) == []


def test_file_that_is_ort_format_too():
    made = two_layers()
    made.producer_name = "ORTM"
    data = made.SerializeToString()
    assert data[4:8] == b"ORTM"
    assert_allclose(OnnxScorer(data).transform(X), EXPECTED)
    with pytest.raises(ValueError, match="is not an ONNX model"):
        OnnxScorer(struct.pack("<I", 24) + b"ORTM" + bytes(100)).transform(X)


def test_files_that_change_while_they_are_read(tmp_path, monkeypatch):
    path = external(tmp_path)
    real = _onnx_graph.share

    def changing(*args):
        (tmp_path / "weights.bin").write_bytes(bytes(25))
        return real(*args)

    monkeypatch.setattr(_onnx_graph, "share", changing)
    with pytest.raises(ValueError, match=r"model\.onnx or its data changed while they were read"):
        OnnxScorer(path).transform(X)


def test_file_too_large_for_a_graph(tmp_path):
    path = tmp_path / "large.onnx"
    with open(path, "wb") as file:
        file.truncate(2**31)
    refused(path, r"large\.onnx is not an ONNX model: it is 2\.0 GiB")


# --- functions


def test_functions_that_call_themselves():
    for calls, circle in [
        ({"f": ["f"]}, r"\['f', 'f'\]"),
        ({"f": ["g"], "g": ["h"], "h": ["f"]}, "'f'.*'f'|'g'.*'g'|'h'.*'h'"),
    ]:
        with pytest.raises(ValueError, match=f"has functions that call themselves .*{circle}"):
            OnnxScorer(calling(calls)).transform(X[:, :2])


def test_function_that_calls_itself_by_the_other_name_of_onnx():
    made = calling({"f": ["f"]})
    made.functions[0].domain = ""
    made.functions[0].node[0].domain = "ai.onnx"
    with pytest.raises(ValueError, match="has functions that call themselves"):
        OnnxScorer(made).transform(X[:, :2])


@pytest.mark.parametrize("depth", [100, 20_000])
def test_calls_that_are_too_deep(depth):
    calls = {"f0": [], **{f"f{i}": [f"f{i - 1}"] for i in range(1, depth + 1)}}
    with pytest.raises(ValueError, match=f"nests calls of functions {depth + 1} deep; up to 100"):
        OnnxScorer(calling(calls)).transform(X[:, :2])


def test_calls_that_double():
    assert_array_equal(OnnxScorer(doubling(5)).transform(X[:, :2]), X[:, :2])
    with pytest.raises(ValueError, match="make a graph of more than 1,000,000 nodes"):
        OnnxScorer(doubling(40)).transform(X[:, :2])


# --- damaged files


@pytest.mark.parametrize("depth", [10, 25, 40, 1000])
def test_deep_graphs(depth):
    with pytest.raises(ValueError, match=r"is not an ONNX model, or is damaged|cannot run"):
        OnnxScorer(nested(depth)).transform(X)


@pytest.mark.parametrize("name", [b"hidden", b"MatMul", b"Relu", b"tiny", b"w", b"x"])
@pytest.mark.parametrize("outputs", [None, "y", "none"])
def test_names_that_are_not_text(name, outputs):
    data = two_layers().SerializeToString()
    field = bytes([len(name)]) + name
    damaged = data.replace(field, bytes([len(name)]) + b"\xff" * len(name))
    assert damaged != data
    if name in (b"hidden", b"tiny", b"w") and outputs != "none":
        assert_allclose(OnnxScorer(damaged, outputs=outputs).transform(X), EXPECTED)
    else:
        with pytest.raises(ValueError, match=r"ONNX Runtime cannot run|has no output") as caught:
            OnnxScorer(damaged, outputs=outputs).transform(X)
        assert caught.type is ValueError


@pytest.mark.skipif(sys.platform != "linux", reason="the recipe is for Linux")
def test_the_recipe_of_security_md_stops_bombs(tmp_path):
    page = Path(__file__).parents[2] / "SECURITY.md"
    (recipe,) = re.findall(r"^```python\n(.*?)^```", page.read_text(), flags=re.M | re.S)
    for name, made in {
        "sound": negate(),
        "endless": endless_loop(),
        "grows": growing_loop(),
    }.items():
        saved(made, tmp_path, f"{name}.onnx")
    guarded = """
if __name__ == "__main__":
    for name in ["sound", "endless", "grows", "sound"]:
        try:
            print(score_stranger(f"{name}.onnx", [[1, 2]], 4, 4).tolist())
        except (RuntimeError, ValueError) as error:
            print(type(error).__name__, error)
"""
    (tmp_path / "strangers.py").write_text(recipe + guarded)
    done = subprocess.run(
        [sys.executable, "strangers.py"], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    sound, endless, grows, *_, again = done.stdout.splitlines()
    assert sound == again == "[[-1.0, -2.0]]"
    assert endless == "RuntimeError endless.onnx took more than 4 s or 4 GiB"
    assert grows.startswith(("RuntimeError grows.onnx took", "ValueError"))
