"""The rules that every public estimator keeps; a walk through the package finds the estimators.

The checks of `sklearn_dl.testing` run on each of them, scikit-learn's own on those that take 2-D
numbers. Below them stand the rules that this package adds to scikit-learn's.
"""

import inspect
import tempfile
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pytest
from onnx import TensorProto, helper
from sklearn.base import BaseEstimator, clone
from sklearn.compose import ColumnTransformer
from sklearn.exceptions import InconsistentVersionWarning
from sklearn.pipeline import make_pipeline
from sklearn.utils import estimator_checks
from sklearn.utils.estimator_checks import estimator_checks_generator

import sklearn_dl
from sklearn_dl import (
    DetectionScorer,
    EntityRecognizer,
    ImageClassifier,
    ImageLoader,
    ImageRegressor,
    ImageResizer,
    LabelKeyMapper,
    ObjectDetector,
    OnnxScorer,
    PixelExtractor,
    QuestionAnswerer,
    ScoreClassifier,
    SentenceSimilarityRegressor,
    TensorFlowScorer,
    TextClassifier,
    TextEncoder,
    TextRegressor,
)
from sklearn_dl.metrics import make_detections
from sklearn_dl.testing import (
    parametrize_with_image_checks,
    parametrize_with_row_checks,
    parametrize_with_text_checks,
)
from sklearn_dl.testing._compare import assert_no_rows_like, assert_same, methods, results
from sklearn_dl.testing._data import CheckData, image_data, text_data
from sklearn_dl.testing._parametrize import WITHOUT_ROWS
from sklearn_dl.testing._rows import messages_of, with_cell
from sklearn_dl.utils._columns import object_array
from sklearn_dl.utils._sklearn import InvalidParameterError
from tests.scoring.tensorflow_models import frozen, mean_color, relu
from tests.text.tiny_encoders import tiny_bert
from tests.vision.backbones import tiny_module
from tests.vision.detection.detectors import ANCHORS, color_detector
from tests.vision.detection.drawn_squares import small_maps


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

PIXELS = image_data(1).X
IMAGES = ImageLoader().transform(PIXELS)
CHANNELS_FIRST = object_array([image.transpose(2, 0, 1) for image in PIXELS.flat]).reshape(-1, 1)
SCORES = np.random.default_rng(0).normal(size=(8, 3))
LABELS = np.array([["b"], ["a"], ["c"], ["a"], ["b"], ["c"], ["a"], ["b"]], dtype=object)

# groups of one kind of X; those that do not compute with floats are compared exactly (atol=0)
READ_IMAGES = {
    "ImageLoader": ImageLoader(),
    "ImageLoader-grey": ImageLoader(colors="L", on_error="nan"),
    "DetectionScorer": DetectionScorer(color_detector(), format="yolov2", anchors=ANCHORS),
}
LEARN_IMAGES = {
    "ImageClassifier-tuned": ImageClassifier(tiny_module, image_size=12, **TUNED),
    "ImageRegressor-tuned": ImageRegressor(tiny_module, image_size=12, **TUNED),
}
ON_ONNX_FEATURES = {
    "ImageClassifier-onnx": ImageClassifier(str(COLORS), image_size=8),
    "ImageRegressor-onnx": ImageRegressor(str(COLORS), image_size=8),
    "ImageRegressor-onnx-masked": ImageRegressor(str(COLORS), image_size=8, on_error="nan"),
}
DETECTING = {"image_size": 32, "max_epochs": 1, "precision": "float32", "random_state": 0}
ON_OBJECTS = {
    "ObjectDetector": ObjectDetector(small_maps, **DETECTING),
    "ObjectDetector-tuned-masked": ObjectDetector(
        small_maps, trainable_layers="all", on_error="nan", **DETECTING
    ),
}
# of the images of `image_data`, which are small
OBJECTS = object_array(
    [
        make_detections([[row % 3, 1, 7, 6.5]] * n, ["ab"[row % 2], "c"][:n])
        for row, n in enumerate([1, 2, 0, 1, 2, 0, 1, 2])
    ]
)
ON_LAZY_IMAGES = {
    "ImageResizer": ImageResizer(4, 4),
    "PixelExtractor": PixelExtractor(),
    "PixelExtractor-flat": PixelExtractor(layout="flat", offset=127),
}
ON_TEXTS = {
    "TextEncoder": TextEncoder(ENCODER, **TEXT),
    "TextEncoder-masked": TextEncoder(ENCODER, on_error="nan", **TEXT),
    "TextClassifier": TextClassifier(ENCODER, **TRAINED),
    "TextRegressor": TextRegressor(ENCODER, **TRAINED),
}
ON_ENTITIES = {
    "EntityRecognizer": EntityRecognizer(ENCODER, window_overlap=8, **TRAINED),
    "EntityRecognizer-frozen-masked": EntityRecognizer(
        ENCODER, window_overlap=8, trainable_layers=0, on_error="nan", **TEXT
    ),
}
# of the texts of `text_data`
ENTITIES = object_array(
    [
        [(2, 6, "quality")],
        [(0, 3, "quality")],
        [(4, 9, "art")],
        [(8, 11, "animal")],
        [],
        [(2, 11, "quality"), (20, 25, "art")],
        [],
        [(4, 7, "animal"), (23, 27, "art")],
    ]
)
ANSWERING = {"max_length": 48, "window_overlap": 8, "learning_rate": 1e-3}
ON_QUESTIONS = {
    "QuestionAnswerer": QuestionAnswerer(ENCODER, **TRAINED | ANSWERING),
    "QuestionAnswerer-masked": QuestionAnswerer(
        ENCODER, on_error="nan", allow_no_answer=True, **TRAINED | ANSWERING
    ),
}
# from the second column of `text_data`
ANSWERS = object_array(
    [
        text if row % 4 else {"text": [text.split()[0]], "answer_start": [0]}
        for row, text in enumerate(text_data(2).X[:, 1])
    ]
)
ON_PAIRS = {
    "TextClassifier-frozen": TextClassifier(ENCODER, trainable_layers=0, **TEXT),
    "TextRegressor-frozen": TextRegressor(ENCODER, trainable_layers=0, **TEXT),
    "TextRegressor-frozen-masked": TextRegressor(
        ENCODER, trainable_layers=0, on_error="nan", **TEXT
    ),
    "SentenceSimilarityRegressor": SentenceSimilarityRegressor(ENCODER, **TRAINED),
    "SentenceSimilarityRegressor-cross-encoder": SentenceSimilarityRegressor(
        ENCODER, architecture="cross-encoder", **TRAINED
    ),
}
ON_NUMBERS = {
    "OnnxScorer": OnnxScorer(RELU),
    "OnnxScorer-masked": OnnxScorer(RELU, on_error="nan"),
    "TensorFlowScorer": TensorFlowScorer(TF_RELU),
    "ScoreClassifier": ScoreClassifier(["c", "a", "b"], activation="softmax"),
    "ScoreClassifier-masked": ScoreClassifier(
        ["c", "a", "b"], activation="softmax", on_error="nan", missing="?"
    ),
    "ScoreClassifier-learned": ScoreClassifier(activation="sigmoid"),
}
ON_CHANNELS_FIRST = {"OnnxScorer-images": OnnxScorer(MEAN_COLOR, n_threads=2)}
ON_CHANNELS_LAST = {"TensorFlowScorer-images": TensorFlowScorer(TF_MEAN_COLOR)}
ON_LABELS = {"LabelKeyMapper": LabelKeyMapper()}
# the same estimators with several columns of y
SEVERAL_LABELS = np.array([[0, 1], [1, 0], [0, 0], [1, 1], [0, 1], [0, 0], [1, 1], [1, 0]])
SEVERAL_NUMBERS = np.column_stack([np.linspace(1.0, 4.0, 8), np.cos(np.arange(8.0))])
WITH_LABELS = {
    "TextClassifier": ON_TEXTS["TextClassifier"],
    "TextClassifier-frozen": ON_PAIRS["TextClassifier-frozen"],
}
WITH_LABELS_OF_IMAGES = {
    "ImageClassifier-tuned": LEARN_IMAGES["ImageClassifier-tuned"],
    "ImageClassifier-onnx": ON_ONNX_FEATURES["ImageClassifier-onnx"],
}
WITH_NUMBERS = {"TextRegressor": ON_TEXTS["TextRegressor"]}
WITH_NUMBERS_OF_IMAGES = {
    "ImageRegressor-tuned": LEARN_IMAGES["ImageRegressor-tuned"],
    "ImageRegressor-onnx": ON_ONNX_FEATURES["ImageRegressor-onnx"],
}
GROUPS = [
    (READ_IMAGES, image_data(1, atol=0)),
    (LEARN_IMAGES, image_data(1)),
    (ON_ONNX_FEATURES, image_data(1, atol=1e-12)),
    (ON_OBJECTS, CheckData(PIXELS, OBJECTS)),
    (ON_LAZY_IMAGES, CheckData(IMAGES, atol=0)),
    (ON_TEXTS, text_data(1)),
    (ON_ENTITIES, CheckData(text_data(1).X, ENTITIES)),
    (ON_QUESTIONS, CheckData(text_data(2).X, ANSWERS)),
    (ON_PAIRS, text_data(2)),
    (ON_NUMBERS, CheckData(SCORES, atol=0)),
    (ON_CHANNELS_FIRST, CheckData(CHANNELS_FIRST, atol=0)),
    (ON_CHANNELS_LAST, CheckData(PIXELS, atol=0)),
    (ON_LABELS, CheckData(LABELS, atol=0)),
]
CASES = [
    pytest.param(estimator, data, id=name)
    for estimators, data in GROUPS
    for name, estimator in estimators.items()
]
every_case = pytest.mark.parametrize(("estimator", "data"), CASES)


def test_every_public_estimator_has_a_case():
    public = {
        value
        for value in map(sklearn_dl.__getattr__, sklearn_dl.__all__[1:])
        if inspect.isclass(value) and issubclass(value, BaseEstimator)
    }
    assert public == {type(case.values[0]) for case in CASES}


@parametrize_with_image_checks(READ_IMAGES, n_columns=1, atol=0)
def test_estimators_that_read_images(estimator, check):
    check(estimator)


@parametrize_with_image_checks(LEARN_IMAGES, n_columns=1)
def test_estimators_that_learn_images(estimator, check):
    check(estimator)


@parametrize_with_image_checks(ON_ONNX_FEATURES, n_columns=1, atol=1e-12)
def test_estimators_of_onnx_features(estimator, check):
    check(estimator)


@parametrize_with_row_checks(ON_OBJECTS, PIXELS, OBJECTS)
def test_estimators_of_objects(estimator, check):
    check(estimator)


@parametrize_with_row_checks(ON_LAZY_IMAGES, IMAGES, atol=0)
def test_estimators_of_lazy_images(estimator, check):
    check(estimator)


@parametrize_with_text_checks(ON_TEXTS, n_columns=1)
def test_estimators_of_texts(estimator, check):
    check(estimator)


@parametrize_with_row_checks(ON_ENTITIES, text_data(1).X, ENTITIES)
def test_estimators_of_entities(estimator, check):
    check(estimator)


@pytest.mark.slow
@parametrize_with_row_checks(ON_QUESTIONS, text_data(2).X, ANSWERS)
def test_estimators_of_questions(estimator, check):
    check(estimator)


@pytest.mark.slow
@parametrize_with_text_checks(ON_PAIRS, n_columns=2)
def test_estimators_of_pairs_of_texts(estimator, check):
    check(estimator)


@pytest.mark.slow
@parametrize_with_row_checks(WITH_LABELS, text_data(1).X, SEVERAL_LABELS)
def test_classifiers_of_texts_with_several_labels(estimator, check):
    check(estimator)


@pytest.mark.slow
@parametrize_with_row_checks(WITH_LABELS_OF_IMAGES, PIXELS, SEVERAL_LABELS, atol=1e-4)
def test_classifiers_of_images_with_several_labels(estimator, check):
    check(estimator)


@pytest.mark.slow
@parametrize_with_row_checks(WITH_NUMBERS, text_data(1).X, SEVERAL_NUMBERS)
def test_regressors_of_texts_with_several_numbers(estimator, check):
    check(estimator)


@pytest.mark.slow
@parametrize_with_row_checks(WITH_NUMBERS_OF_IMAGES, PIXELS, SEVERAL_NUMBERS)
def test_regressors_of_images_with_several_numbers(estimator, check):
    check(estimator)


a_column_each = "X has a column for each of three classes, and y two classes"


def failures_on_numbers(estimator):
    if isinstance(estimator, ScoreClassifier):
        return dict.fromkeys(
            ["check_classifiers_classes", "check_decision_proba_consistency"], a_column_each
        )
    return {}


@parametrize_with_row_checks(ON_NUMBERS, SCORES, atol=0, expected_failed_checks=failures_on_numbers)
def test_estimators_of_numbers(estimator, check):
    check(estimator)


@parametrize_with_row_checks(ON_CHANNELS_FIRST, CHANNELS_FIRST, atol=0)
def test_estimators_of_arrays_with_channels_first(estimator, check):
    check(estimator)


@parametrize_with_row_checks(ON_CHANNELS_LAST, PIXELS, atol=0)
def test_estimators_of_arrays_with_channels_last(estimator, check):
    check(estimator)


@parametrize_with_row_checks(ON_LABELS, LABELS, atol=0)
def test_estimators_of_labels(estimator, check):
    check(estimator)


one_dimensional = "takes 1-D X: labels go in and out as y does"
EXPECTED_FAILURES = {
    "LabelKeyMapper": {
        "check_fit1d": one_dimensional,
        "check_fit2d_predict1d": one_dimensional,
    }
}


def checks_of_scikit_learn():
    """The result of `parametrize_with_checks`, with ids without temporary paths."""
    tables = {name: ON_NUMBERS[name] for name in ("OnnxScorer", "TensorFlowScorer")} | ON_LABELS
    for name, estimator in tables.items():
        expected = EXPECTED_FAILURES.get(name)
        for case in estimator_checks_generator(
            estimator, expected_failed_checks=expected, mark="xfail"
        ):
            marks = getattr(case, "marks", ())
            check = getattr(case, "values", case)[1]
            yield pytest.param(estimator, check, marks=marks, id=f"{name}-{check.func.__name__}")


@pytest.mark.parametrize(("estimator", "check"), list(checks_of_scikit_learn()))
@pytest.mark.filterwarnings("ignore:.*array_api.*", "ignore::sklearn.exceptions.SkipTestWarning")
def test_all_checks_of_scikit_learn(estimator, check):
    check(estimator)


@pytest.mark.parametrize("check", WITHOUT_ROWS)
def test_score_classifier_keeps_what_needs_no_rows(check):
    # scikit-learn's suite gives X of any number of columns; this one needs a column per class
    getattr(estimator_checks, check)("ScoreClassifier", ScoreClassifier())


@every_case
def test_a_pickle_of_another_version_warns(estimator, data):
    state = estimator.__getstate__()
    state["_sklearn_dl_version"] = "0.0.1"
    with pytest.warns(InconsistentVersionWarning, match=r"0\.0\.1"):
        object.__new__(type(estimator)).__setstate__(state)


@every_case
def test_only_fit_refuses_an_X_without_rows(estimator, data):
    X = data.take([])
    with pytest.raises(ValueError, match=r"0 sample\(s\)"):
        clone(estimator).fit(X, data.targets(estimator)[:0])
    for name in methods(estimator):
        method = getattr(data.fitted(estimator), name)
        for no_rows in (X, [], ()):
            # LabelKeyMapper returns keys in the shape of X, and a list has one dimension
            is_flat = isinstance(estimator, LabelKeyMapper) and no_rows is not X
            expected = method(data.X.ravel() if is_flat else data.X)
            assert_no_rows_like(method(no_rows), expected, name)


@every_case
@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_a_frame_without_rows_gives_a_frame_without_rows(estimator, data, library):
    frame = data.frame(library)
    fitted = clone(estimator)
    if hasattr(fitted, "set_output"):
        fitted.set_output(transform=library)
    fitted.fit(frame, data.targets(estimator))
    if library == "pandas":
        untyped = pd.DataFrame(columns=frame.columns)
    else:
        untyped = pl.DataFrame(schema=dict.fromkeys(frame.columns, pl.Object))
    for name in methods(estimator):
        method, expected = getattr(fitted, name), getattr(fitted, name)(frame)
        for no_rows in (frame[:0], untyped):
            assert_no_rows_like(method(no_rows), expected, name)
        with pytest.raises(ValueError, match=r"feature names|column"):
            method(type(frame)({"another": []}))


@every_case
def test_what_is_said_of_a_row_names_its_label(estimator, data):
    labels = [f"label{row}" for row in range(len(data))]
    frame = with_cell(data.frame("pandas"), np.nan).set_axis(labels)
    is_silent = isinstance(estimator, LabelKeyMapper) or (
        isinstance(estimator, ImageLoader | ScoreClassifier) and estimator.on_error == "nan"
    )
    for name in methods(estimator):
        said = messages_of(partial(getattr(data.fitted(estimator), name), frame))
        assert is_silent != any("label1" in message for message in said)


@every_case
def test_a_fit_that_is_repeated_has_the_same_bits(estimator, data):
    first, again = (
        results(fitted, data.X) for fitted in (data.fitted(estimator), data.fit(estimator))
    )
    for name, array in first.items():
        assert array.dtype == again[name].dtype
        if array.dtype.names:  # texts in a field are not in the bytes
            assert_same(array, again[name], atol=0)
        else:
            assert array.tobytes() == again[name].tobytes() or array.dtype == object


@every_case
def test_column_names_may_be_left_out_for_one_column_only(estimator, data):
    named = clone(estimator).fit(data.frame("pandas"), data.targets(estimator))
    if data.n_columns == 1:
        results(named, data.X)  # a warning would be an error
    else:
        with pytest.warns(UserWarning, match="does not have valid feature names"):
            results(named, data.X)


@every_case
def test_set_output_exists_beside_transform_only(estimator, data):
    assert hasattr(estimator, "set_output") == hasattr(estimator, "transform")


@every_case
def test_repr_and_html_are_short(estimator, data):
    pipe = make_pipeline(clone(estimator))
    assert type(estimator).__name__ in repr(pipe)
    assert len(repr(pipe)) < 600
    assert type(estimator).__name__ in pipe._repr_html_()


@every_case
@pytest.mark.parametrize("fitted", [False, True], ids=["unfitted", "fitted"])
def test_a_fit_that_is_stopped_leaves_the_estimator_as_it_was(estimator, data, fitted, monkeypatch):
    """Ctrl-C after the first attribute that `fit` sets, after the second, until it ends."""
    estimator = data.fit(estimator) if fitted else clone(estimator)
    before = dict(vars(estimator))
    for n_set in range(1, 100):
        left = n_set

        def set_and_stop(self, name, value):
            nonlocal left
            object.__setattr__(self, name, value)
            # scikit-learn's teardown of callbacks needs the attribute that is set right after it
            left -= name != "_callback_fit_ctx"
            if left == 0:
                raise KeyboardInterrupt

        with monkeypatch.context() as patch:
            patch.setattr(type(estimator), "__setattr__", set_and_stop)
            try:
                estimator.fit(data.frame("pandas"), data.targets(estimator))
            except KeyboardInterrupt:
                assert vars(estimator) == before
            else:
                break
    assert n_set > 1
    assert hasattr(estimator, "feature_names_in_")


@every_case
def test_parameters_are_checked_again_after_they_changed(estimator, data):
    fitted = data.fit(estimator)
    results(fitted, data.X)
    name = next(iter(fitted.get_params()))
    fitted.set_params(**{name: object()})
    with pytest.raises(InvalidParameterError, match=f"The '{name}' parameter"):
        fitted.fit(data.X, data.targets(estimator))


@pytest.mark.parametrize("columns", ["photo", ["photo"]], ids=["name", "list of names"])
def test_an_image_pipeline_names_its_columns_in_a_column_transformer(columns):
    frame = pd.DataFrame({"photo": pd.Series(PIXELS[:, 0]), "size": range(len(PIXELS))})
    images = make_pipeline(
        ImageLoader(), ImageResizer(4, 4), PixelExtractor(), OnnxScorer(MEAN_COLOR)
    )
    transformer = ColumnTransformer([("image", images, columns), ("rest", "passthrough", ["size"])])
    transformer.set_output(transform="pandas").fit(frame)
    names = ["image__y_0", "image__y_1", "image__y_2", "rest__size"]
    assert transformer.get_feature_names_out().tolist() == names
    assert transformer.transform(frame).columns.tolist() == names
