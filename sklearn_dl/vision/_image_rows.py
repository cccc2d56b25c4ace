"""Photographs as rows to learn from and to predict."""

from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Any

import numpy as np

from sklearn_dl.images import ImageReadError
from sklearn_dl.images._faults import naming
from sklearn_dl.images._lazy import as_strict
from sklearn_dl.images._pixel_array import warn_of_failed_rows
from sklearn_dl.images._resizer import Resize
from sklearn_dl.training._rows import Rows
from sklearn_dl.utils._columns import object_array
from sklearn_dl.utils._messages import warn_user
from sklearn_dl.utils._threads import for_each_batch, thread_budget
from sklearn_dl.vision._augment import views
from sklearn_dl.vision._finite import not_finite, what_happened
from sklearn_dl.vision._store import image_digest

# a head on a frozen backbone learns from each photograph and from so many random views of it
_VIEWS = 3


@dataclass(frozen=True, eq=False)
class ImageRows(Rows):
    """Rows with one photograph each.

    Attributes
    ----------
    images : object ndarray of LazyImage, of shape (n_rows,)
    numbers : int ndarray of shape (n_rows,)
    resize : Resize or None
        None: the images have the size wanted.
    augment : tuple of str, callable or None
        Random views that are learned from.
    skips : bool
        Whether a photograph that cannot be read is left out; if not, it raises an error.
    """

    images: np.ndarray
    numbers: np.ndarray
    resize: Resize | None
    augment: Any
    skips: bool
    noun = "image"
    may_fail = True

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
        """Do nothing: photographs are not cut."""

    def warn_of_errors(self, errors, n_rows, left_out):
        what = what_happened(errors)
        if not left_out:
            warn_of_failed_rows(dict(enumerate(errors)), n_rows, what)
        elif errors:
            warn_user(
                f"{len(errors)} of {n_rows} images {what} and were left out of the fit. {errors[0]}"
            )

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
        """The rows with one random view of each."""
        seeds = rng.integers(2**31, size=len(self))
        images = views(self.images, self.augment, self.resize, seeds)
        return replace(self, images=object_array(images), resize=None)

    def strict(self):
        images = object_array([as_strict(image) for image in self.images])
        return replace(self, images=images, skips=False)
