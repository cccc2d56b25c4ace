"""A model that is replaced on disk by one of the same size and time is another model."""

from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from sklearn_dl import OnnxScorer, TensorFlowScorer
from tests.replaced import WAYS, replace
from tests.scoring.onnx_graphs import WEIGHTS, external, two_layers
from tests.scoring.tensorflow_models import affine, frozen, keras_model, tf, v1

X = np.arange(12, dtype=np.float32).reshape(4, 3) - 5

pytestmark = pytest.mark.parametrize("way", WAYS)


def test_an_onnx_file(tmp_path, way):
    path = tmp_path / "model.onnx"
    path.write_bytes(two_layers().SerializeToString())
    scorer = OnnxScorer(path)
    assert_array_equal(scorer.transform(X), np.maximum(X @ WEIGHTS, 0))
    other = path.read_bytes().replace(WEIGHTS.tobytes(), (-WEIGHTS).tobytes())
    replace(path, other, way)
    assert_array_equal(scorer.transform(X), np.maximum(-X @ WEIGHTS, 0))


def test_external_data(tmp_path, way):
    scorer = OnnxScorer(external(tmp_path))
    assert_array_equal(scorer.transform(X), np.maximum(X @ WEIGHTS, 0))
    replace(tmp_path / "weights.bin", (-WEIGHTS).tobytes(), way)
    assert_array_equal(scorer.transform(X), np.maximum(-X @ WEIGHTS, 0))


def times(factor):
    def build():
        x = v1.placeholder(tf.float32, (None, 3), name="x")
        tf.multiply(x, tf.constant(factor), name="y")

    return build


def test_a_frozen_graph(tmp_path, way):
    scorer = TensorFlowScorer(frozen(tmp_path / "model.pb", times(2.0)))
    assert_array_equal(scorer.transform(X), 2 * X)
    other = Path(frozen(tmp_path / "other.pb", times(5.0))).read_bytes()
    replace(tmp_path / "model.pb", other, way)
    assert_array_equal(scorer.transform(X), 5 * X)


@pytest.mark.slow
def test_variables_of_a_saved_model(tmp_path, way):
    scorer = TensorFlowScorer(affine(tmp_path / "model", 2.0))
    assert_array_equal(scorer.transform(X), 2 * X)
    affine(tmp_path / "other", 5.0)
    for path in (tmp_path / "other" / "variables").iterdir():
        data = path.read_bytes()
        replace(tmp_path / "model" / "variables" / path.name, data, way)
    assert_array_equal(scorer.transform(X), 5 * X)


@pytest.mark.slow
def test_a_keras_file(tmp_path, way):
    model = keras_model()
    model.save(tmp_path / "model.h5")
    scorer = TensorFlowScorer(tmp_path / "model.h5")
    first = scorer.transform(X)
    before = model.get_weights()
    data = (tmp_path / "model.h5").read_bytes()
    negated = data.replace(before[2].tobytes(), (-before[2]).tobytes())
    assert negated != data
    replace(tmp_path / "model.h5", negated, way)
    model.set_weights([*before[:2], -before[2], before[3]])
    second = scorer.transform(X)
    np.testing.assert_allclose(second, model.predict(X, verbose=0), rtol=1e-5)
    assert np.abs(first - second).max() > 0.01
