"""HEIC images, which the package pillow-heif reads."""

import struct
import sys
import types

import joblib
import numpy as np
import pytest
from PIL import Image, ImageFile

from sklearn_dl import ImageLoader, ImageResizer
from sklearn_dl.images import ImageReadError
from tests.images.hostile_images import BIG, box
from tests.images.image_files import gradient, load


def brands(main, *others):
    """The start of an ISO file: its main brand, and others that it is compatible with."""
    return box(b"ftyp", b"\0\0\0\0".join([main, b"".join(others)])) + b"\0" * 40


@pytest.mark.parametrize(
    "data",
    [
        brands(b"heic", b"mif1"),
        brands(b"heix"),
        brands(b"hevc"),
        brands(b"mif1", b"mif1", b"heic"),
        brands(b"msf1"),
    ],
    ids=["heic", "heix", "hevc", "mif1 and heic", "msf1"],
)
def test_without_its_package_an_error_names_it(data, monkeypatch):
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    with pytest.raises(ImageReadError, match=r"it is a HEIC image.*pip install pillow-heif"):
        load(data)


@pytest.mark.parametrize(
    "data",
    [brands(b"avif", b"mif1", b"heic"), brands(b"mif1", b"mif1", b"avif"), brands(b"isom")],
    ids=["avif", "mif1 and avif", "isom"],
)
def test_files_of_other_brands_are_not_heic(data):
    with pytest.raises(ImageReadError, match="not an image in a format that Pillow reads"):
        load(data)


HEIC = brands(b"heic", b"mif1", b"heic")


def test_heic_is_a_format():
    with pytest.raises(ImageReadError, match="in the format HEIF"):
        load(HEIC, formats=["PNG"])


class FakeHeif(ImageFile.ImageFile):
    """Behaves like pillow-heif's plugin, whose draft is a thumbnail."""

    format = "HEIF"
    claimed = (8, 6)

    def _open(self):
        if self.fp.read(12)[4:] != b"ftypheic":
            raise SyntaxError("no HEIC")
        self._size, self._mode = self.claimed, "RGB"

    def load(self):
        self.im = Image.core.fill("RGB", self.size, (1, 2, 3))

    def draft(self, mode, size):
        raise AssertionError("the thumbnail was taken")


@pytest.fixture
def fake_heif(monkeypatch):
    module = types.SimpleNamespace(HeifImageFile=FakeHeif)
    monkeypatch.setitem(sys.modules, "pillow_heif", module)


@pytest.mark.usefixtures("fake_heif")
def test_heic_is_read_without_being_registered():
    registered = set(Image.OPEN)
    np.testing.assert_array_equal(load(HEIC), np.broadcast_to([1, 2, 3], (6, 8, 3)))
    small = ImageResizer(2, 2).transform(ImageLoader().transform([HEIC]))
    assert np.asarray(small[0, 0]).tolist() == [[[1, 2, 3]] * 2] * 2
    assert set(Image.OPEN) == registered


@pytest.mark.usefixtures("fake_heif")
def test_the_size_of_heic_is_limited(monkeypatch):
    with pytest.raises(ImageReadError, match="8 x 6 pixels are more than max_pixels=47"):
        load(HEIC, max_pixels=47)
    with pytest.raises(ImageReadError, match="pillow-heif cannot read: no HEIC"):
        load(HEIC.replace(b"ftypheic", b"ftypheix"))
    monkeypatch.setattr(FakeHeif, "claimed", BIG)
    with pytest.raises(ImageReadError, match="20000 x 17850 pixels, more than Pillow's limit"):
        load(HEIC, max_pixels=None)


@pytest.fixture
def turned_file(tmp_path):
    """A real HEIC file of `gradient(64, 48)`, which its EXIF block rotates."""
    heif = pytest.importorskip("pillow_heif")
    exif = Image.Exif()
    exif[0x0112] = 6
    file = tmp_path / "a.heic"
    image = heif.from_pillow(Image.fromarray(gradient(64, 48)))
    image.save(file, quality=90, exif=exif.tobytes())
    return file


def error_of(file):
    """Mean difference from the upright image, in grey levels."""
    upright = np.rot90(gradient(64, 48), -1).astype(int)
    return abs(load(file) - upright).mean()


def test_a_real_file_is_read(turned_file):
    assert error_of(turned_file) < 4
    with pytest.raises(ImageReadError, match="48 x 64 pixels are more than max_pixels=3071"):
        load(turned_file, max_pixels=64 * 48 - 1)


def test_a_real_file_that_says_another_size(turned_file):
    data = bytearray(turned_file.read_bytes())
    at = data.index(b"ispe") + 8
    data[at : at + 8] = struct.pack(">II", 16, 16)
    with pytest.raises(ImageReadError):  # or an array of at most 16 x 16
        load(bytes(data), max_pixels=256)


@pytest.mark.slow
def test_a_real_file_is_read_in_worker_processes(turned_file):
    parallel = joblib.Parallel(n_jobs=2)
    assert max(parallel(joblib.delayed(error_of)(turned_file) for _ in range(2))) < 4
