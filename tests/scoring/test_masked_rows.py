"""``on_error="nan"`` of scorers: a row that cannot be read gives missing values, and is counted."""

import numpy as np
import pandas as pd
import polars as pl
import pytest
from sklearn.pipeline import make_pipeline

from sklearn_dl import (
    ImageLoader,
    ImageResizer,
    OnnxScorer,
    PixelExtractor,
    ScoreClassifier,
    TensorFlowScorer,
)
from sklearn_dl.utils._messages import RowError
from tests.scoring.onnx_graphs import (
    add_and_multiply,
    mean_color,
    model,
    negate,
    node,
    row_sum,
    same,
)
from tests.scoring.test_onnx_images_beside_numbers import IMAGES, INPUTS, colors_and_meta, table

NEVER = [1, 3]
FRAME = pd.DataFrame({"x0": [1.0, np.nan, 3.0, np.inf], "x1": [1.0, 2.0, 3.0, 4.0]})


def masked(scorer, X, kind="rows", n_failed=2):
    with pytest.warns(UserWarning, match=f"{n_failed} of 4 {kind} could not be read; their rows"):
        return scorer.set_params(on_error="nan").transform(X)


@pytest.mark.parametrize(
    "X",
    [FRAME, FRAME.to_numpy(), FRAME.to_numpy().tolist(), FRAME.astype(object), pl.DataFrame(FRAME)],
    ids=["pandas", "array", "lists", "objects", "polars"],
)
def test_tables(X):
    scorer = OnnxScorer(negate())
    with pytest.raises(RowError, match=r"Row 1: X contains NaN, .* set on_error='nan'") as caught:
        scorer.transform(X)
    assert caught.value.row == 1
    result = masked(scorer, X)
    assert result.dtype == np.float32
    np.testing.assert_array_equal(result[[0, 2]], [[-1, -1], [-3, -3]])
    assert np.isnan(result[NEVER]).all()


def test_the_rows_that_are_scored_do_not_depend_on_the_others():
    X = FRAME.to_numpy()
    result = masked(OnnxScorer(negate(), batch_size=3), X)
    good = OnnxScorer(negate()).transform(X[[0, 2]])
    np.testing.assert_array_equal(result[[0, 2]], good)
    assert np.isnan(X[1, 0])  # X itself does not change


@pytest.mark.parametrize("missing", [None, np.nan, pd.NA], ids=["None", "NaN", "pd.NA"])
def test_integers_stay_exact_beside_missing_values(missing):
    large = 2**60 + 1
    X = pd.DataFrame({"x": pd.Series([large, missing, -large, missing], dtype=object)})
    negated = model(
        [node("Neg", ["x"], ["y"]), node("Cast", ["y"], ["s"], to=8)],
        {"x": (np.int64, ["N", 1])},
        {"s": (str, ["N", 1])},
    )
    assert masked(OnnxScorer(negated), X)[:, 0].tolist() == [str(-large), None, str(large), None]


def test_integer_outputs_become_floats():
    result = masked(OnnxScorer(same(np.int64, ["N", 1])), [[1], [np.nan], [3], [np.nan]])
    assert result.dtype == np.float64
    np.testing.assert_array_equal(result[:, 0], [1, np.nan, 3, np.nan])


def test_strings():
    X = pd.DataFrame({"x": ["a", None, "c", pd.NA]})
    assert masked(OnnxScorer(same(str, ["N", 1])), X)[:, 0].tolist() == ["a", None, "c", None]


@pytest.mark.parametrize("lengths", [(2, 2), (2, 3)], ids=["equal", "ragged"])
def test_columns_of_arrays(lengths):
    first, second = (np.ones(n, np.float32) for n in lengths)
    cells = [first, None, second, np.array([1, np.nan], np.float32)]
    result = masked(OnnxScorer(row_sum()), pd.Series(cells))
    np.testing.assert_array_equal(np.ravel(result), [lengths[0], np.nan, lengths[1], np.nan])


def test_columns_of_lists_of_strings():
    X = pd.Series([["a", "b"], ["c", None], ["d", "e"], None])
    assert masked(OnnxScorer(same(str)), X).tolist() == [
        ["a", "b"],
        [None, None],
        ["d", "e"],
        [None, None],
    ]


def test_several_inputs():
    A = np.arange(8.0).reshape(4, 2)
    B = A + 10
    A[1, 0], B[3, 1] = np.nan, np.nan
    scorer = OnnxScorer(add_and_multiply())
    names = [spec.name for spec in scorer.inputs_]
    result = masked(scorer, dict(zip(names, (A, B), strict=True)))
    assert np.isnan(result).all(axis=1).nonzero()[0].tolist() == NEVER
    assert np.isnan(result).any(axis=1).nonzero()[0].tolist() == NEVER


def test_a_graph_that_knows_nan_gets_it():
    is_nan = model(
        [node("IsNaN", ["x"], ["b"]), node("Cast", ["b"], ["y"], to=1)],
        {"x": (np.float32, ["N", 2])},
        {"y": (np.float32, ["N", 2])},
    )
    result = OnnxScorer(is_nan, on_error="nan").transform(FRAME)
    np.testing.assert_array_equal(result, [[0, 0], [1, 0], [0, 0], [0, 0]])


def test_images_of_a_strict_loader(tmp_path):
    (tmp_path / "bad.png").write_bytes(b"not an image")
    cells = [IMAGES[0], tmp_path / "bad.png", IMAGES[2], tmp_path / "bad.png"]
    pixels = make_pipeline(ImageLoader(), ImageResizer(4, 4), PixelExtractor()).fit_transform(cells)
    result = masked(OnnxScorer(mean_color()), pixels, "images")
    assert np.isnan(result).all(axis=1).nonzero()[0].tolist() == NEVER
    frame = table(cells)
    frame["age"] = [1.0, 2.0, np.nan, 4.0]
    scorer = OnnxScorer(colors_and_meta(), inputs=INPUTS, pixels={"image": PixelExtractor()})
    result = masked(scorer, frame, n_failed=3)
    assert np.isfinite(result).all(axis=1).nonzero()[0].tolist() == [0]


def test_a_fit_scores_a_row_that_can_be_read():
    scorer = OnnxScorer(WIDE, on_error="nan").fit([[np.nan, 1.0], [1.0, 2.0]])
    assert scorer.get_feature_names_out().tolist() == ["y_0", "y_1", "y_2", "y_3"]


def test_labels_of_such_rows():
    scores = make_pipeline(
        OnnxScorer(negate(), on_error="nan"),
        ScoreClassifier(["a", "b"], activation="softmax", on_error="nan", missing="unknown"),
    )
    with pytest.warns(UserWarning, match="2 of 4 rows"):
        assert scores.predict(FRAME).tolist() == ["a", "unknown", "a", "unknown"]


def test_tensorflow():
    tf = pytest.importorskip("tensorflow")

    class Twice(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec([None, 2], tf.float32, name="x")])
        def __call__(self, x):
            return {"y": 2 * x}

    result = masked(TensorFlowScorer(Twice()), FRAME)
    np.testing.assert_array_equal(result[[0, 2]], [[2, 2], [6, 6]])
    assert np.isnan(result[NEVER]).all()


WIDE = model(
    [node("Concat", ["x", "x"], ["y"], axis=1)],
    {"x": (np.float32, ["N", "F"])},
    {"y": (np.float32, ["N", "G"])},
)


def test_no_row_can_be_read():
    scorer = OnnxScorer(WIDE, on_error="nan")
    with pytest.raises(ValueError, match=r"No row could be scored, .*: call fit with a row"):
        scorer.transform([[np.nan, 1.0]])
    scorer.fit([[1.0, 2.0]])
    with pytest.warns(UserWarning, match="1 of 1 rows could not be read"):
        result = scorer.transform([[np.nan, 1.0]])
    assert (result.shape, result.dtype) == ((1, 4), np.float32)
    assert np.isnan(result).all()


@pytest.mark.parametrize(
    "X",
    [
        pd.Series([np.array([1, np.nan], np.float32), None]),
        pd.Series([None, None], dtype=object),
        [np.array([1, np.nan], np.float32), None],
        [None, None],
    ],
    ids=["arrays", "missing", "list of arrays", "list of missing"],
)
@pytest.mark.parametrize("reset", [False, True])
def test_no_array_can_be_read(X, reset):
    scorer = OnnxScorer(negate(["N", 2]), on_error="nan")
    if reset:
        scorer.fit(X)
    with pytest.warns(UserWarning, match="2 of 2 rows could not be read"):
        result = scorer.transform(X)
    assert (result.shape, result.dtype) == ((2, 2), np.float32)
    assert np.isnan(result).all()


def test_a_list_is_read_as_a_series_is():
    cells = [np.array([1, 2], np.float32), None, [3.0, 4.0], None]
    scorer = OnnxScorer(negate(["N", 2]))
    np.testing.assert_array_equal(masked(scorer, cells), masked(scorer, pd.Series(cells)))


@pytest.mark.parametrize("missing", [np.nan, pd.NA, None], ids=["NaN", "pd.NA", "None"])
def test_integers_beside_an_input_that_knows_nan(missing):
    two = model(
        [
            node("IsNaN", ["a"], ["b"]),
            node("Cast", ["b"], ["f"], to=1),
            node("Cast", ["k"], ["g"], to=1),
            node("Add", ["f", "g"], ["y"]),
        ],
        {"a": (np.float32, ["N", 1]), "k": (np.int64, ["N", 1])},
        {"y": (np.float32, ["N", 1])},
    )
    X = pd.DataFrame({"a": [1.0, np.nan, 3.0], "k": pd.Series([1, 2, missing], dtype=object)})
    with pytest.warns(UserWarning, match="1 of 3 rows"):
        result = OnnxScorer(two, on_error="nan").transform(X)
    np.testing.assert_array_equal(result[:, 0], [1, 3, np.nan])


def test_a_shape_that_does_not_fit_names_its_own_row():
    cells = pd.Series([None, np.array([1.0, 2, 3]), np.array([1.0, 2.0])])
    with pytest.raises(ValueError, match=r"row 1 of shape \(3,\)"):
        OnnxScorer(negate(["N", 2]), on_error="nan").transform(cells)


def test_what_is_not_a_string_is_masked_as_texts_are():
    X = pd.DataFrame({"x": ["a", 3, "c", 2.5]})
    assert masked(OnnxScorer(same(str, ["N", 1])), X)[:, 0].tolist() == ["a", None, "c", None]


def test_the_warning_gives_no_advice_that_was_taken():
    with pytest.warns(UserWarning, match="Row 1: X contains NaN") as caught:
        OnnxScorer(negate(), on_error="nan").transform(FRAME)
    assert "on_error" not in str(caught[0].message)
