"""Damaged files of each format that is read: at most `max_pixels`, or ImageReadError."""

from io import BytesIO

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from sklearn_dl import ImageLoader, ImageResizer
from sklearn_dl.images import SAFE_FORMATS, ImageReadError
from tests.images.hostile_images import avif, codestream, icns, ico, jp2, tiff
from tests.images.image_files import encode, gradient

MAX_PIXELS = 10_000
RGB = Image.fromarray(gradient(12, 8))
RGBA = Image.fromarray(gradient(12, 8, channels=4))
SQUARE = Image.fromarray(gradient(16, 16, channels=4))
GREY = RGB.convert("L")
PALETTE = RGB.quantize(16)
ONE_BIT = GREY.convert("1")
DEEP = Image.fromarray(np.arange(96, dtype=np.uint16).reshape(8, 12) * 683)
TURNED = Image.Exif()
TURNED[0x0112] = 6
MORE = {"save_all": True, "append_images": [Image.new("RGB", (12, 8), "red")]}

SEEDS = {
    "AVIF": [encode(RGB, "AVIF"), encode(RGB, "AVIF", **MORE), avif((12, 8), (12, 8))],
    "BMP": [encode(RGB, "BMP"), encode(PALETTE, "BMP"), encode(ONE_BIT, "BMP")],
    "DDS": [encode(RGBA, "DDS"), encode(GREY, "DDS"), encode(RGB, "DDS", pixel_format="BC5")],
    "DIB": [encode(RGB, "DIB"), encode(PALETTE, "DIB")],
    "GIF": [encode(PALETTE, "GIF"), encode(RGB, "GIF", **MORE)],
    "ICNS": [icns(encode(SQUARE, "PNG")), icns(encode(SQUARE, "JPEG2000"))],
    "ICO": [
        encode(RGBA, "ICO", sizes=[(12, 8)]),
        encode(RGBA, "ICO", sizes=[(12, 8)], bitmap_format="bmp"),
        ico(encode(SQUARE, "PNG"), encode(SQUARE, "PNG")),
    ],
    "JPEG": [
        encode(RGB, "JPEG", exif=TURNED, progressive=True),
        encode(RGB.convert("CMYK"), "JPEG"),
        encode(GREY, "JPEG", comment=b"a comment"),
        encode(RGB, "MPO", **MORE),
    ],
    "JPEG2000": [
        encode(RGBA, "JPEG2000", tile_size=(8, 8)),
        codestream((12, 8)),
        jp2(codestream((12, 8)), (12, 8)),
    ],
    "PCX": [encode(RGB, "PCX"), encode(PALETTE, "PCX")],
    "PNG": [
        encode(RGBA, "PNG", exif=TURNED),
        encode(PALETTE, "PNG", transparency=b"\x80\xff"),
        encode(DEEP, "PNG"),
        encode(RGB, "PNG", **MORE),
    ],
    "PPM": [
        encode(RGB, "PPM"),
        encode(DEEP, "PPM"),
        encode(ONE_BIT, "PPM"),
        b"P3 3 2 255\n" + b"1 2 3 " * 6,
    ],
    "QOI": [encode(RGB, "QOI"), encode(RGBA, "QOI")],
    "SGI": [encode(RGB, "SGI"), encode(GREY, "SGI", bpc=2)],
    "TGA": [encode(RGB, "TGA", compression="tga_rle"), encode(PALETTE, "TGA")],
    "TIFF": [
        tiff((16, 16)),
        tiff((16, 16), big=True),
        encode(RGB, "TIFF", compression="tiff_lzw", exif=TURNED),
        encode(RGB, "TIFF", compression="jpeg"),
        encode(ONE_BIT, "TIFF", compression="group4"),
        encode(DEEP, "TIFF"),
    ],
    "WEBP": [encode(RGB, "WEBP", exif=TURNED), encode(RGBA, "WEBP", lossless=True, **MORE)],
}


def read(data, resized):
    column = ImageLoader(max_pixels=MAX_PIXELS).transform([data])
    if resized:
        column = ImageResizer(5, 4).transform(column)
    return np.asarray(column[0, 0])


def test_there_is_a_file_of_every_format():
    assert {*SEEDS, "HEIF"} == set(SAFE_FORMATS)
    for format, files in SEEDS.items():
        for data in files:
            assert Image.open(BytesIO(data)).format in (format, "MPO")
            assert read(data, resized=True).shape == (4, 5, 3)


integers = st.sampled_from([0, 1, 2, 255, 256, 65535, 2**16, 2**31 - 1, 2**31, 2**32 - 1])
pieces = st.binary(max_size=8) | st.builds(
    lambda value, order: value.to_bytes(4, order), integers, st.sampled_from(["big", "little"])
)


@st.composite
def damaged_files(draw, seeds):
    data = draw(st.sampled_from(seeds))
    for _ in range(draw(st.integers(1, 4))):
        # what matters most comes first in most formats
        at = draw(st.integers(0, min(len(data), 64)) | st.integers(0, len(data)))
        piece = draw(pieces)
        overwritten = draw(st.sampled_from([0, len(piece), len(piece) + 1]))
        data = data[:at] + piece + data[at + overwritten :]
    return data[: draw(st.just(len(data)) | st.integers(0, len(data)))]


def read_damaged_files(format, n_files):
    @settings(max_examples=n_files, derandomize=True, deadline=None, database=None)
    @given(data=damaged_files(SEEDS[format]), resized=st.booleans())
    def decodes_or_is_refused(data, resized):
        try:
            pixels = read(data, resized)
        except ImageReadError:
            return
        assert pixels.dtype == np.uint8
        assert pixels.shape[2:] == (3,)
        assert pixels.shape[:2] == (4, 5) if resized else pixels[..., 0].size <= MAX_PIXELS

    decodes_or_is_refused()


# parts of these formats are read by our own code, and all of the others by Pillow
READ_BY_US = {"AVIF", "ICNS", "ICO", "JPEG2000", "TIFF"}


@pytest.mark.slow
@pytest.mark.parametrize("format", SEEDS)
def test_damaged_files(format):
    read_damaged_files(format, n_files=200 if format in READ_BY_US else 40)


@pytest.mark.slow
@pytest.mark.parametrize("format", sorted(SEEDS.keys() - READ_BY_US))
def test_many_damaged_files(format):
    read_damaged_files(format, n_files=200)
