"""Errors about damaged files; nothing else is printed."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from onnx import helper

from sklearn_dl import OnnxScorer
from tests.scoring.hostile_onnx import EXPECTED, X, nested_graphs
from tests.scoring.onnx_graphs import add_and_multiply, model, node, row_sum, two_layers


def in_a_branch():
    branch = helper.make_graph(
        [node("Identity", ["x"], ["z"])], "b", [], [helper.make_tensor_value_info("z", 1, None)]
    )
    return model(
        [node("If", ["always"], ["y"], then_branch=branch, else_branch=branch)],
        {"x": (np.float32, ["N", 3])},
        {"y": (np.float32, ["N", 3])},
        {"always": np.array(True)},
    )


def damages(data):
    """Each byte of a file is once not UTF-8 and once removed, and the file once ends at it."""
    for i in range(len(data)):
        yield data[:i] + b"\xff" + data[i + 1 :]
        yield data[:i] + data[i + 1 :]
        yield data[:i]


@pytest.mark.slow
@pytest.mark.parametrize("make", [two_layers, add_and_multiply, row_sum, in_a_branch])
def test_nothing_is_printed(tmp_path, capfd, make):
    path = tmp_path / "model.onnx"
    n_refused = 0
    for data in damages(make().SerializeToString()):
        path.write_bytes(data)
        try:
            OnnxScorer(path, n_threads=1).inputs_  # noqa: B018
        except ValueError as error:
            n_refused += 1
            assert "model.onnx" in str(error)  # noqa: PT017
    assert n_refused > 100
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("depth", [10, 25, 40, 1000])
def test_graphs_inside_graphs(depth):
    with pytest.raises(ValueError, match=r"is not an ONNX model, or is damaged|cannot run"):
        OnnxScorer(nested_graphs(depth)).transform(X)


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
