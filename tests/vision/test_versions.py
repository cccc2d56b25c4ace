"""Tensors and names do not identify what a callable computes, so its features are not reused."""

import functools

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.model_selection import cross_val_score

from sklearn_dl import ImageClassifier
from sklearn_dl.training import _training_loop
from sklearn_dl.vision import _features
from tests.vision.backbones import tiny_module

pytestmark = pytest.mark.slow

SIGN = {"is": 1.0}


class Edited(torch.nn.Module):
    """Its `forward` is as if somebody edited it between fits: tensors, repr and name stay."""

    def __init__(self):
        super().__init__()
        self.body = tiny_module()

    def forward(self, pixels):
        return SIGN["is"] * self.body(pixels).mean((2, 3))


@pytest.fixture
def edit(monkeypatch):
    """Edits `forward` when it is called."""
    return lambda: monkeypatch.setitem(SIGN, "is", -1.0)


def versioned(version):
    make = functools.partial(Edited)
    make.version = version
    return make


@pytest.fixture
def computed(monkeypatch):
    """The number of rows whose features were computed in each call."""
    calls = []
    real = _features.computed_features
    monkeypatch.setattr(
        _features, "computed_features", lambda graph, array, *args: (
            calls.append(len(array)) or real(graph, array, *args)
        ),
    )  # fmt: skip
    return calls


def test_memory_keeps_nothing_of_a_callable(params, data, tmp_path, edit, computed):
    clf = ImageClassifier(Edited, memory=tmp_path, **params)
    before = clf.fit(*data).transform(data[0])
    edit()
    np.testing.assert_allclose(clone(clf).fit(*data).transform(data[0]), -before, atol=1e-6)
    assert computed == [24] * 4
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("version", ["1", 1])
def test_memory_goes_by_the_version(params, data, tmp_path, edit, computed, version):
    clf = ImageClassifier(versioned(version), memory=tmp_path, **params)
    before = clf.fit(*data).transform(data[0])
    cross_val_score(clf, *data, cv=2)
    assert computed == [24]
    edit()
    other = ImageClassifier(versioned("2"), memory=tmp_path, **params).fit(*data)
    np.testing.assert_allclose(other.transform(data[0]), -before, atol=1e-6)
    assert computed == [24, 24]


def test_a_version_that_is_a_property(params, data, tmp_path, computed):
    class Model(Edited):
        @property
        def version(self):
            return "1"

    ImageClassifier(Model, memory=tmp_path, **params).fit(*data).predict(data[0])
    assert computed == [24, 24]


@pytest.mark.parametrize("layers", [0, "all"])
def test_warm_start(params, data, edit, layers):
    clf = ImageClassifier(Edited, trainable_layers=layers, warm_start=True, **params).fit(*data)
    expected = clf.predict_proba(data[0])
    with pytest.raises(
        ValueError,
        match=r"A fit cannot continue with model=.*no version.*version = \"1\"",
    ):
        clf.fit(*data)
    np.testing.assert_array_equal(clf.predict_proba(data[0]), expected)
    clf = clone(clf).set_params(model=versioned("1")).fit(*data).fit(*data)
    with pytest.raises(ValueError, match="warm_start=True cannot continue with model="):
        clf.set_params(model=versioned("2")).fit(*data)


def stopped(clf, data, monkeypatch):
    """Fit until the first epoch has been saved."""
    real = _training_loop._Run.save

    def save(run):
        real(run)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(_training_loop._Run, "save", save)
        with pytest.raises(KeyboardInterrupt):
            clf.fit(*data)


def test_checkpoints(params, data, tmp_path, monkeypatch):
    options = {"trainable_layers": "all", "checkpoint_dir": tmp_path, **params}
    stopped(ImageClassifier(Edited, **options), data, monkeypatch)
    (path,) = tmp_path.iterdir()
    with pytest.raises(ValueError, match=r"cannot resume from it: model=.*version = \"1\""):
        ImageClassifier(Edited, **options).fit(*data)
    path.unlink()
    # a fit that is not interrupted needs no version
    ImageClassifier(Edited, **options).fit(*data)
    stopped(ImageClassifier(versioned("1"), **options), data, monkeypatch)
    with pytest.raises(ValueError, match=r"belongs to another fit \(different model\)"):
        ImageClassifier(versioned("2"), **options).fit(*data)
    resumed = ImageClassifier(versioned("1"), **options).fit(*data)
    assert resumed.history_["epoch"] == [1, 2]
    assert list(tmp_path.iterdir()) == []


def same(image, rng):
    return image


def test_checkpoints_and_views_of_the_user(params, data, resnet, tmp_path, monkeypatch):
    options = {"trainable_layers": "all", "checkpoint_dir": tmp_path, **params}
    stopped(ImageClassifier(resnet, augment=same, **options), data, monkeypatch)
    with pytest.raises(ValueError, match="cannot resume from it: augment="):
        ImageClassifier(resnet, augment=same, **options).fit(*data)
    (path,) = tmp_path.iterdir()
    path.unlink()
    first, second = (functools.partial(same) for _ in range(2))
    first.version, second.version = "1", "2"
    stopped(ImageClassifier(resnet, augment=first, **options), data, monkeypatch)
    with pytest.raises(ValueError, match=r"another fit \(different version of augment\)"):
        ImageClassifier(resnet, augment=second, **options).fit(*data)
    ImageClassifier(resnet, augment=first, **options).fit(*data)
    assert list(tmp_path.iterdir()) == []
