"""Find metadata that follows the pixels in a PNG file."""

import os

_SIGNATURE = 8
_METADATA = {b"eXIf", b"iTXt", b"tEXt", b"zTXt"}


def metadata_follows_pixels(file):
    """Whether a PNG file may have EXIF or XMP data after its pixels; no data are read.

    Parameters
    ----------
    file : binary file
        Its position stays the same.

    Returns
    -------
    follows : bool
        True also if the file is damaged.
    """
    position = file.tell()
    try:
        file.seek(_SIGNATURE)
        has_pixels = False
        while len(start := file.read(8)) == 8:
            length, name = int.from_bytes(start[:4], "big"), start[4:]
            if name == b"IEND":
                return False
            if has_pixels and name in _METADATA:
                return True
            has_pixels |= name == b"IDAT"
            file.seek(length + 4, os.SEEK_CUR)  # the data and its checksum
        return True
    finally:
        file.seek(position)
