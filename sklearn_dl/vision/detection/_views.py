"""The canvas on which a network sees an image, and random views of images with their boxes."""

from dataclasses import dataclass

import numpy as np
from PIL import Image

from sklearn_dl.images._resizer import into
from sklearn_dl.vision._augment import jittered

KINDS = ("flip", "crop", "scale", "color")
# sides of a canvas are multiples of the largest stride of the feature maps
STEP = 32
# a crop shows at least about this share of each side, and a scaled view at most this multiple
_SMALLEST, _LARGEST = 0.7, 1.25
# greatest relative change of the aspect ratio's square root
_STRETCH = 0.1
# grey level of the parts of a view that are outside the image
_FILL = 127


def canvas_of(size, image_size):
    """The size of the canvas for an image: int ndarray of shape (..., 2), multiples of STEP.

    Parameters
    ----------
    size : int ndarray of shape (..., 2)
        (width, height) of images.
    image_size : int or (width, height)
        An int is the longest side of the canvas.
    """
    size = np.asarray(size, dtype=np.float64)
    if isinstance(image_size, tuple):
        wanted = np.broadcast_to(np.asarray(image_size, dtype=np.float64), size.shape)
    else:
        wanted = size * (image_size / np.maximum(size.max(axis=-1, keepdims=True), 1))
    return np.maximum(np.floor(wanted / STEP + 0.5), 1).astype(np.int64) * STEP


def stretched(size, canvas):
    """How images are stretched to fill their canvases: float64 ndarray of shape (n, 4).

    A row (sx, sy, tx, ty) moves the point (x, y) of the image to (x * sx + tx, y * sy + ty).
    """
    return np.concatenate([canvas / np.maximum(size, 1), np.zeros((len(size), 2))], axis=1)


def moved(boxes, moves):
    """Boxes of images, moved onto canvases: float64 ndarray of shape (n, 4)."""
    corners = boxes.reshape(-1, 2, 2) * moves[..., None, :2] + moves[..., None, 2:]
    # a flip swaps left and right
    return np.concatenate([corners.min(axis=1), corners.max(axis=1)], axis=1)


def moved_back(boxes, move):
    """Boxes of one canvas, moved back to its image, which must not be flipped."""
    return ((boxes.reshape(-1, 2, 2) - move[2:]) / move[:2]).reshape(-1, 4)


@dataclass(frozen=True, slots=True)
class BoxView:
    """One random view of an image on its canvas: a part of it, or a smaller copy, perhaps flipped.

    It is a step of a LazyImage.

    Parameters
    ----------
    width, height : int
        Size of the canvas, in pixels.
    kinds : tuple of str
        The kinds of changes: some of `KINDS`. "crop" shows a part of the image, and "scale" shows
        the image in a part of the canvas.
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
        sx, sy = np.abs(self.move(size)[:2])
        return max(1, round(size[0] * 2 * sx)), max(1, round(size[1] * 2 * sy))

    def move(self, size):
        """How an image of `size` is moved onto the canvas: (sx, sy, tx, ty), as in `stretched`."""
        sx, sy, tx, ty = self._placed(size)
        if self._is_flipped():
            sx, tx = -sx, self.width - tx
        return np.array([sx, sy, tx, ty])

    def apply(self, image, reduced=None):
        """Return the view of a PIL image. `reduced` is as in `Resize.apply`."""
        size = image.size if reduced is None else reduced.size
        sx, sy, tx, ty = self._placed(size)
        # the part of the image that the view shows, and its position on the canvas
        x0, y0 = max(0.0, -tx / sx), max(0.0, -ty / sy)
        x1 = min(float(size[0]), (self.width - tx) / sx)
        y1 = min(float(size[1]), (self.height - ty) / sy)
        left, top = round(x0 * sx + tx), round(y0 * sy + ty)
        right, bottom = round(x1 * sx + tx), round(y1 * sy + ty)
        box = (x0, y0, x1, y1)
        if reduced is not None:
            box = into(box, reduced, image.size)
        target = (max(1, right - left), max(1, bottom - top))
        view = image.resize(target, Image.Resampling.BILINEAR, box)
        if view.size != (self.width, self.height):
            canvas = Image.new(image.mode, (self.width, self.height), (_FILL,) * len(image.mode))
            canvas.paste(view, (left, top))
            view = canvas
        if self._is_flipped():
            view = view.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        if "color" in self.kinds:
            view = jittered(view, np.random.default_rng([self.seed, 2]))
        return view

    def _is_flipped(self):
        return "flip" in self.kinds and np.random.default_rng([self.seed, 1]).random() < 0.5

    def _placed(self, size):
        """How an image of `size` is moved onto the canvas, before it is flipped."""
        sx, sy = self.width / size[0], self.height / size[1]
        low = _SMALLEST if "crop" in self.kinds else 1.0
        high = _LARGEST if "scale" in self.kinds else 1.0
        if low == high:
            return sx, sy, 0.0, 0.0
        rng = np.random.default_rng([self.seed, 0])
        # the sides of the area that the canvas shows, as multiples of the image's sides
        side = np.exp(rng.uniform(np.log(low), np.log(high)))
        stretch = rng.uniform(-_STRETCH, _STRETCH)
        sides = side * np.array([1 + stretch, 1 - stretch])
        corner = rng.random(2) * (1 - sides) * size
        sx, sy = (sx, sy) / sides
        return float(sx), float(sy), float(-corner[0] * sx), float(-corner[1] * sy)


def checked_augment(augment):
    """Return the parameter `augment` as a tuple of kinds, or None.

    Raises
    ------
    ValueError
        If a kind is unknown.
    """
    if augment is None:
        return None
    kinds = KINDS if augment == "standard" else tuple(augment)
    if (isinstance(augment, str) and augment != "standard") or set(kinds) - set(KINDS):
        raise ValueError(
            f"augment={augment!r} must be None, 'standard' or a tuple of some of {KINDS}."
        )
    return kinds or None
