"""Operators that touch files, the network, Python or machine code are refused by name."""

import re

import pytest
from numpy.testing import assert_array_equal
from onnx import NodeProto, helper

from sklearn_dl import OnnxScorer
from sklearn_dl.models import _onnx_safety
from tests.scoring.hostile_onnx import X, assert_refused, field_paths_to, save, two_layers_with
from tests.scoring.onnx_graphs import negate, node

REASONS = {
    "ATen": "calls any function of PyTorch",
    "AzureAudioToText": "sends its input to a server",
    "AzureTextToText": "sends its input to a server",
    "AzureTritonInvoker": "sends its input to a server",
    "EPContext": "reads a file of machine code",
    "OpenAIAudioToText": "sends its input to a server",
    "PyOp": "runs Python",
    "PythonOp": "runs Python",
    "PythonOpGrad": "runs Python",
    "Snpe": "runs machine code",
    "TritonOp": "runs Python",
}


def test_each_unsafe_operator_has_a_test():
    assert set(REASONS) == set(_onnx_safety._UNSAFE_OPS)


@pytest.mark.parametrize("op_type", REASONS)
@pytest.mark.parametrize("domain", ["", "com.microsoft"])
def test_an_unsafe_operator_is_refused_wherever_it_is(op_type, domain):
    for path in field_paths_to("NodeProto"):
        name = ".".join(path)  # the error shows it
        proto = two_layers_with(NodeProto(op_type=op_type, domain=domain, name=name), path)
        message = f"the operator {op_type} (node {name!r}), which {REASONS[op_type]}, so it was not"
        with pytest.raises(ValueError, match=re.escape(message)):
            OnnxScorer(proto).transform(X)


def test_places_of_nodes_are_those_of_the_installed_onnx():
    assert {
        "graph.node",
        "functions.node.attribute.g.node",
        "functions.node",
        "functions.attribute_proto.graphs.node",
        "training_info.initialization.node",
    } <= {".".join(path) for path in field_paths_to("NodeProto")}


def test_a_file_with_an_operator_that_reads_a_file(tmp_path):
    proto = negate()
    assert_array_equal(OnnxScorer(proto).transform(X), -X)
    context = node(
        "EPContext", ["x"], ["y"], domain="com.microsoft", embed_mode=0, ep_cache_context="/x.bin"
    )
    proto.graph.node[0].CopyFrom(context)
    proto.opset_import.append(helper.make_opsetid("com.microsoft", 1))
    path = save(proto, tmp_path)
    assert_refused(path, r"model\.onnx contains the operator EPContext .*reads a file")


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
