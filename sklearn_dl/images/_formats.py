"""The formats that ImageLoader reads, and how it opens a file."""

import re

from PIL import Image, UnidentifiedImageError

from sklearn_dl.images._inner import check_inner_size, limit_of
from sklearn_dl.utils._lfs import refuse_pointer

SAFE_FORMATS = (
    "BMP",
    "DIB",
    "GIF",
    "JPEG",
    "PPM",
    "PNG",
    "AVIF",
    "DDS",
    "HEIF",
    "ICNS",
    "ICO",
    "JPEG2000",
    "PCX",
    "QOI",
    "SGI",
    "TGA",
    "TIFF",
    "WEBP",
)
"""Names of the formats that :class:`ImageLoader` reads by default.

Their decoders allocate no more memory than the size in the header implies, or the sizes inside the
file are checked before it is decoded. "JPEG" includes MPO; "PPM" includes PBM, PGM, PNM and PFM.
"HEIF" needs the package pillow-heif.
"""

POSTSCRIPT = "it is PostScript, a program that would run while it is read"
_HEIF = "HEIF"
_HEIC_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs"}
_AVIF_BRANDS = {b"avif", b"avis"}
_ANY_BRANDS = {b"mif1", b"msf1"}  # HEIC or AVIF
_MORE_SIGNATURES = {  # for plugins that do not check a signature
    "IM": rb"(Image type|Name|File size \(no of images\)|Date|Digitalization equipment)\s*:",
    "IPTC": rb"\x1c[\x01-\x09\xf0]",
    "IMT": rb"(\*[^\n]*\n)*\s*(width|height)\b",
    "PCD": rb"(?s).{2048}PCD_",
}


def check_formats(formats):
    """Return `formats` of :class:`ImageLoader` as a tuple of Pillow's names, or None.

    Raises
    ------
    ValueError
        If a name is unknown, or is "EPS" (never read) or "MPO" (read as "JPEG").
    """
    if formats is None:
        return None
    Image.init()
    known = sorted({*Image.OPEN, *SAFE_FORMATS} - {"EPS"})
    names = []
    for name in formats:
        upper = name.upper() if isinstance(name, str) else name
        if upper == "EPS":
            raise ValueError(
                "formats contains 'EPS', which is never read: it is PostScript, a program that "
                "would run while it is read. Leave it out."
            )
        if upper == "MPO":
            raise ValueError("`formats` contains 'MPO', which Pillow reads as 'JPEG'. Use 'JPEG'.")
        if upper not in known:
            raise ValueError(
                f"`formats` contains {name!r}, which is not a format that can be read here. These "
                f"formats can: {', '.join(known)}."
            )
        names.append(upper)
    return tuple(names)


def open_image(file, formats, max_pixels):
    """Open an image of an allowed format, without decoding it.

    Parameters
    ----------
    file : binary file
    formats : tuple of str or None
        Allowed formats, from `check_formats`. None: `SAFE_FORMATS`.
    max_pixels : int or None
        Largest number of pixels of an image or tile inside the file. None: only Pillow's limit.

    Returns
    -------
    image : PIL.Image.Image

    Raises
    ------
    ValueError
        If the file is empty, of a format that is not in `formats`, or not an image.
    ImageBomb
        If an image or tile inside the file is too large.
    """
    listed = SAFE_FORMATS if formats is None else formats
    start = file.read(512)  # less than the file's buffer: the disk is not read twice
    if not start:
        raise ValueError("it is empty (0 bytes)")
    refuse_pointer(start, "it")
    if _is_heif(start):
        image = _open_heif(file, listed)
        limit = limit_of(None)
        if limit is not None:
            limit.check(*image.size, "the HEIC image")
        return image
    check_inner_size(file, start, max_pixels)
    Image.init()
    # Pillow may have been built without a listed format
    plugins = {name: Image.OPEN[name][1] for name in listed if name in Image.OPEN}
    try:
        # plugins without a signature come last: TGA accepts many other files
        return Image.open(file, formats=[name for name in plugins if plugins[name]])
    except UnidentifiedImageError:
        unlisted = _unlisted_format(file, plugins)
        if unlisted == "EPS":
            raise ValueError(POSTSCRIPT) from None
        if unlisted:
            raise _not_listed(unlisted) from None
    try:
        return Image.open(file, formats=[name for name in plugins if not plugins[name]])
    except UnidentifiedImageError:
        raise ValueError(
            "it is not an image in a format that Pillow reads"
            if formats is None
            else f"it is not an image in one of formats={list(formats)}"
        ) from None


def _not_listed(name):
    return ValueError(
        f"it is in the format {name}, which is not one of ImageLoader's formats. If the file can "
        f'be trusted, use ImageLoader(formats=[*SAFE_FORMATS, "{name}"]), with SAFE_FORMATS from '
        "sklearn_dl.images"
    )


def _unlisted_format(file, listed):
    """Return the name of the first unlisted format whose plugin accepts the file, or None."""
    file.seek(0)
    start = file.read(4096)
    # GBR comes last: its signature is the vaguest
    for name in sorted(Image.OPEN, key="GBR".__eq__):
        if name in listed:
            continue
        if name == "CUR" and start[4:6] == b"\0\0":
            continue  # it has no cursor: it is a TGA file
        _, accept = Image.OPEN[name]
        try:
            accepted = accept and accept(start[:16]) is True
        except Exception:  # the file is too short for that format
            continue
        if accepted:
            return name
    for name, signature in _MORE_SIGNATURES.items():
        if name not in listed and re.match(signature, start):
            return name
    return None


def _is_heif(start):
    """Whether the brands at the start of a file say that it is HEIC, not AVIF."""
    if start[4:8] != b"ftyp":
        return False
    major = start[8:12]
    others = start[16 : min(int.from_bytes(start[:4], "big"), len(start))]
    brands = {major, *(others[i : i + 4] for i in range(0, len(others), 4))}
    if major in _HEIC_BRANDS or major in _AVIF_BRANDS:
        return major in _HEIC_BRANDS
    return major in _ANY_BRANDS and not brands & _AVIF_BRANDS


def _open_heif(file, listed):
    """Open a HEIC image with pillow-heif, without decoding it."""
    if _HEIF not in listed:
        raise _not_listed(_HEIF)
    try:
        # the class itself: a plugin that is registered here is missing in joblib's workers
        from pillow_heif import HeifImageFile
    except ModuleNotFoundError as error:
        if error.name != "pillow_heif":
            raise
        raise ValueError(
            "it is a HEIC image, and reading it needs a package: pip install pillow-heif"
        ) from None
    file.seek(0)
    try:
        return HeifImageFile(file)
    except SyntaxError as error:
        raise ValueError(f"it is a HEIC image that pillow-heif cannot read: {error}") from error
