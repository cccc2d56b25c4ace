import pytest
from PIL import Image

from tests.images.image_files import encode, gradient


@pytest.fixture
def pixels():
    return gradient(12, 8)


@pytest.fixture
def path(tmp_path, pixels):
    """A PNG file of `pixels`."""
    file = tmp_path / "a.png"
    file.write_bytes(encode(pixels, "PNG"))
    return file


@pytest.fixture
def nothing_is_decoded(monkeypatch):
    """Fails a test in which Pillow allocates or decodes pixels."""

    def decode(*args):
        raise AssertionError("something was decoded")

    for name in ("_getdecoder", "_decompression_bomb_check"):
        monkeypatch.setattr(Image, name, decode)
