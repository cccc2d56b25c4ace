"""The formats that are read: the safe ones, and others that the user asks for."""

import pickle
import struct
from io import BytesIO

import numpy as np
import pytest
from PIL import Image
from sklearn.base import clone

from sklearn_dl import ImageLoader
from sklearn_dl.images import SAFE_FORMATS, ImageReadError
from tests.images.hostile_images import blp, box, dib, ico
from tests.images.image_files import encode, gradient, load

PIXELS = gradient(16, 16)
RGB = Image.fromarray(PIXELS)

REFUSED = {
    "BLP": blp(),
    "CUR": ico(dib(16, 16), kind=2),
    "FLI": b"\0\0\0\0\x11\xaf" + b"\0" * 122,
    "FTEX": b"FTEX" + b"\0" * 60,
    "GRIB": b"GRIB\0\0\0\1" + b"\0" * 60,
    "IM": b"Image type: L image\r\nImage size (x*y): 4*4\r\n" + b"\0" * 500,
    "IMT": b"* made up\nwidth 4\nheight 4\n\x0c" + b"\0" * 16,
    "IPTC": b"\x1c\x03\x0a\0\1\0" + b"\0" * 20,
    "MSP": encode(Image.new("1", (8, 8)), "MSP"),
    "PCD": b"\0" * 2048 + b"PCD_" + b"\0" * 1536,
    "PSD": b"8BPS\0\1" + b"\0" * 60,
    "WMF": b"\xd7\xcd\xc6\x9a\0\0" + b"\0" * 60,
    "XBM": encode(Image.new("1", (8, 8)), "XBM"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_other_formats_are_refused_by_name(name, nothing_is_decoded):
    message = rf"in the format {name}, .*ImageLoader\(formats=\[\*SAFE_FORMATS, \"{name}\"\]\)"
    with pytest.raises(ImageReadError, match=message):
        load(REFUSED[name])


@pytest.mark.parametrize("name", ["BLP", "MSP", "XBM"])
def test_other_formats_are_read_if_the_user_lists_them(name):
    image = Image.new("1" if name in ("MSP", "XBM") else "P", (8, 8), 1)
    data = encode(image, name)
    assert load(data, formats=[*SAFE_FORMATS, name]).shape == (8, 8, 3)
    assert load(data, formats=[name.lower()]).shape == (8, 8, 3)


def test_only_the_formats_listed_are_read():
    assert load(encode(RGB, "PNG"), formats=("PNG",)).shape == (16, 16, 3)
    with pytest.raises(
        ImageReadError, match="in the format GIF, which is not one of ImageLoader's formats"
    ):
        load(encode(RGB, "GIF"), formats=("PNG",))
    with pytest.raises(ImageReadError, match=r"not an image in one of formats=\['PNG'\]"):
        load(encode(RGB, "TGA"), formats=("PNG",))
    with pytest.raises(ImageReadError, match="not an image in one of formats"):
        load(encode(RGB, "TGA"), formats=[])


@pytest.mark.parametrize(
    ("formats", "message"),
    [
        (
            ["PNG", "JPG"],
            "'JPG', which is not a format that can be read here. These formats can: AVIF, ",
        ),
        ([3], "contains 3, which is not a format"),
        (["EPS"], "'EPS', which is never read: it is PostScript"),
        (["MPO"], "'MPO', which Pillow reads as 'JPEG'"),
        ("PNG", "'formats' parameter of ImageLoader must be"),
        ({"PNG"}, "'formats' parameter of ImageLoader must be"),
    ],
    ids=["JPG", "number", "EPS", "MPO", "string", "set"],
)
def test_wrong_formats_are_errors(formats, message):
    with pytest.raises(ValueError, match=message):
        ImageLoader(formats=formats).transform([PIXELS])


def test_formats_are_kept_by_clone_and_pickle():
    loader = clone(ImageLoader(formats=["PNG"]))
    image = pickle.loads(pickle.dumps(loader.transform([encode(RGB, "GIF")])[0, 0]))
    assert image.decoding.formats == ("PNG",)
    with pytest.raises(ImageReadError, match="in the format GIF"):
        np.asarray(image)


def test_a_pil_image_may_be_of_any_format():
    image = Image.open(BytesIO(encode(Image.new("1", (8, 8)), "MSP")))
    assert load(image, formats=["PNG"]).shape == (8, 8, 3)
    with pytest.raises(ImageReadError, match="8 x 8 pixels are more than max_pixels=63"):
        load(image, max_pixels=63)


def test_a_cursor_is_not_read_as_tga():
    """Both formats have the same signature, but only CUR has a number of cursors."""
    np.testing.assert_array_equal(load(encode(RGB, "TGA")), PIXELS)
    cursor = bytearray(ico(dib(16, 16), kind=2))
    cursor[14:18] = struct.pack("<I", 24 << 16)  # 24 bits, if it were TGA
    with pytest.raises(ImageReadError, match="in the format CUR"):
        load(bytes(cursor))


def test_a_video_is_not_an_image():
    with pytest.raises(ImageReadError, match="not an image in a format that Pillow reads"):
        load(box(b"ftyp", b"isom\0\0\0\0") + box(b"moov", b"") * 100_001)


@pytest.mark.parametrize(
    "start",
    [b"II", b"MM", b"II*\0", b"\0\0\1\0", b"icns", b"\xff\x4f\xff\x51"],
    ids=["TIFF", "big-endian TIFF", "TIFF and its version", "ICO", "ICNS", "JPEG 2000"],
)
def test_the_first_bytes_of_a_format_are_not_an_image(start):
    with pytest.raises(ImageReadError, match="not an image in a format that Pillow reads"):
        load(start)
