"""Valid and forged image files for the tests of images."""

import struct
import zlib
from io import BytesIO

import numpy as np
from PIL import Image

from sklearn_dl import ImageLoader


def load(cell, **params):
    """The pixels of one cell, as an ImageLoader of these parameters reads them."""
    return np.asarray(ImageLoader(**params).transform([cell])[0, 0])


def encode(image, format, **options):
    """The bytes of a PIL image, or an array, written as a file of `format`."""
    buffer = BytesIO()
    image = image if isinstance(image, Image.Image) else Image.fromarray(image)
    image.save(buffer, format, **options)
    return buffer.getvalue()


def gradient(width, height, channels=3):
    """An array in which every channel and place differ, smooth enough for JPEG."""
    y, x = np.mgrid[:height, :width]
    planes = [x * 255 // width, y * 255 // height, (x + y) * 255 // (width + height), 255 - x]
    pixels = np.stack(planes[:channels], axis=-1).astype(np.uint8)
    return pixels[:, :, 0] if channels == 1 else pixels


def png(width, height, depth=8, color_type=2, rows=b"", transparency=None):
    """A PNG with a header of our choice, whatever its pixels are."""

    def chunk(name, data):
        return (
            struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        )

    header = struct.pack(">IIBBBBB", width, height, depth, color_type, 0, 0, 0)
    extra = b"" if transparency is None else chunk(b"tRNS", transparency)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + extra
        + chunk(b"IDAT", zlib.compress(rows))
        + chunk(b"IEND", b"")
    )


def bmp(width, height):
    """A 24-bit BMP that is all header."""
    info = struct.pack("<IiiHHIIiiII", 40, width, height, 1, 24, 0, 0, 0, 0, 0, 0)
    return b"BM" + struct.pack("<IHHI", 54, 0, 0, 54) + info


def gif(width, height):
    """A GIF that is all header."""
    screen = struct.pack("<HHBBB", width, height, 0, 0, 0)
    frame = b"\x2c" + struct.pack("<HHHHB", 0, 0, width, height, 0)
    return b"GIF89a" + screen + frame + b"\x02\x02\x4c\x01\x00;"
