"""LazyImage: where a photograph comes from and what is to be done to it, not its pixels."""

import sys
import warnings
from contextlib import contextmanager
from dataclasses import dataclass, replace
from io import BytesIO
from threading import Lock
from typing import Any, NamedTuple

import numpy as np
from PIL import Image, TiffImagePlugin

from sklearn_dl.images._faults import machine_fault
from sklearn_dl.images._files import open_file
from sklearn_dl.images._formats import open_image
from sklearn_dl.images._modes import to_mode
from sklearn_dl.utils._columns import object_array
from sklearn_dl.utils._messages import RowError
from sklearn_dl.utils._stamp import file_stamp

_ORIENTATION_TAG = 0x0112
_TRANSPOSE = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_INVERSE_ORIENTATION = {6: 8, 8: 6}
# a PIL image given by the user may not have read its file yet, and two rows may share it
_USER_IMAGE_LOCK = Lock()
# Python 3.11 keeps the warning filters per process, not per thread
_WARNINGS_LOCK = Lock()


class ImageReadError(RowError):
    """An image that cannot be read.

    Attributes
    ----------
    message : str
        Names the image and the reason.
    row : int or None
        Number of the row in X; None where an image is read by itself.
    source : str or None
        Path of the image, or a description of one that has no path ("<12 bytes>",
        "<array 4 x 4 x 3>").
    """


class Decoding(NamedTuple):
    """How a source becomes pixels: the parameters of `ImageLoader`, shared by its images."""

    mode: str
    exif_transpose: bool
    on_error: str
    max_pixels: int | None
    formats: tuple | None = None
    root: str | None = None


class Reduced(NamedTuple):
    """A picture decoded at a reduced scale: its true size, and the box that it fills."""

    size: tuple
    box: tuple


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class LazyImage:
    """A photograph that is read when its pixels are asked for.

    Made by :class:`ImageLoader`; immutable, small and picklable. ``np.asarray(image)`` gives
    its pixels, H x W x C of dtype uint8 (H x W for mode "L"). A notebook shows it as a picture.

    Parameters
    ----------
    source : str, bytes, PIL.Image.Image or ndarray
        Absolute path, encoded file, or pixels.
    decoding : Decoding
        How `source` is read.
    steps : tuple
        What is done to the picture after reading, in order (:class:`ImageResizer` adds to it).
    error : str or None
        Why there is no picture, if that is known already.

    Notes
    -----
    The pickle of an image that is a file carries the file's path, its present size, and the times
    of the last changes of its content and of its status, so that a cache keyed by pickles
    (`joblib.Memory`, ``Pipeline(memory=...)``) sees that a file changed, also if its size and
    mtime are the old ones. A new hard link, or another owner, changes the status too: features
    are then computed again.
    """

    source: Any
    decoding: Decoding
    steps: tuple = ()
    error: str | None = None

    def with_step(self, step):
        """Return the same image with one more step."""
        return replace(self, steps=(*self.steps, step))

    @property
    def mode(self):
        """Pillow's name of the pixel format: "RGB", "RGBA" or "L"."""
        return self.decoding.mode

    @property
    def size(self):
        """(width, height) in pixels; the file's header is read if no step decides it.

        Raises
        ------
        ImageReadError
            If the header cannot be read.
        """
        for step in reversed(self.steps):
            return step.width, step.height
        return self._read(self._header_size)

    def size_as_read(self):
        """`size`, of a PNG too whose EXIF orientation follows its pixels (it is decoded for that).

        Raises
        ------
        ImageReadError
            If the image cannot be read.
        """
        return self.size if self.steps else self._read(lambda: self._header_size(False))

    def to_pil(self):
        """Read the image and do its steps.

        Returns
        -------
        image : PIL.Image.Image of mode `mode`
            Not to be modified: it may share memory with the source.

        Raises
        ------
        ImageReadError
            If the source is missing, damaged, too large or no image.
        """
        image, reduced = self._read(self._decode)
        for step in self.steps:
            image, reduced = step.apply(image, reduced), None
        return image

    def __array__(self, dtype=None, copy=None):
        if copy is False:
            raise ValueError("The pixels of a LazyImage cannot be had without a copy.")
        return np.array(self.to_pil(), dtype=dtype)

    def __reduce__(self):
        fields = (self.source, self.decoding, self.steps, self.error)
        return _unpickle, (fields, _file_stamp(self.source))

    def __repr__(self):
        parts = [describe(self.source), self.mode, *map(str, self.steps)]
        if self.error:
            parts.append(f"error: {self.error}")
        return f"LazyImage({', '.join(parts)})"

    def _repr_png_(self):
        try:
            image = self.to_pil()
        except ImageReadError:
            return None  # a notebook falls back on the repr
        buffer = BytesIO()
        image.save(buffer, "PNG")
        return buffer.getvalue()

    def _read(self, work):
        """Do `work` with warnings of no consequence, and any error as an ImageReadError.

        Where the user makes errors of warnings, what Pillow warns of (a damaged EXIF block, an
        image of half the size that it refuses) must not cost a picture that can be read. A fault
        of the machine is raised as it is: it says nothing about the image.
        """
        name, outside = describe(self.source), sys.exception()
        try:
            try:
                return work()
            except Warning:
                with _WARNINGS_LOCK, warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    return work()
        except Exception as error:
            fault = machine_fault(error, outside)
            if fault is None:
                message = f"cannot read {name}: {_why(error)}"
                raise ImageReadError(message, source=source_name(self.source)) from error
            fault.add_note(f"while {name} was read")
            raise fault from fault.__cause__

    def _header_size(self, header_only=True):
        with self._open() as image:
            width, height = image.size
            orientation = self._orientation(image, header_only)
            return (height, width) if orientation >= 5 else (width, height)

    def _decode(self):
        with self._open() as opened:
            orientation = self._orientation(opened)
            reduced = self._reduce(opened, orientation) if self.steps else None
            opened.load()
            self._check_header(opened)  # some formats learn their size here
            image = to_mode(opened, self.mode)
            if orientation in _TRANSPOSE:
                image = image.transpose(_TRANSPOSE[orientation])
            return image, reduced

    @contextmanager
    def _open(self):
        """The PIL image, not decoded yet, whose size is allowed; the file is open meanwhile."""
        source = self.source
        if self.error:
            raise ImageReadError(self.error)
        if isinstance(source, Image.Image):
            # never closed
            with _USER_IMAGE_LOCK:
                self._check_header(source)
                yield source
        elif isinstance(source, np.ndarray):
            image = Image.fromarray(np.ascontiguousarray(source))
            self._check_header(image)
            yield image
        else:
            formats, max_pixels = self.decoding.formats, self.decoding.max_pixels
            with open_source(self) as file, open_image(file, formats, max_pixels) as image:
                self._check_header(image)
                yield image

    def _check_header(self, image):
        if image.format == "EPS":
            raise ImageReadError("it is PostScript, a program that reading it would run")
        width, height = image.size
        limit = self.decoding.max_pixels
        if limit is not None and width * height > limit:
            raise ImageReadError(
                f"{width} x {height} pixels are more than max_pixels={limit}: a decompression "
                "bomb? Raise ImageLoader's max_pixels if the file can be trusted"
            )
        if not width * height:
            raise ImageReadError(f"it has no pixels ({width} x {height})")

    def _orientation(self, image, header_only=False):
        """EXIF orientation, 1 to 8, of what Pillow gives: how it has to be turned."""
        pillow_turns = isinstance(image, TiffImagePlugin.TiffImageFile)
        owned = not isinstance(self.source, Image.Image)
        if self.decoding.exif_transpose == pillow_turns or (pillow_turns and not owned):
            return 1
        outside = sys.exception()
        try:
            # the method of a PNG decodes all of it, to look for EXIF after the pixels
            exif = Image.Image.getexif(image) if header_only and owned else image.getexif()
            orientation = exif.get(_ORIENTATION_TAG, 1)
        except Warning:
            raise
        except Exception as error:
            if machine_fault(error, outside):
                raise
            return 1  # a damaged EXIF block says nothing, and the picture may be whole
        if orientation not in _TRANSPOSE:
            return 1
        return _INVERSE_ORIENTATION.get(orientation, orientation) if pillow_turns else orientation

    def _reduce(self, image, orientation):
        """Have a JPEG decoded at the reduced scale that the first step allows.

        Returns
        -------
        reduced : Reduced or None
            None if it is decoded in full.
        """
        if isinstance(self.source, Image.Image) or image.format == "HEIF":
            return None  # the draft of a HEIC image is its thumbnail, another image
        sideways = orientation >= 5
        size = image.size[::-1] if sideways else image.size
        needed = self.steps[0].needed_size(size)
        drafted = needed and image.draft(None, needed[::-1] if sideways else needed)
        if not drafted:
            return None
        # the last column and row may be partly beyond the picture; turned, they may be the first
        across, down = drafted[1][2:][::-1] if sideways else drafted[1][2:]
        width, height = image.size[::-1] if sideways else image.size
        left = width - across if orientation in (2, 3, 6, 7) else 0.0
        top = height - down if orientation in (3, 4, 7, 8) else 0.0
        return Reduced(size, (left, top, left + across, top + down))


def open_source(image):
    """Open the encoded file of a LazyImage whose source is a path or bytes.

    Returns
    -------
    file : binary file
        To be closed by the caller.

    Raises
    ------
    OSError or ValueError
        If there is no such file, it is not a regular file, or it leaves the loader's `root`.
    """
    if isinstance(image.source, bytes):
        return BytesIO(image.source)
    return open_file(image.source, image.decoding.root)


def _why(error):
    if isinstance(error, Image.DecompressionBombError):
        return f"{error} (Pillow's limit: twice PIL.Image.MAX_IMAGE_PIXELS)"
    return str(error) or type(error).__name__


def describe(source):
    """Name a source in a message or a repr."""
    if isinstance(source, str):
        return repr(source)
    if isinstance(source, bytes):
        return f"<{len(source)} bytes>"
    if isinstance(source, np.ndarray):
        return f"<array {' x '.join(map(str, source.shape))}>"
    if isinstance(source, Image.Image):
        return f"<PIL image {source.size[0]} x {source.size[1]}>"
    return f"<{type(source).__name__}>"


def source_name(source):
    """What a RowError has as its `source`: the path, or what `describe` says of other sources."""
    return source if source is None or isinstance(source, str) else describe(source)


def as_strict(image):
    """The same image, which raises when it cannot be read."""
    return replace(image, decoding=image.decoding._replace(on_error="raise"))


def image_column(images):
    """(n, 1) object array of images."""
    return object_array(images).reshape(-1, 1)


def _file_stamp(source):
    if not isinstance(source, str):
        return None
    try:
        # not the file's number: some file systems number their files anew when they are mounted
        return file_stamp(source)[1:]
    except (OSError, ValueError):
        return None


def _unpickle(fields, stamp):
    return LazyImage(*fields)
