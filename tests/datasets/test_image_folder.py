"""load_image_folder: one folder for each class."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_files

from sklearn_dl.datasets import load_image_folder


def write(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("L", (2, 2)).save(path)


@pytest.fixture
def folder(tmp_path):
    for name in ("b/2.png", "b/10.JPG", "a b/x.webp", "c/inner/deep/1.png", "c/0.tiff"):
        write(tmp_path / name)
    return tmp_path


def test_paths_classes_and_names(folder):
    images = load_image_folder(folder)
    expected = ["a b/x.webp", "b/10.JPG", "b/2.png", "c/0.tiff", "c/inner/deep/1.png"]
    assert images.data.tolist() == [str(folder / name) for name in expected]
    assert images.data.dtype == object
    assert images.target.tolist() == [0, 1, 1, 2, 2]
    assert images.target.dtype == np.int64
    assert images.target_names == ["a b", "b", "c"]


def test_data_and_target_alone(folder, monkeypatch):
    monkeypatch.chdir(folder.parent)
    X, y = load_image_folder(folder.name, return_X_y=True)
    assert X.tolist() == load_image_folder(folder).data.tolist()
    assert y.tolist() == [0, 1, 1, 2, 2]


def test_the_same_classes_as_load_files(folder):
    shutil.rmtree(folder / "c" / "inner")  # load_files reads no inner folders
    ours, theirs = load_image_folder(folder), load_files(folder, shuffle=False, load_content=False)
    assert ours.target_names == theirs.target_names
    assert dict(zip(ours.data, ours.target, strict=True)) == dict(
        zip(theirs.filenames, theirs.target, strict=True)
    )


def test_what_is_left_aside(folder):
    before = load_image_folder(folder)
    for name in ("top.png", ".hidden/1.png", "b/.hidden/1.png", "b/._2.png"):
        write(folder / name)
    for name in ("b/Thumbs.db", "b/2.txt", "b/png"):
        (folder / name).write_text("text")
    assert load_image_folder(folder).data.tolist() == before.data.tolist()


def test_a_class_without_images(folder):
    (folder / "empty").mkdir()
    (folder / "empty" / "notes.txt").write_text("text")
    with pytest.raises(ValueError, match=r"empty' is the folder of a class, but has no images"):
        load_image_folder(folder)


def test_a_folder_without_classes(folder):
    with pytest.raises(ValueError, match=r"b' has no folders, only 2 images"):
        load_image_folder(folder / "b")
    with pytest.raises(FileNotFoundError, match="missing"):
        load_image_folder(folder / "missing")
    with pytest.raises(NotADirectoryError, match=r"2\.png"):
        load_image_folder(folder / "b" / "2.png")


def test_links_are_followed(folder, tmp_path_factory):
    outside = tmp_path_factory.mktemp("outside")
    write(outside / "1.png")
    write(outside / "2.png")
    (folder / "d").symlink_to(outside)
    (folder / "b" / "3.png").symlink_to(outside / "1.png")
    images = load_image_folder(folder)
    assert [Path(path).name for path in images.data[images.target == 1]] == [
        *("10.JPG", "2.png", "3.png")
    ]
    assert images.target_names == ["a b", "b", "c", "d"]
    (outside / "1.png").unlink()
    with pytest.raises(FileNotFoundError, match=r"3\.png' does not exist"):
        load_image_folder(folder)
    (folder / "b" / "circle").symlink_to(folder / "b")
    with pytest.raises(ValueError, match=r"circle is a symbolic link to a folder that was"):
        load_image_folder(folder)


def test_wrong_parameters(folder):
    with pytest.raises(ValueError, match="The 'return_X_y' parameter of load_image_folder"):
        load_image_folder(folder, return_X_y=2)
