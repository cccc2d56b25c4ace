"""Input and output of TensorFlowScorer; most of the code is OnnxScorer's and tested there."""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_array_equal

from sklearn_dl import (
    ImageLoader,
    ImageResizer,
    PixelExtractor,
    TensorFlowScorer,
)
from sklearn_dl.utils._columns import object_array
from tests.scoring.tensorflow_models import (
    affine,
    frozen,
    mean_color,
    relu,
    same,
    tf,
    two_layers,
    v1,
)

X = np.arange(12, dtype=np.float32).reshape(4, 3) - 5
NUMBERS = ("float16", "float32", "float64", "int8", "int16", "int32", "int64")
NUMBERS += ("uint8", "uint16", "uint32", "uint64")


@pytest.mark.parametrize("dtype", NUMBERS)
def test_dtypes(tmp_path, dtype):
    scorer = TensorFlowScorer(frozen(tmp_path / "m.pb", same(tf.as_dtype(dtype))))
    values = np.array([[0, 1, 2], [3, 4, 100]])
    for given in (values, values.astype(float), values.astype(dtype)):
        result = scorer.transform(given)
        assert result.dtype == dtype
        assert_array_equal(result, values)
    if np.dtype(dtype).kind in "iu":
        with pytest.raises(ValueError, match=r"Row 1: the value 0\.5 cannot be"):
            scorer.transform([[1, 2], [0.5, 3]])


def test_bfloat16_comes_back_as_float32(tmp_path):
    scorer = TensorFlowScorer(frozen(tmp_path / "m.pb", same(tf.bfloat16)))
    result = scorer.transform([[1.0, 1 / 3]])
    assert result.dtype == np.float32
    assert_array_equal(result, [[1, 0.333984375]])
    with pytest.raises(ValueError, match=r"'x' has the type bfloat16, and 3\.4e\+38 is too large"):
        scorer.transform([[3.4e38, 1]])


def test_booleans(tmp_path):
    scorer = TensorFlowScorer(frozen(tmp_path / "m.pb", same(tf.bool)))
    assert scorer.transform([[0, 1]]).tolist() == [[False, True]]


def test_strings(tmp_path):
    scorer = TensorFlowScorer(frozen(tmp_path / "m.pb", same(tf.string, (None,))))
    words = ["a", "Ü 👍", "", "long " * 100]
    result = scorer.transform(pd.Series(words, dtype=object))
    assert result.dtype == object
    assert result.ravel().tolist() == words
    with pytest.raises(ValueError, match=r"Row 1: .* takes strings, but got a missing value"):
        scorer.transform(["a", None])


def test_bytes_that_are_not_text(tmp_path):
    def build():
        x = v1.placeholder(tf.float32, (None,), name="x")
        tf.bitcast(tf.cast(x, tf.uint8), tf.uint8)
        tf.strings.join([tf.fill(tf.shape(x), b"\xff\xfe"), tf.as_string(x)], name="y")

    scorer = TensorFlowScorer(frozen(tmp_path / "m.pb", build), outputs="y")
    assert scorer.transform([[1.0]])[0, 0].startswith(b"\xff\xfe")


def test_several_inputs_by_name_and_by_column(tmp_path):
    path = affine(tmp_path)
    by_column = TensorFlowScorer(
        path, signature="add", outputs="sum", inputs={"a": [0, 1], "b": slice(1, 3)}
    )
    assert_array_equal(by_column.transform(X), X[:, :2] + 2 * X[:, 1:])
    with pytest.raises(ValueError, match=r"`inputs` has no columns for \['b'\]"):
        by_column.set_params(inputs={"a": [0, 1]}).transform(X)


def test_an_input_of_rank_0_is_one_value(tmp_path):
    def build():
        x = v1.placeholder(tf.float32, (None,), name="x")
        tf.multiply(x, v1.placeholder(tf.float32, (), name="factor"), name="y")

    scorer = TensorFlowScorer(frozen(tmp_path / "m.pb", build), inputs={"x": 0, "factor": 1})
    assert scorer.transform([[1, 3], [2, 3]]).tolist() == [[3], [6]]
    with pytest.raises(
        ValueError, match="'factor' takes one value for all rows, but the rows differ"
    ):
        scorer.transform([[1, 3], [2, 4]])


def test_an_optional_input(tmp_path):
    def build():
        x = v1.placeholder(tf.float32, (None,), name="x")
        factor = v1.placeholder_with_default(2.0, (), name="factor")
        tf.multiply(x, factor, name="y")

    path = frozen(tmp_path / "m.pb", build)
    assert TensorFlowScorer(path, inputs={"x": 0}).transform([[1], [2]]).tolist() == [[2], [4]]
    both = TensorFlowScorer(path, inputs={"x": 0, "factor": 1})
    assert both.transform([[1, 5], [2, 5]]).tolist() == [[5], [10]]


def test_a_fixed_batch_size_is_padded(tmp_path):
    scorer = TensorFlowScorer(frozen(tmp_path / "m.pb", relu(shape=(3, None))))
    assert_array_equal(scorer.transform(X), np.maximum(X, 0))


def test_flat_rows_take_the_shape_that_the_graph_states(tmp_path):
    def build():
        x = v1.placeholder(tf.float32, (None, 2, 3), name="x")
        tf.reduce_sum(x, 2, name="y")

    rows = np.arange(12.0).reshape(2, 6)
    scorer = TensorFlowScorer(frozen(tmp_path / "m.pb", build))
    assert_array_equal(scorer.transform(rows), rows.reshape(2, 2, 3).sum(2))
    with pytest.raises(ValueError, match=r"The graph expects 'x': shape \('\?', 2, 3\)"):
        scorer.transform(rows[:, :5])


def test_rows_of_unequal_shapes(tmp_path):
    scorer = TensorFlowScorer(frozen(tmp_path / "m.pb", mean_color))
    rows = [np.full((h, w, 3), h * w, np.float32) for h, w in ((2, 3), (4, 1), (2, 3))]
    assert scorer.transform(object_array(rows))[:, 0].tolist() == [6, 4, 6]


def test_a_graph_of_unknown_rank_and_one_whose_shapes_lack_the_batch(tmp_path):
    unknown = TensorFlowScorer(frozen(tmp_path / "unknown.pb", same(shape=None)))
    assert_array_equal(unknown.transform(X), X)

    def build():
        x = v1.placeholder(tf.float32, (3,), name="x")
        tf.raw_ops.Mul(x=x, y=tf.constant(2.0), name="y")

    path = frozen(tmp_path / "row.pb", build)
    scorer = TensorFlowScorer(path, add_batch_dim=True)
    assert_array_equal(scorer.transform(X), 2 * X)
    assert [str(spec) for spec in scorer.inputs_] == ["'x': shape (1, 3), float32"]


def test_nan_is_refused_and_named(tmp_path):
    scorer = TensorFlowScorer(frozen(tmp_path / "m.pb", relu()))
    with pytest.raises(ValueError, match="Row 1: X contains NaN"):
        scorer.transform([[1.0, 2.0], [np.nan, 3.0]])


def test_images(tmp_path):
    rng = np.random.default_rng(0)
    images = [rng.integers(0, 256, (20 + i, 30, 3), dtype=np.uint8) for i in range(9)]
    steps = ImageLoader(), ImageResizer(8, 8), PixelExtractor(layout="NHWC", offset=117)
    pixels = images
    for step in steps:
        pixels = step.transform(pixels)
    path = frozen(tmp_path / "m.pb", mean_color)
    for n_threads in (1, 2):
        result = TensorFlowScorer(path, n_threads=n_threads).transform(pixels)
        np.testing.assert_allclose(result, np.asarray(pixels).mean((1, 2)), rtol=1e-4, atol=1e-3)


def test_native_shapes_and_frames(tmp_path):
    path = frozen(tmp_path / "m.pb", two_layers)
    native = TensorFlowScorer(path, outputs=["hidden", "y"], output_shape="native").transform(X)
    assert {name: array.shape for name, array in native.items()} == {"hidden": (4, 2), "y": (4, 2)}
    frame = pd.DataFrame(X, index=[7, 7, 1, 0]).rename(columns=str)
    result = TensorFlowScorer(path).set_output(transform="pandas").fit(frame).transform(frame)
    assert result.index.tolist() == [7, 7, 1, 0]
    assert result.columns.tolist() == ["y_0", "y_1"]


@pytest.mark.parametrize("outputs", [None, "y"])
def test_an_output_that_is_an_object(tmp_path, outputs):
    def build():
        x = v1.placeholder(tf.float32, (None, 3), name="x")
        rows = tf.raw_ops.TensorListFromTensor(tensor=x, element_shape=tf.constant([3]))
        tf.identity(rows, name="y")

    scorer = TensorFlowScorer(frozen(tmp_path / "model.pb", build), outputs=outputs)
    with pytest.raises(ValueError, match=r"'y' is an object inside TensorFlow \(a variant\)"):
        scorer.transform(np.ones((2, 3), dtype=np.float32))
