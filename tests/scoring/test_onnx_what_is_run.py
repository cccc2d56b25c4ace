"""ONNX Runtime gets the content that was checked, and nothing that makes it open a file."""

import struct

import numpy as np
import onnx
import pytest
from numpy.testing import assert_allclose

from sklearn_dl import OnnxScorer, clear_sessions
from sklearn_dl.models import _onnx as _onnx_model
from sklearn_dl.models import _onnx_external, _onnx_safety
from sklearn_dl.runtimes.onnx import _graph as _onnx_graph
from tests.scoring.hostile_onnx import (
    EXPECTED,
    INNER_PLACES,
    X,
    assert_refused,
    graph_with_inner_tensor,
    save,
)
from tests.scoring.onnx_graphs import external, two_layers


@pytest.mark.parametrize("place", INNER_PLACES)
def test_no_file_is_left_for_onnx_runtime_to_open(tmp_path, place):
    (tmp_path / "data.bin").write_bytes(np.float32([1, 2, 3]).tobytes())
    path = save(graph_with_inner_tensor(place, "data.bin"), tmp_path)
    data, shared, _ = _onnx_graph._prepare(_onnx_model.find_onnx(path), None)
    tensors = _onnx_safety.search(onnx.load_model_from_string(data), "prepared")[1]
    outside = _onnx_external.external_tensors(tensors, "prepared")
    assert [tensor.location for tensor in outside] == [*shared]
    assert b"data.bin" not in data


def test_fields_that_the_installed_onnx_does_not_know_are_not_run():
    given = two_layers().SerializeToString() + b"\xfa\x3f\x06secret"
    run = _onnx_graph._prepare(_onnx_model.find_onnx(given), None)[0]
    assert b"secret" in given
    assert b"secret" not in run
    assert_allclose(OnnxScorer(given).transform(X), EXPECTED)


def test_session_options_in_the_model_are_not_taken(tmp_path, monkeypatch):
    monkeypatch.setenv("ORT_LOAD_CONFIG_FROM_MODEL", "1")
    monkeypatch.chdir(tmp_path)
    proto = two_layers()
    config = '{"session_options": {"enable_profiling": 1}}'
    proto.metadata_props.add(key="ort_config", value=config)
    proto.metadata_props.add(key="labels", value="a,b")
    assert_allclose(OnnxScorer(proto).transform(X), EXPECTED)
    clear_sessions()
    assert list(tmp_path.iterdir()) == []


def test_bytes_that_are_of_the_ort_format_too():
    proto = two_layers()
    proto.producer_name = "ORTM"
    data = proto.SerializeToString()
    assert data[4:8] == b"ORTM"
    assert_allclose(OnnxScorer(data).transform(X), EXPECTED)
    with pytest.raises(ValueError, match="is not an ONNX model"):
        OnnxScorer(struct.pack("<I", 24) + b"ORTM" + bytes(100)).transform(X)


def test_files_that_change_while_they_are_read(tmp_path, monkeypatch):
    path = external(tmp_path)
    real = _onnx_graph.share

    def change_and_share(*args):
        (tmp_path / "weights.bin").write_bytes(bytes(25))
        return real(*args)

    monkeypatch.setattr(_onnx_graph, "share", change_and_share)
    with pytest.raises(ValueError, match=r"model\.onnx or its data changed while they were read"):
        OnnxScorer(path).transform(X)


def test_a_file_too_large_for_a_graph(tmp_path):
    path = tmp_path / "large.onnx"
    with open(path, "wb") as file:
        file.truncate(2**31)
    assert_refused(path, r"large\.onnx is not an ONNX model: it is 2\.0 GiB")
