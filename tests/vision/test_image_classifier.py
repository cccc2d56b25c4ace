"""ImageClassifier: heads on frozen backbones."""

import copy
import shutil
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from sklearn import config_context
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_dl import ImageClassifier, OnnxScorer
from sklearn_dl.images import ImageLoader, ImageReadError, ImageResizer, PixelExtractor
from sklearn_dl.training import _rows
from sklearn_dl.vision._backbone import IMAGENET_PIXELS
from tests.vision.backbones import (
    FOLDERS,
    SIZE,
    colored_images,
    feature_map_graph,
    mean_color_graph,
    tiny_folder,
    tiny_module,
    versioned_module,
)


@pytest.fixture
def clf(backbone, params):
    return ImageClassifier(backbone, **params)


def test_learns_and_predicts(clf, data):
    X, y = data
    assert clf.fit(X, y) is clf
    X_new, y_new = colored_images(30, seed=1)
    assert clf.score(X_new, y_new) >= 0.9
    probabilities = clf.predict_proba(X_new)
    assert probabilities.shape == (30, 3)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1)
    np.testing.assert_array_equal(clf.classes_[probabilities.argmax(axis=1)], clf.predict(X_new))
    np.testing.assert_allclose(np.exp(clf.predict_log_proba(X_new)), probabilities)
    assert clf.decision_function(X_new).shape == (30, 3)
    assert (clf.history_, clf.best_epoch_) == ({}, 0)


def test_it_is_a_logistic_regression_on_scaled_features(data):
    X, y = data
    weights = np.arange(1.0, 25.0)
    clf = ImageClassifier(tiny_module, image_size=SIZE, C=0.3, precision="float32")
    clf.fit(X, y, sample_weight=weights)
    features = clf.transform(X).astype(np.float64)
    scaler = StandardScaler().fit(features, sample_weight=weights)
    scaled = scaler.transform(features) / 8**0.5  # rows of length 1 on average
    head = LogisticRegression(C=0.3, max_iter=1000).fit(scaled, y, sample_weight=weights)
    np.testing.assert_allclose(clf.predict_proba(X), head.predict_proba(scaled), atol=1e-9)


def test_features_are_those_of_the_onnx_scorer(onnx_file, params, data):
    X, y = data
    clf = ImageClassifier(onnx_file, **params).fit(X, y)
    scorer = make_pipeline(
        ImageLoader(),
        ImageResizer(SIZE, SIZE),
        PixelExtractor(**IMAGENET_PIXELS),
        OnnxScorer(onnx_file),
    )
    np.testing.assert_array_equal(clf.transform(X), scorer.fit_transform(X))
    assert clf.get_feature_names_out().tolist() == [f"imageclassifier{i}" for i in range(3)]


@pytest.mark.slow
@pytest.mark.parametrize("trainable_layers", [0, "all"])
def test_image_size_is_a_width_and_a_height(trainable, params, trainable_layers):
    images = [np.full((30, 40, 3), level, np.uint8) for level in (0, 90, 180, 250)] * 3
    seen = []

    def augment(image, rng):
        seen.append(image.size)
        return image

    params = {**params, "image_size": (20, 12), "trainable_layers": trainable_layers}
    clf = ImageClassifier(trainable, augment=augment, **params).fit(images, [0, 0, 1, 1] * 3)
    assert set(seen) == {(20, 12)}
    whole = ImageResizer(20, 12).transform(ImageLoader().transform(images))
    np.testing.assert_array_equal(clf.transform(images), clf.transform(whole))
    square = ImageClassifier(trainable, **{**params, "image_size": 12, "trainable_layers": 0})
    pair = clone(square).set_params(image_size=(12, 12))
    np.testing.assert_array_equal(
        square.fit(images, [0, 0, 1, 1] * 3).transform(images),
        pair.fit(images, [0, 0, 1, 1] * 3).transform(images),
    )


@pytest.mark.parametrize("size", [0, True, (0, 5), (1, 2, 3), (2.5, 2), "224"], ids=str)
def test_a_wrong_image_size_is_named(onnx_file, params, data, size):
    with pytest.raises(ValueError, match="image_size"):
        ImageClassifier(onnx_file, **{**params, "image_size": size}).fit(*data)


def test_maps_of_features_are_averaged(tmp_path, params, data):
    path = tmp_path / "maps.onnx"
    path.write_bytes(feature_map_graph())
    clf = ImageClassifier(path, **params).fit(*data)
    pixels = np.asarray(data[0], dtype=np.float32)
    expected = (pixels - IMAGENET_PIXELS["offset"]) * IMAGENET_PIXELS["scale"]
    np.testing.assert_allclose(clf.transform(data[0]), expected.mean(axis=(1, 2))[:, :2], atol=1e-5)


def test_the_output_called_features_is_taken(tmp_path, params, data):
    path = tmp_path / "two.onnx"
    path.write_bytes(mean_color_graph(("logits", "features")))
    assert ImageClassifier(path, **params).fit(*data).transform(data[0]).shape == (24, 3)
    path.write_bytes(mean_color_graph(("logits", "other")))
    with pytest.raises(ValueError, match=r"has the outputs \['logits', 'other'\]"):
        ImageClassifier(path, **params).fit(*data)


@pytest.mark.slow
@pytest.mark.parametrize("kind", FOLDERS)
def test_folders_of_transformers(tmp_path, params, data, kind):
    folder = tiny_folder(tmp_path / kind, kind)
    clf = ImageClassifier(folder, **params).fit(*data)
    width = FOLDERS[kind][2]
    assert width is None or clf.transform(data[0]).shape == (24, width)
    assert clf.score(*data) > 0.6


def test_a_folder_says_how_pixels_are_made(tmp_path, params, data):
    plain = tiny_folder(tmp_path / "plain")
    text = '{"image_mean": [0.5, 0.5, 0.5], "image_std": [0.25, 0.5, 0.5], "do_rescale": true}'
    scaled = tiny_folder(tmp_path / "scaled", preprocessor=text)
    first, second = (ImageClassifier(folder, **params).fit(*data) for folder in (plain, scaled))
    assert second._predictor.network.content.pixels["offset"] == (127.5, 127.5, 127.5)
    assert second._predictor.network.content.pixels["scale"] == pytest.approx(
        (4 / 255, 2 / 255, 2 / 255)
    )
    assert not np.allclose(first.transform(data[0]), second.transform(data[0]))
    tiny_folder(tmp_path / "bad", preprocessor='{"image_mean": 3, "image_std": []}')
    with pytest.raises(ValueError, match=r"preprocessor_config\.json cannot be used"):
        ImageClassifier(tmp_path / "bad", **params).fit(*data)


def test_batch_does_not_matter(clf, data):
    clf.fit(*data)
    whole = clf.predict_proba(data[0])
    alone = np.concatenate([clf.predict_proba([image]) for image in data[0]])
    np.testing.assert_allclose(alone, whole, atol=1e-6)


def test_weights_count_as_rows(clf, data):
    X, y = data
    weights = np.arange(24) // 3 % 3
    repeated = [i for i in range(24) for _ in range(weights[i])]
    weighted = clone(clf).fit(X, y, sample_weight=weights)
    again = clone(clf).fit([X[i] for i in repeated], y[repeated])
    np.testing.assert_allclose(weighted.predict_proba(X), again.predict_proba(X), atol=1e-6)
    heavier = {"r": 2, "g": 1, "b": 1}
    by_class = clone(clf).set_params(class_weight=heavier).fit(X, y)
    by_row = clone(clf).fit(X, y, sample_weight=[heavier[label] for label in y])
    np.testing.assert_allclose(by_class.predict_proba(X), by_row.predict_proba(X), atol=1e-9)


def test_two_classes(clf, data):
    X, y = data
    clf.fit(X, y == "r")
    assert clf.classes_.tolist() == [False, True]
    assert clf.predict(X).dtype == bool
    margin = clf.decision_function(X)
    np.testing.assert_array_equal(margin > 0, clf.predict(X))


@pytest.fixture
def paths(data, tmp_path):
    """Images in files, of which numbers 5 and 8 are not images."""
    names = []
    for i, image in enumerate(data[0]):
        path = tmp_path / f"{i}.png"
        Image.fromarray(image).save(path)
        names.append(str(path))
    for i in (5, 8):
        (tmp_path / f"{i}.png").write_bytes(b"not an image")
    return names


@pytest.mark.parametrize("cached", [False, True])
def test_an_unreadable_image_is_named(clf, data, paths, tmp_path, cached):
    clf.set_params(memory=tmp_path / "memory" if cached else None)
    with pytest.raises(ImageReadError, match=r"Row 5: cannot read .*5\.png") as caught:
        clf.fit(paths, data[1])
    assert (caught.value.row, caught.value.source) == (5, paths[5])
    assert not hasattr(clf, "classes_")
    weights = np.ones(24)
    weights[[1, 2, 5]] = 0
    with pytest.raises(ImageReadError, match=r"Row 8: cannot read .*8\.png") as caught:
        clf.fit(paths, data[1], sample_weight=weights)
    assert (caught.value.row, caught.value.source) == (8, paths[8])
    clf.fit(*data)
    with pytest.raises(ValueError, match=r"Row 5: cannot read .*5\.png"):
        clf.predict(paths)


def test_the_settings_of_a_loader_before_it_hold(clf, paths, data):
    good, y = [paths[i] for i in (0, 1, 2, 3)], data[1][:4]
    limited = make_pipeline(ImageLoader(max_pixels=10), clf)
    with pytest.raises(ValueError, match=r"Row 0: .*max_pixels=10"):
        limited.fit(good, y)
    grey = make_pipeline(ImageLoader(colors="L"), clf).fit(good, y)
    plain = clone(clf).fit([Image.open(path).convert("L") for path in good], y)
    np.testing.assert_array_equal(
        grey.predict_proba(good),
        plain.predict_proba([Image.open(path).convert("L") for path in good]),
    )


@pytest.mark.slow
@pytest.mark.parametrize("cached", [False, True])
def test_unreadable_images_are_left_out(clf, data, paths, tmp_path, cached):
    y = data[1]
    good = [i for i in range(24) if i not in (5, 8)]
    expected = clone(clf).fit([paths[i] for i in good], y[good])
    clf.set_params(on_error="nan", memory=tmp_path / "memory" if cached else None)
    with pytest.warns(UserWarning, match=r"2 of 24 images could not be read and were left out"):
        clf.fit(paths, y)
    for _ in range(2):
        with pytest.warns(UserWarning, match="2 of 24 images could not be read"):
            probabilities = clf.predict_proba(paths)
        assert np.isnan(probabilities[[5, 8]]).all()
        np.testing.assert_allclose(
            probabilities[good], expected.predict_proba([paths[i] for i in good]), atol=1e-6
        )
    with pytest.warns(UserWarning, match="2 of 24 images"):
        labels = clf.predict(paths)
    assert labels.dtype == object
    assert labels[[5, 8]].tolist() == [None, None]
    with pytest.warns(UserWarning, match="2 of 24 images"):
        labels = clf.set_params(missing="not an image").predict(paths)
    assert labels[[5, 8]].tolist() == ["not an image"] * 2
    assert labels[good].tolist() == expected.predict([paths[i] for i in good]).tolist()
    assert clf.predict(paths[:2]).dtype == labels.dtype


def test_no_image_can_be_read(clf, paths, data):
    clf.set_params(on_error="nan")
    with pytest.raises(ValueError, match=r"No (image|row) c"):
        clf.fit([paths[5], paths[8]], ["a", "b"])


@pytest.mark.parametrize("kind", [str, joblib.Memory])
def test_memory_computes_each_image_once(clf, data, tmp_path, computed, kind):
    X, y = data
    plain = cross_val_score(clf, X, y, cv=3)
    assert sum(computed) == 3 * 24
    computed.clear()
    memory = str(tmp_path) if kind is str else joblib.Memory(tmp_path, verbose=0)
    cached = clone(clf).set_params(memory=memory)
    np.testing.assert_array_equal(cross_val_score(cached, X, y, cv=3), plain)
    assert sum(computed) == 24
    grid = GridSearchCV(cached, {"C": [0.1, 1.0]}, cv=3).fit(X, y)
    assert sum(computed) == 24
    np.testing.assert_array_equal(
        grid.best_estimator_.predict_proba(X),
        clone(clf).set_params(C=grid.best_params_["C"]).fit(X, y).predict_proba(X),
    )


def test_memory_goes_by_content_and_by_what_is_done_to_it(
    clf, data, paths, tmp_path, computed, resnet
):
    y = data[1][:5]
    clf.set_params(memory=tmp_path / "memory").fit(paths[:5], y)
    assert computed == [5]
    clf.fit(paths[:5], y)
    assert computed == [5]
    Image.fromarray(data[0][7]).save(paths[0])  # another image under the same name
    clf.fit(paths[:5], y)
    assert computed == [5, 1]
    clf.set_params(image_size=SIZE + 2).fit(paths[:5], y)
    assert computed == [5, 1, 5]
    shutil.copy(paths[1], tmp_path / "copy.png")
    clf.predict([str(tmp_path / "copy.png")])
    assert computed == [5, 1, 5]


def test_memory_goes_by_what_auto_means_here(clf, data, tmp_path, computed):
    clf.set_params(memory=tmp_path, device="auto", precision="auto").fit(*data)
    here = clf._where().resolved()
    clf.set_params(device=str(here.device), precision=here.precision).fit(*data)
    assert computed == [24]
    if here.precision == "bfloat16" and not isinstance(clf.model, str):
        clf.set_params(precision="float32").fit(*data)
        assert computed == [24, 24]


def test_memory_does_not_follow_a_link_out_of_root(clf, data, paths, tmp_path):
    """The features of a file elsewhere are in the store; its path has come into `root`."""
    (tmp_path / "secret.png").write_bytes(Path(paths[6]).read_bytes())
    clf.set_params(memory=tmp_path / "memory").fit(
        [*paths[:5], str(tmp_path / "secret.png")], data[1][:6]
    )
    root = tmp_path / "root"
    root.mkdir()
    shutil.copy(paths[0], root / "image.png")
    image = ImageLoader(root=root).transform(["image.png"])
    (root / "image.png").unlink()
    (root / "image.png").symlink_to(tmp_path / "secret.png")
    with pytest.raises(
        ValueError, match=r"Row 0.*image\.png.* a part of it became a symbolic link"
    ):
        clf.predict(image)


def _other_module():
    return tiny_module(seed=1)


_other_module.version = "1"


def test_memory_knows_backbones_apart(data, tmp_path, params, computed):
    X, y = data
    first, second = (
        ImageClassifier(make, memory=tmp_path, **params).fit(X, y)
        for make in (versioned_module, _other_module)
    )
    assert computed == [24, 24]
    assert not np.allclose(first.transform(X), second.transform(X))


def test_memory_that_is_not_a_folder(clf, data):
    class Cache:
        def cache(self, function):
            return function

    with pytest.raises(
        ValueError, match=r"^memory=.* has no folder .*: set a path, a joblib\.Memory"
    ):
        clf.set_params(memory=Cache()).fit(*data)
    clf.set_params(memory=joblib.Memory(None)).fit(*data)


def test_what_a_row_may_be(clf, data, paths):
    X, y = data
    kept = [i for i in range(24) if i not in (5, 8)]
    arrays = [X[i] for i in kept]
    expected = clf.fit(arrays, y[kept]).predict_proba(arrays)
    files = [paths[i] for i in kept]
    columns = [
        files,
        pd.Series(files, index=range(5, 27)),
        [Path(path).read_bytes() for path in files],
        [Image.open(path) for path in files],
        ImageLoader().transform(files),
    ]
    for column in columns:
        np.testing.assert_array_equal(clf.predict_proba(column), expected)


@pytest.mark.slow
def test_views_teach_a_frozen_head(data, params):
    X, y = data
    plain = ImageClassifier(tiny_module, **params).fit(X, y)
    seen = clone(plain).set_params(augment=("flip", "crop")).fit(X, y)
    again = clone(seen).fit(X, y)
    other = clone(seen).set_params(random_state=1).fit(X, y)
    np.testing.assert_array_equal(seen.predict_proba(X), again.predict_proba(X))
    assert not np.allclose(seen.predict_proba(X), plain.predict_proba(X), atol=1e-4)
    assert not np.allclose(seen.predict_proba(X), other.predict_proba(X), atol=1e-4)
    np.testing.assert_array_equal(seen.transform(X), plain.transform(X))
    # views that change nothing are the images again, at a quarter of the weight each
    same = clone(plain).set_params(augment=_unchanged).fit(X, y)
    np.testing.assert_allclose(same.predict_proba(X), plain.predict_proba(X), atol=1e-5)


def _unchanged(image, rng):
    return image


@pytest.mark.parametrize(
    ("params_", "message"),
    [
        ({"augment": ("flip", "turn")}, r"augment=\('flip', 'turn'\) must be None"),
        ({"augment": "flip"}, "The 'augment' parameter"),
        ({"augment": lambda image, rng: None}, "must return a PIL image of the same size as the"),
        ({"model": "no-such-model"}, "is neither a file, nor a folder, nor a registered model"),
        ({"model": lambda: 3}, "`model` must return a torch.nn.Module, got int"),
        ({"model": tiny_module()}, "Set a callable that makes it"),
        ({"C": 0}, "The 'C' parameter"),
        ({"trainable_layers": -1}, "The 'trainable_layers' parameter"),
    ],
    ids=[
        *("unknown view", "string of views", "view without an image"),
        *("unknown name", "callable of a number", "network itself", "C", "trainable_layers"),
    ],
)
def test_bad_parameters(data, params, params_, message):
    clf = ImageClassifier(tiny_module, **params).set_params(**params_)
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        clf.fit(*data)
    assert not hasattr(clf, "classes_")


def test_bad_targets(clf, data):
    X, y = data
    with pytest.raises(ValueError, match="at least two classes"):
        clf.fit(X, ["a"] * 24)
    with pytest.raises(ValueError, match=r"y is missing .* in row\(s\) 1"):
        clf.fit(X, [1.0, np.nan] * 12)
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        clf.fit(X, y[:3])
    with pytest.raises(ValueError, match="used only with early_stopping=True"):
        clf.fit(X, y, X_val=X, y_val=y)


@pytest.mark.parametrize("damage", ["config.json", "model.safetensors", "text", "other"])
def test_damaged_folders(tmp_path, params, data, damage):
    folder = tiny_folder(tmp_path / "model")
    if damage == "text":
        (folder / "config.json").write_text('{"model_type": "bert"}')
        message = "'bert' is not an image classifier"
    elif damage == "other":
        config = (folder / "config.json").read_text()
        (folder / "config.json").write_text(config.replace('"basic"', '"bottleneck"'))
        message = "its weights lack|cannot be used|size mismatch"
    else:
        (folder / damage).write_bytes(b"{nothing")
        message = "cannot be used" if damage == "config.json" else "is damaged"
    with pytest.raises((ValueError, RuntimeError), match=message):
        ImageClassifier(folder, **params).fit(*data)


@pytest.mark.slow
def test_onnx_does_not_need_torch(onnx_file, tmp_path):
    import subprocess
    import sys

    code = (
        "import sys\n"
        "from sklearn_dl import ImageClassifier\n"
        "import numpy as np, pickle\n"
        "X = np.random.default_rng(0).integers(0, 255, (6, 16, 16, 3), dtype=np.uint8)\n"
        f"clf = ImageClassifier({onnx_file!r}, image_size=16).fit(X, list('ababab'))\n"
        "assert pickle.loads(pickle.dumps(clf)).predict(X).shape == (6,)\n"
        "assert 'torch' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_deep_copies_are_independent(clf, data):
    clf.fit(*data)
    copied = copy.deepcopy(clf)
    clf.fit(data[0], data[1] == "r")
    assert copied.classes_.tolist() == ["b", "g", "r"]


def test_balanced_classes_are_those_of_the_readable_images(clf, data, paths):
    y = np.where(np.arange(24) < 10, "few", "many")
    kept = [i for i in range(24) if i not in (5, 8)]
    clf.set_params(class_weight="balanced", on_error="nan")
    expected = clone(clf).fit([paths[i] for i in kept], y[kept])
    with pytest.warns(UserWarning, match="2 of 24 images"):
        clf.fit(paths, y)
    rows = [paths[i] for i in kept]
    np.testing.assert_allclose(clf.predict_proba(rows), expected.predict_proba(rows), atol=1e-9)


def test_one_image_is_not_a_column(clf, data):
    with pytest.raises(ValueError, match="looks like one image"):
        clf.fit(data[0][0], ["a"] * SIZE)
    clf.fit(*data)
    for one in (data[0][0], Image.fromarray(data[0][0]), ImageLoader().transform(data[0])[0, 0]):
        with pytest.raises(ValueError, match=r"one image|single image"):
            clf.predict(one)


def test_a_global_output_of_frames(clf, data):
    expected = clf.fit(*data).predict_proba(data[0])
    with config_context(transform_output="pandas"):
        again = clone(clf).fit(*data)
        np.testing.assert_array_equal(again.predict_proba(data[0]), expected)
        assert list(again.transform(data[0]).columns) == list(again.get_feature_names_out())


def _max_pooled():
    return torch.nn.Sequential(tiny_module(), torch.nn.AdaptiveMaxPool2d(1))


def _mean_pooled():
    return torch.nn.Sequential(tiny_module(), torch.nn.AdaptiveAvgPool2d(1))


@pytest.mark.parametrize("kept", [False, True])
def test_networks_of_equal_tensors_are_told_apart(data, params, tmp_path, kept):
    memory = tmp_path if kept else None
    first, second = (
        ImageClassifier(make, memory=memory, **params).fit(*data).transform(data[0])
        for make in (_max_pooled, _mean_pooled)
    )
    assert not np.allclose(first, second)


def test_tokens_are_not_features(data, params):
    class Tokens(torch.nn.Module):
        def forward(self, pixels):
            return pixels.flatten(2)

    with pytest.raises(ValueError, match=r"it must have shape \(n, n_features\)"):
        ImageClassifier(Tokens, **params).fit(*data)


@pytest.mark.parametrize("device", ["gpu", "cuda:x"])
def test_a_device_that_torch_does_not_know(clf, data, device):
    with pytest.raises(ValueError, match=f"device='{device}' is not the name of a device"):
        clf.set_params(device=device).fit(*data)


def test_a_frozen_fit_on_a_graph_needs_no_other_process(onnx_file, data, params, monkeypatch):
    clf = ImageClassifier(onnx_file, **params)
    expected = clone(clf).fit(*data).predict_proba(data[0])
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "0")
    monkeypatch.setattr(
        "sklearn_dl.training._fit.training_processes", lambda *args: pytest.fail("it waits")
    )
    np.testing.assert_array_equal(clf.fit(*data).predict_proba(data[0]), expected)


def test_rows_held_out_from_a_frozen_fit_may_have_no_weight(clf, data):
    X, y = data
    clf.set_params(early_stopping=True, class_weight={"b": 1, "g": 1, "r": 0})
    held_out = y == "r"
    clf.fit(X, y, X_val=[X[i] for i in np.flatnonzero(held_out)], y_val=y[held_out])
    assert clf.classes_.tolist() == ["b", "g", "r"]


def test_a_warning_points_at_the_line_that_called_scikit_learn(clf, data, tmp_path):
    (tmp_path / "bad.png").write_bytes(b"no image")
    images, y = [*data[0], str(tmp_path / "bad.png")], [*data[1], "b"]
    clf.set_params(on_error="nan", missing="b")
    with pytest.warns(UserWarning, match="could not be read") as caught:
        cross_val_score(clf, images, y, cv=3)
    assert {warning.filename for warning in caught} == {__file__}


def test_one_class_of_readable_images(clf, data, paths):
    """With frozen features, the head would always predict the same."""
    y = np.full(24, "many")
    y[[5, 8]] = "unreadable"
    clf.set_params(on_error="nan")
    with (
        pytest.warns(UserWarning, match="2 of 24 images"),
        pytest.raises(ValueError, match="one class: 'many'"),
    ):
        clf.fit(paths, y)
    assert not hasattr(clf, "classes_")


def test_predictions_where_no_image_can_be_read(clf, data, paths):
    clf.set_params(on_error="nan").fit(*data)
    unreadable = [paths[5], paths[8]]
    with pytest.warns(UserWarning, match="2 of 2 images"):
        assert clf.predict(unreadable).tolist() == [None, None]
    with pytest.warns(UserWarning, match="2 of 2 images"):
        np.testing.assert_array_equal(clf.predict_proba(unreadable), np.full((2, 3), np.nan))


def test_unreadable_images_are_counted_over_all_chunks(clf, data, paths, monkeypatch):
    clf.set_params(on_error="nan").fit(*data)
    whole = clf.decision_function(data[0])
    monkeypatch.setattr(_rows, "CHUNK", 3)
    # images 5 and 8 are both the last of their chunk
    with pytest.warns(UserWarning, match="2 of 24 images could not be read; .* Row 5: "):
        found = clf.decision_function(paths)
    assert np.flatnonzero(np.isnan(found).any(axis=1)).tolist() == [5, 8]
    np.testing.assert_allclose(np.delete(found, [5, 8], 0), np.delete(whole, [5, 8], 0), atol=1e-5)


def test_each_view_is_drawn_anew(data, params):
    drawn = []

    def draw(image, rng):
        drawn.append(int(rng.integers(2**62)))
        return image

    ImageClassifier(versioned_module, augment=draw, **params).fit(*data)
    assert len(set(drawn)) == 3 * 24


class Signed(torch.nn.Module):
    """Its repr and its tensors do not tell its sign."""

    def __init__(self, sign):
        super().__init__()
        self.body, self.sign = tiny_module(), sign

    def forward(self, pixels):
        return self.sign * self.body(pixels).mean((2, 3))


def test_callables_without_a_version_share_no_network(data, params):
    plus, minus = (
        ImageClassifier(lambda sign=sign: Signed(sign), **params).fit(*data).transform(data[0])
        for sign in (1.0, -1.0)
    )
    np.testing.assert_array_equal(plus, -minus)


def test_estimators_that_share_a_backbone_have_their_own_precision(resnet, data, params):
    clf = ImageClassifier(resnet, **params)
    fine, rough, again = (
        clone(clf).set_params(precision=precision).fit(*data).transform(data[0])
        for precision in ("float32", "bfloat16", "float32")
    )
    np.testing.assert_array_equal(again, fine)
    assert 0 < abs(rough - fine).max() < 0.1


def test_rows_that_the_loader_masks_are_masked(clf, data, paths):
    y = data[1]
    expected = clone(clf).set_params(on_error="nan")
    with pytest.warns(UserWarning, match="2 of 24 images could not be read and were left out"):
        expected.fit(paths, y)
    masked = make_pipeline(ImageLoader(on_error="nan"), clf)
    with pytest.warns(UserWarning, match="2 of 24 images could not be read and were left out"):
        masked.fit(paths, y)
    for method in ("predict", "predict_proba", "transform"):
        with pytest.warns(UserWarning, match="2 of 24 images could not be read; their rows"):
            result = getattr(masked, method)(paths)
        with pytest.warns(UserWarning, match="2 of 24 images could not be read; their rows"):
            np.testing.assert_array_equal(result, getattr(expected, method)(paths))
    # a label has the same dtype whether or not a row of the call is missing
    assert masked.predict(paths[:5]).dtype == object
    masked.set_params(imageclassifier__missing="?")
    with pytest.warns(UserWarning, match="2 of 24 images"):
        assert set(masked.predict(paths)[[5, 8]]) == {"?"}
    with pytest.raises(ImageReadError, match="Row 5: cannot read"):
        clf.fit(
            ImageLoader(on_error="nan")
            .set_output(transform="default")
            .fit_transform(paths[:5])[:, 0]
            .tolist()
            + paths[5:],
            y,
        )


def test_features_are_known_whatever_an_error_does(clf, data, computed, tmp_path):
    clf.set_params(memory=tmp_path).fit(*data)
    computed.clear()
    clone(clf).set_params(on_error="nan").fit(*data)
    assert computed == []


@pytest.mark.slow
def test_equal_image_sizes_are_the_same_fit(trainable, params, data, tmp_path):
    def fitted(size):
        clf = ImageClassifier(trainable, **{**params, "image_size": size, "random_state": None})
        return clf.set_params(trainable_layers="all", checkpoint_dir=tmp_path, max_epochs=1)

    # the seed follows from what the fit is
    one, other = (fitted(size).fit(*data) for size in (SIZE, [SIZE, SIZE]))
    np.testing.assert_array_equal(one.predict_proba(data[0]), other.predict_proba(data[0]))


@pytest.mark.parametrize("missing", [None, "?"])
def test_a_masked_image_counts_as_wrong_in_score(clf, data, paths, missing):
    clf.set_params(on_error="nan", missing=missing)
    with pytest.warns(UserWarning, match="2 of 24 images"):
        clf.fit(paths, data[1])
    with pytest.warns(UserWarning, match="2 of 24 images"):
        right = clf.predict(paths) == data[1]
    with pytest.warns(UserWarning, match="2 of 24 images"):
        assert clf.score(paths, data[1]) == right.mean()
