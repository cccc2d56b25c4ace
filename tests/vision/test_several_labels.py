"""ImageClassifier with several labels for each image."""

import pickle

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from PIL import Image
from sklearn.base import clone
from sklearn.metrics import f1_score
from sklearn.model_selection import cross_val_predict

from sklearn_dl import ImageClassifier
from tests.vision.backbones import SIZE, versioned_module


def of_colors(n=48, seed=0):
    """Images in whose colour any of red, green and blue is strong, and which of them are."""
    rng = np.random.default_rng(seed)
    y = (rng.random((n, 3)) < [0.5, 0.4, 0.2]).astype(bool)
    colors = np.where(y, 200, 50)[:, None, None, :] + rng.normal(0, 10, (n, SIZE, SIZE, 3))
    return list(colors.clip(0, 255).astype(np.uint8)), y


@pytest.fixture
def clf(backbone):
    return ImageClassifier(backbone, image_size=SIZE, precision="float32", random_state=0)


def test_it_learns_labels(clf):
    X, y = of_colors(200)
    clf.fit(X, y)
    others, expected = of_colors(seed=1)
    predicted = clf.predict(others)
    assert predicted.dtype == bool
    assert f1_score(expected, predicted, average="micro") > 0.8
    assert_array_equal(predicted, clf.predict_proba(others) > 0.5)
    copied = pickle.loads(pickle.dumps(clf))
    assert_array_equal(copied.decision_function(others), clf.decision_function(others))


@pytest.mark.slow
def test_trained_layers_learn_labels():
    X, y = of_colors(100)
    clf = ImageClassifier(
        versioned_module, image_size=SIZE, trainable_layers="all", random_state=0, max_epochs=10
    )
    clf.fit(X, y)
    others, expected = of_colors(seed=1)
    assert f1_score(expected, clf.predict(others), average="micro") > 0.8


def test_in_cross_validation_with_memory(clf, tmp_path):
    X, y = of_colors(24)
    clf.set_params(memory=tmp_path)
    found = cross_val_predict(clf, X, y, cv=3, method="predict_proba")
    assert found.shape == (24, 3)
    assert ((found > 0.5) == y).mean() > 0.7


def test_augmented_images_keep_their_labels(clf):
    X, y = of_colors()
    clf.set_params(augment=("flip", "crop")).fit(X, y)
    assert clf.score(*of_colors(seed=1)) > 0.5


def test_images_that_cannot_be_read(clf, tmp_path):
    X, y = of_colors(12)
    paths = [tmp_path / f"{row}.png" for row in range(12)]
    for image, path in zip(X, paths, strict=True):
        Image.fromarray(image).save(path)
    paths[3].write_bytes(b"no image")
    clf.set_params(on_error="nan")
    with pytest.warns(match="1 of 12"):
        clf.fit(paths, y)
    kept = np.setdiff1d(np.arange(12), 3)
    expected = clone(clf).fit([X[row] for row in kept], y[kept]).predict([X[row] for row in kept])
    with pytest.warns(match="1 of 12"):
        predicted = clf.predict(paths)
    assert np.isnan(predicted[3]).all()
    assert_array_equal(predicted[kept], expected)
