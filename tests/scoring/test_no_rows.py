"""Scorers score an X without rows: the result has no rows, and the shape of the graph."""

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from numpy.testing import assert_array_equal
from sklearn.compose import ColumnTransformer
from sklearn.pipeline import make_pipeline

from sklearn_dl import (
    ImageLoader,
    ImageResizer,
    OnnxScorer,
    PixelExtractor,
    ScoreClassifier,
    TensorFlowScorer,
)
from sklearn_dl.scoring import image_pipeline, top_k
from sklearn_dl.testing._compare import assert_no_rows_like
from tests.scoring.onnx_graphs import (
    add_and_multiply,
    mean_color,
    model,
    node,
    row_sum,
    same,
    two_layers,
)
from tests.scoring.tensorflow_models import frozen, relu

IMAGES = list(np.random.default_rng(0).integers(0, 256, (3, 6, 8, 3), dtype=np.uint8))
TABLES = {
    "list": [],
    "tuple": (),
    "floats": np.empty((0, 3)),
    "integers": np.empty((0, 3), dtype=int),
    "objects": np.empty((0, 3), dtype=object),
    "pandas": pd.DataFrame(columns=list("abc")),
    "polars": pl.DataFrame({name: [] for name in "abc"}),
    "pyarrow": pa.table({name: pa.array([], pa.float64()) for name in "abc"}),
    "Series of arrays": pd.Series([], dtype=object),
    "column of arrays": pd.DataFrame({"a": pd.Series([], dtype=object)}),
}


@pytest.mark.parametrize("kind", TABLES)
def test_a_table_without_rows(kind):
    scores = OnnxScorer(two_layers()).transform(TABLES[kind])
    assert scores.shape == (0, 2)
    assert scores.dtype == np.float32


def test_another_number_of_columns_is_refused_after_fit():
    scorer = OnnxScorer(same(shape=["N", "F"])).fit(np.ones((2, 3)))
    for X in (np.empty((0, 2)), np.empty((0, 1), dtype=object)):
        with pytest.raises(ValueError, match="expecting 3 features"):
            scorer.transform(X)


@pytest.mark.parametrize("output_shape", ["2d", "native"])
def test_a_width_that_the_graph_does_not_state_is_known_after_fit(output_shape):
    scorer = OnnxScorer(same(shape=["N", "F"]), output_shape=output_shape)
    with pytest.raises(ValueError, match=r"X has no rows, .* output 'y': call fit"):
        scorer.transform(np.empty((0, 3)))
    scores = scorer.fit(np.ones((2, 3))).transform(np.empty((0, 3)))
    assert scores.shape == (0, 3)
    assert scores.dtype == np.float32


def test_nothing_is_computed_where_the_graph_states_the_width(monkeypatch):
    scorer = OnnxScorer(two_layers())
    session = type(scorer._session())
    monkeypatch.setattr(session, "run", lambda *_: pytest.fail("the graph is run"))
    assert scorer.transform([]).shape == (0, 2)


def test_keys_of_maps_are_the_columns():
    made = model(
        [node("ZipMap", ["x"], ["y"], domain="ai.onnx.ml", classlabels_strings=["a", "b"])],
        {"x": (np.float32, ["N", 2])},
        [],
        ml=True,
    )
    made.graph.output.add(name="y")
    scorer = OnnxScorer(made).set_output(transform="pandas")
    X = pd.DataFrame([[0.5, 0.5], [1.0, 0.0]], index=["p", "q"])
    expected = scorer.fit_transform(X)
    assert list(expected.columns) == ["a", "b"]
    assert_no_rows_like(scorer.transform(X.iloc[:0]), expected, "transform")


def test_several_inputs():
    scorer = OnnxScorer(add_and_multiply(), output_shape="native")
    for X in (dict.fromkeys("ab", np.empty((0, 2))), {"a": [], "b": []}):
        scores = scorer.transform(X)
        assert {name: a.shape for name, a in scores.items()} == {"total": (0, 2), "product": (0, 2)}
    frame = pd.DataFrame(columns=list("pqrs"))
    by_columns = OnnxScorer(add_and_multiply(), inputs={"a": ["p", "q"], "b": slice(2, 4)})
    assert by_columns.transform(frame).shape == (0, 4)
    with pytest.raises(ValueError, match="names the column 's'"):
        OnnxScorer(add_and_multiply(), inputs={"a": [0, 1], "b": "s"}).transform(frame[["p", "q"]])


def test_strings():
    scorer = OnnxScorer(same(str, ["N", 2]))
    for X in ([], np.empty((0, 2), dtype=object), pd.DataFrame(columns=["a", "b"], dtype=str)):
        scores = scorer.transform(X)
        assert scores.shape == (0, 2)
        assert scores.dtype == object


def test_images_before_and_after_fit():
    pipe = make_pipeline(
        ImageLoader(), ImageResizer(4, 4), PixelExtractor(), OnnxScorer(mean_color())
    )
    for steps in (pipe, pipe.fit(IMAGES)):
        scores = steps.transform([])
        assert scores.shape == (0, 3)
        assert scores.dtype == np.float32


def test_images_beside_numbers():
    made = model(
        [
            node("ReduceMean", ["image"], ["mean"], axes=[2, 3], keepdims=0),
            node("Add", ["mean", "number"], ["y"]),
        ],
        {"image": (np.float32, ["N", 3, 4, 4]), "number": (np.float32, ["N", 1])},
        {"y": (np.float32, ["N", 3])},
    )
    images = ColumnTransformer(
        [("image", make_pipeline(ImageLoader(), ImageResizer(4, 4)), ["image"])],
        remainder="passthrough",
        verbose_feature_names_out=False,
    ).set_output(transform="pandas")
    pipe = make_pipeline(images, OnnxScorer(made, pixels={"image": PixelExtractor()}))
    frame = pd.DataFrame({"image": pd.Series(IMAGES), "number": [1.0, 2.0, 3.0]})
    expected = pipe.fit_transform(frame)
    assert_no_rows_like(pipe.transform(frame.iloc[:0]), expected, "transform")


def test_rows_of_any_length():
    assert OnnxScorer(row_sum()).transform([]).shape == (0, 1)


def test_tensorflow(tmp_path):
    scorer = TensorFlowScorer(frozen(tmp_path / "relu.pb", relu()))
    with pytest.raises(ValueError, match="X has no rows"):
        scorer.transform([])
    assert scorer.fit(np.ones((2, 3))).transform([]).shape == (0, 3)


METHODS = ["predict", "predict_proba", "predict_log_proba", "decision_function"]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    ("classes", "activation", "width"),
    [
        (["a", "c", "b"], "softmax", 3),
        (["a", "c", "b"], None, 3),
        (["a", "b"], "sigmoid", 1),
        (["a", "b", "a", "c"], "softmax", 4),
        (["a", "b", "a", "c"], None, 4),
    ],
)
def test_labels_of_no_scores(method, classes, activation, width):
    classifier = ScoreClassifier(classes, activation=activation)
    X = np.full((2, width), 1 / width)
    for dtype in (np.float32, np.float64):
        expected = getattr(classifier, method)(X.astype(dtype))
        found = getattr(classifier, method)(np.empty((0, width), dtype))
        assert_no_rows_like(found, expected, method)
    with pytest.raises(ValueError, match="column"):
        getattr(classifier, method)(np.empty((0, width + 2)))


def test_no_rows_have_no_best_labels():
    labels, probabilities = top_k(ScoreClassifier(["a", "c", "b"], activation="softmax"), [], 2)
    assert_array_equal(labels, np.empty((0, 2), "U1"))
    assert_array_equal(probabilities, np.empty((0, 2)))


def test_an_image_classifier_without_fit():
    pipe = make_pipeline(
        ImageLoader(),
        ImageResizer(4, 4),
        PixelExtractor(),
        OnnxScorer(mean_color()),
        ScoreClassifier(["r", "g", "b"], activation="softmax"),
    )
    assert pipe.predict([]).dtype == "U1"
    assert pipe.predict_proba([]).shape == (0, 3)


@pytest.mark.slow
@pytest.mark.real
def test_a_real_image_network():
    for outputs, methods in ((None, ["predict", "predict_proba"]), ("features", ["transform"])):
        pipe = image_pipeline("efficientnet-lite0", outputs=outputs)
        for name in methods:
            method = getattr(pipe, name)
            assert_no_rows_like(method([]), method(IMAGES), name)
