import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from sklearn_dl import OnnxScorer
from sklearn_dl.runtimes.onnx import _graph as _onnx_graph
from tests.scoring.onnx_graphs import add_and_multiply, mean_color, negate, two_layers

X = np.array([[1.0, 2.0, 3.0], [-3.0, 0.0, 1.0], [5.0, 6.0, -9.0], [0.0, 0.5, 0.25]])


@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("n_rows", [1, 2, 3, 4, 7])
def test_fixed_batch_size(batch, n_rows):
    images = np.random.default_rng(0).random((n_rows, 3, 2, 2)).astype(np.float32)
    out = OnnxScorer(mean_color(batch), batch_size=5).transform(images)
    assert_allclose(out, images.mean(axis=(2, 3)), rtol=1e-6)


def test_inputs_of_different_batch_sizes():
    made = add_and_multiply()
    for tensor, size in zip(made.graph.input, (1, 3), strict=True):
        tensor.type.tensor_type.shape.dim[0].dim_value = size
    with pytest.raises(ValueError, match="different batch sizes: 'a': shape"):
        OnnxScorer(made, inputs={"a": [0, 1], "b": [1, 2]}).transform(X)


@pytest.mark.parametrize("batch_size", [1, 2, 3, 4, 100, "auto"])
def test_result_is_independent_of_the_batch_size(batch_size):
    out = OnnxScorer(two_layers(), batch_size=batch_size).transform(X)
    assert_array_equal(out, OnnxScorer(two_layers()).transform(X))


def test_batch_size_is_what_the_graph_gets(monkeypatch):
    fed = []
    run = _onnx_graph.OnnxSession.run
    monkeypatch.setattr(
        _onnx_graph.OnnxSession,
        "run",
        lambda self, feeds: fed.append(len(feeds["x"])) or run(self, feeds),
    )
    OnnxScorer(negate(), batch_size=3).transform(np.ones((7, 2)))
    assert fed == [3, 3, 1]
