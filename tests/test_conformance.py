"""What every public estimator keeps, found by walking the package.

scikit-learn's own checks need X of 2-D numbers; for the other estimators they give one check. So
its checks that need no X are called directly, and the rest have twins here on images, texts and
labels.
"""

import copy
import inspect
import io
import pickle
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import cloudpickle
import joblib
import numpy as np
import pandas as pd
import polars as pl
import pytest
from onnx import TensorProto, helper
from sklearn.base import BaseEstimator, clone
from sklearn.compose import ColumnTransformer
from sklearn.exceptions import InconsistentVersionWarning, NotFittedError
from sklearn.pipeline import make_pipeline
from sklearn.utils import estimator_checks, get_tags
from sklearn.utils.estimator_checks import parametrize_with_checks

import sklearn_dl
from sklearn_dl import (
    ImageClassifier,
    ImageLoader,
    ImageResizer,
    LabelKeyMapper,
    ObjectDetector,
    OnnxScorer,
    PixelExtractor,
    ScoreClassifier,
    SentenceSimilarityRegressor,
    TensorFlowScorer,
    TextClassifier,
    TextEncoder,
)
from sklearn_dl.utils._columns import object_array
from sklearn_dl.utils._sklearn import InvalidParameterError
from tests.scoring.tensorflow_models import frozen, mean_color, relu
from tests.text.tiny_encoders import tiny_bert
from tests.vision.backbones import tiny_module
from tests.vision.detectors import ANCHORS, color_detector

X_FREE_CHECKS = [
    estimator_checks.check_estimator_cloneable,
    estimator_checks.check_estimator_tags_renamed,
    estimator_checks.check_valid_tag_types,
    estimator_checks.check_estimator_repr,
    estimator_checks.check_no_attributes_set_in_init,
    estimator_checks.check_do_not_raise_errors_in_init_or_set_params,
    estimator_checks.check_mixin_order,
    estimator_checks.check_parameters_default_constructible,
    estimator_checks.check_get_params_invariance,
    estimator_checks.check_set_params,
    estimator_checks.check_param_validation,
]


def graph(input_shape, nodes, output_shape):
    made = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, input_shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, output_shape)],
    )
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return model.SerializeToString()


MEAN_COLOR = graph(
    ["N", 3, "H", "W"],
    [helper.make_node("ReduceMean", ["x"], ["y"], axes=[2, 3], keepdims=0)],
    ["N", 3],
)
RELU = graph(["N", "F"], [helper.make_node("Relu", ["x"], ["y"])], ["N", "F"])

rng = np.random.default_rng(0)
ARRAYS = [rng.integers(0, 256, (8, 6, 3), dtype=np.uint8) for _ in range(7)]
IMAGES = ImageLoader().transform(ARRAYS)
SCORES = rng.normal(size=(7, 3))
LABELS = np.array(["b", "a", "c", "a", "b", "c", "a"])
TEXTS = ["a good film", "bad", "old music", "the red cat", "", "a very fine book of music", "Ü 👍"]
PAIRS = list(zip(TEXTS, TEXTS[::-1], strict=True))

# workers and later tests read it too: gone when the process ends
_folder = tempfile.TemporaryDirectory()
ENCODER = str(tiny_bert(_folder.name))
TF_RELU = frozen(f"{_folder.name}/relu.pb", relu())
TF_MEAN_COLOR = frozen(f"{_folder.name}/mean_color.pb", mean_color)
COLORS = Path(_folder.name, "colors.onnx")
COLORS.write_bytes(MEAN_COLOR)
TEXT = {"max_length": 32, "precision": "float32"}
TRAINED = {**TEXT, "max_epochs": 1, "random_state": 0}
TUNED = {"trainable_layers": "all", "max_epochs": 1, "precision": "float32", "random_state": 0}


@dataclass
class Case:
    """An estimator with rows to try it on.

    `rows` is a list with one item per row of X; `wide` says that X is 2-D with as many columns as
    an item has, else it is one column. Floats may differ by `atol` between calls on other rows.
    """

    estimator: BaseEstimator
    rows: list
    wide: bool = False
    y: np.ndarray = field(default_factory=lambda: LABELS)
    atol: float = 0.0

    def __repr__(self):
        shown = str(self.estimator).split("(model")[0].replace(f"model='{ENCODER}',", "")
        return " ".join(shown.split())

    @property
    def X(self):
        if not self.wide:
            return object_array(self.rows).reshape(-1, 1)
        return np.array(self.rows, dtype=object if isinstance(self.rows[0][0], str) else None)

    @property
    def width(self):
        return len(self.rows[0]) if self.wide else 1

    def frame(self, kind=pd.DataFrame, **kwargs):
        if self.wide:
            return kind(
                {f"f{j}": [row[j] for row in self.rows] for j in range(self.width)}, **kwargs
            )
        if kind is pl.DataFrame:
            whole = all(isinstance(row, str) for row in self.rows)
            dtype = pl.String if whole else pl.Object
            return kind({"photo": pl.Series(self.rows, dtype=dtype)}, **kwargs)
        return kind({"photo": pd.Series(object_array(self.rows), **kwargs)})

    def fitted(self):
        return clone(self.estimator).fit(self.X, self.y)


CASES = [
    Case(ImageLoader(), ARRAYS),
    Case(ImageLoader(mode="L", on_error="nan"), ARRAYS),
    Case(ImageResizer(4, 4), list(IMAGES[:, 0])),
    Case(PixelExtractor(), list(IMAGES[:, 0])),
    Case(PixelExtractor(layout="flat", offset=127), list(IMAGES[:, 0])),
    Case(OnnxScorer(RELU), SCORES.tolist(), wide=True),
    Case(OnnxScorer(MEAN_COLOR, n_threads=2), [array.transpose(2, 0, 1) for array in ARRAYS]),
    Case(TensorFlowScorer(TF_RELU), SCORES.tolist(), wide=True),
    Case(TensorFlowScorer(TF_MEAN_COLOR), ARRAYS),
    Case(ScoreClassifier(["c", "a", "b"], activation="softmax"), SCORES.tolist(), wide=True),
    Case(ScoreClassifier(activation="sigmoid"), SCORES.tolist(), wide=True),
    Case(LabelKeyMapper(), LABELS.tolist()),
    Case(ImageClassifier(str(COLORS), image_size=8), ARRAYS, atol=1e-12),
    Case(ImageClassifier(tiny_module, image_size=12, **TUNED), ARRAYS, atol=1e-5),
    Case(ObjectDetector(color_detector(), format="yolov2", anchors=ANCHORS), ARRAYS),
    Case(TextEncoder(ENCODER, **TEXT), TEXTS, atol=1e-5),
    Case(TextClassifier(ENCODER, **TRAINED), TEXTS, atol=1e-5),
    Case(TextClassifier(ENCODER, trainable_layers=0, **TEXT), PAIRS, wide=True, atol=1e-5),
    Case(
        SentenceSimilarityRegressor(ENCODER, **TRAINED), PAIRS, wide=True, y=SCORES[:, 0], atol=1e-5
    ),
    Case(
        SentenceSimilarityRegressor(ENCODER, architecture="cross-encoder", **TRAINED),
        PAIRS,
        wide=True,
        y=SCORES[:, 0],
        atol=1e-5,
    ),
]
NUMERIC = [
    OnnxScorer(RELU),
    TensorFlowScorer(TF_RELU),
    LabelKeyMapper(),
]
one_dimensional = "takes 1-D X: labels go in and out as y does"
EXPECTED_FAILURES = {
    LabelKeyMapper: {
        "check_fit1d": one_dimensional,
        "check_fit2d_predict1d": one_dimensional,
    }
}

every_case = pytest.mark.parametrize("case", CASES, ids=repr)


def methods(estimator):
    names = ("transform", "predict", "predict_proba", "predict_log_proba", "decision_function")
    return [name for name in names if hasattr(estimator, name)]


def values(result):
    """Numbers, labels or pixels of what a method gives, computed."""
    if hasattr(result, "to_numpy"):
        result = result.to_numpy()
    result = result if isinstance(result, np.ndarray) else np.asarray(result)
    if result.dtype == object and isinstance(result.flat[0], sklearn_dl.LazyImage):
        return np.stack([np.asarray(image) for image in result.ravel()])
    if result.dtype == object and isinstance(result.flat[0], np.ndarray):
        return object_array([tuple(found.tolist()) for found in result])
    return result


def outputs(estimator, X):
    return {name: values(getattr(estimator, name)(X)) for name in methods(estimator)}


def assert_same(first, second, rtol=0.0, atol=0.0):
    assert first.keys() == second.keys()
    for name, expected in first.items():
        if (rtol or atol) and expected.dtype.kind == "f":
            np.testing.assert_allclose(second[name], expected, rtol=rtol, atol=atol, err_msg=name)
        else:
            np.testing.assert_array_equal(second[name], expected, err_msg=name)


def test_every_public_estimator_has_a_case():
    public = {
        value
        for value in map(sklearn_dl.__getattr__, sklearn_dl.__all__[1:])
        if inspect.isclass(value) and issubclass(value, BaseEstimator)
    }
    assert public == {type(case.estimator) for case in CASES}


@pytest.mark.parametrize("check", X_FREE_CHECKS, ids=lambda check: check.__name__)
@every_case
def test_checks_of_scikit_learn_that_need_no_X(case, check):
    check(type(case.estimator).__name__, clone(case.estimator))


@parametrize_with_checks(
    NUMERIC, expected_failed_checks=lambda est: EXPECTED_FAILURES.get(type(est), {})
)
@pytest.mark.filterwarnings("ignore:.*array_api.*", "ignore::sklearn.exceptions.SkipTestWarning")
def test_all_checks_of_scikit_learn(estimator, check):
    check(estimator)


@every_case
def test_pickle_joblib_cloudpickle_deepcopy_before_and_after_fit(case):
    expected = outputs(case.fitted(), case.X)
    for estimator in (case.fitted(), clone(case.estimator)):
        copies = [pickle.loads(pickle.dumps(estimator, p)) for p in range(2, 6)]
        copies += [cloudpickle.loads(cloudpickle.dumps(estimator)), copy.deepcopy(estimator)]
        buffer = io.BytesIO()
        joblib.dump(estimator, buffer)
        buffer.seek(0)
        copies.append(joblib.load(buffer))
        for copied in copies:
            if hasattr(estimator, "n_features_in_") or not get_tags(estimator).requires_fit:
                assert_same(outputs(copied, case.X), outputs(estimator, case.X))
            assert_same(outputs(copied.fit(case.X, case.y), case.X), expected)


@every_case
def test_a_pickle_of_another_version_warns(case):
    state = case.estimator.__getstate__()
    state["_sklearn_dl_version"] = "0.0.1"
    with pytest.warns(InconsistentVersionWarning, match=r"0\.0\.1"):
        object.__new__(type(case.estimator)).__setstate__(state)


@every_case
def test_fit_returns_self_keeps_parameters_and_is_idempotent(case):
    estimator = clone(case.estimator)
    before = estimator.get_params()
    assert estimator.fit(case.X, case.y) is estimator
    first = outputs(estimator, case.X)
    assert all(estimator.get_params()[name] is value for name, value in before.items())
    assert_same(outputs(estimator.fit(case.X, case.y), case.X), first)
    if hasattr(estimator, "fit_transform"):
        fit_transformed = values(clone(estimator).fit_transform(case.X, case.y))
        np.testing.assert_array_equal(fit_transformed, first["transform"])


@every_case
def test_predicting_changes_neither_the_estimator_nor_X(case):
    estimator = case.fitted()
    X = case.X
    X.flags.writeable = False
    before, rows = dict(vars(estimator)), list(X.ravel())
    outputs(estimator, X)
    assert vars(estimator) == before
    assert all(a is b or a == b for a, b in zip(X.ravel(), rows, strict=True))


@every_case
def test_rows_do_not_depend_on_order_or_company(case):
    estimator = case.fitted()
    whole = outputs(estimator, case.X)
    order = rng.permutation(len(case.rows))
    shuffled = outputs(estimator, case.X[order])
    tolerance = {"rtol": 1e-6 if case.wide else 0, "atol": case.atol}
    assert_same({k: v[order] for k, v in whole.items()}, shuffled, **tolerance)
    for row in range(len(case.rows)):
        alone = outputs(estimator, case.X[[row]])
        assert_same({k: v[[row]] for k, v in whole.items()}, alone, **tolerance)


@every_case
def test_works_unfitted_or_says_so(case):
    estimator = clone(case.estimator)
    needs_fit = get_tags(estimator).requires_fit
    if isinstance(estimator, ScoreClassifier):
        needs_fit = estimator.classes is None
    for name in methods(estimator):
        if needs_fit:
            with pytest.raises(NotFittedError):
                getattr(estimator, name)(case.X)
        else:
            expected = values(getattr(case.fitted(), name)(case.X))
            np.testing.assert_array_equal(values(getattr(estimator, name)(case.X)), expected)


@every_case
def test_empty_X(case):
    for name in ("fit", *methods(case.estimator)):
        estimator = clone(case.estimator) if name == "fit" else case.fitted()
        arguments = (case.X[:0], case.y[:0]) if name == "fit" else (case.X[:0],)
        with pytest.raises(ValueError, match=r"0 sample\(s\)"):
            getattr(estimator, name)(*arguments)


@every_case
@pytest.mark.parametrize("X", ["a string", b"bytes", {"a": [1]}, None], ids=repr)
def test_what_is_no_column(case, X):
    for name in ("fit", *methods(case.estimator)):
        arguments = (X, case.y) if name == "fit" else (X,)
        with pytest.raises((ValueError, TypeError)):
            getattr(case.fitted(), name)(*arguments)


@every_case
def test_containers_mean_the_same(case):
    estimator = case.fitted()
    expected = outputs(estimator, case.X)
    containers = [case.frame(), case.frame(pl.DataFrame)]
    if not case.wide:
        containers += [pd.Series(object_array(case.rows))]
        if not isinstance(estimator, (OnnxScorer, TensorFlowScorer)):
            containers += [list(case.rows), tuple(case.rows), object_array(case.rows)]
    for X in containers:
        for name, result in outputs(clone(estimator).fit(X, case.y), X).items():
            np.testing.assert_array_equal(
                np.squeeze(result), np.squeeze(expected[name]), err_msg=f"{type(X)} {name}"
            )


@every_case
def test_feature_names(case):
    estimator = case.fitted()
    assert estimator.n_features_in_ == case.width
    assert not hasattr(estimator, "feature_names_in_")
    frame = case.frame()
    named = clone(estimator).fit(frame, case.y)
    assert named.feature_names_in_.tolist() == list(frame.columns)
    outputs(named, frame)
    if case.wide:
        with pytest.warns(UserWarning, match="does not have valid feature names"):
            outputs(named, case.X)
        with pytest.raises(ValueError, match=r"feature names should match|Feature names"):
            outputs(named, frame.rename(columns={"f0": "other"}))
    else:
        outputs(named, case.X)  # a nameless single column is accepted silently


@every_case
def test_more_columns_than_fitted(case):
    X = np.hstack([case.X, case.X])
    with pytest.raises(ValueError, match=r"column|features"):
        outputs(case.fitted(), X)


@every_case
@pytest.mark.parametrize("container", ["pandas", "polars"])
def test_set_output(case, container):
    if not hasattr(case.estimator, "transform"):
        assert not hasattr(case.estimator, "set_output")
        return
    expected = values(case.fitted().transform(case.X))
    estimator = clone(case.estimator).set_output(transform=container)
    index = pd.Index([50, 3, 3, -1, 9, 7, 8])
    frame = case.frame(index=index) if container == "pandas" else case.frame(pl.DataFrame)
    result = estimator.fit(frame, case.y).transform(frame)
    if isinstance(result, sklearn_dl.PixelArray):
        assert container == "polars" or result.index.equals(index)
    else:
        assert type(result).__module__.split(".")[0] == container
        assert list(result.columns) == list(estimator.get_feature_names_out())
        if container == "pandas":
            assert result.index.equals(index)
    np.testing.assert_array_equal(values(result), expected)


@every_case
def test_repr_and_html(case):
    pipe = make_pipeline(clone(case.estimator))
    assert type(case.estimator).__name__ in repr(pipe)
    assert len(repr(pipe)) < 600
    assert type(case.estimator).__name__ in pipe._repr_html_()


@every_case
def test_refits_on_other_data(case):
    estimator = case.fitted().fit(case.X[:5], case.y[:5])
    assert_same(
        outputs(estimator, case.X[:5]),
        outputs(clone(case.estimator).fit(case.X[:5], case.y[:5]), case.X[:5]),
    )


@every_case
@pytest.mark.parametrize("fitted", [False, True])
def test_a_fit_that_is_stopped_leaves_the_estimator_as_it_was(case, fitted, monkeypatch):
    """Ctrl-C after the first attribute that `fit` sets, after the second, until it ends."""
    estimator = case.fitted() if fitted else clone(case.estimator)
    before = dict(vars(estimator))
    for n_set in range(1, 100):
        left = n_set

        def set_and_stop(self, name, value):
            nonlocal left
            object.__setattr__(self, name, value)
            # scikit-learn's teardown of callbacks cannot do without what is set right after it
            left -= name != "_callback_fit_ctx"
            if left == 0:
                raise KeyboardInterrupt

        with monkeypatch.context() as patch:
            patch.setattr(type(estimator), "__setattr__", set_and_stop)
            try:
                estimator.fit(case.frame(), case.y)
            except KeyboardInterrupt:
                assert vars(estimator) == before
            else:
                break
    assert n_set > 1
    assert hasattr(estimator, "feature_names_in_")


@pytest.mark.parametrize("columns", ["photo", ["photo"]], ids=repr)
def test_an_image_pipeline_names_its_columns_in_a_column_transformer(columns):
    frame = pd.DataFrame({"photo": pd.Series(object_array(ARRAYS)), "size": range(7)})
    images = make_pipeline(
        ImageLoader(), ImageResizer(4, 4), PixelExtractor(), OnnxScorer(MEAN_COLOR)
    )
    transformer = ColumnTransformer([("image", images, columns), ("rest", "passthrough", ["size"])])
    transformer.set_output(transform="pandas").fit(frame)
    names = ["image__y_0", "image__y_1", "image__y_2", "rest__size"]
    assert transformer.get_feature_names_out().tolist() == names
    assert transformer.transform(frame).columns.tolist() == names


@every_case
def test_parameters_are_checked_again_after_they_changed(case):
    estimator = case.fitted()
    outputs(estimator, case.X)
    name = next(iter(estimator.get_params()))
    estimator.set_params(**{name: object()})
    with pytest.raises(InvalidParameterError, match=f"The '{name}' parameter"):
        estimator.fit(case.X, case.y)
