"""ImageResizer: resizes every image to the same size, when it is read."""

from dataclasses import dataclass
from numbers import Integral

from PIL import Image, ImageColor
from sklearn.base import TransformerMixin

from sklearn_dl.images import _mlnet
from sklearn_dl.images._lazy import image_column
from sklearn_dl.images._step import ImageStepMixin, lazy_images
from sklearn_dl.utils._base import DeepEstimator
from sklearn_dl.utils._messages import brief, names_labels
from sklearn_dl.utils._sklearn import Interval, StrOptions

CENTERING = {
    "center": (0.5, 0.5),
    "left": (0.0, 0.5),
    "right": (1.0, 0.5),
    "top": (0.5, 0.0),
    "bottom": (0.5, 1.0),
}
_FILTERS = ("nearest", "box", "bilinear", "hamming", "bicubic", "lanczos")
# a JPEG may be decoded at this multiple of the wanted size: it differs by less than one level on
# average ("box" would need a larger multiple, "nearest" and "mlnet" pick single pixels)
_REDUCING_GAP = {"hamming": 3, "bilinear": 2, "bicubic": 2, "lanczos": 2}


@dataclass(frozen=True, slots=True)
class Resize:
    """One resizing step of a LazyImage.

    `mode` is a `resize_mode` of ImageResizer, or "pad_end": like "pad", but the image is in the
    upper left corner, and its size is rounded down, as in YOLOX.
    """

    width: int
    height: int
    mode: str
    anchor: str
    resample: str
    fill_color: object

    def __str__(self):
        return f"{self.mode} {self.width} x {self.height}"

    def needed_size(self, size):
        """Return the smallest (width, height) to which an image of `size` may be reduced.

        It is used while the image is decoded. None: the image must be decoded at its full size.
        """
        gap = _REDUCING_GAP.get(self.resample)
        if gap is None:
            return None
        across, down = self.width / size[0], self.height / size[1]
        if self.mode == "crop":
            across = down = max(across, down)
        elif self.mode != "fill":
            across = down = min(across, down)
        return (
            max(1, round(size[0] * across * gap)),
            max(1, round(size[1] * down * gap)),
        )

    def apply(self, image, reduced=None):
        """Resize a PIL image.

        Parameters
        ----------
        image : PIL.Image.Image
        reduced : Reduced or None
            None if `image` was decoded at its full size.
        """
        size = (self.width, self.height)
        color = pillow_color(self.fill_color, image.mode)
        if self.resample == "mlnet":
            return _mlnet.resize(image, size, self.mode, self.anchor, color)
        # from the full size: the reduced size is rounded, and could shift the box by half a pixel
        kept, (left, top, right, bottom) = self.placement(
            image.size if reduced is None else reduced.size
        )
        if reduced is not None:
            kept = into(kept, reduced, image.size)
        resample = Image.Resampling[self.resample.upper()]
        resized = image.resize((right - left, bottom - top), resample, kept)
        if resized.size == size:
            return resized
        canvas = Image.new(image.mode, size, color)
        canvas.paste(resized, (left, top))
        return canvas

    def placement(self, size):
        """Return the part of an image of `size` that is kept, and the part of the output it fills.

        Each part is a box (x0, y0, x1, y1).
        """
        if self.mode == "crop":
            return self._kept(size), (0, 0, self.width, self.height)
        if self.mode == "fill":
            return (0, 0, *size), (0, 0, self.width, self.height)
        scale = min(self.width / size[0], self.height / size[1])
        whole = int if self.mode == "pad_end" else round
        width, height = (max(1, whole(side * scale)) for side in size)
        left, top = (self.width - width) // 2, (self.height - height) // 2
        if self.mode == "pad_end":
            left = top = 0
        return (0, 0, *size), (left, top, left + width, top + height)

    def _kept(self, size):
        """Return the box of an image of `size` that "crop" keeps, in pixels of the image."""
        scale = max(self.width / size[0], self.height / size[1])
        width, height = min(size[0], self.width / scale), min(size[1], self.height / scale)
        across, down = CENTERING[self.anchor]
        left, top = (size[0] - width) * across, (size[1] - height) * down
        return left, top, min(left + width, size[0]), min(top + height, size[1])


def into(box, reduced, limit):
    """Convert `box` from the full size to a reduced image, whose size is `limit`."""
    left, top, right, bottom = reduced.box
    across, down = (right - left) / reduced.size[0], (bottom - top) / reduced.size[1]
    return (
        left + box[0] * across,
        top + box[1] * down,
        min(left + box[2] * across, limit[0]),
        min(top + box[3] * down, limit[1]),
    )


def width_and_height(image_size, name="image_size"):
    """Return the parameter `name`, an int or (width, height), as (width, height) in pixels.

    Raises
    ------
    ValueError
        If it is neither.
    """
    sides = tuple(image_size) if isinstance(image_size, (tuple, list)) else (image_size,) * 2
    if len(sides) != 2 or not all(_is_size(n) for n in sides):
        raise ValueError(
            f"{name}={brief(image_size)} must be an int or (width, height), in pixels, and "
            "at least 1."
        )
    return int(sides[0]), int(sides[1])


def _is_size(n):
    return isinstance(n, Integral) and not isinstance(n, bool) and int(n) >= 1


def pillow_color(fill_color, mode):
    """Return `fill_color` in the form that Pillow accepts for images of this mode."""
    if isinstance(fill_color, str):
        return ImageColor.getcolor(fill_color, mode)
    if isinstance(fill_color, Integral):
        return int(fill_color) if mode == "L" else (int(fill_color),) * len(mode)
    color = tuple(fill_color)
    for level in color:
        if not isinstance(level, Integral) or int(level) not in range(256):
            raise ValueError(f"fill_color={fill_color!r} must contain integers from 0 to 255.")
    if len(color) != len(mode):
        raise ValueError(
            f"fill_color={fill_color!r} has {len(color)} levels, but images of mode {mode!r} "
            f"have {len(mode)} channels."
        )
    return int(color[0]) if mode == "L" else tuple(map(int, color))


class ImageResizer(ImageStepMixin, TransformerMixin, DeepEstimator):
    """Give every image the same size.

    Nothing is computed here; the step is added to each lazy image. Because the size is known
    before decoding, JPEGs are decoded at the smallest scale where the difference cannot be seen.

    Parameters
    ----------
    width, height : int, default=224
        Size of the output, in pixels.
    resize_mode : {"crop", "pad", "fill"}, default="crop"
        How an image is resized. "crop": it is scaled until it covers the output, and the rest is
        cut off. "pad": the whole image is fitted into the output, with a border. "fill": it is
        stretched. The image is centred unless `anchor` says otherwise, and the border has the
        colour `fill_color`.
    anchor : {"center", "left", "right", "top", "bottom"}, default="center"
        Edge of the image that "crop" keeps. It has no effect if that edge would not be cut.
    resample : str, default="bilinear"
        A filter of Pillow: "nearest", "box", "bilinear", "hamming", "bicubic" or "lanczos" (all
        but "nearest" are antialiased). Or "mlnet": ML.NET's arithmetic, for networks that were
        trained on images that ML.NET resized.
    fill_color : int, tuple of int or str, default=0
        Colour of the border with ``resize_mode="pad"``: one level (0 to 255) for all channels
        (alpha too), one level per channel, or a name or hexadecimal code that Pillow knows.

    Attributes
    ----------
    n_features_in_ : int
        1, after `fit`.
    feature_names_in_ : ndarray of shape (1,)
        Name of the column, after `fit` on a data frame.

    See Also
    --------
    ImageLoader : The step before.
    PixelExtractor : The step after.

    Notes
    -----
    This is ML.NET's ResizeImages: IsoCrop is "crop", IsoPad is "pad" and Fill is "fill". With
    ``resample="mlnet"``, "fill" takes the nearest pixel (of two equally near, the lower one).
    "crop" and "pad" use Mitchell and Netravali's cubic filter (B = C = 1/3; SIGGRAPH 1988) on
    4 x 4 pixels, without antialiasing, in the rectangle that ML.NET computes in float32. The
    levels differ from ML.NET's by at most one. One bug is not copied: for one size in twenty,
    ML.NET's rounding leaves a black line of one pixel.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_dl import ImageLoader, ImageResizer
    >>> images = ImageLoader().transform([np.full((20, 40, 3), 255, dtype=np.uint8)])
    >>> small = ImageResizer(8, 8, resize_mode="pad").transform(images)
    >>> small
    array([[LazyImage(<array 20 x 40 x 3>, RGB, pad 8 x 8)]], dtype=object)
    >>> np.asarray(small[0, 0])[:, 0, 0]
    array([  0,   0, 255, 255, 255, 255,   0,   0], dtype=uint8)
    """

    _parameter_constraints: dict = {
        "width": [Interval(Integral, 1, None, closed="left")],
        "height": [Interval(Integral, 1, None, closed="left")],
        "resize_mode": [StrOptions({"crop", "pad", "fill"})],
        "anchor": [StrOptions(set(CENTERING))],
        "resample": [StrOptions({*_FILTERS, "mlnet"})],
        "fill_color": [Interval(Integral, 0, 255, closed="both"), str, tuple, list],
    }

    def __init__(
        self,
        width=224,
        height=224,
        *,
        resize_mode="crop",
        anchor="center",
        resample="bilinear",
        fill_color=0,
    ):
        self.width = width
        self.height = height
        self.resize_mode = resize_mode
        self.anchor = anchor
        self.resample = resample
        self.fill_color = fill_color

    @names_labels
    def transform(self, X):
        """Add the resizing to each image.

        Parameters
        ----------
        X : column of n_samples lazy images
            Output of :class:`ImageLoader`.

        Returns
        -------
        images : ndarray of shape (n_samples, 1), dtype object
            New lazy images (a data frame if `set_output` asks for it).

        Raises
        ------
        ValueError
            If X is not one column of lazy images, or `fill_color` does not match their mode.
        """
        self._validate_params()
        images = lazy_images(X, self, reset=False)
        step = Resize(
            self.width,
            self.height,
            self.resize_mode,
            self.anchor,
            self.resample,
            tuple(self.fill_color) if isinstance(self.fill_color, list) else self.fill_color,
        )
        for mode in {image.mode for image in images}:
            pillow_color(step.fill_color, mode)
        return image_column([image.with_step(step) for image in images])
