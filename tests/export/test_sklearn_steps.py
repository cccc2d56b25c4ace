"""Single estimators of scikit-learn in exported files."""

import numpy as np
import onnx
import pandas as pd
import polars as pl
import pytest
import skl2onnx
from skl2onnx import _parse, _supported_operators
from skl2onnx.common import _registration
from skl2onnx.common.data_types import FloatTensorType, StringTensorType
from sklearn.base import BaseEstimator, ClassifierMixin, TransformerMixin
from sklearn.cluster import KMeans
from sklearn.compose import ColumnTransformer, make_column_transformer
from sklearn.decomposition import PCA
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.ensemble import (
    AdaBoostClassifier,
    ExtraTreesClassifier,
    ExtraTreesRegressor,
    GradientBoostingClassifier,
    GradientBoostingRegressor,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    IsolationForest,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer
from sklearn.feature_selection import RFE, SelectFromModel, SelectKBest, VarianceThreshold
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.impute import KNNImputer, SimpleImputer
from sklearn.linear_model import LinearRegression, LogisticRegression, SGDClassifier
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import (
    KBinsDiscretizer,
    MaxAbsScaler,
    MinMaxScaler,
    Normalizer,
    OneHotEncoder,
    OrdinalEncoder,
    PolynomialFeatures,
    SplineTransformer,
    StandardScaler,
    TargetEncoder,
)
from sklearn.svm import SVC, LinearSVC
from sklearn.tree import (
    DecisionTreeClassifier,
    DecisionTreeRegressor,
    ExtraTreeClassifier,
    ExtraTreeRegressor,
)

from sklearn_dl.export import to_onnx
from tests.export.exported import assert_exports, run

N = 60
RNG = np.random.default_rng(0)
X = RNG.normal(size=(N, 4)) * [1, 2, 3, 4]
NUMBER = X @ [1, -2, 0.5, 0] + RNG.normal(size=N)
THREE = np.digitize(NUMBER, [-2, 2])
OF_DTYPE = {
    "float64": X,
    "float32": X.astype(np.float32),
    "int64": X.round().astype(int),
    "int8": X.round().astype(np.int8),
    "bool": X > 0,
}
CLASSES = {
    "str": np.array(["dog", "cat", "éa"])[THREE],
    "object": np.array(["dog", "cat", "éa"], dtype=object)[THREE],
    "int": np.array([3, -1, 100])[THREE],
    "int8": np.array([3, -1, 100], np.int8)[THREE],
    "bool": THREE == 1,
    "float": np.array([0.0, 2.0, 5.0])[THREE],
}
TRANSFORMERS = [
    StandardScaler(),
    StandardScaler(with_mean=False, with_std=False),
    MinMaxScaler(),
    PCA(2),
    PCA(whiten=True),
    Normalizer(),
    KBinsDiscretizer(strategy="uniform"),
    PolynomialFeatures(2),
    SimpleImputer(strategy="median"),
]
CLASSIFIERS = [
    LogisticRegression(),
    SGDClassifier(random_state=0),
    SGDClassifier(loss="log_loss", random_state=0),
    LinearDiscriminantAnalysis(),
    LinearSVC(),
    SVC(),
    GaussianNB(),
    MLPClassifier(4, max_iter=2000, tol=0.01),
    KNeighborsClassifier(),
    DecisionTreeClassifier(),
    ExtraTreeClassifier(),
    RandomForestClassifier(7),
    ExtraTreesClassifier(7),
    AdaBoostClassifier(n_estimators=5),
    GradientBoostingClassifier(n_estimators=5),
    HistGradientBoostingClassifier(max_iter=5, min_samples_leaf=5),
]
REGRESSORS = [
    LinearRegression(),
    KNeighborsRegressor(),
    DecisionTreeRegressor(),
    ExtraTreeRegressor(),
    RandomForestRegressor(7),
    ExtraTreesRegressor(7),
    GradientBoostingRegressor(n_estimators=5),
    HistGradientBoostingRegressor(max_iter=5, min_samples_leaf=5),
]


OTHER_DTYPES = (
    StandardScaler,
    PCA,
    LogisticRegression,
    LinearRegression,
    RandomForestClassifier,
    HistGradientBoostingClassifier,
)


def each_dtype(estimators):
    """Pairs of an estimator and a dtype of X; only some estimators get integers and bools."""
    for estimator in estimators:
        for dtype in OF_DTYPE:
            if dtype.startswith("float") or isinstance(estimator, OTHER_DTYPES):
                yield pytest.param(estimator, dtype, id=f"{estimator}-{dtype}")


@pytest.mark.parametrize(("estimator", "dtype"), list(each_dtype(TRANSFORMERS)))
def test_transformers(estimator, dtype):
    assert_exports(estimator.fit(OF_DTYPE[dtype]), OF_DTYPE[dtype])


@pytest.mark.parametrize(("estimator", "dtype"), list(each_dtype(CLASSIFIERS)))
def test_classifiers(estimator, dtype):
    rows = OF_DTYPE[dtype]
    assert_exports(estimator.fit(rows, CLASSES["str"]), rows)


@pytest.mark.parametrize(("estimator", "dtype"), list(each_dtype(REGRESSORS)))
def test_regressors(estimator, dtype):
    rows = OF_DTYPE[dtype]
    assert_exports(estimator.fit(rows, NUMBER), rows)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("p", [2, 1])
@pytest.mark.parametrize("offset", [0, 1e5])
def test_weights_of_neighbors(dtype, p, offset):
    rows = OF_DTYPE[dtype] + np.array(offset, dtype)
    settings = {"weights": "distance" if p == 2 else "uniform", "p": p, "n_neighbors": 3}
    for y in (NUMBER, np.column_stack([NUMBER, X])):
        regressor = KNeighborsRegressor(**settings).fit(rows[:40], y[:40])
        assert_exports(regressor, rows)
    for y in (THREE, np.column_stack([THREE > 0, X > 0]).astype(int)):
        if y.ndim == 1 or p == 2:
            assert_exports(KNeighborsClassifier(**settings).fit(rows[:40], y[:40]), rows)


@pytest.mark.parametrize("labels", CLASSES)
@pytest.mark.parametrize(
    "estimator",
    [CLASSIFIERS[0], CLASSIFIERS[1], CLASSIFIERS[5], *CLASSIFIERS[8:10], CLASSIFIERS[-1]],
)
def test_labels_keep_their_type(estimator, labels):
    outputs, _ = assert_exports(estimator.fit(X, CLASSES[labels]), X)
    expected = {"int8": np.int64, "str": object}.get(labels, labels)
    assert outputs["label"].dtype == np.dtype(expected)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize(
    "estimator",
    [
        LinearRegression(),
        KNeighborsRegressor(),
        DecisionTreeRegressor(),
        RandomForestRegressor(3),
        make_pipeline(StandardScaler(), LinearRegression()),
    ],
)
def test_several_targets(estimator, dtype):
    y = np.column_stack([NUMBER, -NUMBER, X[:, 0]])
    outputs, _ = assert_exports(estimator.fit(OF_DTYPE[dtype], y), OF_DTYPE[dtype])
    assert outputs["prediction"].shape == (N, 3)
    if not isinstance(estimator, RandomForestRegressor):  # it warns
        one = estimator.fit(OF_DTYPE[dtype], y[:, :1])
        assert assert_exports(one, OF_DTYPE[dtype])[0]["prediction"].size == N


@pytest.mark.parametrize(
    "estimator", [KNeighborsClassifier(), DecisionTreeClassifier(), RandomForestClassifier(3)]
)
def test_several_labels(estimator):
    y = np.column_stack([NUMBER > 0, X[:, 0] > 0, X[:, 1] > 1]).astype(int)
    outputs, _ = assert_exports(estimator.fit(X, y), X)
    assert outputs["label"].shape == outputs["probabilities"].shape == (N, 3)
    several = estimator.fit(X, np.column_stack([THREE, y[:, 0]]))
    with pytest.raises(ValueError, match="several outputs that are not labels of 0 and 1"):
        to_onnx(several, X)


TREES = [*CLASSIFIERS[9:13], CLASSIFIERS[-1]]


@pytest.mark.parametrize("estimator", TREES, ids=str)
@pytest.mark.parametrize("seen", [True, False])
def test_trees_with_missing_values(estimator, seen):
    missing = np.where(RNG.random(X.shape) < 0.2, np.nan, X)
    estimator.fit(missing if seen else X, THREE)
    assert_exports(estimator, missing)


def test_trees_compare_float32_with_float64():
    # neighbouring numbers of float32, with thresholds between them
    rows = (np.float32(1e6) + np.spacing(np.float32(1e6)) * np.arange(8)).reshape(-1, 1)
    rows = rows.astype(np.float32)
    tree = DecisionTreeClassifier().fit(rows, np.arange(8) % 2)
    assert (assert_exports(tree, rows)[0]["label"] == np.arange(8) % 2).all()
    # float64 is rounded before the comparison, except by histogram gradient boosting
    between = (rows[1:].astype(np.float64) + rows[:-1]) / 2
    assert_exports(tree, between)
    boosted = HistGradientBoostingClassifier(min_samples_leaf=1).fit(between, np.arange(7) % 2)
    assert_exports(boosted, between)


def test_votes_of_trees_that_are_equal():
    y = RNG.integers(0, 4, N)
    forest = RandomForestClassifier(4, max_features=1, random_state=0).fit(X[:, :1], y)
    rows = RNG.normal(size=(500, 1))
    best = np.sort(forest.predict_proba(rows), axis=1)
    assert (best[:, -1] == best[:, -2]).sum() > 50
    np.testing.assert_array_equal(run(to_onnx(forest, rows), rows)["label"], forest.predict(rows))


def test_a_tree_of_one_node():
    assert_exports(DecisionTreeClassifier().fit(X * 0, THREE), X)
    assert_exports(RandomForestRegressor(2).fit(X * 0, np.column_stack([NUMBER, X])), X)


@pytest.mark.parametrize("y", [THREE, THREE == 1])
def test_boosted_classifiers(y):
    boosted = HistGradientBoostingClassifier(max_iter=20, learning_rate=0.5, min_samples_leaf=3)
    assert_exports(boosted.fit(X, y), 3 * X)


@pytest.mark.parametrize(
    "loss", ["squared_error", "absolute_error", "gamma", "poisson", "quantile"]
)
def test_boosted_regressors(loss):
    boosted = HistGradientBoostingRegressor(loss=loss, max_iter=20, quantile=0.3)
    assert_exports(boosted.fit(X, abs(NUMBER) + 0.1), X)


@pytest.mark.parametrize("init", [None, "zero"])
@pytest.mark.parametrize("loss", ["log_loss", "exponential"])
def test_gradient_boosting(loss, init):
    boosted = GradientBoostingClassifier(loss=loss, init=init, n_estimators=10)
    for y in (THREE == 1, THREE)[: 1 + (loss == "log_loss")]:
        assert_exports(boosted.fit(X, y), 3 * X)
    regressor = GradientBoostingRegressor(loss="huber", init=init, n_estimators=10)
    assert_exports(regressor.fit(X, NUMBER * 1e4), 3 * X)
    with pytest.raises(ValueError, match="starts from the predictions of another estimator"):
        to_onnx(regressor.set_params(init=LinearRegression()).fit(X, NUMBER), X)


def test_categories_in_boosted_trees_are_refused():
    boosted = HistGradientBoostingClassifier(categorical_features=[0]).fit(abs(X).round(), THREE)
    with pytest.raises(ValueError, match=r"it splits by categories.*categorical_features=None"):
        to_onnx(boosted, X)


COLUMNS = {
    "word": RNG.choice(["a", "b", "c", "é"], N, p=[0.6, 0.2, 0.1, 0.1]).tolist(),
    "int": RNG.integers(0, 4, N),
    "float": RNG.choice([0.5, 1.25, np.nan], N),
    "single": RNG.choice([0.1, 0.2], N).astype(np.float32),
    "bool": RNG.random(N) < 0.5,
}
UNSEEN = COLUMNS | {
    "word": ["zzz", *COLUMNS["word"][1:]],
    "int": COLUMNS["int"] + (np.arange(N) == 1),
    "float": np.where(np.arange(N) == 2, 1.0, COLUMNS["float"]),
}
UNKNOWN = {"handle_unknown": "use_encoded_value", "unknown_value": -1}


@pytest.mark.parametrize("container", [pd.DataFrame, pl.DataFrame])
@pytest.mark.parametrize(
    "encoder",
    [
        OneHotEncoder(),
        OneHotEncoder(sparse_output=False, dtype=int, drop="first"),
        OneHotEncoder(drop="if_binary", handle_unknown="ignore"),
        OneHotEncoder(min_frequency=14, handle_unknown="infrequent_if_exist", dtype=np.float32),
        OneHotEncoder(max_categories=2, handle_unknown="warn", drop="first"),
        OneHotEncoder(max_categories=2, handle_unknown="ignore"),
        OrdinalEncoder(),
        OrdinalEncoder(encoded_missing_value=-7, **UNKNOWN),
        OrdinalEncoder(min_frequency=14, max_categories=2, **UNKNOWN),
        OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=np.nan),
        TargetEncoder(),
    ],
    ids=str,
)
@pytest.mark.filterwarnings("ignore:Found unknown categories")
def test_encoders(encoder, container):
    frame, unseen = container(COLUMNS), container(UNSEEN)
    encoder.fit(frame, NUMBER[:N] if isinstance(encoder, TargetEncoder) else None)
    assert_exports(encoder, frame)
    if getattr(encoder, "handle_unknown", "") == "error":
        with pytest.raises(Exception, match="out of data bounds"):
            run(to_onnx(encoder, frame), unseen)
    else:
        assert_exports(encoder, unseen, frame)


@pytest.mark.parametrize("y", [THREE, THREE == 1])
def test_targets_of_classes(y):
    frame = pd.DataFrame(COLUMNS)
    assert_exports(TargetEncoder().fit(frame, y), frame)


def test_categories_of_mixed_columns_after_a_step():
    # scikit-learn makes one array of objects of these columns
    frame = pd.DataFrame(COLUMNS)
    columns = ColumnTransformer([("kept", "passthrough", ["word", "int", "bool"])])
    assert_exports(make_pipeline(columns, OneHotEncoder()).fit(frame), frame)


def test_categories_of_another_type_are_refused():
    words, numbers = np.array([["a"], ["b"]], dtype=object), np.array([[1], [2]])
    for fitted, sample in [(words, numbers), (numbers, words)]:
        with pytest.raises(ValueError, match="it was fitted on"):
            to_onnx(OneHotEncoder().fit(fitted), sample)


MISSING = np.array([[1, np.nan, 3, np.nan], [np.nan, 4, -1, np.nan], [7, 4, np.nan, np.nan]])


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize(
    "imputer",
    [
        SimpleImputer(),
        SimpleImputer(strategy="most_frequent", add_indicator=True),
        SimpleImputer(strategy="constant", fill_value=-5, keep_empty_features=True),
        SimpleImputer(strategy="median", keep_empty_features=True),
    ],
    ids=str,
)
@pytest.mark.filterwarnings("ignore:Skipping features without any observed values")
def test_imputers(imputer, dtype):
    rows = MISSING.astype(dtype)
    assert_exports(imputer.fit(rows), rows)


@pytest.mark.parametrize("strategy", ["mean", "most_frequent", "constant"])
def test_numbers_that_stand_for_missing_ones(strategy):
    rows = np.array([[1, -1], [2, 5], [-1, 5]])
    imputer = SimpleImputer(missing_values=-1, strategy=strategy, add_indicator=True)
    assert_exports(imputer.fit(rows), rows)
    assert_exports(imputer.fit(rows + 0.0), rows + 0.0)


def test_missing_strings_are_refused():
    words = np.array([["a"], [None], ["a"]], dtype=object)
    imputer = SimpleImputer(missing_values=None, strategy="most_frequent").fit(words)
    with pytest.raises(ValueError, match="strings, which are never missing in ONNX"):
        to_onnx(imputer, words)


@pytest.mark.parametrize(
    "selector",
    [
        SelectKBest(k=2),
        VarianceThreshold(2),
        RFE(LogisticRegression()),
        SelectFromModel(LinearSVC()),
    ],
    ids=str,
)
@pytest.mark.parametrize("dtype", ["float64", "int8", "bool"])
def test_selectors(selector, dtype):
    rows = OF_DTYPE[dtype]
    threshold = isinstance(selector, VarianceThreshold) and dtype == "bool"
    selector = VarianceThreshold() if threshold else selector
    assert_exports(make_pipeline(selector, LogisticRegression()).fit(rows, THREE), rows)
    if isinstance(selector, RFE):
        assert_exports(selector, rows)


def test_a_selector_without_columns():
    pipeline = make_pipeline(SelectKBest(k=0).fit(X, THREE), "passthrough")
    with pytest.raises(ValueError, match="it selects no column"):
        to_onnx(pipeline, X)


@pytest.mark.slow
def test_outliers_and_clusters():
    for estimator in (IsolationForest(n_estimators=5), KMeans(3, n_init=1)):
        assert_exports(estimator.fit(X), X)
    distances = make_pipeline(KMeans(3, n_init=1), LogisticRegression()).fit(X, THREE)
    assert_exports(distances, X)


@pytest.mark.slow
@pytest.mark.parametrize(
    "estimator",
    [KNeighborsRegressor(p=1), KNNImputer(), GaussianProcessRegressor(optimizer=None)],
    ids=str,
)
def test_subgraphs_have_the_same_names_in_each_export(estimator):
    # skl2onnx counts them
    rows = X.astype(np.float32)
    pipeline = make_pipeline(StandardScaler(), estimator).fit(rows, NUMBER)
    _, model = assert_exports(pipeline, rows)
    assert to_onnx(pipeline, rows).SerializeToString() == model.SerializeToString()


TEXTS = ["The quick brown fox", "a dog's life, isn't it?", "numbers 123 and 4.5", "", "the DOG"]


@pytest.mark.parametrize(
    "vectorizer", [CountVectorizer(), TfidfVectorizer(), TfidfVectorizer(norm="l1", binary=True)]
)
def test_words_of_texts(vectorizer):
    words = np.array(TEXTS, dtype=object)
    pipeline = make_pipeline(vectorizer, LogisticRegression()).fit(words, [0, 1, 0, 1, 1])
    got = run(to_onnx(pipeline, words), words.reshape(-1, 1))
    assert abs(got["probabilities"] - pipeline.predict_proba(words)).max() < 1e-5


@pytest.mark.parametrize(
    ("vectorizer", "texts"),
    [
        (TfidfVectorizer(ngram_range=(1, 2)), TEXTS),
        (TfidfVectorizer(sublinear_tf=True), TEXTS),
        (TfidfVectorizer(), [*TEXTS, "café"]),
    ],
)
def test_words_that_skl2onnx_finds_wrongly(vectorizer, texts):
    with pytest.raises(ValueError, match=r"Vectorizer cannot be exported.*would differ"):
        to_onnx(vectorizer.fit(texts), texts)


@pytest.mark.parametrize(
    ("estimator", "why"),
    [
        (MaxAbsScaler(clip=True), "ignores clip=True"),
        (SVC(break_ties=True), "ignores break_ties=True"),
        (KNeighborsClassifier(weights=np.exp), "its weights are a Python function"),
        (KNeighborsClassifier(metric="canberra"), "metric='canberra' is not implemented"),
        (Normalizer("max"), "the result of its transform would differ"),
        (SplineTransformer(), "Unable to find a shape calculator"),
        (
            make_pipeline(LinearDiscriminantAnalysis(), GaussianNB()),
            "converts only its `predict`",
        ),
    ],
    ids=str,
)
def test_what_skl2onnx_does_not_know_is_refused_by_name(estimator, why):
    with pytest.raises(ValueError, match=f"cannot be exported: .*{why}"):
        to_onnx(estimator.fit(X.astype(np.float32), THREE), X.astype(np.float32))


class Halves(TransformerMixin, BaseEstimator):
    """A transformer that skl2onnx does not know."""

    def fit(self, X, y=None):
        self.n_features_in_ = X.shape[1]
        return self

    def transform(self, X):
        return X / 2


def test_the_original_error_is_kept():
    with pytest.raises(ValueError, match=r"Halves.*update_registered_converter") as raised:
        to_onnx(Halves().fit(X), X)
    assert "Unable to find a shape calculator" in str(raised.value.__cause__)


@pytest.fixture
def registries():
    """The registries of skl2onnx are restored after the test."""
    pools = [
        _registration._converter_pool,
        _registration._shape_calculator_pool,
        _supported_operators.sklearn_operator_name_map,
        _parse.sklearn_parsers_map,
    ]
    kept = [dict(pool) for pool in pools]
    yield
    for pool, before in zip(pools, kept, strict=True):
        pool.clear()
        pool.update(before)


def same_shape(operator):
    operator.outputs[0].type = operator.inputs[0].type


def convert_halves(scope, operator, container):
    two = scope.get_unique_variable_name("two")
    container.add_initializer(two, 1, [], [2])
    (half,) = operator.output_full_names
    container.add_node("Div", [*operator.input_full_names, two], half, op_version=14)


class AlwaysFirst(ClassifierMixin, BaseEstimator):
    """A classifier that skl2onnx does not know."""

    def fit(self, X, y):
        self.classes_, self.n_features_in_ = np.unique(y), X.shape[1]
        return self

    def predict(self, X):
        return np.repeat(self.classes_[0], len(X))

    def predict_proba(self, X):
        return np.repeat([[1.0, 0.0]], len(X), axis=0)


def two_outputs(operator):
    operator.outputs[0].type = StringTensorType([None])
    operator.outputs[1].type = FloatTensorType([None, 2])


def convert_always_first(scope, operator, container):
    (given,), (label, probabilities) = operator.input_full_names, operator.output_full_names
    constants = {
        "classes": (8, [1], [operator.raw_operator.classes_[0].encode()]),
        "row": (1, [1, 2], [1.0, 0.0]),
        "zero": (7, [1], [0]),
        "one": (7, [1], [1]),
        "two": (7, [1], [2]),
    }
    for name, constant in constants.items():
        container.add_initializer(name, *constant)
    container.add_node("Shape", given, "shape", op_version=15)
    container.add_node("Slice", ["shape", "zero", "one"], "n", op_version=13)
    container.add_node("Concat", ["n", "two"], "of_rows", op_version=13, axis=0)
    container.add_node("Expand", ["classes", "n"], label, op_version=13)
    container.add_node("Expand", ["row", "of_rows"], probabilities, op_version=13)


def test_converters_of_the_user_are_used(registries):
    register = skl2onnx.update_registered_converter
    register(Halves, "Halves", same_shape, convert_halves)
    options = {"zipmap": [True, False], "nocl": [True, False]}
    register(AlwaysFirst, "AlwaysFirst", two_outputs, convert_always_first, options=options)
    rows = X.astype(np.float32)
    assert_exports(Halves().fit(rows), rows)
    pipeline = make_pipeline(StandardScaler(), Halves(), AlwaysFirst())
    assert_exports(pipeline.fit(rows, np.where(THREE, "b", "a")), rows)


@pytest.mark.slow
@pytest.mark.parametrize("opset", [18, 21, 23])
def test_versions_of_the_operators(opset):
    frame = pd.DataFrame(COLUMNS).assign(number=X[:, 0])
    columns = make_column_transformer(
        (OneHotEncoder(), ["word", "int"]), (StandardScaler(), ["number"])
    )
    for last in (LogisticRegression(), RandomForestClassifier(3), KNeighborsClassifier()):
        pipeline = make_pipeline(columns, PolynomialFeatures(), last).fit(frame, THREE)
        model = to_onnx(pipeline, frame, target_opset=opset)
        onnx.checker.check_model(model, full_check=True)
        versions = {domain.domain: domain.version for domain in model.opset_import}
        assert versions.pop("") == opset
        assert versions in ({}, {"ai.onnx.ml": 3})
        got = run(model, frame)["probabilities"]
        assert abs(got - pipeline.predict_proba(frame)).max() < 1e-5
