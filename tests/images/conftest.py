import pytest

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
