"""ImageRegressor: numbers of images, by a head on features or a fine-tuned network."""

import pickle

import numpy as np
import pytest
from PIL import Image
from sklearn.base import clone
from sklearn.linear_model import RidgeCV
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline

from sklearn_dl import ImageClassifier, ImageLoader, ImageRegressor
from sklearn_dl.training._head import ridge_head
from sklearn_dl.vision import _features
from tests.vision.backbones import SIZE, versioned_module

SMALL = {"image_size": SIZE, "precision": "float32", "random_state": 0}


def shades(n=40, seed=0):
    """Images of one grey level each, with noise, and their levels."""
    rng = np.random.default_rng(seed)
    levels = rng.uniform(30, 220, n)
    noise = rng.normal(0, 5, (n, SIZE, SIZE, 3))
    return list((levels[:, None, None, None] + noise).clip(0, 255).astype(np.uint8)), levels


@pytest.fixture(scope="module")
def train():
    return shades()


@pytest.fixture(scope="module")
def test():
    return shades(20, seed=1)


@pytest.fixture
def regressor(backbone):
    return ImageRegressor(backbone, **SMALL)


def test_it_learns_from_features(regressor, train, test):
    assert regressor.fit(*train).score(*test) > 0.9
    assert regressor.best_epoch_ == 0
    assert regressor.history_ == {}


def test_the_head_is_a_tuned_ridge_regression(regressor, train):
    X, y = train
    weights = np.random.default_rng(0).integers(1, 3, len(y)).astype(float)
    regressor.fit(X, y, sample_weight=weights)
    features = regressor.transform(X).astype(np.float64)
    head = ridge_head(features, y, weights, tune=True, each=False)
    np.testing.assert_allclose(regressor.predict(X), head(features)[:, 0], rtol=1e-9)
    other = RidgeCV(np.logspace(-3, 3, 13)).fit(features, y, sample_weight=weights)
    assert abs(regressor.predict(X) - other.predict(features)).max() < 5


@pytest.mark.parametrize("layers", [0, "all"])
def test_several_numbers(trainable, train, test, layers):
    params = {**SMALL, "trainable_layers": layers, "max_epochs": 1}
    y = np.column_stack([train[1], -1000 * train[1] + 5])
    both = ImageRegressor(trainable, **params).fit(train[0], y)
    predicted = both.predict(test[0])
    assert (predicted.shape, predicted.dtype) == ((20, 2), np.float64)
    # numbers are standardised: their units do not count
    np.testing.assert_allclose(predicted[:, 1], -1000 * predicted[:, 0] + 5, rtol=1e-2)


@pytest.mark.slow
def test_a_fine_tuned_network_learns(trainable, train, test):
    regressor = ImageRegressor(
        trainable, trainable_layers="all", max_epochs=8, early_stopping=True, **SMALL
    ).fit(*train, X_val=test[0], y_val=test[1])
    losses = regressor.history_["train_loss"]
    assert losses[-1] < losses[0]
    best = regressor.history_["validation_score"][regressor.best_epoch_ - 1]
    assert best == pytest.approx(regressor.score(*test), abs=1e-6)
    assert best > 0.3


def test_a_fit_continues_from_the_last_one(trainable, train):
    regressor = ImageRegressor(
        trainable, trainable_layers="all", max_epochs=1, warm_start=True, **SMALL
    )
    first = regressor.fit(*train).predict(train[0])
    assert len(regressor.fit(*train).history_["train_loss"]) == 2
    assert abs(regressor.predict(train[0]) - first).max() > 0
    with pytest.raises(ValueError, match="cannot change the number of columns of y"):
        regressor.fit(train[0], np.column_stack([train[1]] * 2))


def test_rows_that_cannot_be_read(regressor, train, tmp_path):
    paths = []
    for row, image in enumerate(train[0][:12]):
        paths.append(str(tmp_path / f"{row}.png"))
        Image.fromarray(image).save(paths[-1])
    (tmp_path / "3.png").write_bytes(b"not an image")
    y, good = train[1][:12], [row for row in range(12) if row != 3]
    with pytest.raises(ValueError, match="Row 3: cannot read"):
        regressor.fit(paths, y)
    expected = clone(regressor).fit([paths[row] for row in good], y[good])
    for estimator, prefix in (
        (clone(regressor).set_params(on_error="nan"), ()),
        (clone(regressor), (ImageLoader(on_error="nan"),)),
    ):
        model = make_pipeline(*prefix, estimator)
        with pytest.warns(UserWarning, match="1 of 12 images could not be read and were left out"):
            model.fit(paths, y)
        with pytest.warns(UserWarning, match="1 of 12 images could not be read; their rows"):
            predicted = model.predict(paths)
        assert np.isnan(predicted).nonzero()[0].tolist() == [3]
        np.testing.assert_allclose(predicted[good], expected.predict([paths[r] for r in good]))


def test_features_are_shared_with_a_classifier(backbone, train, tmp_path, monkeypatch):
    computed, real = [], _features.computed_features

    def counted(graph, array, *args):
        computed.append(len(array))
        return real(graph, array, *args)

    monkeypatch.setattr(_features, "computed_features", counted)
    X, y = train
    ImageClassifier(backbone, memory=tmp_path, **SMALL).fit(X, y > 100)
    assert computed == [40]
    scores = cross_val_score(ImageRegressor(backbone, memory=tmp_path, **SMALL), X, y, cv=4)
    assert computed == [40]
    assert scores.min() > 0.8


def test_random_views(trainable, train, test):
    regressor = ImageRegressor(trainable, augment=("flip",), **SMALL).fit(*train)
    assert regressor.score(*test) > 0.9


@pytest.mark.parametrize("layers", [0, "all"])
def test_pickles(train, layers):
    regressor = ImageRegressor(versioned_module, trainable_layers=layers, max_epochs=1, **SMALL)
    expected = regressor.fit(*train).predict(train[0])
    loaded = pickle.loads(pickle.dumps(regressor))
    np.testing.assert_allclose(loaded.predict(train[0]), expected, rtol=1e-6)


@pytest.mark.parametrize(
    ("y", "message"),
    [
        (np.full(40, 3.0), r"All 40 targets are equal \(3\)"),
        ([np.nan] + [1.0] * 39, "missing"),
        (["a"] * 40, "targets|numbers"),
        (np.zeros((39, 1)), "inconsistent numbers of samples"),
    ],
    ids=["equal", "missing", "strings", "too few"],
)
def test_targets_that_are_refused(onnx_file, train, y, message):
    regressor = ImageRegressor(onnx_file, **SMALL)
    with pytest.raises(ValueError, match=message):
        regressor.fit(train[0], y)
    assert not hasattr(regressor, "n_features_in_")


def test_tags():
    tags = ImageRegressor().__sklearn_tags__()
    assert tags.estimator_type == "regressor"
    assert tags.target_tags.multi_output
