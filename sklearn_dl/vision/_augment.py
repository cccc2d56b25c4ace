"""Random views of images for training, as steps of lazy images."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageEnhance

from sklearn_dl.images._resizer import into

KINDS = ("flip", "crop", "color")
# smallest share of the area that a crop keeps, before one of its sides is shortened
_LEAST_AREA = 0.5
# greatest relative change of brightness, contrast and saturation
_JITTER = 0.3


@dataclass(frozen=True, slots=True)
class RandomView:
    """One random view of an image: a resized part, perhaps flipped, with changed colours.

    Parameters
    ----------
    width, height : int
        Size of the view, in pixels.
    kinds : tuple of str
        The kinds of changes: some of KINDS.
    seed : int
        Seed of the random numbers that determine the view.
    """

    width: int
    height: int
    kinds: tuple
    seed: int

    def __str__(self):
        return f"view {self.seed} {self.width} x {self.height}"

    def needed_size(self, size):
        """Return the smallest (width, height) at which an image of `size` may be decoded."""
        left, top, right, bottom = self._box(size)
        scale = 2 * max(self.width / (right - left), self.height / (bottom - top))
        return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))

    def apply(self, image, reduced=None):
        """Return the view of a PIL image. `reduced` is as in `Resize.apply`."""
        box = self._box(image.size if reduced is None else reduced.size)
        if reduced is not None:
            box = into(box, reduced, image.size)
        view = image.resize((self.width, self.height), Image.Resampling.BILINEAR, box)
        rng = np.random.default_rng([self.seed, 1])
        if "flip" in self.kinds and rng.random() < 0.5:
            view = view.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        return jittered(view, rng) if "color" in self.kinds else view

    def _box(self, size):
        """Return the box (x0, y0, x1, y1) of an image of `size` that the view shows."""
        scale = max(self.width / size[0], self.height / size[1])
        width, height = min(size[0], self.width / scale), min(size[1], self.height / scale)
        across = down = 0.5
        if "crop" in self.kinds:
            rng = np.random.default_rng([self.seed, 0])
            side = rng.uniform(_LEAST_AREA, 1.0) ** 0.5
            stretch = rng.uniform(-0.25, 0.25)
            width *= side * min(1.0, 1 + stretch)
            height *= side * min(1.0, 1 - stretch)
            across, down = rng.random(2)
        left, top = (size[0] - width) * across, (size[1] - height) * down
        return left, top, min(left + width, size[0]), min(top + height, size[1])


def jittered(image, rng):
    """Return a PIL image with a random brightness, contrast and saturation."""
    for enhance in (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color):
        image = enhance(image).enhance(rng.uniform(1 - _JITTER, 1 + _JITTER))
    return image


@dataclass(frozen=True, slots=True)
class CallableView:
    """The view that the user's function makes of a resized image.

    Parameters
    ----------
    width, height : int
        Size of the resized image and of the view, in pixels.
    function : callable(PIL.Image.Image, numpy.random.Generator) -> PIL.Image.Image
    seed : int
        Seed of the Generator that the function gets.
    """

    width: int
    height: int
    function: Callable
    seed: int

    def __str__(self):
        return f"{self.function!r} {self.seed}"

    def apply(self, image, reduced=None):
        view = self.function(image, np.random.default_rng(self.seed))
        if not isinstance(view, Image.Image) or view.size != image.size:
            raise ValueError(
                f"augment={self.function!r} must return a PIL image of the same size as the image "
                f"that it gets, {image.size}, but it returned "
                f"{getattr(view, 'size', type(view).__name__)}."
            )
        return view


def views(images, augment, resize, seeds):
    """Return lazy images, each of which shows one random view of an image.

    Parameters
    ----------
    images : sequence of LazyImage
    augment : tuple of str or callable
        What `checked_augment` returns.
    resize : Resize
        The step that resizes images that are not augmented. Views have the same size.
    seeds : sequence of int
        The seed of each view.
    """
    if callable(augment):
        return [
            image.with_step(resize).with_step(
                CallableView(resize.width, resize.height, augment, int(s))
            )
            for image, s in zip(images, seeds, strict=True)
        ]
    return [
        image.with_step(RandomView(resize.width, resize.height, augment, int(s)))
        for image, s in zip(images, seeds, strict=True)
    ]


def checked_augment(augment):
    """Return the parameter `augment` as a tuple of kinds, a callable or None.

    Raises
    ------
    ValueError
        If `augment` has a different type, or a kind is unknown.
    """
    if augment is None or callable(augment):
        return augment
    kinds = KINDS if augment == "standard" else tuple(augment)
    if (isinstance(augment, str) and augment != "standard") or set(kinds) - set(KINDS):
        raise ValueError(
            f"augment={augment!r} must be None, 'standard', a tuple of some of {KINDS}, or a "
            "callable."
        )
    return kinds or None
