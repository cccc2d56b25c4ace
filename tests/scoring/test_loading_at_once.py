"""Several threads that load several models at once."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from numpy.testing import assert_allclose

from sklearn_dl import OnnxScorer, TensorFlowScorer, clear_sessions
from sklearn_dl.runtimes.tensorflow._runtime import quiet
from tests.scoring.onnx_graphs import model, node
from tests.scoring.tensorflow_models import affine, keras_model, tf

X = np.arange(6, dtype=np.float32).reshape(2, 3) / 6


def all_at_once(scorers):
    clear_sessions()
    with ThreadPoolExecutor(len(scorers)) as pool:
        return list(pool.map(lambda scorer: scorer.transform(X), scorers))


def test_onnx_models():
    def times(factor):
        made = model(
            [node("Mul", ["x", "factor"], ["y"])],
            {"x": (np.float32, ["N", 3])},
            {"y": (np.float32, ["N", 3])},
            {"factor": np.float32(factor)},
        )
        return OnnxScorer(made)

    results = all_at_once([times(i) for i in range(8)])
    assert_allclose(results, [i * X for i in range(8)])


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["saved_model", "keras"])
def test_tensorflow_models(tmp_path, kind):
    scorers, expected = [], []
    for i in range(4):
        if kind == "keras":
            made = keras_model()
            made.set_weights([weights + i for weights in made.get_weights()])
            made.save(tmp_path / f"{i}.keras")
            scorers.append(TensorFlowScorer(tmp_path / f"{i}.keras"))
            expected.append(made.predict(X, verbose=0))
        else:
            scorers.append(TensorFlowScorer(affine(tmp_path / str(i), float(i))))
            expected.append(i * X)
    level = tf.get_logger().level
    assert_allclose(all_at_once(scorers), expected, rtol=1e-5, atol=1e-7)
    assert tf.get_logger().level == level


def test_the_level_of_the_log_is_put_back_by_the_last():
    logger = tf.get_logger()
    level = logger.level
    first, second = quiet(tf, 0), quiet(tf, 0)
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    assert logger.level > level
    second.__exit__(None, None, None)
    assert logger.level == level
