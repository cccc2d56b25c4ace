"""Symbolic links among the files of a model."""

import sys

import pytest

from sklearn_dl.models._links import check_link


@pytest.fixture
def repository(tmp_path):
    """The Hugging Face cache of one repository, and of another."""
    for name in ("models--a--b", "models--c--d"):
        (tmp_path / name / "blobs").mkdir(parents=True)
        (tmp_path / name / "blobs" / "0f").write_text(name)
        (tmp_path / name / "snapshots" / "main" / "onnx").mkdir(parents=True)
    return tmp_path / "models--a--b"


@pytest.mark.parametrize(
    ("link", "target"),
    [
        ("model.onnx", "../../blobs/0f"),
        ("onnx/model.onnx", "../../../blobs/0f"),
        ("model.onnx", "onnx/other"),
    ],
)
def test_links_that_are_followed(repository, link, target):
    folder = repository / "snapshots" / "main"
    (folder / "onnx" / "other").write_text("inside")
    (folder / link).symlink_to(target)
    check_link(folder / link, folder)


@pytest.mark.parametrize(
    "target",
    [
        "../../secret",
        "../../blobs/below/0f",
        "../../blobs/leads_on",
        "../../../models--c--d/blobs/0f",
        "../../blobs",
        "/etc/passwd",
    ],
)
def test_links_that_are_refused(repository, target):
    (repository / "secret").write_text("secret")
    (repository / "blobs" / "below").mkdir()
    (repository / "blobs" / "below" / "0f").write_text("deeper")
    (repository / "blobs" / "leads_on").symlink_to("../secret")
    folder = repository / "snapshots" / "main"
    (folder / "model.onnx").symlink_to(target)
    with pytest.raises(ValueError, match="leads out of the model's folder"):
        check_link(folder / "model.onnx", folder)


def test_blobs_beside_a_folder_that_is_not_a_snapshot(tmp_path):
    (tmp_path / "blobs").mkdir()
    (tmp_path / "blobs" / "0f").write_text("a file")
    folder = tmp_path / "models" / "mine"
    folder.mkdir(parents=True)
    (folder / "model.onnx").symlink_to("../../blobs/0f")
    with pytest.raises(ValueError, match="leads out of the model's folder"):
        check_link(folder / "model.onnx", folder)


def test_blobs_that_are_a_link(repository, tmp_path):
    (tmp_path / "private").mkdir()
    (tmp_path / "private" / "0f").write_text("secret")
    for file in (repository / "blobs").iterdir():
        file.unlink()
    (repository / "blobs").rmdir()
    (repository / "blobs").symlink_to(tmp_path / "private")
    folder = repository / "snapshots" / "main"
    (folder / "model.onnx").symlink_to("../../blobs/0f")
    with pytest.raises(ValueError, match="leads out of the model's folder"):
        check_link(folder / "model.onnx", folder)


def test_a_cache_behind_a_link(repository, tmp_path):
    (tmp_path / "cache").symlink_to(repository)
    folder = tmp_path / "cache" / "snapshots" / "main"
    (folder / "model.onnx").symlink_to("../../blobs/0f")
    check_link(folder / "model.onnx", folder)


def test_links_in_a_circle(tmp_path):
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    if sys.version_info < (3, 13):
        with pytest.raises(ValueError, match="leads out of the model's folder"):
            check_link(tmp_path / "a", tmp_path)
    else:
        check_link(tmp_path / "a", tmp_path)  # it is not a file, which its reader says
