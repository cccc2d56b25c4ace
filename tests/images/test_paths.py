"""Paths of local files, written as URIs."""

import numpy as np
import pytest

from sklearn_dl import ImageLoader
from sklearn_dl.images import ImageReadError
from tests.images.image_files import load


@pytest.mark.parametrize("start", ["file:", "file://", "file://localhost"])
def test_a_file_uri_is_the_path_of_a_local_file(path, pixels, tmp_path, start):
    spaced = tmp_path / "a b%é#?.png"
    path.rename(spaced)
    uri = start + spaced.as_uri().removeprefix("file://")
    np.testing.assert_array_equal(load(uri), pixels)
    assert ImageLoader().transform([uri])[0, 0].source == str(spaced)


def test_characters_that_a_uri_should_escape_are_read_too(path, pixels, tmp_path):
    spaced = tmp_path / "a b#?.png"
    path.rename(spaced)
    np.testing.assert_array_equal(load(f"file:{spaced}"), pixels)


@pytest.mark.parametrize(
    ("uri", "message"),
    [
        ("file://other-host/a.png", "is a URL, and nothing is fetched"),
        ("file:////host/share/a.png", "is a URL, and nothing is fetched"),
        ("file:///a%00.png", "contains a null character"),
    ],
)
def test_other_uris_are_refused(uri, message):
    with pytest.raises(ImageReadError, match=message):
        ImageLoader().transform([uri])


def test_a_file_uri_is_absolute_and_so_leaves_root(path, tmp_path):
    with pytest.raises(ImageReadError, match="leaves the folder root"):
        ImageLoader(root=tmp_path).transform([path.as_uri()])
    with pytest.raises(ImageReadError, match="leaves the folder root"):
        ImageLoader(root=tmp_path).transform(["file:/etc/hostname"])


def test_root_may_be_a_uri(path, tmp_path, pixels):
    np.testing.assert_array_equal(load("a.png", root=tmp_path.as_uri()), pixels)


def test_a_url_as_root_needs_a_filesystem():
    with pytest.raises(ValueError, match=r"'s3://bucket' is a URL.*filesystem={'protocol': 's3'}"):
        ImageLoader(root="s3://bucket").transform(["a.png"])


def test_a_file_whose_name_begins_like_a_uri(path, pixels, tmp_path, monkeypatch):
    path.rename(tmp_path / "file:a.png")
    monkeypatch.chdir(tmp_path)
    np.testing.assert_array_equal(load("file:a.png"), pixels)
