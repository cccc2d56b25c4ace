"""Placeholders that one value fills for all rows."""

import pickle

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from sklearn_dl import TensorFlowScorer

tf = pytest.importorskip("tensorflow")
v1 = tf.compat.v1

X = np.array([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])


def frozen(folder, shape, dtype=tf.float32, rows=(None, 2), default=None):
    """y = x * keep_prob, as a frozen graph; returns its path."""
    with tf.Graph().as_default() as graph:
        x = v1.placeholder(tf.float32, rows, name="x")
        if default is None:
            keep = v1.placeholder(dtype, shape, name="keep_prob")
        else:
            keep = v1.placeholder_with_default(tf.constant(default, dtype), shape, "keep_prob")
        tf.multiply(x, tf.cast(keep, tf.float32), name="y")
    path = folder / "frozen.pb"
    path.write_bytes(graph.as_graph_def().SerializeToString())
    return path


@pytest.mark.parametrize(
    ("shape", "dtype", "constant", "seen"),
    [
        ([], tf.float32, 0.5, 0.5),
        ([], tf.float32, 2, 2),
        ([], tf.bool, True, 1),
        ([], tf.int64, 3.0, 3),
        ([1], tf.float32, 0.5, 0.5),
        ([2], tf.float32, [2, 3], [2, 3]),
        ([None, 1], tf.float32, 0.5, 0.5),
        ([None, 2], tf.float32, [2, 3], [2, 3]),
        (None, tf.float32, 0.5, 0.5),
        (None, tf.float32, [2, 3], [2, 3]),
    ],
)
def test_frozen_graph(tmp_path, shape, dtype, constant, seen):
    path = frozen(tmp_path, shape, dtype)
    scorer = TensorFlowScorer(path, outputs="y", constants={"keep_prob": constant}, batch_size=2)
    assert_array_equal(scorer.fit(X).transform(X), X * seen)
    assert_array_equal(pickle.loads(pickle.dumps(scorer)).transform(X), X * seen)
    with pytest.raises(ValueError, match="an input has one value for all rows, set it in `const"):
        scorer.set_params(constants=None).transform(X)


def test_a_placeholder_with_a_default(tmp_path):
    scorer = TensorFlowScorer(frozen(tmp_path, [], default=4.0), outputs="y")
    assert_array_equal(scorer.transform(X), X * 4)
    assert_array_equal(scorer.set_params(constants={"keep_prob": 1}).transform(X), X)


def test_row_by_row(tmp_path):
    path = frozen(tmp_path, [], rows=[2])
    scorer = TensorFlowScorer(path, outputs="y", constants={"keep_prob": 0.5}, add_batch_dim=True)
    assert_array_equal(scorer.transform(X), X * 0.5)


def test_constants_that_do_not_fit(tmp_path):
    path = frozen(tmp_path, [], tf.int64)
    for constants, message in (
        (
            {"keep": 1},
            r"`constants` has unknown inputs \['keep'\]; the inputs of the graph are .*'keep_prob'",
        ),
        ({"keep_prob": 0.5}, r"constants\['keep_prob'\] does not match .* 0\.5 cannot be int64"),
        (
            {"keep_prob": [1, 2]},
            r"\['keep_prob'\] has shape \(2,\)\. Set a value for the whole input",
        ),
    ):
        with pytest.raises(ValueError, match=message):
            TensorFlowScorer(path, outputs="y", constants=constants).transform(X)
