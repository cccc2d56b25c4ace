"""What is damaged is said in the error, and nowhere else."""

import numpy as np
import pytest
from onnx import helper

from sklearn_dl import OnnxScorer
from tests.scoring.onnx_graphs import add_and_multiply, model, node, row_sum, two_layers

X = np.ones((2, 3), np.float32)


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
    """Every byte of a file is not UTF-8 once, and gone once; the file ends at every byte once."""
    for i in range(len(data)):
        yield data[:i] + b"\xff" + data[i + 1 :]
        yield data[:i] + data[i + 1 :]
        yield data[:i]


@pytest.mark.parametrize("make", [two_layers, add_and_multiply, row_sum, in_a_branch])
def test_nothing_is_printed(tmp_path, capfd, make):
    path = tmp_path / "model.onnx"
    n_refused = 0
    for data in damages(make().SerializeToString()):
        path.write_bytes(data)
        try:
            OnnxScorer(path, outputs=None).inputs_  # noqa: B018
        except ValueError as error:
            n_refused += 1
            assert "model.onnx" in str(error)  # noqa: PT017
    assert n_refused > 100
    assert capfd.readouterr() == ("", "")
