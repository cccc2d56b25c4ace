"""Images under a joblib.Memory: what the docs promise (docs/guide/inside_scikit_learn.md)."""

import os

import joblib
import numpy as np
import pytest
from sklearn.pipeline import make_pipeline

from sklearn_dl import ImageLoader, PixelExtractor
from tests.images.image_files import encode
from tests.replaced import WAYS, replace


def image_file(level):
    return encode(np.full((8, 12, 3), level, np.uint8), "BMP")


@pytest.fixture
def file(tmp_path):
    (tmp_path / "image.bmp").write_bytes(image_file(10))
    return tmp_path / "image.bmp"


@pytest.mark.parametrize("way", WAYS)
def test_an_image_of_the_same_size_and_time_is_noticed(file, tmp_path, way):
    memory = joblib.Memory(tmp_path / "cache", verbose=0)
    pipe = make_pipeline(ImageLoader(), PixelExtractor(layout="flat"), "passthrough", memory=memory)
    assert (pipe.fit_transform([file]) == 10).all()
    replace(file, image_file(200), way)
    assert (pipe.fit_transform([file]) == 200).all()


def test_an_unchanged_image_keeps_its_hash(file, tmp_path):
    image = ImageLoader().transform([file])
    before = joblib.hash(image)
    np.asarray(image[0, 0])
    (tmp_path / "copy.bmp").write_bytes(file.read_bytes())
    assert joblib.hash(ImageLoader().transform([file])) == before


def test_an_image_on_a_file_system_that_is_mounted_anew_keeps_its_hash(file, monkeypatch):
    """It may give other numbers to the same files."""
    image = ImageLoader().transform([file])
    before = joblib.hash(image)
    real = os.stat

    def renumbered(path, *args, **kwargs):
        found = real(path, *args, **kwargs)
        times = {name: getattr(found, name) for name in ("st_mtime_ns", "st_ctime_ns")}
        return os.stat_result([found[0], found[1] + 1, *found[2:10]], times)

    monkeypatch.setattr(os, "stat", renumbered)
    assert joblib.hash(image) == before
