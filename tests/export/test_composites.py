"""Pipelines, ColumnTransformers, unions and searches in exported files."""

import pickle
import warnings

import numpy as np
import pandas as pd
import polars as pl
import pytest
import skl2onnx
import sklearn
from sklearn.compose import (
    ColumnTransformer,
    TransformedTargetRegressor,
    make_column_selector,
    make_column_transformer,
)
from sklearn.decomposition import PCA
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.frozen import FrozenEstimator
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.model_selection import (
    GridSearchCV,
    HalvingGridSearchCV,
    HalvingRandomSearchCV,
    RandomizedSearchCV,
)
from sklearn.pipeline import FeatureUnion, Pipeline, make_pipeline, make_union
from sklearn.preprocessing import (
    FunctionTransformer,
    OneHotEncoder,
    OrdinalEncoder,
    StandardScaler,
)

from sklearn_dl.export import to_onnx
from tests.export.exported import assert_exports

N = 60
RNG = np.random.default_rng(0)
COLUMNS = {
    "color": RNG.choice(["red", "green", "blue"], N).tolist(),
    "price": RNG.normal(100, 10, N),
    "weight": RNG.normal(size=N).astype(np.float32),
    "doors": RNG.integers(2, 6, N),
    "is_new": RNG.random(N) < 0.5,
}
Y = np.where(COLUMNS["price"] + 10 * COLUMNS["is_new"] > 105, "dear", "cheap")
NUMBERS = np.column_stack([COLUMNS["price"], COLUMNS["weight"], COLUMNS["doors"]])
MIXED = make_column_transformer(
    (make_pipeline(SimpleImputer(), StandardScaler()), ["price", "weight"]),
    (OneHotEncoder(), ["color", "doors"]),
    (OrdinalEncoder(), ["is_new"]),
)


@pytest.fixture(params=[pd.DataFrame, pl.DataFrame])
def frame(request):
    return request.param(COLUMNS)


def test_columns_of_many_types(frame):
    outputs, model = assert_exports(make_pipeline(MIXED, LogisticRegression()).fit(frame, Y), frame)
    assert outputs["label"].dtype == object
    types = {
        given.name: (
            given.type.tensor_type.elem_type,
            given.type.tensor_type.shape.dim[1].dim_value,
        )
        for given in model.graph.input
    }
    assert types == {
        "color": (8, 1),
        "price": (11, 1),
        "weight": (1, 1),
        "doors": (7, 1),
        "is_new": (9, 1),
    }


def test_pipelines_in_pipelines(frame):
    inner = Pipeline([("columns", MIXED), ("nothing", "passthrough"), ("none", None)])
    outer = make_pipeline(make_pipeline(inner, PCA(3)), make_pipeline(LogisticRegression()))
    assert_exports(outer.fit(frame, Y), frame)


def test_a_pipeline_without_predict_gives_features(frame):
    outputs, _ = assert_exports(make_pipeline(MIXED, PCA(2), "passthrough").fit(frame), frame)
    assert outputs["features"].dtype == np.float32


@pytest.mark.parametrize(
    "selection",
    [
        [0, 2],
        [-1, 0],
        slice(0, 2),
        [True, False, True],
        lambda X: [2, 1],
    ],
)
@pytest.mark.parametrize("remainder", ["drop", "passthrough", StandardScaler()])
def test_selections_of_an_array(selection, remainder):
    transformer = ColumnTransformer([("scaled", StandardScaler(), selection)], remainder=remainder)
    assert_exports(transformer.fit(NUMBERS), NUMBERS)


@pytest.mark.parametrize(
    "selection",
    [
        ["weight", "price"],
        slice("price", "doors"),
        make_column_selector(dtype_include="number"),
    ],
)
def test_selections_of_a_frame(selection):
    frame = pd.DataFrame(COLUMNS)
    transformer = ColumnTransformer([("scaled", StandardScaler(), selection)])
    assert_exports(transformer.fit(frame), frame)


def test_a_single_name_selects_texts(frame):
    transformer = make_column_transformer((TfidfVectorizer(), "color"), ("passthrough", ["doors"]))
    assert_exports(transformer.fit(frame), frame)


def test_columns_may_come_in_another_order_and_with_others():
    frame = pd.DataFrame(COLUMNS)
    pipeline = make_pipeline(MIXED, LogisticRegression()).fit(frame, Y)
    other = frame[frame.columns[::-1]].assign(more=1.0)
    assert_exports(pipeline, other)
    with pytest.raises(ValueError, match="but Pipeline was fitted on"):
        to_onnx(pipeline, frame.drop(columns="color"))
    columns = ColumnTransformer([("all", "passthrough", [0, 1, 2])]).fit(NUMBERS)
    with pytest.raises(ValueError, match="but ColumnTransformer was fitted on"):
        to_onnx(columns, NUMBERS[:, :2])


def test_dropped_columns_and_steps_without_columns(frame):
    transformer = make_column_transformer(
        ("drop", ["color", "weight", "is_new"]),
        (StandardScaler(), []),
        (StandardScaler(), ["price"]),
        remainder="passthrough",
    )
    outputs, model = assert_exports(transformer.fit(frame), frame)
    assert [given.name for given in model.graph.input] == ["price", "doors"]
    assert outputs["features"].shape == (N, 2)


def test_without_any_column():
    for empty in (ColumnTransformer([("x", "drop", [0])]), FeatureUnion([("x", "drop")])):
        with pytest.raises(ValueError, match="none of its transformers returns a column"):
            to_onnx(empty.fit(NUMBERS), NUMBERS)


@pytest.mark.parametrize("weight", [2, 0.3])
def test_weights(weight):
    steps = [("scaled", StandardScaler()), ("itself", "passthrough"), ("not", "drop")]
    weights = {"scaled": weight, "itself": 3}
    union = FeatureUnion(steps, transformer_weights=weights).fit(NUMBERS)
    assert_exports(union, NUMBERS)
    columns = ColumnTransformer(
        [("scaled", StandardScaler(), [0, 1]), ("itself", "passthrough", [2])],
        transformer_weights=weights,
    )
    assert_exports(columns.fit(NUMBERS.astype(np.float32)), NUMBERS.astype(np.float32))


def test_a_union_of_transformers(frame):
    numbers = make_column_transformer((StandardScaler(), ["price", "weight"]))
    colors = make_column_transformer((OneHotEncoder(), ["color"]))
    assert_exports(make_union(numbers, make_pipeline(colors, PCA(2))).fit(frame), frame)


@pytest.mark.parametrize(
    "search",
    [
        GridSearchCV(LogisticRegression(), {"C": [0.1, 1]}, cv=2),
        RandomizedSearchCV(LogisticRegression(), {"C": [0.1, 1]}, n_iter=2, cv=2),
        HalvingGridSearchCV(LogisticRegression(), {"C": [0.1, 1]}, cv=2),
        HalvingRandomSearchCV(
            LogisticRegression(), {"C": [0.1, 1]}, n_candidates=2, min_resources=N, cv=2
        ),
        FrozenEstimator(LogisticRegression().fit(NUMBERS, Y)),
    ],
)
def test_the_best_estimator(search):
    assert_exports(search.fit(NUMBERS, Y), NUMBERS)


def test_the_best_transformer():
    search = GridSearchCV(PCA(), {"n_components": [1, 2]}, cv=2)
    pipeline = make_pipeline(search, LogisticRegression()).fit(NUMBERS, Y)
    assert_exports(pipeline, NUMBERS)
    search = GridSearchCV(PCA(), {"n_components": [1, 2]}, cv=2, refit=False).fit(NUMBERS)
    pipeline.steps[0] = ("gridsearchcv", search)
    with pytest.raises(ValueError, match=r"'gridsearchcv'\) cannot be exported.*refit=True"):
        to_onnx(pipeline, NUMBERS)


def test_what_cannot_be_in_the_file_is_refused_with_its_place():
    square = FunctionTransformer(np.square)
    pipeline = Pipeline([("squared", square), ("end", LinearRegression())])
    place = r"Pipeline > FunctionTransformer \('squared'\) cannot be exported"
    with pytest.raises(ValueError, match=f"{place}: it calls a Python function"):
        to_onnx(pipeline.fit(NUMBERS, NUMBERS[:, 0]), NUMBERS)
    weighted = FeatureUnion([("x", "passthrough")], transformer_weights={"x": 2.0})
    words = np.array([["a"], ["b"]], dtype=object)
    with pytest.raises(ValueError, match="a weight for columns that are not numbers"):
        to_onnx(weighted.fit(words), words)


def test_targets_that_are_changed():
    plain = TransformedTargetRegressor(LinearRegression()).fit(NUMBERS, NUMBERS[:, :2])
    assert_exports(plain, NUMBERS)
    changed = TransformedTargetRegressor(func=np.log, inverse_func=np.exp)
    with pytest.raises(ValueError, match="Export its regressor_"):
        to_onnx(changed.fit(NUMBERS, NUMBERS[:, 0]), NUMBERS)


def test_two_exports_are_the_same_and_change_nothing(frame):
    pipeline = make_pipeline(MIXED, LogisticRegression()).fit(frame, Y)
    before = pickle.dumps(pipeline)
    first = to_onnx(pipeline, frame).SerializeToString()
    assert to_onnx(pipeline, frame).SerializeToString() == first
    assert pickle.dumps(pipeline) == before


def test_an_export_changes_no_global_state(frame):
    pipeline = make_pipeline(MIXED, LogisticRegression()).fit(frame, Y)
    registered = set(skl2onnx.supported_converters())
    with sklearn.config_context(assume_finite=True):
        config, filters = sklearn.get_config(), list(warnings.filters)
        to_onnx(pipeline, frame)
        assert (sklearn.get_config(), list(warnings.filters)) == (config, filters)
    assert set(skl2onnx.supported_converters()) == registered
