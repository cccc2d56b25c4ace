"""The sizes of the AV1 images in an AVIF file.

The sizes in the file's boxes may differ from those of the images: libavif decodes the images, and
then scales them to the sizes in the boxes.
"""

import struct
from collections import deque
from contextlib import suppress

_CONTAINERS = {b"moov", b"trak", b"mdia", b"minf", b"stbl"}
_MOST_PARTS = 100_000
_LONGEST_HEADER = 1024  # bytes: a sequence header with all operating points is shorter
_SEQUENCE_HEADER = 1
_TO_THE_END = 2**63


def av1_sizes(file):
    """Yield the (width, height) in each AV1 sequence header of a file.

    It reads the headers in all items and in the first frame of each track.

    Parameters
    ----------
    file : binary file
        File of ISO/IEC 14496-12 boxes.

    Raises
    ------
    ValueError
        If the boxes are damaged, or if the file has more than 100,000 parts (boxes, pieces of
        items and bitstream units).
    """
    file.seek(0, 2)
    end = file.tell()
    budget = iter(range(_MOST_PARTS))
    try:
        payloads = list(_payloads(file, 0, end, budget))
    except (EOFError, IndexError, RecursionError, struct.error):
        raise ValueError("its boxes are damaged") from None
    for pieces in payloads:
        # a decoder also stops where a payload is damaged
        with suppress(EOFError, IndexError):
            yield from _payload_sizes(_Pieces(file, pieces), budget)


def _payload_sizes(payload, budget):
    """Yield the (width, height) in each sequence header of a payload."""
    while payload.left:
        _spend(budget)
        kind, length = payload.obu()
        if kind == _SEQUENCE_HEADER:
            start = payload.read(min(length, _LONGEST_HEADER))
            yield _frame_size(_Bits(start))
            length -= len(start)
        payload.skip(length)


def _spend(budget):
    """Count one part of the file; raise an error if the file has too many."""
    if next(budget, None) is None:
        raise ValueError(f"it has more than {_MOST_PARTS} parts: it is not an AVIF image")


def _boxes(file, start, end, budget):
    """Yield the kind of each box, and the start and end of its content."""
    while start + 8 <= end:
        _spend(budget)
        file.seek(start)
        length, kind = struct.unpack(">I4s", _read(file, 8))
        inside = start + 8
        if length == 1:
            (length,) = struct.unpack(">Q", _read(file, 8))
            inside += 8
        stop = end if length == 0 else min(start + length, end)
        if stop < inside:
            return
        yield kind, inside, stop
        start = stop


def _payloads(file, start, end, budget):
    """Yield the pieces of each item and each track's first frame, as lists of (offset, length)."""
    offset = size = None
    for kind, inside, stop in _boxes(file, start, end, budget):
        if kind == b"meta":
            found = {k: (i, s) for k, i, s in _boxes(file, inside + 4, stop, budget)}
            if b"iloc" in found:
                yield from _items(file, *found[b"iloc"], found.get(b"idat", (0, 0))[0], budget)
        elif kind in _CONTAINERS:
            yield from _payloads(file, inside, stop, budget)
        elif kind in (b"stco", b"co64"):
            file.seek(inside + 8)
            wide = kind == b"co64"
            (offset,) = struct.unpack(">Q" if wide else ">I", _read(file, 8 if wide else 4))
        elif kind == b"stsz":
            file.seek(inside + 4)
            size, _, first = struct.unpack(">III", _read(file, 12).ljust(12, b"\0"))
            size = size or first
    if offset is not None and size is not None:
        yield [(offset, size)]


def _items(file, start, stop, idat, budget):
    """Yield the pieces of each item, from the box "iloc" (ISO/IEC 14496-12, 8.11.3)."""
    file.seek(start)
    box = memoryview(_read(file, stop - start))
    version = box[0]
    offset_size, length_size = box[4] >> 4, box[4] & 15
    base_size, index_size = box[5] >> 4, box[5] & 15 if version else 0
    at = 6

    def integer(n_bytes):
        nonlocal at
        at += n_bytes
        if at > len(box):
            raise EOFError
        return int.from_bytes(box[at - n_bytes : at], "big")

    wide = 4 if version == 2 else 2
    for _ in range(integer(wide)):
        integer(wide)
        in_idat = version and integer(2) & 15 == 1
        integer(2)
        base = integer(base_size) + (idat if in_idat else 0)
        pieces = []
        for _ in range(integer(2)):
            _spend(budget)
            integer(index_size)
            offset = integer(offset_size)
            pieces.append((base + offset, integer(length_size)))
        yield pieces


class _Pieces:
    """Pieces of a file, read as one stream; skipped bytes are not read."""

    def __init__(self, file, pieces):
        self.file = file
        self.pieces = deque((offset, length or _TO_THE_END) for offset, length in pieces)
        self.offset, self.length = 0, 0
        self._next()

    @property
    def left(self):
        return self.length > 0

    def _next(self):
        self.offset, self.length = self.pieces.popleft() if self.pieces else (0, 0)

    def skip(self, n_bytes):
        while n_bytes and self.length:
            step = min(n_bytes, self.length)
            self.offset += step
            self.length -= step
            n_bytes -= step
            if not self.length:
                self._next()

    def read(self, n_bytes):
        data = b""
        while len(data) < n_bytes and self.length:
            self.file.seek(self.offset)
            more = self.file.read(min(n_bytes - len(data), self.length))
            if not more:
                self.length = 0
                self.pieces.clear()
                break
            data += more
            self.skip(len(more))
        return data

    def byte(self):
        return self.read(1)[0]

    def obu(self):
        """Read the start of an open bitstream unit; return its type and length (AV1, 5.3)."""
        head = self.read(1)
        if not head:
            return 0, 0
        if head[0] & 4:
            self.byte()
        length = _TO_THE_END
        if head[0] & 2:
            length = 0
            for i in range(8):
                byte = self.byte()
                length |= (byte & 127) << 7 * i
                if byte < 128:
                    break
        return head[0] >> 3 & 15, length


class _Bits:
    """A reader of bits: each call returns the next `n_bits` as an integer, highest bit first."""

    def __init__(self, data):
        self.value, self.left = int.from_bytes(data, "big"), 8 * len(data)

    def __call__(self, n_bits=1):
        if n_bits > self.left:
            raise EOFError
        self.left -= n_bits
        return self.value >> self.left & (1 << n_bits) - 1

    def skip_uvlc(self):
        """Skip a number of variable length (AV1, 4.10.3), as dav1d and libaom read it."""
        zeros = 0
        while not self():
            zeros += 1
            if zeros == 32:
                return
        self(zeros)


def _frame_size(bits):
    """Return max_frame_width and max_frame_height of a sequence header (AV1, 5.5.1)."""
    bits(4)
    if bits():  # reduced_still_picture_header
        bits(5)
    else:
        delay_bits = None
        if bits():  # timing_info_present_flag
            bits(64)
            if bits():
                bits.skip_uvlc()
            if bits():  # decoder_model_info_present_flag
                delay_bits = bits(5) + 1
                bits(42)
        display_delay = bits()
        for _ in range(bits(5) + 1):
            bits(12)
            if bits(5) > 7:
                bits()
            if delay_bits is not None and bits():
                bits(2 * delay_bits + 1)
            if display_delay and bits():
                bits(4)
    width_bits, height_bits = bits(4) + 1, bits(4) + 1
    return bits(width_bits) + 1, bits(height_bits) + 1


def _read(file, n_bytes):
    data = file.read(n_bytes)
    if not data and n_bytes:
        raise EOFError
    return data
