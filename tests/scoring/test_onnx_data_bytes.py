"""The bytes of a tensor in a data file: offset, length, shape and type are checked."""

import math

import numpy as np
import onnx
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from onnx import TensorProto

from sklearn_dl import OnnxScorer
from sklearn_dl.models import _onnx as _onnx_model
from sklearn_dl.models import _onnx_external
from sklearn_dl.runtimes.onnx import _graph as _onnx_graph
from tests.scoring.hostile_onnx import (
    EXPECTED,
    X,
    assert_refused,
    external_tensor,
    save,
    scores_of,
)
from tests.scoring.onnx_graphs import WEIGHTS, external, model, node, two_layers


def two_layers_with_data(**entries):
    """`two_layers` whose weights are a tensor of `weights.bin`, at what `entries` say."""
    proto = two_layers()
    weights = external_tensor("weights.bin", shape=(3, 2), **entries)
    proto.graph.initializer[0].CopyFrom(weights)
    return proto


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        pytest.param(
            {"offset": 4},
            r"needs bytes 4 to 28 of .*'w'; the file has 24.*a different model",
            id="offset 4",
        ),
        pytest.param(
            {"offset": -1},
            r"'w' has the offset '-1', which is not an integer of 0 or more",
            id="offset -1",
        ),
        pytest.param(
            {"offset": 2**63},
            r"needs bytes 9223372036854775808 to 9223372036854775832",
            id="offset 2**63",
        ),
        pytest.param(
            {"offset": 10**30},
            "has the offset '1000000000000000000000000000000'",
            id="offset 10**30",
        ),
        pytest.param({"offset": "1_0"}, "has the offset '1_0'", id="offset 1_0"),
        pytest.param({"offset": "\u0661"}, "has the offset", id="offset in Arabic digits"),
        pytest.param({"offset": ""}, "has the offset ''", id="empty offset"),
        pytest.param({"length": 20}, r"'w' needs 24 bytes, but its length is 20", id="length 20"),
        pytest.param(
            {"length": 2**63 - 1},
            "'w' needs 24 bytes, but its length is 9223372036854775807",
            id="length 2**63 - 1",
        ),
        pytest.param({"length": -24}, "has the length '-24'", id="length -24"),
    ],
)
def test_an_offset_or_length_that_does_not_fit(tmp_path, entries, message):
    (tmp_path / "weights.bin").write_bytes(WEIGHTS.tobytes())
    path = save(two_layers_with_data(**entries), tmp_path)
    assert_refused(path, rf"model\.onnx.*{message}")


@pytest.mark.parametrize("n_bytes", [0, 1, 23])
def test_a_data_file_that_is_too_short(tmp_path, n_bytes):
    path = external(tmp_path)
    (tmp_path / "weights.bin").write_bytes(WEIGHTS.tobytes()[:n_bytes])
    assert_refused(path, f"needs bytes 0 to 24 .*the file has {n_bytes}")


@pytest.mark.parametrize(
    ("shape", "data_type", "message"),
    [
        pytest.param((3, -2), TensorProto.FLOAT, r"has the shape \(3, -2\)", id="negative size"),
        pytest.param(
            (2**62, 2**62),
            TensorProto.FLOAT,
            "needs bytes 0 to 85070591730234615865843651857942052864",
            id="2**124 values",
        ),
        pytest.param(
            (3, 2),
            TensorProto.STRING,
            "is of the type STRING, which has no fixed size",
            id="strings",
        ),
        pytest.param((3, 2), TensorProto.UNDEFINED, "is of the type UNDEFINED", id="undefined"),
        pytest.param((3, 2), 999, "is of the type 999", id="unknown type"),
    ],
)
def test_a_shape_or_type_without_a_size(tmp_path, shape, data_type, message):
    (tmp_path / "weights.bin").write_bytes(bytes(1000))
    proto = two_layers()
    weights = proto.graph.initializer[0]
    weights.CopyFrom(external_tensor("weights.bin", shape=shape))
    weights.data_type = data_type
    assert_refused(save(proto, tmp_path), message)


def test_two_entries_of_one_name(tmp_path):
    path = external(tmp_path)
    proto = onnx.load_model_from_string(path.read_bytes())
    proto.graph.initializer[0].external_data.add(key="location", value="other.bin")
    assert_refused(save(proto, tmp_path), "'w' has two entries 'location'")


# --- honest ones


@pytest.mark.parametrize("offset", [0, 1, 3, 4, 4095])
def test_an_offset_need_not_be_aligned(tmp_path, offset):
    (tmp_path / "weights.bin").write_bytes(bytes(offset) + WEIGHTS.tobytes())
    path = save(two_layers_with_data(offset=offset, length=24, checksum="none"), tmp_path)
    assert_allclose(scores_of(path), EXPECTED)
    assert_allclose(OnnxScorer(path, outputs="hidden").transform(X), X @ WEIGHTS)
    _, shared, _ = _onnx_graph._prepare(_onnx_model.find_onnx(path), None)
    assert np.frombuffer(shared["0"], np.uint8).ctypes.data % 4 == 0


@pytest.mark.parametrize("entries", [{}, {"length": 0}, {"length": 24}], ids=str)
def test_the_length_may_be_left_out(tmp_path, entries):
    (tmp_path / "weights.bin").write_bytes(WEIGHTS.tobytes() + bytes(100))
    path = save(two_layers_with_data(**entries), tmp_path)
    assert_allclose(scores_of(path), EXPECTED)


def test_an_empty_tensor_in_an_empty_file(tmp_path):
    (tmp_path / "empty.bin").write_bytes(b"")
    proto = model(
        [node("Concat", ["x", "w"], ["y"], axis=0)],
        {"x": (np.float32, ["N", 3])},
        {"y": (np.float32, ["N", 3])},
    )
    proto.graph.initializer.append(external_tensor("empty.bin", shape=(0, 3)))
    assert_array_equal(scores_of(save(proto, tmp_path)), X)


BYTES_OF_A_VALUE = {
    "BOOL": 1,
    "FLOAT": 4,
    "DOUBLE": 8,
    "COMPLEX64": 8,
    "COMPLEX128": 16,
    "BFLOAT16": 2,
    "FLOAT16": 2,
    "INT2": 0.25,
    "UINT2": 0.25,
    "INT4": 0.5,
    "UINT4": 0.5,
    "INT8": 1,
    "UINT8": 1,
    "INT16": 2,
    "UINT16": 2,
    "INT32": 4,
    "UINT32": 4,
    "INT64": 8,
    "UINT64": 8,
    "FLOAT4E2M1": 0.5,
    "FLOAT6E2M3": 0.75,
    "FLOAT6E3M2": 0.75,
    "FLOAT8E4M3FN": 1,
    "FLOAT8E4M3FNUZ": 1,
    "FLOAT8E5M2": 1,
    "FLOAT8E5M2FNUZ": 1,
    "FLOAT8E8M0": 1,
}


@pytest.mark.parametrize("kind", sorted({*TensorProto.DataType.keys()} - {"UNDEFINED", "STRING"}))
def test_size_of_a_type(kind):
    for n_values in (0, 1, 3, 8):
        tensor = external_tensor("w.bin", shape=(n_values, 1))
        tensor.data_type = TensorProto.DataType.Value(kind)
        expected = math.ceil(n_values * BYTES_OF_A_VALUE[kind])
        assert _onnx_external.ExternalTensor(tensor, "model").n_bytes == expected
