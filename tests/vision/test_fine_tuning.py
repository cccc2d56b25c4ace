"""ImageClassifier: fine-tuned networks."""

import errno
import os
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.base import clone
from sklearn.callback import ScoringMonitor
from sklearn.datasets import load_digits

from sklearn_dl import ImageClassifier, clear_sessions
from sklearn_dl.images import ImageLoader, ImageReadError
from sklearn_dl.training import _training_loop
from sklearn_dl.vision import _backbone
from sklearn_dl.vision._features import checked_features
from sklearn_dl.vision._image_network import ImageNetwork, layers_of
from tests.training.children import die_at_call, in_child
from tests.vision.backbones import (
    OtherModule,
    colored_images,
    other_module,
    tiny_folder,
    tiny_module,
)


@pytest.fixture
def clf(trainable, params):
    return ImageClassifier(trainable, trainable_layers="all", **params)


def state_of(clf):
    return {k: t.clone() for k, t in clf._predictor.network.live.state_dict().items()}


def same(first, second):
    return all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.slow
def test_learns(clf, data):
    X_new, y_new = colored_images(30, seed=1)
    clf.set_params(max_epochs=6, learning_rate=3e-3).fit(*data)
    assert clf.score(X_new, y_new) >= 0.75
    history = clf.history_
    assert history["epoch"] == [1, 2, 3, 4, 5, 6]
    assert history["train_loss"][-1] < history["train_loss"][0]
    assert clf.best_epoch_ == 6
    assert clf.device_ == "cpu"
    np.testing.assert_allclose(clf.predict_proba(X_new).sum(axis=1), 1)
    assert clf.get_feature_names_out().shape == (clf.transform(X_new).shape[1],)


def test_it_starts_from_the_solved_head(clf, data):
    frozen = clone(clf).set_params(trainable_layers=0).fit(*data)
    barely = clone(clf).set_params(max_epochs=1, learning_rate=1e-9).fit(*data)
    np.testing.assert_allclose(
        barely.predict_proba(data[0]), frozen.predict_proba(data[0]), atol=1e-4
    )


@pytest.mark.slow
def test_the_same_seed_gives_the_same_bits(clf, data):
    clf.set_params(augment="standard")
    first, second = clone(clf).fit(*data), clone(clf).fit(*data)
    assert same(state_of(first), state_of(second))
    other = clone(clf).set_params(random_state=1).fit(*data)
    assert not same(state_of(first), state_of(other))


@pytest.mark.parametrize("on_error", ["raise", "nan"])
def test_an_image_that_is_gone_in_training_is_named(clf, data, tmp_path, on_error):
    paths = [tmp_path / f"{i}.png" for i in range(24)]
    for path, image in zip(paths, data[0], strict=True):
        Image.fromarray(image).save(path)

    def remove(image, rng):
        paths[7].unlink(missing_ok=True)
        return image

    clf.set_params(augment=remove, on_error=on_error)
    weights = np.ones(24)
    weights[[0, 3, 12]] = 0
    message = (
        r"^Row 7: the image could be read before the training, but not during the training: "
        r"cannot read '.*7\.png'"
    )
    with pytest.raises(ImageReadError, match=message) as caught:
        clf.fit(paths, data[1], sample_weight=weights)
    assert (caught.value.row, caught.value.source) == (7, str(paths[7]))
    assert not hasattr(clf, "classes_")


def test_an_unreadable_image_of_x_val_raises_before_training(clf, data, tmp_path, monkeypatch):
    images = [*data[0][:6], tmp_path / "missing.png"]
    Path(images[6]).write_bytes(b"no image")
    computed = []
    monkeypatch.setattr(_training_loop._Run, "step", lambda *args: pytest.fail("it trains"))
    monkeypatch.setattr(
        _backbone, "checked_features", lambda rows, *found: (
            computed.append(len(rows)) or checked_features(rows, *found)
        ),
    )  # fmt: skip
    clf.set_params(early_stopping=True)
    with pytest.raises(ImageReadError, match=r"^Row 6: .*missing\.png"):
        clf.fit(*data, X_val=images, y_val=data[1][:7])
    assert computed == [24]  # nothing of X_val


@pytest.mark.slow
def test_views_change_what_is_learned(clf, data):
    plain = clone(clf).fit(*data)
    seen = clone(clf).set_params(augment=("flip",)).fit(*data)
    assert not same(state_of(plain), state_of(seen))


def test_batch_normalisations_keep_their_statistics(data, params):
    clf = ImageClassifier(tiny_module, trainable_layers="all", **params).fit(*data)
    before, after = tiny_module().state_dict(), state_of(clf)
    for name in ("1.running_mean", "1.running_var", "4.running_mean", "1.num_batches_tracked"):
        assert torch.equal(after[f"body.{name}"], before[name])
    assert not torch.equal(after["body.1.weight"], before["1.weight"])


def test_the_last_layers_only(data, params):
    clf = ImageClassifier(tiny_module, trainable_layers=1, **params).fit(*data)
    before, after = tiny_module().state_dict(), state_of(clf)
    changed = {name for name in before if not torch.equal(after[f"body.{name}"], before[name])}
    assert changed == {"3.weight", "3.bias", "4.weight", "4.bias"}
    with pytest.raises(ValueError, match="trainable_layers=3, but the network has 2 layers"):
        clone(clf).set_params(trainable_layers=3).fit(*data)


def test_layers():
    def names(body):
        where = {id(module): name for name, module in body.named_modules()}
        return [[where[id(module)] for module in layer] for layer in layers_of(body)]

    assert names(tiny_module()) == [["0", "1"], ["3", "4"]]
    assert names(OtherModule()) == [["first", "norm"], ["second"]]


@pytest.mark.parametrize(("kind", "n"), [("resnet", 3), ("vit", 3), ("convnext", 3)])
def test_layers_of_transformers(tmp_path, data, params, kind, n):
    folder = tiny_folder(tmp_path / kind, kind)
    clf = ImageClassifier(folder, trainable_layers=n, **params).fit(*data)
    with pytest.raises(ValueError, match=f"the network has {n} layers"):
        clone(clf).set_params(trainable_layers=n + 1).fit(*data)


def test_a_dropout_of_the_module_is_ours(data, params):
    clf = ImageClassifier(other_module, trainable_layers="all", **params).fit(*data)
    assert type(clf._predictor.network.live.body.dropout).__module__.startswith("sklearn_dl")
    assert clf.transform(data[0]).shape == (24, 5)


@pytest.mark.parametrize("layers", ["all", 1])
def test_pickles_carry_the_trained_network(trainable, data, params, layers):
    clf = ImageClassifier(trainable, trainable_layers=layers, **params).fit(*data)
    expected = clf.predict_proba(data[0])
    for embed in (True, False, "auto"):
        data_ = pickle.dumps(clf.set_params(embed_model=embed))
        clear_sessions()
        copied = pickle.loads(data_)
        assert copied._predictor.network.live is None
        assert getattr(copied._predictor.network.content.content, "network", None) is None
        np.testing.assert_array_equal(copied.predict_proba(data[0]), expected)
        assert copied.history_ == clf.history_


@pytest.mark.slow
def test_a_pickle_works_where_the_folder_is_gone(tmp_path, data, params):
    folder = tiny_folder(tmp_path / "model")
    frozen, tuned = (
        ImageClassifier(folder, trainable_layers=layers, **params).fit(*data) for layers in (0, 1)
    )
    expected = [clf.predict_proba(data[0]) for clf in (frozen, tuned)]
    pickles = [pickle.dumps(clf) for clf in (frozen, tuned)]
    whole = pickle.dumps(tuned.set_params(embed_model=True))
    weights = (folder / "model.safetensors").stat().st_size
    assert max(map(len, pickles)) < 1.05 * weights + 10_000 < len(whole)
    (folder / "config.json").unlink()
    clear_sessions()
    for one, wanted in zip(pickles, expected, strict=True):
        copied = pickle.loads(pickle.dumps(pickle.loads(one)))
        np.testing.assert_allclose(copied.predict_proba(data[0]), wanted, atol=1e-6)
    with pytest.raises(FileNotFoundError, match=r"from a pickle without .*embed_model=True"):
        copied.fit(*data)
    for one, wanted in zip([pickles[0], whole], expected, strict=True):
        copied = pickle.loads(one)
        np.testing.assert_allclose(copied.fit(*data).predict_proba(data[0]), wanted, atol=1e-5)


def test_an_onnx_file_has_a_head_to_train_only(onnx_file, data, params):
    clf = ImageClassifier(onnx_file, trainable_layers=1, **params)
    with pytest.raises(ValueError, match="an ONNX graph, whose layers cannot be trained"):
        clf.fit(*data)


@pytest.mark.slow
def test_early_stopping_keeps_the_best_epoch(clf, data):
    X_val, y_val = colored_images(12, seed=2)
    clf.set_params(early_stopping=True, n_iter_no_change=2, max_epochs=8, learning_rate=0.01)
    clf.fit(*data, X_val=X_val, y_val=y_val)
    scores = clf.history_["validation_score"]
    assert (
        clf.best_epoch_ == 1 + int(np.argmax(scores)) or max(scores) == scores[clf.best_epoch_ - 1]
    )
    assert clf.score(X_val, y_val) == pytest.approx(max(scores))
    clf.fit(*data)  # holds out rows of its own
    assert len(clf.history_["validation_loss"]) >= 1


@pytest.mark.slow
def test_warm_start_goes_on(clf, data):
    clf.set_params(warm_start=True).fit(*data).fit(*data)
    assert clf.history_["epoch"] == [1, 2, 3, 4]
    with pytest.raises(ValueError, match="cannot change the classes"):
        clf.fit(data[0], data[1] == "r")
    # what was frozen can be trained later
    clf.set_params(warm_start=False, trainable_layers=1).fit(*data)
    before = state_of(clf)
    after = state_of(clf.set_params(warm_start=True, trainable_layers="all").fit(*data))
    first = next(name for name in before if name.endswith("weight"))
    assert not torch.equal(before[first], after[first])


def test_callbacks(clf, data):
    monitor = ScoringMonitor(scoring="accuracy")
    clf.set_callbacks(monitor).fit(*data)
    log = monitor.get_logs().data_as_pandas
    epochs = log[log.task_name == "epoch"]
    assert len(epochs) == 2
    assert epochs.accuracy.iloc[-1] == clf.score(*data)


@pytest.mark.slow
def test_weights_of_zero_change_nothing(clf, data):
    X, y = data
    weights = np.ones(24)
    weights[::5] = 0
    kept = np.flatnonzero(weights)
    first = clone(clf).fit(X, y, sample_weight=weights)
    second = clone(clf).fit([X[i] for i in kept], y[kept])
    assert same(state_of(first), state_of(second))


def test_an_error_leaves_the_estimator_as_it_was(clf, data, monkeypatch):
    clf.fit(*data)
    expected = clf.predict_proba(data[0])

    def interrupt(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr(_training_loop._Run, "step", interrupt)
    with pytest.raises(KeyboardInterrupt):
        clf.fit(data[0], data[1] == "r")
    np.testing.assert_array_equal(clf.predict_proba(data[0]), expected)


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork and SIGKILL")
@pytest.mark.parametrize("step", [2, 4])
def test_a_killed_fit_ends_with_the_weights_of_a_whole_one(
    params, data, tmp_path, monkeypatch, step, resnet
):
    threads = torch.get_num_threads()
    monkeypatch.setattr(_training_loop, "SECONDS_BETWEEN_CHECKPOINTS", -1)
    monkeypatch.setattr("sklearn_dl.runtimes.torch._device.thread_budget", lambda *args: 1)
    clf = ImageClassifier(resnet, trainable_layers="all", augment="standard", **params)
    whole = clone(clf).set_params(checkpoint_dir=tmp_path / "whole").fit(*data)
    clf.set_params(checkpoint_dir=tmp_path / "killed")

    def work():
        _training_loop._Run.step = die_at_call(step, _training_loop._Run.step)
        clf.fit(*data)

    assert in_child(work) == -9
    (checkpoint,) = (tmp_path / "killed").iterdir()
    with pytest.raises(ValueError, match=r"belongs to another fit \(different data\)"):
        clone(clf).fit(data[0][::-1], data[1][::-1])
    clf.fit(*data)
    assert same(state_of(clf), state_of(whole))
    assert not checkpoint.exists()
    assert torch.get_num_threads() == threads


@pytest.mark.slow
def test_bfloat16(clf, data):
    clf.set_params(precision="bfloat16").fit(*data)
    rough = clf.predict_proba(data[0])
    fine = clf.set_params(precision="float32").predict_proba(data[0])
    np.testing.assert_allclose(rough, fine, atol=0.05)
    assert not np.array_equal(rough, fine)


@pytest.mark.slow
@pytest.mark.real
def test_efficientnet(data, params):
    """The torch network computes what its ONNX export does, and its last block is trained."""
    from sklearn_dl.models._cache import torch_network

    images = [np.kron(image, np.ones((4, 4, 1), np.uint8)) for image in data[0][:9]]
    params |= {"image_size": 64, "max_epochs": 1}
    clf = ImageClassifier(**params).fit(images, data[1][:9])
    network = ImageNetwork(torch_network("efficientnet-lite0")).eval()
    pixels = (np.asarray(images, np.float32).transpose(0, 3, 1, 2) - 127) / 128
    with torch.inference_mode():
        features = network.features(torch.from_numpy(pixels)).numpy()
    np.testing.assert_allclose(clf.transform(images), features, atol=1e-3)
    assert len(layers_of(network.body)) == 18
    tuned = clone(clf).set_params(trainable_layers=2).fit(images, data[1][:9])
    changed = [
        name
        for name, tensor in network.state_dict().items()
        if not torch.equal(tensor, state_of(tuned)[name])
    ]
    assert changed
    assert all(("_blocks.15" in n) or ("_conv_head" in n) or ("_bn1" in n) for n in changed)
    np.testing.assert_allclose(
        pickle.loads(pickle.dumps(tuned)).predict_proba(images), tuned.predict_proba(images)
    )


@pytest.mark.slow
@pytest.mark.real
def test_all_layers_learn_with_the_default_learning_rate():
    digits, labels = load_digits(return_X_y=True)
    images = [
        Image.fromarray((15.9 * digit.reshape(8, 8)).astype(np.uint8)).resize((64, 64))
        for digit in digits[:900]
    ]
    clf = ImageClassifier(image_size=64, max_epochs=3, random_state=0)
    frozen = clf.fit(images[:400], labels[:400]).score(images[400:], labels[400:900])
    clf.set_params(trainable_layers="all").fit(images[:400], labels[:400])
    assert clf.score(images[400:], labels[400:900]) > frozen > 0.6


@pytest.mark.slow
@pytest.mark.parametrize("layers", [0, "all"])
def test_a_pickle_that_names_its_model_is_gone_on_with(resnet, data, params, layers):
    clf = ImageClassifier(resnet, embed_model=False, warm_start=True, **params)
    clf.set_params(trainable_layers=layers).fit(*data)
    loaded = pickle.loads(pickle.dumps(clf)).set_params(trainable_layers="all")
    expected = clf.set_params(trainable_layers="all").fit(*data)
    np.testing.assert_allclose(
        loaded.fit(*data).predict_proba(data[0]), expected.predict_proba(data[0]), atol=1e-5
    )


def test_predict_does_not_ask_for_views(clf, data):
    clf.fit(*data)
    expected = clf.predict(data[0])
    np.testing.assert_array_equal(clf.set_params(augment="no kind").predict(data[0]), expected)


def test_an_image_that_the_machine_cannot_open_is_named_in_a_note(clf, data, tmp_path, monkeypatch):
    path = tmp_path / "image.png"
    Image.fromarray(data[0][0]).save(path)

    def opened(*args):
        raise OSError(errno.EMFILE, "Too many open files")

    clf.set_params(early_stopping=True)
    images = ImageLoader().transform([*data[0][:2], path])[:, 0]
    monkeypatch.setattr("sklearn_dl.images._lazy.open_file", opened)
    with pytest.raises(OSError, match="Too many open files") as caught:
        clf.fit(*data, X_val=images, y_val=data[1][:3])
    assert "Row 2" in caught.value.__notes__


def test_training_starts_with_a_head_of_weighted_rows(clf, data):
    weights = np.where(np.arange(24) < 12, 10.0, 0.1)
    frozen = clone(clf).set_params(trainable_layers=0).fit(*data, weights)
    barely = clone(clf).set_params(max_epochs=1, learning_rate=1e-9).fit(*data, weights)
    np.testing.assert_allclose(
        barely.predict_proba(data[0]), frozen.predict_proba(data[0]), atol=1e-4
    )
