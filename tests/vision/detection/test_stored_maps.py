"""Feature maps that a fit keeps in a temporary file, and that `memory` keeps on disk."""

import os
import sqlite3
import tempfile
from contextlib import closing
from pathlib import Path

import joblib
import numpy as np
import pytest
import torch
from sklearn.base import clone

from sklearn_dl import ObjectDetector
from sklearn_dl.metrics import make_detections
from sklearn_dl.training import _feature_store, _training_loop
from sklearn_dl.vision.detection import _maps
from sklearn_dl.vision.detection._map_source import TEST_SIDE
from sklearn_dl.vision.detection._maps import MapsFile, StoredMaps, batches_of, flattened, groups_of
from tests.vision.backbones import feature_map_graph
from tests.vision.detection.drawn_squares import (
    QUICK,
    assert_equal_detections,
    drawn_images,
    small_maps,
)


@pytest.fixture(scope="module")
def data():
    return drawn_images(6)


@pytest.fixture
def detector():
    return ObjectDetector(small_maps, **QUICK)


@pytest.fixture
def files(monkeypatch, tmp_path):
    """The MapsFiles that are made, in a folder for temporary files of their own."""
    made, init = [], MapsFile.__init__
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))

    def noted(self):
        init(self)
        made.append(self)

    monkeypatch.setattr(MapsFile, "__init__", noted)
    yield made
    assert os.listdir(folder) == []
    assert all(file._file.closed for file in made)


@pytest.fixture
def computed(monkeypatch):
    """The number of images in each batch that the backbone computes."""
    sizes, forward = [], torch.nn.Conv2d.forward

    def noted(self, pixels):
        # an image of TEST_SIDE pixels tells the strides
        if self.kernel_size == (8, 8) and pixels.shape[3] != TEST_SIDE:
            sizes.append(len(pixels))
        return forward(self, pixels)

    monkeypatch.setattr(torch.nn.Conv2d, "forward", noted)
    return sizes


def n_images(computed):
    """How many images were computed since the last call."""
    n = sum(computed)
    computed.clear()
    return n


def state_of(detector):
    return detector._predictor.network.live.state_dict()


def same(first, second):
    return all(torch.equal(t, state_of(second)[name]) for name, t in state_of(first).items())


@pytest.mark.slow
def test_the_file_is_gone_after_a_fit(detector, data, files):
    detector.fit(*data)
    (file,) = files
    # the size that the docstring gives: 8 channels at two strides, float16, four versions of 6 rows
    assert file._end == 2 * 8 * (12 * 12 + 6 * 6) * 4 * 6
    detector.predict(data[0])
    detector.set_params(early_stopping=True, validation_fraction=2).fit(*data)
    assert len(files) == 2
    # a fine-tuned network needs no file
    detector.set_params(trainable_layers="all").fit(*data)
    assert len(files) == 2


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_the_file_is_gone_after_an_error(detector, data, files, error, monkeypatch):
    def fail(*args):
        raise error("stop")

    with monkeypatch.context() as patch:
        patch.setattr(_training_loop._Run, "step", fail)
        with pytest.raises(error):
            detector.fit(*data)
    assert len(files) == 1
    with monkeypatch.context() as patch:
        patch.setattr(MapsFile, "write", fail)
        with pytest.raises(error):
            detector.fit(*data)
    assert len(files) == 2

    class Stop:
        def setup(self, estimator, context):
            pass

        def teardown(self, estimator, context):
            pass

        def on_fit_task_begin(self, estimator, context):
            pass

        def on_fit_task_end(self, estimator, context):
            if context.task_name == "epoch":
                raise error("stop")

    with pytest.raises(error):
        detector.set_callbacks(Stop()).fit(*data)
    assert len(files) == 3
    assert not hasattr(detector, "classes_")


def test_a_full_disk_is_an_error_and_leaves_nothing(detector, data, files, monkeypatch):
    def full(self, values):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(MapsFile, "write", full)
    with pytest.raises(OSError, match="No space left on device"):
        detector.fit(*data)


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="needs /proc")
def test_the_file_has_no_name(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    file = MapsFile()
    file.write(np.ones(8, np.float16))
    assert os.listdir(tmp_path) == []
    file.close()


def test_maps_are_read_as_they_were_written():
    rng = np.random.default_rng(0)
    canvases = np.array([[64, 32], [32, 32], [64, 32]])
    sizes = [(3, 8), (2, 16)]
    rows = [
        [rng.normal(size=(c, h // s, w // s)).astype(np.float16) for c, s in sizes]
        for w, h in canvases.tolist()
    ]
    file = MapsFile()
    starts = np.array([file.write(flattened(maps)) for maps in rows])
    stored = StoredMaps(file, starts, canvases, sizes)
    found = stored.read(np.array([2, 0]))
    for level in range(2):
        assert found[level].dtype == np.float32
        np.testing.assert_array_equal(found[level][0], rows[2][level])
        np.testing.assert_array_equal(found[level][1], rows[0][level])
    (alone,) = stored[np.array([1])].read(np.array([0]))[1]
    np.testing.assert_array_equal(alone, rows[1][1])
    # what float16 cannot hold becomes its largest number
    wide = flattened([np.array([1e6, -1e6, 1.0], np.float32)])
    assert wide.tolist() == [_maps._LARGEST, -_maps._LARGEST, 1.0]
    file.close()


def test_groups():
    canvases = np.array([[2, 1], [1, 1], [2, 1], [1, 2], [2, 1]])
    assert [group.tolist() for group in groups_of(canvases)] == [[1], [3], [0, 2, 4]]
    assert [group.tolist() for group in batches_of(canvases, 2)] == [[1], [3], [0, 2], [4]]
    assert list(groups_of(canvases[:0])) == []


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["path", "joblib"])
def test_memory(detector, data, tmp_path, computed, kind):
    expected = clone(detector).fit(*data)
    assert n_images(computed) == 6 + 18
    detector.set_params(memory=tmp_path if kind == "path" else joblib.Memory(tmp_path, verbose=0))
    first = clone(detector).fit(*data)
    assert same(first, expected)
    assert n_images(computed) == 6 + 18
    second = clone(detector).fit(*data)
    assert same(second, expected)
    assert n_images(computed) == 18  # the random views
    # rows are looked up by their content
    later = clone(detector).set_params(augment=None).fit(data[0][::-1], data[1][::-1])
    assert n_images(computed) == 0
    plain = clone(detector).set_params(augment=None, memory=None)
    assert same(later, plain.fit(data[0][::-1], data[1][::-1]))
    n_images(computed)
    other = [255 - data[0][0], *data[0][1:]]
    clone(detector).set_params(augment=None).fit(other, data[1])
    assert n_images(computed) == 1
    # another size of the canvas
    clone(detector).set_params(augment=None, image_size=64).fit(*data)
    assert n_images(computed) == 6
    # validation rows are kept too
    stopping = clone(detector).set_params(augment=None, early_stopping=True)
    stopping.fit(*data, X_val=data[0][:2], y_val=data[1][:2])
    assert n_images(computed) == 0
    detector.set_params(trainable_layers="all", max_epochs=1).fit(*data)
    assert n_images(computed) > 6
    assert not list(Path(tmp_path).rglob("sklearn-dl-*"))


@pytest.mark.slow
def test_memory_of_an_onnx_graph(data, tmp_path):
    path = tmp_path / "maps.onnx"
    path.write_bytes(feature_map_graph(stride=8))
    detector = ObjectDetector(path, **QUICK)
    expected = clone(detector).fit(*data)
    detector.set_params(memory=tmp_path)
    for _ in range(2):
        found = clone(detector).fit(*data)
        assert same(found, expected)
        assert_equal_detections(found.predict(data[0]), expected.predict(data[0]))


@pytest.mark.slow
def test_memory_is_bounded(detector, data, tmp_path, monkeypatch):
    monkeypatch.setattr(_feature_store, "MAX_BYTES", 30_000)
    detector.set_params(memory=tmp_path, augment=None)
    expected = clone(detector).set_params(memory=None).fit(*data)
    X, y = drawn_images(40, seed=5)
    for start in range(0, 40, 8):
        clone(detector).fit(X[start : start + 8], y[start : start + 8])
    with sqlite3.connect(tmp_path / "sklearn_dl" / "features.sqlite") as database:
        ((n, size),) = database.execute("SELECT count(*), sum(length(value)) FROM features")
    assert 1 <= n < 40
    assert size <= 30_000
    assert same(detector.fit(*data), expected)


@pytest.mark.slow
def test_a_damaged_memory(detector, data, tmp_path, computed):
    detector.set_params(memory=tmp_path, augment=None)
    expected = clone(detector).set_params(memory=None).fit(*data)
    path = tmp_path / "sklearn_dl" / "features.sqlite"
    clone(detector).fit(*data)
    with sqlite3.connect(path) as database:
        database.execute("UPDATE features SET value = substr(value, 3) WHERE rowid = 2")
        database.execute("UPDATE features SET value = zeroblob(length(value)) WHERE rowid = 4")
    database.close()
    n_images(computed)
    with pytest.warns(UserWarning, match="2 of 6 rows in .* are damaged") as caught:
        assert same(clone(detector).fit(*data), expected)
    assert len(caught) == 1
    assert n_images(computed) == 2
    assert same(clone(detector).fit(*data), expected)  # they are kept again
    assert n_images(computed) == 0
    path.write_bytes(b"no database" * 1000)
    with pytest.warns(UserWarning, match="features are computed and not kept") as caught:
        assert same(clone(detector).fit(*data), expected)
    assert len(caught) == 1


def test_callables_without_a_version_are_not_kept(data, tmp_path):
    def make():
        return small_maps()

    detector = ObjectDetector(make, memory=tmp_path, augment=None, **QUICK).fit(*data)
    assert len(detector.predict(data[0])) == 6
    assert not list(tmp_path.rglob("*.sqlite"))


def test_an_unreadable_image_is_not_kept(detector, data, tmp_path):
    path = tmp_path / "damaged.png"
    path.write_bytes(b"no image")
    detector.set_params(memory=tmp_path, on_error="nan", augment=None)
    expected = clone(detector).set_params(memory=None).fit(*data)
    X, y = [*data[0], str(path)], [*data[1], make_detections([], [])]
    for _ in range(2):
        with pytest.warns(UserWarning, match="1 of 7 images"):
            assert same(clone(detector).fit(X, y), expected)


@pytest.mark.slow
def test_images_that_are_repeated_are_kept_once(detector, data, tmp_path, computed):
    detector.set_params(memory=tmp_path, augment=None)
    X, y = [*data[0], *data[0]], [*data[1], *data[1]]
    expected = clone(detector).set_params(memory=None).fit(X, y)
    assert same(clone(detector).fit(X, y), expected)
    assert same(clone(detector).fit(X, y), expected)


def test_a_full_disk_is_named():
    class Full:
        def seek(self, start):
            pass

        def write(self, content):
            raise OSError(28, "No space left on device")

    with closing(MapsFile()) as file, pytest.MonkeyPatch.context() as patch:
        patch.setattr(file, "_file", Full())
        with pytest.raises(OSError, match=r"No space left on device: the temporary file .* TMPDIR"):
            file.write(np.zeros(4, dtype=np.float16))
