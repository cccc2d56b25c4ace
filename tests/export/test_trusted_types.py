"""skops stores each fitted estimator, and loads it with the types that this package names."""

import os
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
import skops.io
from sklearn.compose import ColumnTransformer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder
from skops.io.exceptions import UntrustedTypesFoundException

from sklearn_dl import (
    ImageClassifier,
    ObjectDetector,
    OnnxScorer,
    TensorFlowScorer,
    TextClassifier,
    TextEncoder,
)
from sklearn_dl.export import trusted_types
from sklearn_dl.testing._compare import assert_same_results, results
from tests.test_conformance import (
    CASES,
    ENCODER,
    PIXELS,
    RELU,
    SCORES,
    SEVERAL_LABELS,
    TEXT,
    TF_RELU,
    text_data,
)
from tests.text.tiny_heads import tiny_head
from tests.vision.backbones import SIZE, tiny_folder
from tests.vision.detection.map_graphs import map_graph
from tests.vision.detection.test_object_detector import drawn_images

# types of other packages and of the tests, which a user would also have to trust
OTHERS = {
    "numpy.dtype",
    "tests.vision.backbones.tiny_module",
    "tests.vision.detection.drawn_squares.small_maps",
}
STORED = [case for case in CASES if not isinstance(case.values[0], TensorFlowScorer)]
X = text_data(1).X


def loaded(estimator):
    """The estimator that skops loads, and the types that it had to trust."""
    stored = skops.io.dumps(estimator)
    types = set(skops.io.get_untrusted_types(data=stored))
    assert types <= {*trusted_types(), *OTHERS}
    return skops.io.loads(stored, trusted=sorted(types)), types


@pytest.fixture(scope="module")
def seen():
    """The types that all tests before have met."""
    return set()


@pytest.mark.parametrize(("estimator", "data"), STORED)
def test_each_estimator(estimator, data, seen):
    fitted = data.fit(estimator)
    again, types = loaded(fitted)
    seen |= types
    assert_same_results(results(again, data.X), results(fitted, data.X), 0)


def test_several_labels_and_a_network_of_a_folder(seen, tmp_path):
    labels = TextClassifier(ENCODER, trainable_layers=0, **TEXT).fit(X, SEVERAL_LABELS)
    images = ImageClassifier(str(tiny_folder(tmp_path / "resnet")), image_size=SIZE)
    images.fit(PIXELS, SEVERAL_LABELS)
    for fitted, rows in ((labels, X), (images, PIXELS)):
        again, types = loaded(fitted)
        seen |= types
        np.testing.assert_array_equal(again.predict_proba(rows), fitted.predict_proba(rows))


def test_a_head_of_the_models_folder(seen, tmp_path):
    folder = str(tiny_head(tmp_path / "bert", "bert", "sequence", ["b", "a"]))
    unfitted = TextClassifier(folder, **TEXT)
    fitted = TextClassifier(folder, max_epochs=1, **TEXT).fit(X, np.resize(["a", "b"], len(X)))
    for estimator in (unfitted, fitted):
        again, types = loaded(estimator)
        seen |= types
        np.testing.assert_array_equal(again.predict_proba(X), estimator.predict_proba(X))


def test_a_detector_that_learned(seen, tmp_path):
    path = tmp_path / "maps.onnx"
    path.write_bytes(map_graph())
    images, objects = drawn_images(8)
    fitted = ObjectDetector(str(path), image_size=96, max_epochs=2, random_state=0)
    fitted.fit(images, objects)
    again, types = loaded(fitted)
    seen |= types
    found = fitted.predict(images)
    assert sum(map(len, found)) > 8
    for one, other in zip(again.predict(images), found, strict=True):
        np.testing.assert_array_equal(one, other)


def test_every_type_is_needed_and_exists(seen):
    if "PYTEST_XDIST_WORKER" in os.environ:
        pytest.skip("other processes have met some of the types")
    assert seen - OTHERS == set(trusted_types())
    for name in trusted_types():
        module, _, attribute = name.rpartition(".")
        assert isinstance(getattr(import_module(module), attribute), type)


def test_a_pipeline_with_steps_of_scikit_learn():
    table = np.column_stack([X[:, 0], np.resize(["red", "blue"], len(X))])
    columns = ColumnTransformer(
        [("text", TextEncoder(ENCODER, **TEXT), [0]), ("color", OneHotEncoder(), [1])]
    )
    pipeline = make_pipeline(columns, LogisticRegression()).fit(table, SEVERAL_LABELS[:, 0])
    again, _ = loaded(pipeline)
    np.testing.assert_array_equal(again.predict_proba(table), pipeline.predict_proba(table))


def test_tensorflow_must_be_trusted_by_name():
    fitted = TensorFlowScorer(TF_RELU).fit(SCORES)
    stored = skops.io.dumps(fitted)
    with pytest.raises(UntrustedTypesFoundException, match="TensorFlow"):
        skops.io.loads(stored, trusted=trusted_types())
    types = skops.io.get_untrusted_types(data=stored)
    scorer = skops.io.loads(stored, trusted=types)
    np.testing.assert_array_equal(scorer.transform(SCORES), fitted.transform(SCORES))


def test_a_list_that_is_changed_changes_no_other():
    trusted_types().clear()
    assert trusted_types()


def test_a_file_that_was_tampered_with_is_checked_when_its_network_is_loaded():
    scorer = OnnxScorer(RELU).fit(SCORES)
    again, _ = loaded(scorer.set_params(model=b"not a graph"))
    with pytest.raises(ValueError, match="not an ONNX model"):
        again.transform(SCORES)


def test_a_file_contains_each_tensor_once():
    n_bytes = sum(file.stat().st_size for file in Path(ENCODER).iterdir())
    for layers in (0, 1, "all"):
        clf = TextClassifier(ENCODER, trainable_layers=layers, max_epochs=1, max_length=16)
        stored = skops.io.dumps(clf.fit(X, [0, 1] * (len(X) // 2)))
        assert len(stored) < 1.05 * n_bytes + 40_000
