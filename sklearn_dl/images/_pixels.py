"""PixelExtractor: turns images into numbers, and numbers into images."""

import math
from numbers import Integral, Real

import numpy as np
from sklearn.base import TransformerMixin
from sklearn.exceptions import NotFittedError

from sklearn_dl.images._faults import naming
from sklearn_dl.images._lazy import Decoding, ImageReadError, LazyImage, image_column
from sklearn_dl.images._pixel_array import PixelArray
from sklearn_dl.images._sources import describe
from sklearn_dl.images._step import ImageStepMixin, lazy_images
from sklearn_dl.utils._base import DeepEstimator, all_or_nothing
from sklearn_dl.utils._columns import is_empty_list, row_index
from sklearn_dl.utils._messages import RowsError, names_labels
from sklearn_dl.utils._output import OwnOutputMixin
from sklearn_dl.utils._progress import progress_bar
from sklearn_dl.utils._sklearn import Interval, StrOptions, output_container, wrap_output

_NOT_FITTED = "Column names of flat pixels need a fitted PixelExtractor. Call fit first."


class PixelExtractor(
    ImageStepMixin,
    OwnOutputMixin,
    TransformerMixin,
    DeepEstimator,
    auto_wrap_output_keys=None,  # type: ignore[call-arg]
):
    """Turn images of one size into numbers, lazily.

    Each value is ``(pixel - offset) * scale``. The result is a :class:`PixelArray`, which the
    scorer that follows computes batch by batch. With ``layout="flat"`` it is an ordinary 2-D array.

    Parameters
    ----------
    colors : str, default="RGB"
        Colour channels in their order, such as "RGB", or "L" for grey levels. Each of "R", "G", "B"
        and "A" may be used once ("BGR"). Without "A", the alpha of "RGBA" images is left out.
    layout : {"NCHW", "NHWC", "flat"}, default="NCHW"
        Order of the axes. "NCHW" and "NHWC" are lazy. "flat" is a dense array of shape
        (n_samples, C * H * W), with the values in the order of "NCHW".
    offset, scale : float or sequence of float, default=0.0 and 1.0
        A network gets ``(pixel - offset) * scale`` for each pixel of 0 to 255. Both are one number
        for all channels, or one for each channel in the order of `colors`. For a network that takes
        ``(pixel / 255 - mean) / std``, they are ``255 * mean`` and ``1 / (255 * std)``.
    dtype : {"float32", "float16", "uint8"}, default="float32"
        Type of the values. "uint8" needs offset 0 and scale 1.
    n_threads : int or None, default=None
        Number of threads that may be busy at once. None: the number of CPUs that this process may
        use, but at most ``OMP_NUM_THREADS``; inside a joblib worker, its share of them. It applies
        to ``layout="flat"``; a PixelArray is computed with the threads of the scorer that follows.
    verbose : int, default=0
        How much is printed. 0: nothing. 1: a progress bar, if ``layout="flat"``.

    Attributes
    ----------
    n_features_in_ : int
        1, after `fit`.
    feature_names_in_ : ndarray of shape (1,)
        Name of the column, after `fit` on a data frame.
    image_size_ : tuple of int
        (width, height) in pixels of the first image that `fit` could read. With ``layout="flat"``,
        all images have this size; the feature names and `inverse_transform` need it.

    See Also
    --------
    ImageResizer : The step before, for images of different sizes.
    OnnxScorer : The step after.

    Notes
    -----
    This is ML.NET's ExtractPixels, and `inverse_transform` is its ConvertToImage.
    ``colors="L"`` is its ConvertToGrayscale (ITU-R 601 luma, as Pillow computes it). Values of
    dtype float32 are computed in float32; values of dtype float16 are rounded from float32.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_dl import ImageLoader, PixelExtractor
    >>> images = ImageLoader().transform([np.full((2, 2, 3), 255, dtype=np.uint8)])
    >>> pixels = PixelExtractor(offset=127, scale=1 / 128).transform(images)
    >>> pixels
    PixelArray(shape=(1, 3, 2, 2), dtype=float32, NCHW, lazy)
    >>> np.asarray(pixels).max()
    np.float32(1.0)
    """

    _parameter_constraints: dict = {
        "colors": [str],
        "layout": [StrOptions({"NCHW", "NHWC", "flat"})],
        "offset": [Real, "array-like"],
        "scale": [Real, "array-like"],
        "dtype": [StrOptions({"float32", "float16", "uint8"})],
        "n_threads": [Interval(Integral, 1, None, closed="left"), None],
        "verbose": ["verbose"],
    }

    def __init__(
        self,
        *,
        colors="RGB",
        layout="NCHW",
        offset=0.0,
        scale=1.0,
        dtype="float32",
        n_threads=None,
        verbose=0,
    ):
        self.colors = colors
        self.layout = layout
        self.offset = offset
        self.scale = scale
        self.dtype = dtype
        self.n_threads = n_threads
        self.verbose = verbose

    @all_or_nothing
    @names_labels
    def fit(self, X, y=None):
        """Check the parameters; store the name of the column, and the size of the images.

        Parameters
        ----------
        X : column of lazy images
        y : ignored

        Returns
        -------
        self : object
        """
        super().fit(X, y)
        self._levels()
        images = lazy_images(X, self, reset=False)
        self.__dict__.pop("image_size_", None)
        if self.layout == "flat":
            self.image_size_ = common_size(images)
        elif (first := next(_sizes(images), None)) is not None:
            self.image_size_ = first[2]
        return self

    @names_labels
    def transform(self, X):
        """Return the pixels of the images: lazily, or computed if the layout is "flat".

        Parameters
        ----------
        X : column of n_samples lazy images
            Output of :class:`ImageLoader` or :class:`ImageResizer`.

        Returns
        -------
        pixels : PixelArray of shape (n_samples, C, H, W) or (n_samples, H, W, C)
            Or an ndarray of shape (n_samples, C * H * W) for ``layout="flat"`` (a data frame if
            `set_output` asks for it). `set_output` does not change a PixelArray. If X has no rows,
            H and W are those of `image_size_`, or 0 before `fit`; a scorer accepts both.

        Raises
        ------
        ValueError
            If X is not one column of lazy images; if their sizes differ (without an ImageResizer,
            the sizes are read from the files' headers); if `colors` has alpha and the images do
            not.
        NotFittedError
            For ``layout="flat"`` before `fit`, if X has no rows.
        """
        self._validate_params()
        offset, scale = self._levels()
        images = lazy_images(X, self, reset=False)
        if "A" in self.colors and any(image.mode != "RGBA" for image in images):
            raise ValueError(
                f'colors={self.colors!r} needs images with alpha: use ImageLoader(colors="RGBA").'
            )
        seen = getattr(self, "image_size_", None)
        if not len(images) and seen is None:
            if self.layout == "flat":
                raise NotFittedError(
                    "X has no rows, so the size of the images is known only after fit. Call fit "
                    "first."
                )
            seen = 0, 0
        width, height = common_size(images, otherwise=seen)
        pixels = PixelArray(
            images=images,
            height=height,
            width=width,
            colors=self.colors,
            layout="NCHW" if self.layout == "flat" else self.layout,
            offset=offset,
            scale=scale,
            dtype=np.dtype(self.dtype),
            index=row_index(X),
        )
        if self.layout != "flat":
            return pixels
        if seen not in (None, (width, height)):
            raise ValueError(
                f"Images are {width} x {height}, but those seen in fit were {seen[0]} x {seen[1]}."
            )
        with progress_bar(self.verbose, len(pixels), type(self).__name__) as done:
            values = pixels.compute(self.n_threads, done=done)
        flat = values.reshape(len(pixels), math.prod(pixels.row_shape))
        if output_container(self) != "default" and not hasattr(self, "image_size_"):
            raise NotFittedError(_NOT_FITTED)
        return wrap_output(self, flat, X)

    @names_labels
    def inverse_transform(self, X):
        """Turn numbers back into images.

        Parameters
        ----------
        X : array-like of shape (n_samples, C, H, W), (n_samples, H, W, C) or (n_samples, C * H * W)
            Values as `transform` returns them for this layout. "flat" needs a fitted extractor.

        Returns
        -------
        images : ndarray of shape (n_samples, 1), dtype object
            Lazy images with the pixels ``X / scale + offset``, rounded and clipped to 0 to 255.
            Red, green or blue is 0 if `colors` does not contain it. With "L", the images are grey.

        Raises
        ------
        ValueError
            If the shape does not match the layout and `colors`, or a value is NaN.
        """
        self._validate_params()
        offset, scale = self._levels()
        if (scale == 0).any():
            raise ValueError("scale=0 cannot be inverted.")
        if is_empty_list(X):
            return image_column([])
        values = np.asarray(X)
        n_channels = len(self.colors)
        if self.layout == "flat":
            if not hasattr(self, "image_size_"):
                raise NotFittedError(
                    "The size of flat images is known only after fit. Call fit before "
                    "inverse_transform."
                )
            width, height = self.image_size_
            expected = f"(n_samples, {n_channels * height * width})"
            fits = values.ndim == 2 and values.shape[1] == n_channels * height * width
        else:
            channel_axis = 1 if self.layout == "NCHW" else 3
            names = ["n_samples", "H", "W"]
            names.insert(channel_axis, str(n_channels))
            expected = f"({', '.join(names)})"
            fits = values.ndim == 4 and values.shape[channel_axis] == n_channels
        if not fits:
            raise ValueError(f"Expected an array of shape {expected}, got {values.shape}.")
        if self.layout == "flat":
            values = values.reshape(len(values), n_channels, height, width)
        elif self.layout == "NHWC":
            values = np.moveaxis(values, 3, 1)
        bad = np.flatnonzero(np.isnan(values).any(axis=(1, 2, 3)))
        if len(bad):
            raise RowsError(f"Row {bad[0]} contains NaN, which cannot become a pixel.", bad[0])
        mode = "L" if self.colors == "L" else "RGBA" if "A" in self.colors else "RGB"
        decoding = Decoding(mode, False, "raise", None)
        return image_column(
            [LazyImage(self._image(row, offset, scale, mode), decoding) for row in values]
        )

    def get_feature_names_out(self, input_features=None):
        """Return the names of the output columns.

        Parameters
        ----------
        input_features : array-like of str of shape (1,) or None, default=None

        Returns
        -------
        names : ndarray of str objects
            Name of the image column. For ``layout="flat"``, one "<name>_<color>_<row>_<column>"
            per value.

        Raises
        ------
        NotFittedError
            For ``layout="flat"`` before `fit`.
        """
        names = super().get_feature_names_out(input_features)
        if self.layout != "flat":
            return names
        if not hasattr(self, "image_size_"):
            raise NotFittedError(_NOT_FITTED)
        width, height = self.image_size_
        return np.array(
            [
                f"{names[0]}_{color}_{row}_{column}"
                for color in self.colors
                for row in range(height)
                for column in range(width)
            ],
            dtype=object,
        )

    def _levels(self):
        """Check `colors`, `offset` and `scale`; return offset and scale per channel."""
        colors = self.colors
        if colors != "L" and (
            not colors or set(colors) - set("RGBA") or len(set(colors)) != len(colors)
        ):
            raise ValueError(
                f"colors={colors!r} must be 'L' or any of R, G, B and A, each at most once."
            )
        levels = []
        for name in ("offset", "scale"):
            value = np.asarray(getattr(self, name), dtype=np.float32)
            if value.shape not in ((), (len(colors),)):
                raise ValueError(
                    f"{name} must be one number, or one number per channel of colors={colors!r}, "
                    f"got shape {value.shape}."
                )
            if not np.isfinite(value).all():
                raise ValueError(f"{name}={getattr(self, name)!r} must be finite.")
            levels.append(np.broadcast_to(value, len(colors)))
        if self.dtype == "uint8" and ((levels[0] != 0).any() or (levels[1] != 1).any()):
            raise ValueError(
                "dtype='uint8' keeps pixels as they are: offset must be 0 and scale 1, got "
                f"offset={self.offset!r} and scale={self.scale!r}. Use dtype='float32' to shift "
                "and scale."
            )
        extremes = (np.array([[0.0], [255.0]]) - levels[0]) * levels[1].astype(np.float64)
        largest = np.iinfo(np.uint8).max if self.dtype == "uint8" else np.finfo(self.dtype).max
        if np.abs(extremes).max() > largest:
            raise ValueError(
                f"With offset={self.offset!r} and scale={self.scale!r}, values reach "
                f"{np.abs(extremes).max():.4g}, more than {self.dtype} can hold ({largest:.4g})."
            )
        return levels

    def _image(self, planes, offset, scale, mode):
        """Return the pixels of one image, H x W x C (H x W for "L"), from its C x H x W values."""
        height, width = planes.shape[1:]
        levels = planes.astype(np.float64) / scale[:, None, None] + offset[:, None, None]
        levels = np.rint(levels).clip(0, 255).astype(np.uint8)
        if mode == "L":
            return levels[0]
        bands = dict(zip(self.colors, levels, strict=True))
        missing = {"A": np.full((height, width), 255, np.uint8)}
        black = np.zeros((height, width), np.uint8)
        return np.stack([bands.get(c, missing.get(c, black)) for c in mode], axis=-1)


def common_size(images, otherwise=None):
    """Return the (width, height) that all images have; images that cannot be read are skipped.

    If no image can be read, it returns `otherwise`.

    Raises
    ------
    ValueError
        If two images differ in size (the message names both), or if none can be read and
        `otherwise` is None.
    """
    first = None
    for row, image, size in _sizes(images):
        if first is None:
            first = row, image, size
        elif size != first[2]:
            raise RowsError(
                f"Images differ in size: row {first[0]} ({describe(first[1].source)}) is "
                f"{first[2][0]} x {first[2][1]}, row {row} ({describe(image.source)}) is "
                f"{size[0]} x {size[1]}. Put an ImageResizer before PixelExtractor.",
                row,
            )
    if first is not None:
        return first[2]
    if otherwise is None:
        raise ValueError("No image can be read, so the size of the images is unknown.")
    return otherwise


def _sizes(images):
    """Yield the row, the image and the (width, height) of each image that can be read.

    Raises
    ------
    ImageReadError
        If an image cannot be read, and its loader has ``on_error="raise"``.
    """
    for row, image in enumerate(images):
        try:
            with naming(f"Row {row}"):
                size = image.size
        except ImageReadError as error:
            if image.decoding.on_error == "raise":
                raise error.at(row) from error
            continue
        yield row, image, size
