"""LazyImage: the source of an image and the steps to apply to it, without its pixels."""

import sys
import warnings
from contextlib import contextmanager
from dataclasses import dataclass, replace
from io import BytesIO
from typing import Any, NamedTuple

import numpy as np
from PIL import Image, TiffImagePlugin

from sklearn_dl.images._faults import machine_fault
from sklearn_dl.images._files import open_file
from sklearn_dl.images._formats import POSTSCRIPT, open_image
from sklearn_dl.images._modes import to_mode
from sklearn_dl.images._png import metadata_follows_pixels
from sklearn_dl.images._sources import EncodedSource, describe, source_name
from sklearn_dl.images._stores import byte_limit
from sklearn_dl.utils._columns import object_array
from sklearn_dl.utils._locks import ForkSafeLock
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
# a user's PIL image may not have read its file yet, and two rows may share it
_USER_IMAGE_LOCK = ForkSafeLock()
# Python 3.11 keeps the warning filters per process, not per thread
_WARNINGS_LOCK = ForkSafeLock()


class ImageReadError(RowError):
    """An image that cannot be read.

    Attributes
    ----------
    message : str
        The name of the image, and why it cannot be read.
    row : int or None
        Number of the row in X. None if the image was read alone, not as a row of X.
    source : str or None
        Path or URL of the image, or a description of one that has neither ("<12 bytes>",
        "<array 4 x 4 x 3>").
    label : object
        The label of the row in the index of X, if X is a pandas frame or Series whose index is not
        0, 1, 2, ...; otherwise None.
    """


class Decoding(NamedTuple):
    """How a source is read: the parameters of `ImageLoader` that all its images share."""

    mode: str
    exif_transpose: bool
    on_error: str
    max_pixels: int | None
    formats: tuple | None = None
    root: str | None = None


class Reduced(NamedTuple):
    """The geometry of an image that was decoded at a reduced scale.

    `size` is its full size. `box` is the part of the reduced image that it fills.
    """

    size: tuple
    box: tuple


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class LazyImage:
    """An image that is read when its pixels are asked for.

    :class:`ImageLoader` makes it. It is immutable, small and picklable. ``np.asarray(image)``
    returns its pixels, H x W x C of dtype uint8 (H x W for mode "L"). A notebook shows the image.

    Parameters
    ----------
    source : str, bytes, PIL.Image.Image, ndarray or EncodedSource
        Absolute path, encoded file, pixels, or an encoded file that has a name or is in a store.
    decoding : Decoding
        How `source` is read.
    steps : tuple
        Steps to apply to the image after it is read, in order (:class:`ImageResizer` adds one).
    error : str or None
        Why the image cannot be read, if the loader has found that already.

    Notes
    -----
    If the source is a path, the pickle contains the path, the size of the file, and the times when
    its content and its status last changed. So a cache keyed by pickles (`joblib.Memory`,
    ``Pipeline(memory=...)``) sees that the file changed, even if its size and mtime did not. A new
    hard link or another owner changes the status too: features are then computed again.

    If the source is a file in a store (`filesystem` of :class:`ImageLoader`), the pickle contains
    only its URL, because asking the store about each image could take longer than scoring it. So
    such a cache does not see that the file changed. The parameter `memory` of estimators does,
    because it hashes the content.
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
        """(width, height) in pixels: of the last step or, without steps, of the file's header.

        Raises
        ------
        ImageReadError
            If the header cannot be read.
        """
        for step in reversed(self.steps):
            return step.width, step.height
        return self._read(self._header_size)

    def size_as_read(self):
        """Return (width, height) of the image as it is read.

        It can differ from `size` for a PNG file that has its EXIF orientation after its pixels.
        To find that orientation, this method decodes a PNG with metadata after its pixels; `size`
        does not decode it.

        Raises
        ------
        ImageReadError
            If the image cannot be read.
        """
        return self.size if self.steps else self._read(lambda: self._header_size(False))

    def to_pil(self):
        """Read the image and apply its steps.

        Returns
        -------
        image : PIL.Image.Image of mode `mode`
            Do not modify it: it may share memory with the source.

        Raises
        ------
        ImageReadError
            If the source is missing, damaged, too large or not an image.
        """
        image, reduced = self._read(self._decode)
        for step in self.steps:
            image, reduced = step.apply(image, reduced), None
        return image

    def __array__(self, dtype=None, copy=None):
        if copy is False:
            raise ValueError("The pixels of a LazyImage need a copy: leave out copy=False.")
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
        """Return `work()`; raise its errors as ImageReadError.

        If the user turns warnings into errors, a warning of Pillow (a damaged EXIF block, a very
        large image) must not prevent the reading of an image. A fault of the machine is raised
        unchanged: it says nothing about the image.
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
        """Return (width, height) of the image after its EXIF orientation is applied."""
        with self._open() as image:
            width, height = image.size
            if image.format == "PNG" and not isinstance(self.source, Image.Image):
                header_only = header_only or not metadata_follows_pixels(image.fp)
            orientation = self._orientation(image, header_only)
            return (height, width) if orientation >= 5 else (width, height)

    def _decode(self):
        with self._open() as opened:
            orientation = self._orientation(opened)
            reduced = self._reduce(opened, orientation) if self.steps else None
            opened.load()
            self._check_header(opened)  # some formats state their true size only now
            image = to_mode(opened, self.mode)
            if orientation in _TRANSPOSE:
                image = image.transpose(_TRANSPOSE[orientation])
            return image, reduced

    @contextmanager
    def _open(self):
        """Open the source as a PIL image and check its size, without decoding it."""
        source = self.source
        if self.error:
            raise ImageReadError(self.error)
        if isinstance(source, Image.Image):
            # the user's image is never closed
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
            raise ImageReadError(POSTSCRIPT)
        width, height = image.size
        limit = self.decoding.max_pixels
        if limit is not None and width * height > limit:
            raise ImageReadError(
                f"its {width} x {height} pixels are more than max_pixels={limit}: it may be a "
                "decompression bomb. Increase ImageLoader's max_pixels if the file can be trusted"
            )
        if not width * height:
            raise ImageReadError(f"it has no pixels ({width} x {height})")

    def _orientation(self, image, header_only=False):
        """Return how Pillow's image still has to be turned, as an EXIF orientation (1 to 8)."""
        pillow_turns = isinstance(image, TiffImagePlugin.TiffImageFile)
        owned = not isinstance(self.source, Image.Image)
        if self.decoding.exif_transpose == pillow_turns or (pillow_turns and not owned):
            return 1
        outside = sys.exception()
        try:
            # the getexif of a PNG decodes the image, to look for EXIF after the pixels
            exif = Image.Image.getexif(image) if header_only and owned else image.getexif()
            orientation = exif.get(_ORIENTATION_TAG, 1)
        except Warning:
            raise
        except Exception as error:
            if machine_fault(error, outside):
                raise
            return 1  # the EXIF block is damaged, but the pixels may be whole
        if orientation not in _TRANSPOSE:
            return 1
        return _INVERSE_ORIENTATION.get(orientation, orientation) if pillow_turns else orientation

    def _reduce(self, image, orientation):
        """Let Pillow decode a JPEG at a reduced scale, if the first step allows it.

        Returns
        -------
        reduced : Reduced or None
            None if the image is decoded at its full size.
        """
        if isinstance(self.source, Image.Image) or image.format == "HEIF":
            return None  # the draft of a HEIC image is its thumbnail, which is a different image
        sideways = orientation >= 5
        size = image.size[::-1] if sideways else image.size
        needed = self.steps[0].needed_size(size)
        drafted = needed and image.draft(None, needed[::-1] if sideways else needed)
        if not drafted:
            return None
        # the last column and row may lie partly beyond the image; turning can put them first
        across, down = drafted[1][2:][::-1] if sideways else drafted[1][2:]
        width, height = image.size[::-1] if sideways else image.size
        left = width - across if orientation in (2, 3, 6, 7) else 0.0
        top = height - down if orientation in (3, 4, 7, 8) else 0.0
        return Reduced(size, (left, top, left + across, top + down))


def open_source(image):
    """Open the encoded file of a LazyImage whose source is not pixels.

    Returns
    -------
    file : binary file
        To be closed by the caller.

    Raises
    ------
    OSError or ValueError
        If the file does not exist, is not a regular file, or is outside the loader's `root`.
    """
    source = image.source
    if isinstance(source, EncodedSource):
        source = source.read(byte_limit(image.decoding.max_pixels))
    if isinstance(source, bytes):
        return BytesIO(source)
    return open_file(source, image.decoding.root)


def _why(error):
    if isinstance(error, Image.DecompressionBombError):
        return f"{error} (Pillow's limit: twice PIL.Image.MAX_IMAGE_PIXELS)"
    return str(error) or type(error).__name__


def as_strict(image):
    """Return the same image with ``on_error="raise"``."""
    return replace(image, decoding=image.decoding._replace(on_error="raise"))


def as_lenient(image):
    """Return the same image with ``on_error="nan"``."""
    return replace(image, decoding=image.decoding._replace(on_error="nan"))


def image_column(images):
    """Return images as an object array of shape (n_images, 1)."""
    return object_array(images).reshape(-1, 1)


def _file_stamp(source):
    if not isinstance(source, str):
        return None
    try:
        # without the inode number: some file systems change it when they are mounted again
        return file_stamp(source)[1:]
    except (OSError, ValueError):
        return None


def _unpickle(fields, stamp):
    """Make a LazyImage again; `stamp` only makes the pickle depend on the file."""
    return LazyImage(*fields)
