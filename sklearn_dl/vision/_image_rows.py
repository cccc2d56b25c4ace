"""Rows of images, for the estimators that learn from images."""

import sys
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Any

import numpy as np
from PIL import Image

from sklearn_dl.images import ImageReadError
from sklearn_dl.images._faults import machine_fault, naming
from sklearn_dl.images._lazy import as_strict, open_source
from sklearn_dl.images._resizer import Resize
from sklearn_dl.images._sources import describe
from sklearn_dl.training._rows import Rows
from sklearn_dl.utils._columns import object_array
from sklearn_dl.utils._threads import for_each_batch, thread_budget
from sklearn_dl.vision._augment import views
from sklearn_dl.vision._finite import not_finite

# a head on a frozen backbone learns from each image and from this number of random views of it
_VIEWS = 3


@dataclass(frozen=True, eq=False)
class ImageRows(Rows):
    """Rows with one image each.

    Attributes
    ----------
    images : object ndarray of LazyImage, of shape (n_rows,)
    numbers : int ndarray of shape (n_rows,)
    resize : Resize or None
        The step that resizes images to the network's input. None: they have this size already.
    augment : tuple of str, callable or None
        Kinds of the random views that a fit learns from, or a callable that makes them.
    skips : bool
        Whether an image that cannot be read is skipped; if not, it raises an error.
    """

    images: np.ndarray
    numbers: np.ndarray
    resize: Resize | None
    augment: Any
    skips: bool
    noun = "image"

    @property
    def may_fail(self):
        return True

    @property
    def is_augmented(self):
        return self.augment is not None

    def take(self, positions):
        return replace(self, images=self.images[positions], numbers=self.numbers[positions])

    def digest(self):
        return sha256(b"".join(map(image_digest, self.images))).digest()

    def not_finite(self, position, values, what):
        image = self.images[position]
        error = not_finite(int(self.numbers[position]), image, values, what)
        if image.decoding.on_error == "raise":
            raise error
        return error

    def warn_of_cut(self, cut):
        """Do nothing: images are not cut."""

    def check(self, n_threads=None):
        def work(start, stop):
            for image, number in zip(
                self.images[start:stop], self.numbers[start:stop], strict=True
            ):
                try:
                    with naming(f"Row {number}"):
                        image.with_step(self.resize).to_pil()
                except ImageReadError as error:
                    raise error.at(number) from error

        for_each_batch(work, len(self), 8, thread_budget(n_threads))

    def views(self, rng):
        return [self.view(rng) for _ in range(_VIEWS)]

    def view(self, rng):
        """Return the rows with one random view of each image."""
        seeds = rng.integers(2**31, size=len(self))
        images = views(self.images, self.augment, self.resize, seeds)
        return replace(self, images=object_array(images), resize=None)

    def without_views(self):
        return replace(self, augment=None)

    def strict(self):
        images = object_array([as_strict(image) for image in self.images])
        return replace(self, images=images, skips=False)


def skips_images(images, on_error):
    """Whether images that cannot be read are skipped: by the estimator, or by their loader."""
    return on_error == "nan" or any(image.decoding.on_error == "nan" for image in images)


def image_digest(image):
    """Return the sha256 of an image's source, its decoding and its steps.

    Parameters
    ----------
    image : LazyImage
    """
    source, kind = image.source, type(image.source).__name__
    if image.error:
        raise ImageReadError(image.error)
    if isinstance(source, Image.Image):
        # the decoded pixels: with the EXIF rotation, in the mode of `image.decoding`
        pixels = np.asarray(replace(image, steps=()))
        content = repr(pixels.shape).encode() + pixels.tobytes()
    elif isinstance(source, np.ndarray):
        content = repr(source.shape).encode() + np.ascontiguousarray(source).tobytes()
    else:
        kind = "file"  # the digest depends on the content, not on where the file is
        with open_source(image) as file:
            content = file.read()
    # the pixels do not depend on these two settings
    decoding = image.decoding._replace(root=None, on_error="raise")
    digest = sha256(f"{kind} {decoding} {image.steps!r}".encode())
    digest.update(content)
    return digest.digest()


def digests(images, n_threads=None):
    """Return `digest_or_none` of each image, computed in `n_threads` threads, as a list."""
    found: list = [None] * len(images)

    def work(start, stop):
        found[start:stop] = map(digest_or_none, images[start:stop])

    for_each_batch(work, len(images), 8, thread_budget(n_threads))
    return found


def digest_or_none(image):
    """Return `image_digest`, or None for an image that cannot be read."""
    outside = sys.exception()
    try:
        with naming(f"while {describe(image.source)} was read"):
            return image_digest(image)
    except (OSError, ValueError) as error:  # ImageReadError is a ValueError
        if machine_fault(error, outside):
            raise
        return None
