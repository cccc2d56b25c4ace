"""MistakesDisplay: which rows are shown, in which order, with which words."""

from pathlib import Path

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import polars as pl
import pytest
from PIL import Image
from sklearn.compose import make_column_transformer
from sklearn.datasets import load_digits
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.model_selection import cross_val_predict
from sklearn.multiclass import OneVsRestClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC

from sklearn_dl import ImageLoader, PixelExtractor
from sklearn_dl.inspection import MistakesDisplay

mpl.use("Agg")


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


TEXTS = ["one", "two", "three", "four", "five"]
TRUTH = ["a", "b", "a", "c", "a"]
PREDICTED = ["b", "b", "c", "a", "b"]
PROBABILITIES = [[0.3, 0.6, 0.1], [0, 1, 0], [0.1, 0.2, 0.7], [0.5, 0.4, 0.1], [0.1, 0.8, 0.1]]


def mistakes(X=TEXTS, **settings):
    settings = {"y_proba": PROBABILITIES} | settings
    return MistakesDisplay.from_predictions(X, TRUTH, PREDICTED, **settings)


def test_the_worst_mistake_comes_first():
    display = mistakes()
    # by the probability of the truth, then by that of the prediction
    assert display.rows.tolist() == [4, 2, 3, 0]
    assert display.samples == ["five", "three", "four", "one"]
    assert display.y_true.tolist() == ["a", "a", "c", "a"]
    assert display.y_pred.tolist() == ["b", "c", "a", "b"]
    np.testing.assert_allclose(display.y_score, [[0.1, 0.8], [0.1, 0.7], [0.1, 0.5], [0.3, 0.6]])
    assert mistakes(n_mistakes=2).rows.tolist() == [4, 2]


def test_without_probabilities_the_order_is_that_of_X():
    display = mistakes(y_proba=None)
    assert display.rows.tolist() == [0, 2, 3, 4]
    assert display.y_score is None
    assert "true: a, predicted: b" in display._repr_html_()


def test_a_label_that_the_estimator_does_not_know_is_the_worst():
    display = MistakesDisplay.from_predictions(
        TEXTS,
        ["a", "b", "z", "b", "a"],
        list("bbaba"),
        y_proba=[[0.1, 0.9]] * 5,
        classes=["a", "b"],
    )
    assert display.rows.tolist() == [2, 0]
    assert display._lines(0) == ["row 2", "true: z", "predicted: a 0.10"]


def test_rows_without_a_prediction_are_left_out():
    display = MistakesDisplay.from_predictions(TEXTS, TRUTH, ["b", None, "c", "c", None])
    assert display.rows.tolist() == [0, 2]
    for dtype in ("string", "category", object):
        predicted = pd.Series(["b", pd.NA, "c", "c", pd.NA], dtype=dtype)
        display = MistakesDisplay.from_predictions(TEXTS, TRUTH, predicted)
        assert display.rows.tolist() == [0, 2]


def test_predictions_may_be_a_column():
    for predicted in (np.array(PREDICTED)[:, None], pd.DataFrame({"predicted": PREDICTED})):
        display = MistakesDisplay.from_predictions(TEXTS, TRUTH, predicted, y_proba=PROBABILITIES)
        assert display.rows.tolist() == [4, 2, 3, 0]
        assert display.y_pred.tolist() == ["b", "c", "a", "b"]
    with pytest.raises(ValueError, match=r"`y_pred` has shape \(5, 2\)"):
        MistakesDisplay.from_predictions(TEXTS, TRUTH, np.array([PREDICTED, PREDICTED]).T)


def test_paths_that_only_the_pipeline_can_read(tmp_path):
    for level in range(4):
        Image.new("L", (8, 8), 80 * level).save(tmp_path / f"{level}.png")
    clf = make_pipeline(
        ImageLoader(root=tmp_path), PixelExtractor(layout="flat"), LogisticRegression()
    )
    names, truth = [f"{level}.png" for level in range(4)], ["dark", "dark", "bright", "bright"]
    clf.fit(names, truth)
    wrong = ["bright", *truth[1:]]
    display = MistakesDisplay.from_estimator(clf, names, wrong).plot(image_size=16)
    assert display.rows.tolist() == [0]
    assert not display.axes_[0, 0].images[0].get_array().any()
    assert not display.axes_[0, 0].texts
    clf.set_params(imageloader__root=None).fit([str(tmp_path / name) for name in names], truth)
    paths = [str(tmp_path / name) for name in names]
    assert MistakesDisplay.from_estimator(clf, paths, wrong).samples == paths[:1]


@pytest.mark.parametrize("columns", [["n", "m"], pd.Index(["n", "m"]), np.array([0, 1])], ids=repr)
def test_texts_of_a_table(columns):
    X = pd.DataFrame({"n": np.arange(5.0), "m": np.ones(5), "text": TEXTS})
    steps = make_column_transformer((StandardScaler(), columns), (CountVectorizer(), "text"))
    clf = make_pipeline(steps, LogisticRegression(C=100)).fit(X, TRUTH)
    display = MistakesDisplay.from_estimator(clf, X, ["b", *TRUTH[1:]], column="text")
    assert display.samples == ["one"]


@pytest.mark.parametrize(
    "column",
    [
        [1.5, 2.5, 3.5, 4.5, 5.5],
        [True] * 5,
        [None] * 5,
        [["x"]] * 5,
        [Path("a.txt")] * 5,
        pd.to_datetime(["2020-01-01"] * 5),
    ],
    ids=repr,
)
def test_what_is_no_image(column):
    X = pd.DataFrame({"n": column, "text": TEXTS})
    assert mistakes(X, column="n").kind == "text"


@pytest.mark.parametrize("container", [pd.Series, pl.Series, np.array, list])
def test_an_estimator_of_texts(container):
    texts = ["good film", "good book", "bad film", "bad book"] * 3
    labels = [1, 1, 0, 0] * 3
    clf = make_pipeline(CountVectorizer(), LogisticRegression()).fit(container(texts), labels)
    wrong = [1 - labels[0], *labels[1:]]
    display = MistakesDisplay.from_estimator(clf, container(texts), wrong)
    assert display.samples == ["good film"]
    assert (display.y_true, display.y_pred) == ([0], [1])
    np.testing.assert_allclose(display.y_score[0], clf.predict_proba(["good film"])[0])
    svm = make_pipeline(CountVectorizer(), LinearSVC()).fit(texts, labels)
    display = MistakesDisplay.from_estimator(svm, container(texts), wrong)
    value = svm.decision_function(["good film"])[0]
    np.testing.assert_allclose(display.y_score, [[-value, value]])


@pytest.mark.slow
def test_rows_of_pixels_and_cross_validation():
    X, y = load_digits(return_X_y=True)
    X, y = X[:300], y[:300]
    proba = cross_val_predict(LogisticRegression(C=1e-4), X, y, method="predict_proba", cv=3)
    display = MistakesDisplay.from_predictions(
        X, y, proba.argmax(axis=1), y_proba=proba, image_shape=(8, 8), n_mistakes=4
    )
    assert display.kind == "image"
    assert (y[display.rows] != display.y_pred).all()
    assert (np.diff(display.y_score[:, 0]) >= 0).all()
    display.plot(n_columns=2)
    title = display.axes_[0, 0].get_title().splitlines()
    assert title[0] == f"row {display.rows[0]}"
    assert title[1] == f"true: {display.y_true[0]} {display.y_score[0, 0]:.2f}"
    shown = display.samples[0]
    assert (shown.dtype, shown.max(), shown.shape) == (np.uint8, 255, (8, 8))


def test_images(tmp_path):
    paths = [str(tmp_path / f"{i}.png") for i in range(5)]
    for level, path in enumerate(paths):
        Image.new("L", (8, 8), 50 * level).save(path)
    display = mistakes(paths)
    assert (display.kind, display.samples[0]) == ("image", paths[4])
    assert display._repr_html_() is None
    display.plot(image_size=16)
    assert display.axes_[0, 0].images[0].get_array().max() == 200
    assert mistakes(paths, kind="text").kind == "text"
    arrays = [np.full((4, 4), level, np.uint8) for level in range(5)]
    assert mistakes(arrays).kind == mistakes(np.array(arrays)).kind == "image"
    frame = pd.DataFrame({"path": paths, "text": TEXTS})
    assert mistakes(frame, column="path").kind == "image"
    assert mistakes(frame, column="text").samples == ["five", "three", "four", "one"]


def test_texts_as_a_plot_and_as_html():
    display = mistakes(["<one>", *TEXTS[1:]]).plot()
    html = display._repr_html_()
    assert html.count("<strong") == 4
    assert "row 4, true: a 0.10, predicted: b 0.80" in html
    assert "&lt;one&gt;" in html
    written = [text.get_text() for text in display.ax_.texts]
    assert written[:2] == ["row 4, true: a 0.10, predicted: b 0.80", "five"]
    ax = plt.figure().add_subplot()
    assert display.plot(ax=ax).ax_ is ax


def test_no_mistakes():
    display = MistakesDisplay.from_predictions(TEXTS, TRUTH, TRUTH)
    assert display.samples == []
    assert "no mistakes" in display._repr_html_()
    assert [text.get_text() for text in display.plot().ax_.texts] == ["no mistakes"]
    images = MistakesDisplay.from_predictions([np.zeros((4, 4), np.uint8)] * 5, TRUTH, TRUTH)
    assert "no mistakes" in images._repr_html_()
    assert images.plot().ax_.texts


def test_long_texts_and_labels_are_shortened():
    display = MistakesDisplay.from_predictions(
        ["word " * 10_000] * 2, ["a" * 200, "b"], ["b", "a" * 200]
    ).plot()
    assert len(display._repr_html_()) < 5000
    assert display.figure_.get_figheight() < 12
    right = display.ax_.get_window_extent().x1
    assert all(text.get_window_extent().x1 <= right for text in display.ax_.texts)
    assert len(display.samples[0]) == 50_000


def test_bad_input():
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        MistakesDisplay.from_predictions(TEXTS, TRUTH[1:], PREDICTED)
    with pytest.raises(ValueError, match=r"\(5, 2\), but must have shape \(5, 3\)"):
        mistakes(y_proba=np.ones((5, 2)))
    with pytest.raises(ValueError, match="n_mistakes=0 must be an integer of at least 1"):
        mistakes(n_mistakes=0)
    with pytest.raises(ValueError, match="n_mistakes=None must be"):
        mistakes(n_mistakes=None)
    with pytest.raises(ValueError, match='kind=\'audio\' must be "auto", "text" or "image"'):
        mistakes(kind="audio")
    with pytest.raises(ValueError, match="MistakesDisplay expects a column"):
        MistakesDisplay.from_predictions("ab", ["a", "b"], ["a", "a"])
    with pytest.raises(ValueError, match="leave out `ax`"):
        mistakes([np.zeros((4, 4), np.uint8)] * 5).plot(ax=object())
    several = OneVsRestClassifier(LogisticRegression()).fit([[1], [2]], [[0, 1], [1, 0]])
    with pytest.raises(TypeError, match="OneVsRestClassifier predicts no classes"):
        MistakesDisplay.from_estimator(several, [[1], [2]], [[0, 1], [1, 0]])
    with pytest.raises(TypeError, match="LinearRegression predicts no classes"):
        MistakesDisplay.from_estimator(LinearRegression().fit([[1], [2]], [1, 2]), [[1]], [1])
