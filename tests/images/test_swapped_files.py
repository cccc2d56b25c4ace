"""Files below `root` that are swapped between `transform` and the reading of their pixels."""

import os
import pickle

import joblib
import numpy as np
import psutil
import pytest
from PIL import Image
from sklearn.pipeline import make_pipeline

from sklearn_dl import ImageLoader, ImageResizer, PixelExtractor
from sklearn_dl.images import ImageReadError, _files
from tests.images.hostile_images import big_png, ico
from tests.images.image_files import encode, gradient


@pytest.fixture
def root(tmp_path):
    """A folder with "sub/a.png" (black), beside "secret/a.png" (white)."""
    for name, level in (("root/sub", 0), ("secret", 255)):
        (tmp_path / name).mkdir(parents=True)
        image = Image.new("RGB", (4, 4), (level,) * 3)
        image.save(tmp_path / name / "a.png")
    return tmp_path / "root"


def swap_file(root):
    (root / "sub" / "a.png").unlink()
    (root / "sub" / "a.png").symlink_to(root.parent / "secret" / "a.png")


def swap_folder(root):
    (root / "sub").rename(root.parent / "old")
    (root / "sub").symlink_to(root.parent / "secret")


def swap_root(root):
    root.rename(root.parent / "old")
    (root.parent / "secret").rename(root.parent / "sub")
    root.symlink_to(root.parent)


SWAPS = {"file": swap_file, "folder": swap_folder, "root": swap_root}
every_swap = pytest.mark.parametrize("swap", SWAPS.values(), ids=SWAPS)
LEAVES = "may leave the folder root=.*: a part of it became a symbolic link"


@pytest.fixture(params=[True, False], ids=["descriptors", "comparing"])
def both_ways_of_opening(request, monkeypatch):
    """The way of POSIX, and the way of Windows."""
    monkeypatch.setattr(_files, "_BELOW_A_FOLDER", request.param)


@pytest.mark.usefixtures("both_ways_of_opening")
@every_swap
@pytest.mark.parametrize("pickled", [False, True], ids=["live", "pickled"])
def test_a_swap_after_transform_is_refused(root, swap, pickled):
    column = ImageLoader(root=root).transform(["sub/a.png"])
    if pickled:
        column = pickle.loads(pickle.dumps(column))
    assert not np.asarray(column[0, 0]).any()
    swap(root)
    for ask in (np.asarray, lambda image: image.size):
        with pytest.raises(ImageReadError, match=LEAVES):
            ask(column[0, 0])


@pytest.fixture
def before_opening(monkeypatch):
    """Calls a function after "a.png" was checked and before it is opened."""
    really_open = os.open

    def do(something):
        def open_late(name, flags, *args, **kwargs):
            if str(name).endswith("a.png"):
                something()
            return really_open(name, flags, *args, **kwargs)

        monkeypatch.setattr(os, "open", open_late)

    return do


@pytest.mark.usefixtures("both_ways_of_opening")
def test_a_swap_during_the_opening_is_refused(root, before_opening):
    image = ImageLoader(root=root).transform(["sub/a.png"])[0, 0]
    before_opening(lambda: swap_file(root))
    with pytest.raises(ImageReadError, match=LEAVES):
        np.asarray(image)


def swap_for_a_pipe(root):
    (root / "sub" / "a.png").unlink()
    os.mkfifo(root / "sub" / "a.png")


def test_a_pipe_in_the_place_of_the_file_is_not_waited_for(root, before_opening):
    image = ImageLoader(root=root).transform(["sub/a.png"])[0, 0]
    before_opening(lambda: swap_for_a_pipe(root))
    with pytest.raises(ImageReadError, match=r"a.png' is not a regular file"):
        np.asarray(image)


@every_swap
def test_a_swap_is_refused_for_a_cached_column(root, tmp_path, swap):
    def column():
        loader = ImageLoader(root=root)
        return joblib.Memory(tmp_path / "cache", verbose=0).cache(loader.transform)(["sub/a.png"])

    assert not np.asarray(column()[0, 0]).any()
    cached = column()
    swap(root)
    with pytest.raises(ImageReadError, match=LEAVES):
        np.asarray(cached[0, 0])


def test_a_swap_is_masked_if_the_user_asks(root):
    images = ImageLoader(root=root, on_error="nan").transform(["sub/a.png"])
    pixels = PixelExtractor().transform(ImageResizer(2, 2).transform(images))
    swap_file(root)
    with pytest.warns(UserWarning, match="1 of 1 images could not be read"):
        assert np.isnan(np.asarray(pixels)).all()


def test_a_second_loader_keeps_the_root_of_the_first(root):
    column = ImageLoader(root=root).transform(["sub/a.png"])
    again = ImageLoader(colors="L").transform(column)
    assert not np.asarray(again[0, 0]).any()
    swap_file(root)
    with pytest.raises(ImageReadError, match=LEAVES):
        np.asarray(again[0, 0])


@pytest.mark.usefixtures("both_ways_of_opening")
def test_another_regular_file_is_read(root):
    image = ImageLoader(root=root).transform(["sub/a.png"])[0, 0]
    os.replace(root.parent / "secret" / "a.png", root / "sub" / "a.png")
    assert (np.asarray(image) == 255).all()


@pytest.mark.usefixtures("both_ways_of_opening")
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda file: file.unlink(), "the file '.*a.png' does not exist"),
        (lambda file: (file.unlink(), file.mkdir()), "a.png' is a folder, not a file"),
        (lambda file: (file.unlink(), os.mkfifo(file)), "a.png' is not a regular file"),
        (lambda file: file.write_bytes(b""), r"it is empty \(0 bytes\)"),
        (lambda file: (file.unlink(), file.parent.rmdir()), "the file '.*a.png' does not exist"),
    ],
    ids=["missing", "folder", "pipe", "empty", "no folder"],
)
@pytest.mark.parametrize("below_root", [True, False], ids=["below root", "anywhere"])
def test_files_that_are_gone(root, change, message, below_root):
    file = root / "sub" / "a.png"
    loader, cell = (ImageLoader(root=root), "sub/a.png") if below_root else (ImageLoader(), file)
    image = loader.transform([cell])[0, 0]
    change(file)
    with pytest.raises(ImageReadError, match=message):
        np.asarray(image)


def test_no_descriptor_stays_open(root):
    page = Image.fromarray(gradient(16, 16))
    (root / "bad.png").write_bytes(b"no image")
    (root / "bomb.ico").write_bytes(ico(big_png()))
    (root / "pages.tif").write_bytes(encode(page, "TIFF", save_all=True, append_images=[page]))
    (root / "packed.tif").write_bytes(encode(page, "TIFF", compression="tiff_lzw"))
    (root / "link.png").write_bytes(b"")
    cells = ["sub/a.png", "bad.png", "bomb.ico", "pages.tif", "packed.tif", "link.png", "none.png"]
    steps = make_pipeline(ImageLoader(root=root, on_error="nan"), ImageResizer(4, 4))
    images = steps.transform(cells)
    (root / "link.png").unlink()
    (root / "link.png").symlink_to(root / "sub" / "a.png")

    def used(n_calls):
        for _ in range(n_calls):
            with pytest.warns(UserWarning, match="4 of 7 images could not be read"):
                np.asarray(PixelExtractor().transform(images))
        return psutil.Process().num_fds()

    once = used(1)
    assert used(40) - once < 5
