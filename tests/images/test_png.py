"""The size of a PNG file whose EXIF orientation may follow its pixels."""

from io import BytesIO
from zlib import crc32

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from sklearn_dl import ImageLoader

EXIF = Image.Exif()
EXIF[0x0112] = 6
XMP = (
    b"XML:com.adobe.xmp\0\0\0\0\0"
    b'<x:xmpmeta xmlns:x="adobe:ns:meta/" xmlns:tiff="http://ns.adobe.com/tiff/1.0/" '
    b'tiff:Orientation="6"/>'
)


def chunk(name, data):
    return len(data).to_bytes(4, "big") + name + data + crc32(name + data).to_bytes(4, "big")


def png(before=b"", after=b""):
    """A PNG file of 4 x 2 with chunks before and after its pixels."""
    buffer = BytesIO()
    Image.new("RGB", (4, 2)).save(buffer, "PNG")
    content = buffer.getvalue()
    at, end = content.index(b"IDAT") - 4, len(content) - 12
    return content[:at] + before + content[at:end] + after + content[end:]


def loaded(source):
    return ImageLoader().transform([source])[0, 0]


def size_of_pixels(source):
    return np.asarray(loaded(source)).shape[1::-1]


@pytest.mark.parametrize(
    "turn", [chunk(b"eXIf", EXIF.tobytes()[6:]), chunk(b"iTXt", XMP)], ids=["exif", "xmp"]
)
def test_an_orientation_before_or_after_the_pixels(turn):
    for source in (png(before=turn), png(after=turn)):
        assert loaded(source).size_as_read() == size_of_pixels(source) == (2, 4)
    assert loaded(png()).size_as_read() == size_of_pixels(png()) == (4, 2)


def test_pixels_are_decoded_only_if_metadata_follows(monkeypatch, tmp_path):
    decoded = []
    load = PngImagePlugin.PngImageFile.load
    monkeypatch.setattr(
        PngImagePlugin.PngImageFile, "load", lambda self: decoded.append(self) or load(self)
    )
    text = chunk(b"tEXt", b"Title\0a")
    (tmp_path / "a.png").write_bytes(png(before=text, after=chunk(b"tIME", bytes(7))))
    assert loaded(tmp_path / "a.png").size_as_read() == (4, 2)
    assert not decoded
    for n_decoded, source in enumerate((png(after=text), png()[:-12]), start=1):
        assert loaded(source).size_as_read() == (4, 2)
        assert len(decoded) == n_decoded
