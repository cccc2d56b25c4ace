"""Files whose header says a small size, and whose pixels are many: refused before decoding."""

import struct
from io import BytesIO

import numpy as np
import pytest
from PIL import Image, ImageFile

from sklearn_dl import ImageLoader
from sklearn_dl.images import SAFE_FORMATS, ImageReadError
from tests.images.hostile_images import (
    BIG,
    avif,
    big_png,
    box,
    codestream,
    dib,
    icns,
    ico,
    jp2,
    png_of_two_headers,
    tiff,
)
from tests.images.image_files import encode, gradient, load

RGB = Image.fromarray(gradient(16, 16))


def uint32(value):
    """Four bytes, little-endian."""
    return struct.pack("<I", value)


SQUARE = (1_200, 1_200)
TOO_LARGE_INSIDE = {
    "ICO of a PNG": ico(big_png()),
    "ICO of a PNG of two headers": ico(png_of_two_headers()),
    "ICO of a bitmap": ico(dib(*BIG)),
    "ICO whose first icon is sound": ico(big_png(), encode(RGB, "PNG")),
    "ICNS of a PNG": icns(big_png()),
    "ICNS of a PNG of two headers": icns(png_of_two_headers()),
    "ICNS of a JPEG 2000 codestream": icns(codestream()),
    "ICNS of a JP2": icns(jp2(codestream(), BIG)),
    "TIFF": tiff(),
    "TIFF in YCbCr": tiff(photometric=6),
    "TIFF in LZW": tiff(compression=5),
    "TIFF in JPEG": tiff(compression=7),
    "big-endian TIFF": tiff(order=">"),
    "BigTIFF": tiff(big=True),
    "TIFF of one long row": tiff(tile=(2**20, 1024)),
    "TIFF of two tile sizes, the first too large": tiff(
        t322=[(4, BIG[0]), (4, 16)], t323=[(4, BIG[1]), (4, 16)]
    ),
    "TIFF of two tile sizes, the second too large": tiff(
        t322=[(4, 16), (4, BIG[0])], t323=[(4, 16), (4, BIG[1])]
    ),
    "TIFF whose tile size is beside the directory": tiff(
        t322=[(16, uint32(8))], t323=[(17, uint32(8))]
    ),
    "TIFF whose first entry is damaged": tiff(
        t322=[(16, uint32(2**32 - 1)), (4, BIG[0])],
        t323=[(16, uint32(2**32 - 1)), (4, BIG[1])],
    ),
    "AVIF": avif(SQUARE, (16, 16)),
}


@pytest.mark.parametrize("kind", TOO_LARGE_INSIDE)
@pytest.mark.parametrize("ask", [np.asarray, lambda image: image.size], ids=["pixels", "size"])
def test_a_size_inside_is_limited_by_max_pixels(kind, ask, nothing_is_decoded):
    image = ImageLoader(max_pixels=1_000_000).transform([TOO_LARGE_INSIDE[kind]])[0, 0]
    with pytest.raises(
        ImageReadError, match=r"inside the file has \d+ x \d+ pixels, more than max_pixels"
    ):
        ask(image)


@pytest.mark.parametrize("kind", TOO_LARGE_INSIDE)
def test_a_size_inside_is_limited_for_a_list_of_formats_too(kind, nothing_is_decoded):
    with pytest.raises(ImageReadError, match="more than max_pixels=1000000"):
        load(TOO_LARGE_INSIDE[kind], max_pixels=1_000_000, formats=list(SAFE_FORMATS))


@pytest.mark.parametrize("kind", [kind for kind in TOO_LARGE_INSIDE if kind != "AVIF"])
def test_without_max_pixels_a_size_inside_is_limited_as_by_pillow(kind, nothing_is_decoded):
    with pytest.raises(ImageReadError, match="more than Pillow's limit of 178956970"):
        load(TOO_LARGE_INSIDE[kind], max_pixels=None)


def test_an_avif_image_of_exactly_max_pixels_is_read():
    data = avif((64, 48), (64, 48))
    assert load(data, max_pixels=64 * 48).shape == (48, 64, 3)
    with pytest.raises(ImageReadError, match="64 x 48 pixels, more than max_pixels=3071"):
        load(data, max_pixels=64 * 48 - 1)


MANY_TILES = {
    "codestream": codestream((250, 250), (1, 1)),
    "JP2": jp2(codestream((250, 250), (1, 1)), (250, 250)),
    "JP2, codestream not at once": jp2(
        codestream((250, 250), (1, 1)), (250, 250), box(b"uuid", b"\0" * 16)
    ),
    "ICNS": icns(codestream((250, 250), (1, 1))),
}


@pytest.mark.parametrize("kind", MANY_TILES)
def test_an_image_of_many_tiny_tiles_is_refused(kind, nothing_is_decoded):
    with pytest.raises(ImageReadError, match="62500 tiles of 1 x 1 pixels"):
        load(MANY_TILES[kind])


def test_a_jp2_file_whose_codestream_does_not_begin_with_its_size_is_refused(nothing_is_decoded):
    stream = codestream((250, 250), (1, 1))
    with pytest.raises(ImageReadError, match="does not begin with its size"):
        load(jp2(stream[:2] + b"\xff\x64\0\4\0\1" + stream[2:], (250, 250), box(b"free", b"")))


SOUND = {
    "ICO": encode(RGB, "ICO", sizes=[(16, 16)]),
    "ICO of a bitmap": encode(RGB, "ICO", sizes=[(16, 16)], bitmap_format="bmp"),
    "TIFF of tiles": tiff((16, 16)),
    "big-endian TIFF of tiles": tiff((16, 16), order=">"),
    "BigTIFF of tiles": tiff((16, 16), big=True),
    "TIFF of strips": tiff(None),
    "JPEG 2000 of tiles": encode(RGB, "JPEG2000", tile_size=(8, 8)),
    "JPEG 2000 without its boxes": codestream((16, 16)),
}


@pytest.mark.parametrize("kind", SOUND)
def test_sound_files_of_these_formats_are_read(kind):
    expected = load(Image.open(BytesIO(SOUND[kind])))
    np.testing.assert_array_equal(load(SOUND[kind], max_pixels=256), expected)


def test_an_icns_file_is_read_at_its_largest_size():
    data = encode(Image.new("RGB", (16, 16), "red"), "ICNS")
    pixels = load(data, max_pixels=1024 * 1024)
    assert pixels.shape == (1024, 1024, 3)
    assert (pixels == [255, 0, 0]).all()


def test_what_was_decoded_is_measured_too(monkeypatch):
    """A format of the user's own, whose header says less than it decodes."""

    class Liar(ImageFile.ImageFile):
        format = "LIAR"

        def _open(self):
            self._size, self._mode = (2, 2), "L"

        def load(self):
            self._size = (20, 20)
            self.im = Image.core.fill("L", self._size, 0)

    monkeypatch.setitem(Image.OPEN, "LIAR", (Liar, lambda prefix: prefix.startswith(b"LIAR")))
    assert load(b"LIAR", formats=["LIAR"]).shape == (20, 20, 3)
    with pytest.raises(ImageReadError, match="20 x 20 pixels are more than max_pixels=399"):
        load(b"LIAR", formats=["LIAR"], max_pixels=399)
    with pytest.raises(ImageReadError, match=r"in the format LIAR.*\[\*SAFE_FORMATS, \"LIAR\"\]"):
        load(b"LIAR")
