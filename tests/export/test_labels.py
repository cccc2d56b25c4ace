"""LabelKeyMapper, both ways, and ScoreClassifier in exported files."""

import numpy as np
import onnxruntime
import pandas as pd
import polars as pl
import pytest
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from sklearn_dl import LabelKeyMapper, ScoreClassifier
from sklearn_dl.export import to_onnx
from tests.export.exported import assert_exports, run

FRAME = {
    "word": ["dog", "cat", "dog", "éa", "Cat "],
    "age": [3, 1, 2**60, 2**60 + 1, -4],
    "size": [0.5, 1.5, np.nan, -0.0, np.inf],
    "height": np.array([1, 2, 3, 4, 5], np.float32),
    "ok": [True, False, True, True, True],
}
UNSEEN = {
    "word": ["dog", "", "fish", "cat", "cat "],
    "age": [3, 0, 2**60 + 1, 2**60 + 2, -4],
    "size": [np.nan, 0.0, 1.5, 0.25, -np.inf],
    "height": np.array([1, 2.5, np.nan, 5, 1e9], np.float32),
    "ok": [False, False, True, True, True],
}


@pytest.mark.parametrize("container", [pd.DataFrame, pl.DataFrame])
@pytest.mark.parametrize("order", ["occurrence", "value"])
@pytest.mark.parametrize("max_keys", [2, 1000])
def test_keys_of_columns_of_many_types(container, order, max_keys):
    mapper = LabelKeyMapper(order=order, max_keys=max_keys).fit(container(FRAME))
    outputs, _ = assert_exports(mapper, container(FRAME))
    assert outputs["features"].dtype == np.int64
    assert_exports(mapper, container(UNSEEN), container(FRAME))


def test_given_keys_and_shared_dictionaries():
    words = np.array([["a", "b"], ["c", "a"]], dtype=object)
    assert_exports(LabelKeyMapper(keys=["c", "b"]).fit(words), words)
    assert_exports(LabelKeyMapper(shared=True).fit(words), words)
    numbers = np.array([[1, 2], [3, 1]])
    assert_exports(LabelKeyMapper(shared=True).fit(numbers), numbers)
    # integers are looked up among floats
    assert_exports(LabelKeyMapper().fit(numbers), numbers + 0.0)


def test_an_empty_dictionary():
    with pytest.warns(UserWarning, match="no values"):
        mapper = LabelKeyMapper().fit(["", ""])
    words = np.array([["a"], [""]], dtype=object)
    assert_exports(mapper, words)


def test_other_types_than_those_of_the_dictionary_are_refused():
    words, numbers = np.array([["a"]], dtype=object), np.array([[1]])
    for fitted, sample in [(words, numbers), (numbers, words)]:
        with pytest.raises(ValueError, match="was fitted on"):
            to_onnx(LabelKeyMapper().fit(fitted), sample)
    with pytest.raises(ValueError, match="it maps bools, but gets numbers"):
        to_onnx(LabelKeyMapper().fit(numbers == 1), numbers)
    with pytest.raises(ValueError, match="it maps numbers, but gets bools"):
        to_onnx(LabelKeyMapper().fit(numbers), numbers == 1)
    dates = np.array([["2020-01-01"]], dtype="M8[D]")
    with pytest.raises(ValueError, match="LabelKeyMapper cannot be exported"):
        to_onnx(LabelKeyMapper().fit(dates), numbers)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (["dog", "cat"], ["cat", "", "dog"]),
        ([7, 5], [5.0, np.nan, 7.0]),
        ([0.25, -1.5], [-1.5, np.nan, 0.25]),
    ],
)
def test_values_of_keys(values, expected):
    mapper = LabelKeyMapper().fit(values)
    keys = np.array([[2], [0], [1]])
    back = FunctionTransformer(mapper.inverse_transform).fit(keys)
    got = run(to_onnx(back, keys), keys)["features"]
    np.testing.assert_array_equal(got[:, 0], np.array(expected, got.dtype))
    same = run(to_onnx(back, keys + 0.0), keys + 0.0)["features"]
    np.testing.assert_array_equal(same, got)
    both_ways = make_pipeline(mapper, back)
    column = np.array(values, dtype=object if isinstance(values[0], str) else None)[:, None]
    np.testing.assert_array_equal(run(to_onnx(both_ways, column), column)["features"], column)


def test_values_of_several_columns_and_of_bools():
    frame = pd.DataFrame({"a": [True, False, True], "b": [False, False, True]})
    mapper = LabelKeyMapper(order="value").fit(frame)
    keys = mapper.transform(frame)
    back = FunctionTransformer(mapper.inverse_transform).fit(keys)
    outputs, model = assert_exports(back, keys)
    assert outputs["features"].dtype == bool
    for wrong in (-1, 0, 3):
        with pytest.raises(onnxruntime.capi.onnxruntime_pybind11_state.InvalidArgument):
            run(model, np.full((1, 2), wrong))
    with pytest.raises(ValueError, match="cannot be exported: it calls a Python function"):
        to_onnx(FunctionTransformer(StandardScaler().fit(keys).inverse_transform).fit(keys), keys)


SCORES = np.random.default_rng(0).normal(scale=3, size=(40, 4))
LABELS = {
    "str": ["dog", "cat", "bird", "ant"],
    "int": [7, -2, 0, 3],
    "several columns each": ["crane", "cat", "crane", "ant"],
}


def scores_for(activation, n_columns, dtype):
    scores = SCORES[:, :n_columns]
    if activation is None:
        scores = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
        if n_columns == 1:
            scores = 1 / (1 + np.exp(-SCORES[:, :1]))
    return scores.astype(dtype)


@pytest.mark.parametrize("activation", ["softmax", "sigmoid", None])
@pytest.mark.parametrize("labels", LABELS)
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_scores(activation, labels, dtype):
    scores = scores_for(activation, 4, dtype)
    classifier = ScoreClassifier(LABELS[labels], activation=activation)
    outputs, _ = assert_exports(classifier, scores)
    assert outputs["probabilities"].dtype == np.float32
    learnt = ScoreClassifier(activation=activation).fit(scores, np.arange(40) % 4)
    assert_exports(learnt, scores)


@pytest.mark.parametrize("activation", ["sigmoid", None])
@pytest.mark.parametrize("labels", [["no", "yes"], ["yes", "no"], [True, False], [0, 1]])
def test_one_column_of_scores(activation, labels):
    classifier = ScoreClassifier(labels, activation=activation)
    assert_exports(classifier, scores_for(activation, 1, np.float32))


def test_large_scores_and_ties():
    scores = np.array([[1e4, -1e4, 0, 1e4], [0, 0, 0, 0], [-1e30, -1e30, -1e30, 1e30]])
    for activation in ("softmax", "sigmoid"):
        for labels in (LABELS["str"], LABELS["several columns each"]):
            assert_exports(ScoreClassifier(labels, activation=activation), scores)


def test_integers_are_scores_too():
    assert_exports(ScoreClassifier(["a", "b"], activation="softmax"), np.array([[1, 2], [4, 3]]))


def test_rows_that_cannot_be_read_are_refused():
    classifier = ScoreClassifier(["a", "b"], activation="softmax", on_error="nan", missing="c")
    with pytest.raises(ValueError, match=r'on_error="nan".*set_params\(on_error="raise"\)'):
        to_onnx(classifier, SCORES[:, :2])
