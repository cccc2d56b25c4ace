"""Check the sizes inside an image file before it is decoded.

A file may contain images or tiles that are larger than the size in its header.
"""

import struct
from contextlib import suppress
from io import BytesIO
from typing import NamedTuple

from PIL import IcnsImagePlugin, IcoImagePlugin, Image, Jpeg2KImagePlugin
from PIL.BmpImagePlugin import DibImageFile
from PIL.PngImagePlugin import PngImageFile

from sklearn_dl.images._av1 import av1_sizes

_PNG = b"\x89PNG\r\n\x1a\n"
_CODESTREAM = b"\xff\x4f\xff\x51"
_TILE_SIDES = (322, 323)  # TileWidth, TileLength
_TIFF_INTEGERS = {1: "B", 3: "H", 4: "I", 6: "b", 8: "h", 9: "i", 13: "I", 16: "Q", 17: "q"}
# OpenJPEG keeps about 12 kB per tile, so a file must not have more small tiles than this
_MANY_TILES = 4096
_SMALL_TILE = 64 * 64
# colours, alpha, a gain map and thumbnails are separate images
_AV1_IMAGES = 4
# errors of a damaged file: Pillow reports the damage when it reads the file
_DAMAGED = (SyntaxError, LookupError, TypeError, EOFError, OverflowError, struct.error)


class ImageBomb(ValueError):
    """An error of a file whose images or tiles are too large to be decoded."""


class Limit(NamedTuple):
    """The largest number of pixels allowed, and the name of this limit in messages."""

    pixels: int
    name: str

    def check(self, width, height, what):
        if width * height > self.pixels:
            raise ImageBomb(
                f"{what} inside the file has {width} x {height} pixels, more than {self.name}: it "
                "may be a decompression bomb"
            )


def limit_of(max_pixels):
    """Return the stricter of `max_pixels` and Pillow's limit, or None if there is neither."""
    pillow = Image.MAX_IMAGE_PIXELS
    if pillow is not None and (max_pixels is None or 2 * pillow < max_pixels):
        return Limit(2 * pillow, f"Pillow's limit of {2 * pillow}")
    return None if max_pixels is None else Limit(max_pixels, f"max_pixels={max_pixels}")


def check_inner_size(file, start, max_pixels):
    """Raise an error if an image or tile inside a file is larger than allowed.

    Parameters
    ----------
    file : binary file
    start : bytes
        The first bytes of the file: at least 16, or all of a shorter file.
    max_pixels : int or None
        Largest number of pixels. None: only Pillow's limit for errors, twice
        ``PIL.Image.MAX_IMAGE_PIXELS``.

    Raises
    ------
    ImageBomb
    """
    for signature, at, check in _CHECKS:
        if start.startswith(signature, at):
            limit = limit_of(max_pixels)
            if limit is not None:
                check(file, limit)


def _check_ico(file, limit):
    """Check the icon that Pillow decodes as soon as it opens the file."""
    file.seek(0)
    with suppress(*_DAMAGED):
        entry = IcoImagePlugin.IcoFile(file).entry[0]
        file.seek(entry.offset)
        png = file.read(8) == _PNG
        file.seek(entry.offset)
        width, height = (PngImageFile if png else DibImageFile)(file).size
        limit.check(width, height if png else height // 2, "an icon")  # a DIB includes its mask


def _check_icns(file, limit):
    """Check the icons of the largest size, if they are PNG or JPEG 2000 files."""
    file.seek(0)
    with suppress(*_DAMAGED):
        icons = IcnsImagePlugin.IcnsFile(file)
        for code, reader in icons.SIZES[icons.bestsize()]:
            if code not in icons.dct or reader is not IcnsImagePlugin.read_png_or_jpeg2000:
                continue
            start, length = icons.dct[code]
            file.seek(start)
            png = file.read(8) == _PNG
            file.seek(start)
            if png:
                limit.check(*PngImageFile(file).size, "an icon")
            else:
                icon = BytesIO(file.read(length))
                limit.check(*Jpeg2KImagePlugin.Jpeg2KImageFile(icon).size, "an icon")
                _check_jpeg2000(icon, limit)


def _check_tiff(file, limit):
    """Check the tile that libtiff allocates, with the largest value stated for each side."""
    file.seek(0)
    head = file.read(16)
    if head.startswith(b"MM\0+"):
        raise ImageBomb("it is a big-endian BigTIFF, which Pillow and libtiff read differently")
    order, big = "<" if head.startswith(b"II") else ">", head[2] == 43
    offset, size = order + ("Q" if big else "I"), order + ("Q" if big else "H")
    entry = struct.Struct(order + ("HHQ8s" if big else "HHI4s"))
    sides = dict.fromkeys(_TILE_SIDES, 0)
    with suppress(*_DAMAGED):
        file.seek(struct.unpack_from(offset, head, 8 if big else 4)[0])
        (count,) = struct.unpack(size, file.read(struct.calcsize(size)))
        # libtiff reads fewer entries
        entries = file.read(min(count, 65535) * entry.size)
        whole = len(entries) // entry.size * entry.size
        for tag, kind, _, value in entry.iter_unpack(entries[:whole]):
            if tag in sides and kind in _TIFF_INTEGERS:
                integer = struct.Struct(order + _TIFF_INTEGERS[kind])
                if integer.size > len(value):
                    file.seek(struct.unpack(offset, value)[0])
                    value = file.read(integer.size).ljust(integer.size, b"\0")
                sides[tag] = max(sides[tag], integer.unpack_from(value)[0])
    limit.check(*sides.values(), "a tile")


def _check_jpeg2000(file, limit):
    """Check the number of tiles of a codestream (ISO/IEC 15444-1, annexes A.5.1 and I)."""
    file.seek(0)
    with suppress(*_DAMAGED):
        if file.read(4) != _CODESTREAM:
            start, length, kind = 0, 0, None
            while kind != b"jp2c":
                start += length
                file.seek(start)
                length, kind = struct.unpack(">I4s", file.read(8))
                if length == 1:
                    (length,) = struct.unpack(">Q", file.read(8))
                if length < 8 and kind != b"jp2c":
                    return  # the last box, or a damaged one
            if file.read(4) != _CODESTREAM:
                raise ImageBomb("its JPEG 2000 codestream does not begin with its size")
        right, bottom, width, height, left, top = struct.unpack(">4xII8xIIII", file.read(36))
        tiles = -(-(right - left) // width) * -(-(bottom - top) // height)
        if tiles > _MANY_TILES and width * height < _SMALL_TILE:
            raise ImageBomb(
                f"it has {tiles} tiles of {width} x {height} pixels, and each tile needs more "
                "memory than its pixels: it may be a decompression bomb"
            )


def _check_avif(file, limit):
    """Check each AV1 image, and the sum of their pixels."""
    total = 0
    for width, height in av1_sizes(file):
        limit.check(width, height, "an AV1 image")
        total += width * height
        if total > _AV1_IMAGES * limit.pixels:
            raise ImageBomb(
                f"the AV1 images inside the file have more than {_AV1_IMAGES} times the pixels of "
                f"{limit.name}: it may be a decompression bomb"
            )


_CHECKS = (
    (b"\0\0\1\0", 0, _check_ico),
    (b"icns", 0, _check_icns),
    ((b"II*\0", b"II+\0", b"MM\0*", b"MM\0+"), 0, _check_tiff),  # all that libtiff reads
    ((_CODESTREAM, b"\0\0\0\x0cjP  "), 0, _check_jpeg2000),
    ((b"ftypavif", b"ftypavis", b"ftypmif1", b"ftypmsf1"), 4, _check_avif),
)
