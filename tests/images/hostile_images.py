"""Files that say one size and decode another: each is a few hundred bytes and costs hundreds of MB.

None is ever decoded in a test: what is tested is that they are refused before.
"""

import struct
import zlib
from io import BytesIO

from PIL import Image

from tests.images.image_files import encode

BIG = (20_000, 17_850)
"""357 million pixels."""


def big_png(size=BIG):
    """The head of a PNG of that size; its pixels are missing."""

    def chunk(name, data):
        return (
            struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        )

    header = struct.pack(">IIBBBBB", *size, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b""))


def png_of_two_headers(size=BIG):
    """A PNG whose first header is 16 x 16, and whose second one counts."""
    small, big = big_png((16, 16)), big_png(size)
    return small[:33] + big[8:]


def dib(width, height, depth=8):
    """A bitmap as it is in an icon: with its mask it is twice as high."""
    palette = b"\1\2\3\0" * 256 if depth == 8 else b""
    head = struct.pack("<IiiHHIIiiII", 40, width, 2 * height, 1, depth, 0, 0, 0, 0, 0, 0)
    return head + palette + b"\0" * 64


def ico(*icons, kind=1):
    """An ICO file (or CUR, kind 2) of icons that all claim to be 16 x 16."""
    entries, data = b"", b""
    for icon in icons:
        start = 6 + 16 * len(icons) + len(data)
        entries += struct.pack("<BBBBHHII", 16, 16, 0, 0, 1, 8, len(icon), start)
        data += icon
    return struct.pack("<HHH", 0, kind, len(icons)) + entries + data


def icns(icon, code=b"icp4"):
    """An ICNS file of one icon; "icp4" claims to be 16 x 16."""
    block = code + struct.pack(">I", 8 + len(icon)) + icon
    return b"icns" + struct.pack(">I", 8 + len(block)) + block


def codestream(size=BIG, tile=None, n_components=3):
    """The head of a JPEG 2000 codestream and an empty tile."""
    marker = struct.pack(">HIIIIIIIIH", 0, *size, 0, 0, *(tile or size), 0, 0, n_components)
    marker += bytes([7, 1, 1]) * n_components
    cod = struct.pack(">HBBHBBBBBB", 12, 0, 0, 1, 0, 0, 4, 4, 0, 1)
    qcd = struct.pack(">HBB", 4, 0x40, 0x48)
    sot = struct.pack(">HHIBB", 10, 0, 15, 0, 1)
    return (
        b"\xff\x4f\xff\x51"
        + struct.pack(">H", len(marker) + 2)
        + marker
        + b"\xff\x52"
        + cod
        + b"\xff\x5c"
        + qcd
        + b"\xff\x90"
        + sot
        + b"\xff\x93\0\xff\xd9"
    )


def box(kind, data):
    """An ISO box."""
    return struct.pack(">I4s", 8 + len(data), kind) + data


def jp2(stream, size, between=b""):
    """A JP2 file that claims a size; `between` comes before its codestream."""
    ihdr = box(b"ihdr", struct.pack(">IIHBBBB", *size[::-1], 3, 7, 7, 0, 0))
    colr = box(b"colr", b"\1\0\0" + struct.pack(">I", 16))
    return (
        box(b"jP  ", b"\r\n\x87\n")
        + box(b"ftyp", b"jp2 \0\0\0\0jp2 ")
        + box(b"jp2h", ihdr + colr)
        + between
        + box(b"jp2c", stream)
    )


def tiff(tile=BIG, size=(16, 16), compression=8, photometric=2, order="<", big=False, **tags):
    """A TIFF of tiles, of three samples of 8 bits.

    Parameters
    ----------
    tile : tuple of int or None
        None: strips.
    tags : dict of "t<number>" to list of (type, bytes of the value)
        Entries instead of, or besides, the usual ones.
    """
    data = zlib.compress(b"\0" * 768)
    entries: dict = {
        256: [(4, size[0])],
        257: [(4, size[1])],
        258: [(3, None)],
        259: [(3, compression)],
        262: [(3, photometric)],
        277: [(3, 3)],
    }
    if tile is None:
        entries |= {273: [(4, None)], 278: [(4, size[1])], 279: [(4, len(data))]}
    else:
        entries |= {322: [(4, tile[0])], 323: [(4, tile[1])], 324: [(4, None)]}
        entries |= {325: [(4, len(data))]}
    entries |= {int(name[1:]): values for name, values in tags.items()}
    rows = [(tag, *entry) for tag in sorted(entries) for entry in entries[tag]]
    width = 20 if big else 12
    start = (16 if big else 8) + (8 if big else 2) + width * len(rows) + (8 if big else 4)
    head = (b"II" if order == "<" else b"MM") + struct.pack(order + "H", 43 if big else 42)
    head += struct.pack(order + ("HHQ" if big else "I"), *((8, 0, 16) if big else (8,)))
    directory = struct.pack(order + ("Q" if big else "H"), len(rows))
    for tag, kind, value in rows:
        count, field = 1, value
        if tag == 258:
            bits = struct.pack(order + "3H", 8, 8, 8)
            count, field = 3, bits if big else struct.pack(order + "I", start)
        elif tag in (273, 324):
            field = struct.pack(order + "I", start + 8)
        if not isinstance(field, bytes):
            field = struct.pack(order + {3: "H", 4: "I"}[kind], field)
        directory += struct.pack(order + ("HHQ" if big else "HHI"), tag, kind, count)
        directory += field.ljust(8 if big else 4, b"\0")
    directory += b"\0" * (8 if big else 4)
    return head + directory + struct.pack(order + "3H", 8, 8, 8) + b"\0\0" + data


def avif(size, claimed, **options):
    """An AVIF image of `size`, whose boxes claim another."""
    data = bytearray(encode(Image.new("RGB", size), "AVIF", speed=10, **options))
    at = data.find(b"ispe")
    while at >= 0:
        data[at + 8 : at + 16] = struct.pack(">II", *claimed)
        at = data.find(b"ispe", at + 1)
    return bytes(data)


def blp(size=BIG):
    """A BLP1 file of 16 x 16 whose JPEG inside is of another size."""
    buffer = BytesIO()
    Image.new("RGB", (8, 8)).save(buffer, "JPEG")
    jpeg = bytearray(buffer.getvalue())
    at = jpeg.index(b"\xff\xc0") + 5
    jpeg[at : at + 4] = struct.pack(">HH", *size[::-1])
    head = b"BLP1" + struct.pack("<iIIIii", 0, 0, 16, 16, 4, 0)
    start = len(head) + 128 + 4
    table = struct.pack("<16I16I", start, *[0] * 15, len(jpeg), *[0] * 15)
    return head + table + struct.pack("<I", 0) + bytes(jpeg)
