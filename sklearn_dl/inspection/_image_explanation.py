"""ImageExplanationDisplay: images whose regions are colored by their effect on a prediction."""

import numpy as np

from sklearn_dl.inspection._effect_colors import (
    LOWERS,
    RAISES,
    caption,
    is_visible,
    largest,
    opacity_of,
)
from sklearn_dl.inspection._image_rows import ImageRows, as_gray
from sklearn_dl.inspection._occlusion import explain
from sklearn_dl.inspection._patches import Grid, patch_counts, patch_edges
from sklearn_dl.utils._columns import require_rows
from sklearn_dl.utils._messages import RowError, warn_user
from sklearn_dl.utils._optional import import_optional

_CALL_ROWS, _CALL_BYTES = 256, 2**28


class ImageExplanationDisplay:
    """Images whose regions are colored by how much they moved the prediction.

    Each image is divided into a grid of patches. The effect of a patch is the score of the image
    minus the score of the image in which one color covers the patch. An orange patch raises the
    score: without it, the score is lower. A blue patch lowers the score. The patch with the largest
    effect in all images has the strongest color.

    Use :meth:`from_estimator` to make and draw one.

    Parameters
    ----------
    images : list of ndarray of shape (height, width), dtype uint8
        Small gray copies of the images, with at most 320 pixels on a side.
    effects : list of ndarray of shape (n_patch_rows, n_patch_columns), dtype float64
        For each image, the effects of its patches, starting at the upper left.
    scores : ndarray of shape (n_samples,), dtype float64
        Score of the explained class for each image: its probability, or the decision function of an
        estimator without `predict_proba`, or the prediction of a regressor.
    labels : array-like of shape (n_samples,), default=None
        The explained class, or column of y, of each image. None: a regressor of one target.

    Attributes
    ----------
    figure_ : matplotlib.figure.Figure
    axes_ : ndarray of matplotlib.axes.Axes, of shape (n_rows, n_columns)
        One per image; the axes after the last image stay empty.

    See Also
    --------
    TextExplanationDisplay : The same for texts.
    MistakesDisplay : The worst mistakes, whose predictions can then be explained.

    Notes
    -----
    The method is occlusion [1]_. It shows what the estimator reacts to, not why the label is true.
    Two patches that show the same thing can each have a small effect, because the other one remains
    when one is covered.

    References
    ----------
    .. [1] M. D. Zeiler and R. Fergus, "Visualizing and Understanding Convolutional Networks", ECCV
       2014, arXiv:1311.2901.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklearn_dl.inspection import ImageExplanationDisplay
    >>> X, y = load_digits(n_class=2, return_X_y=True)
    >>> clf = LogisticRegression(C=0.001).fit(X, y)
    >>> display = ImageExplanationDisplay.from_estimator(
    ...     clf, X[:1], image_shape=(8, 8), n_patches=4
    ... )
    >>> display.labels
    array([0])
    >>> display.effects[0].round(2)
    array([[-0.  ,  0.01,  0.  ,  0.  ],
           [-0.  ,  0.01,  0.02,  0.  ],
           [ 0.  ,  0.02,  0.01,  0.  ],
           [-0.  ,  0.01,  0.01,  0.  ]])
    """

    def __init__(self, images, effects, scores, labels=None):
        self.images = images
        self.effects = effects
        self.scores = scores
        self.labels = labels

    @classmethod
    def from_estimator(
        cls,
        estimator,
        X,
        *,
        column=None,
        class_of_interest=None,
        response_method="auto",
        n_patches=8,
        fill_color="mean",
        image_shape=None,
        n_columns=4,
    ):
        """Explain the predictions for some images, and draw the explanations.

        The estimator predicts each image and its copies. One copy is unchanged; each of the others
        lacks one patch, and the effect of this patch is the difference between the scores of the
        two. Images are read one at a time. A call has at most 256 copies of an image, and at most
        256 MB of pixels, unless a single copy is larger.

        Parameters
        ----------
        estimator : fitted classifier or regressor
            Any estimator of images: one of this package, a Pipeline, or a search. Where X has
            paths or encoded images, an estimator whose first step is of this package gets PIL
            images (in pyarrow's containers, encoded PNGs). Any other estimator gets paths of
            temporary PNG files, or encoded PNGs.
        X : array-like, Series or DataFrame of n_samples rows
            The rows to predict: a column of images that :class:`sklearn_dl.ImageLoader` accepts, an
            array of numbers of shape (n_samples, H, W) or (n_samples, H, W, C), or rows of pixels
            (see `image_shape`).
        column : str or int, default=None
            Name or position of the column with the images, if X has several columns. The other
            columns do not change.
        class_of_interest : label, default=None
            The class whose score is explained, or the position of the column of y if y has several
            labels or targets. None: for each image, the one with the highest score.
        response_method : {"auto", "predict_proba", "decision_function"}, default="auto"
            Which score of a classifier is explained. "auto": `predict_proba`, or
            `decision_function` if the classifier has no probabilities. With "decision_function",
            patches have visible effects even if the probability is close to 1.
        n_patches : int or (int, int), default=8
            Number of patches of an image from top to bottom and from left to right. It is at most
            the number of pixels.
        fill_color : "mean", number, or sequence of one number per channel, default="mean"
            The color that covers a patch. "mean": the mean color of the image.
        image_shape : tuple of int, default=None
            (H, W) or (H, W, C) of the images if the rows of X are pixels, as in scikit-learn's data
            sets. None: they are not.
        n_columns : int, default=4
            Number of images side by side.

        Returns
        -------
        display : ImageExplanationDisplay

        Raises
        ------
        sklearn_dl.images.ImageReadError
            If an image cannot be read.
        ValueError
            If `column` or `class_of_interest` does not exist, if `n_patches`, `fill_color` or
            `image_shape` does not suit the images, or if `response_method` has another value.
        TypeError
            If a classifier does not have the method that `response_method` asks for.
        sklearn.exceptions.NotFittedError
            If the estimator is not fitted.
        ImportError
            If matplotlib is not installed.
        """
        patch_counts(n_patches)
        images, effects, scores, labels = [], [], [], []
        with ImageRows(X, column, image_shape, estimator) as rows:
            require_rows(len(rows), estimator)
            for row in range(len(rows)):
                pixels = rows.read(row)
                grid = Grid.of(pixels, n_patches, fill_color)
                try:
                    explanation = explain(
                        estimator,
                        lambda copies, cells, row=row: rows.copies(row, cells),
                        [pixels],
                        [grid.n_patches],
                        lambda _, patch, grid=grid, pixels=pixels: grid.covered(pixels, patch),
                        class_of_interest=class_of_interest,
                        response_method=response_method,
                        batch_size=max(1, min(_CALL_ROWS, _CALL_BYTES // max(1, pixels.nbytes))),
                        given=rows.given(row),
                    )
                except RowError as error:  # its row is that of a copy
                    raise error.at(row) from error
                _warn_of_difference(explanation, row, estimator)
                images.append(as_gray(pixels))
                effects.append(explanation.effects[0].reshape(grid.shape))
                scores.append(explanation.scores[0])
                labels.append(None if explanation.labels is None else explanation.labels[0])
        explained = None if labels[0] is None else np.array(labels)
        return cls(images, effects, np.array(scores), explained).plot(n_columns=n_columns)

    def plot(self, *, n_columns=4):
        """Draw the images and the effects of their patches.

        Parameters
        ----------
        n_columns : int, default=4
            Number of images side by side.

        Returns
        -------
        display : ImageExplanationDisplay
            This display, with `figure_` and `axes_`.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        """
        plt = import_optional("matplotlib.pyplot", extra="demo", purpose="ImageExplanationDisplay")
        n_columns = max(1, min(n_columns, len(self.images)))
        n_rows = max(1, -(-len(self.images) // n_columns))
        tallest = max((image.shape[0] / image.shape[1] for image in self.images), default=1)
        self.figure_, self.axes_ = plt.subplots(
            n_rows,
            n_columns,
            squeeze=False,
            figsize=(2.4 * n_columns, (2.4 * tallest + 0.5) * n_rows),
            layout="constrained",
        )
        for axes in self.axes_.flat:
            axes.set_axis_off()
        most = largest(self.effects)
        labels = [None] * len(self.images) if self.labels is None else self.labels
        for axes, image, effects, label, score in zip(
            self.axes_.flat, self.images, self.effects, labels, self.scores, strict=False
        ):
            height, width = image.shape[:2]
            axes.imshow(image, cmap="gray", vmin=0, vmax=255, extent=(0, width, height, 0))
            n_down, n_across = effects.shape
            axes.pcolormesh(
                patch_edges(width, n_across), patch_edges(height, n_down), _colors(effects, most)
            )
            strongest = effects.flat[abs(effects).argmax()]
            axes.set_title(
                f"{caption(label, score)}\nlargest effect {strongest:+.2g}",
                fontsize=8,
                parse_math=False,
            )
        return self


def _warn_of_difference(explanation, row, estimator):
    """Warn if the score of an image and that of its copy differ, compared with the effects."""
    (score,), (difference,) = explanation.scores, explanation.differences
    if abs(difference) > max(largest(explanation.effects) / 2, 1e-3 * abs(score)):
        warn_user(
            f"Row {row}: the score of this image is {score:.3g}, but that of an image with the "
            f"same pixels is {score - difference:.3g}, so the effects may be wrong. "
            f"{type(estimator).__name__} may use more than the pixels, or may read them from the "
            "file in another way. Pass arrays, or PIL images of mode L or RGB, as X."
        )


def _colors(effects, most):
    """RGBA of each patch."""
    mpl = import_optional("matplotlib.colors", extra="demo", purpose="ImageExplanationDisplay")
    colors = np.where(effects[..., None] > 0, mpl.to_rgba(RAISES), mpl.to_rgba(LOWERS))
    visible = is_visible(effects, most)
    colors[..., 3] = np.where(visible, opacity_of(effects, most or 1.0), 0)
    return colors
