"""LazyImage: where a photograph comes from and what is to be done to it, not its pixels."""

import os
from dataclasses import dataclass, replace
from io import BytesIO
from threading import Lock
from typing import Any, NamedTuple

import numpy as np
from PIL import Image, ImageCms

from sklearn_dl.utils._columns import object_array

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
# a PIL image given by the user may not have read its file yet, and two rows may share it
_USER_IMAGE_LOCK = Lock()


class ImageReadError(ValueError):
    """An image that cannot be read; the message names its source and the reason."""


class Decoding(NamedTuple):
    """How a source becomes pixels: the parameters of `ImageLoader`, shared by its images."""

    mode: str
    exif_transpose: bool
    on_error: str
    max_pixels: int | None


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
    The pickle of an image that is a file carries the file's present size and mtime_ns, so that a
    cache keyed by pickles (`joblib.Memory`, ``Pipeline(memory=...)``) sees that a file changed.
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
        with self._reading(), self._open() as image:
            self._check_size(image)
            width, height = image.size
            return (height, width) if self._orientation(image) >= 5 else (width, height)

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
        with self._reading():
            with self._open() as opened:
                self._check_size(opened)
                orientation = self._orientation(opened)
                if self.steps:
                    self._reduce(opened, orientation)
                if isinstance(self.source, Image.Image):
                    with _USER_IMAGE_LOCK:
                        opened.load()
                image = to_mode(opened, self.mode)
                if image is opened:
                    image.load()
                if orientation in _TRANSPOSE:
                    image = image.transpose(_TRANSPOSE[orientation])
            for step in self.steps:
                image = step.apply(image)
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
        if self.error:
            return None
        buffer = BytesIO()
        self.to_pil().save(buffer, "PNG")
        return buffer.getvalue()

    def _reading(self):
        return _Reading(self)

    def _open(self):
        source = self.source
        if self.error:
            raise ImageReadError(self.error)
        if isinstance(source, Image.Image):
            return _Borrowed(source)
        if isinstance(source, np.ndarray):
            return Image.fromarray(np.ascontiguousarray(source))
        if isinstance(source, bytes):
            if not source:
                raise ImageReadError("it is empty (0 bytes)")
            return Image.open(BytesIO(source))
        if not os.path.getsize(source):
            raise ImageReadError("the file is empty (0 bytes)")
        return Image.open(source)

    def _check_size(self, image):
        width, height = image.size
        limit = self.decoding.max_pixels
        if limit is not None and width * height > limit:
            raise ImageReadError(
                f"{width} x {height} pixels are more than max_pixels={limit}: a decompression "
                "bomb? Raise ImageLoader's max_pixels if the file can be trusted"
            )
        if not width * height:
            raise ImageReadError(f"it has no pixels ({width} x {height})")

    def _orientation(self, image):
        if not self.decoding.exif_transpose or isinstance(self.source, np.ndarray):
            return 1
        return image.getexif().get(_ORIENTATION_TAG, 1)

    def _reduce(self, image, orientation):
        """Have a JPEG decoded at the reduced scale that the first step allows."""
        if not hasattr(image, "draft") or isinstance(self.source, Image.Image):
            return
        size = image.size if orientation < 5 else image.size[::-1]
        needed = self.steps[0].needed_size(size)
        if needed is not None:
            image.draft(None, needed if orientation < 5 else needed[::-1])


class _Borrowed:
    """The user's own PIL image: used, never closed."""

    def __init__(self, image):
        self.image = image

    def __enter__(self):
        return self.image

    def __exit__(self, *exc_info):
        pass


class _Reading:
    """Turn whatever Pillow raises on a bad image into an ImageReadError that names it."""

    def __init__(self, image):
        self.image = image

    def __enter__(self):
        pass

    def __exit__(self, kind, error, traceback):
        if not isinstance(error, Exception):
            return
        if isinstance(error, Image.DecompressionBombError):
            reason = f"{error} (the limit is PIL.Image.MAX_IMAGE_PIXELS)"
        elif isinstance(error, Image.UnidentifiedImageError):
            reason = "it is not an image in a format that Pillow reads"
        else:
            reason = str(error) or type(error).__name__
        raise ImageReadError(f"cannot read {describe(self.image.source)}: {reason}") from error


def to_mode(image, mode):
    """Convert a PIL image to "RGB", "RGBA" or "L", whatever its own mode.

    Alpha is composited on black unless `mode` keeps it; 16-bit grey levels keep their high byte
    (Pillow's own conversion clips them at 255).
    """
    if image.mode.startswith("I;16") or image.mode == "I":
        levels = np.asarray(image)
        if levels.min() < 0 or levels.max() > 65535:
            raise ImageReadError(
                f"32-bit grey levels from {levels.min()} to {levels.max()} have no standard "
                "meaning; convert the image to 8 or 16 bits"
            )
        image = Image.fromarray((levels.astype(np.int32) >> 8).astype(np.uint8))
    elif image.mode == "F":
        raise ImageReadError(
            "floating-point pixels have no standard range; convert the image to 8 or 16 bits"
        )
    elif image.mode == "LAB":
        to_srgb = ImageCms.buildTransform(
            ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB"), "LAB", "RGB"
        )
        image = ImageCms.applyTransform(image, to_srgb)
    elif image.has_transparency_data and mode != "RGBA":
        image = image.convert("RGBA")
        black = Image.new("RGBA", image.size, (0, 0, 0, 255))
        image = Image.alpha_composite(black, image)
    return image if image.mode == mode else image.convert(mode)


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


def image_column(images):
    """(n, 1) object array of images."""
    return object_array(images).reshape(-1, 1)


def _file_stamp(source):
    if not isinstance(source, str):
        return None
    try:
        stat = os.stat(source)
    except (OSError, ValueError):
        return None
    return stat.st_size, stat.st_mtime_ns


def _unpickle(fields, stamp):
    return LazyImage(*fields)
