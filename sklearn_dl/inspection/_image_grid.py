"""ImageGridDisplay: images in a grid, with their predicted labels."""

import numpy as np

from sklearn_dl.images import ImageLoader, ImageReadError, ImageResizer
from sklearn_dl.images._resizer import width_and_height
from sklearn_dl.utils._columns import is_missing, object_array
from sklearn_dl.utils._optional import import_optional


class ImageGridDisplay:
    """Images in a grid, each under its predicted labels.

    Use :meth:`from_predictions` to make and draw one.

    Parameters
    ----------
    images : ndarray of shape (n_samples,), dtype object
        Lazy images.
    labels : ndarray of shape (n_samples, k)
        Labels, best first.
    scores : ndarray of shape (n_samples, k) or None, default=None
        Scores of the labels, written beside them with two decimals.

    Attributes
    ----------
    figure_ : matplotlib.figure.Figure
    axes_ : ndarray of matplotlib.axes.Axes, of shape (n_rows, n_columns)
        One per image; the axes after the last image stay empty.

    See Also
    --------
    sklearn_dl.ScoreClassifier.top_k : Returns labels and scores.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_dl.inspection import ImageGridDisplay
    >>> images = [np.zeros((8, 8, 3), dtype=np.uint8)] * 3
    >>> display = ImageGridDisplay.from_predictions(
    ...     images, ["cat", "dog", "cat"], [0.9, 0.8, 0.7], n_columns=2
    ... )
    >>> display.axes_.shape
    (2, 2)
    """

    def __init__(self, images, labels, scores=None):
        self.images = images
        self.labels = labels
        self.scores = scores

    def plot(self, *, n_columns=5, image_size=160):
        """Draw the grid.

        Parameters
        ----------
        n_columns : int, default=5
            Number of images side by side.
        image_size : int or (width, height), default=160
            Space in pixels that each image is fitted into.

        Returns
        -------
        display : ImageGridDisplay
            This display, with `figure_` and `axes_`.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        """
        plt = import_optional("matplotlib.pyplot", extra="demo", purpose="ImageGridDisplay")
        n_columns = min(n_columns, len(self.images))
        n_rows = -(-len(self.images) // n_columns)
        width, height = width_and_height(image_size)
        n_lines = self.labels.shape[1]
        self.figure_, self.axes_ = plt.subplots(
            n_rows,
            n_columns,
            squeeze=False,
            figsize=(
                0.0115 * width * n_columns,
                (0.0105 * height + 0.17 * n_lines) * n_rows,
            ),
            layout="constrained",
        )
        small = ImageResizer(width, height, resize_mode="pad", fill_color=255)
        small.set_output(transform="default")
        for axes in self.axes_.flat:
            axes.set_axis_off()
        for row, image in enumerate(small.transform(self.images)[:, 0]):
            axes = self.axes_.flat[row]
            try:
                axes.imshow(np.asarray(image), cmap="gray", vmin=0, vmax=255)
            except ImageReadError:
                axes.text(0.5, 0.5, "no image", ha="center", va="center")
            axes.set_title(self._caption(row), fontsize=8, parse_math=False)
        # the first layout does not yet know the height of the titles; savefig makes a second one
        self.figure_.draw_without_rendering()
        return self

    @classmethod
    def from_predictions(cls, images, labels, scores=None, *, n_columns=5, image_size=160):
        """Make a display from images and their predicted labels, and draw it.

        Parameters
        ----------
        images : column of n_samples images
            Anything that :class:`sklearn_dl.ImageLoader` accepts. If an image cannot be read, the
            words "no image" are drawn instead.
        labels : array-like of shape (n_samples,) or (n_samples, k)
            Predicted labels, or the k best labels of each image.
        scores : array-like of the shape of `labels`, or None, default=None
            Scores of the labels. None: no scores are written.
        n_columns : int, default=5
            Number of images side by side.
        image_size : int or (width, height), default=160
            Space in pixels that each image is fitted into.

        Returns
        -------
        display : ImageGridDisplay

        Raises
        ------
        ValueError
            If the lengths or shapes do not match.
        """
        loader = ImageLoader(on_error="nan").set_output(transform="default")
        images = loader.transform(images)[:, 0]
        labels = _as_columns("labels", labels, len(images))
        if scores is not None:
            scores = _as_columns("scores", scores, len(images))
            if scores.shape != labels.shape:
                raise ValueError(
                    f"`scores` has shape {scores.shape}, but `labels` has shape {labels.shape}."
                )
        return cls(object_array(images), labels, scores).plot(
            n_columns=n_columns, image_size=image_size
        )

    def _caption(self, row):
        lines = [str(label) for label in self.labels[row]]
        if self.scores is not None:
            lines = [
                line if is_missing(score) else f"{line} {score:.2f}"
                for line, score in zip(lines, self.scores[row], strict=True)
            ]
        return "\n".join(lines)


def _as_columns(name, values, n_rows):
    values = np.asarray(values)
    values = values.reshape(len(values), -1)
    if len(values) != n_rows:
        raise ValueError(f"There are {n_rows} images, but `{name}` has {len(values)} rows.")
    return values
