"""MistakesDisplay: the rows that an estimator predicts wrongly, the worst first."""

import os
from collections.abc import Mapping
from datetime import date, time, timedelta
from numbers import Integral, Number

import numpy as np
from sklearn.utils.validation import check_consistent_length

from sklearn_dl.datasets._files import image_extensions
from sklearn_dl.images import ImageLoader
from sklearn_dl.inspection._column import Column
from sklearn_dl.inspection._effect_colors import caption
from sklearn_dl.inspection._image_grid import ImageGridDisplay
from sklearn_dl.inspection._image_rows import as_images, as_uint8, image_step, loader_like
from sklearn_dl.inspection._occlusion import response
from sklearn_dl.inspection._text_blocks import blocks_as_html, draw_blocks
from sklearn_dl.inspection._text_layout import Piece
from sklearn_dl.utils._columns import is_missing, missing_mask, object_array
from sklearn_dl.utils._targets import target_column

# characters of a text and of a label that are shown
_MAX_CHARACTERS, _MAX_LABEL = 1000, 40


class MistakesDisplay:
    """The worst mistakes of a classifier of texts or images, with truth and prediction.

    The worst mistake is the one for which the probability of the true class is the lowest.

    Use :meth:`from_estimator` or :meth:`from_predictions` to make one. A notebook shows a display
    of texts as HTML if it is the last value of a cell; this does not need matplotlib. :meth:`plot`
    draws a display of texts or images.

    Parameters
    ----------
    samples : list of n_mistakes texts or images
        The worst mistake first.
    rows : ndarray of shape (n_mistakes,), dtype int64
        Position of each mistake in X.
    y_true, y_pred : ndarray of shape (n_mistakes,)
        The true and the predicted labels.
    y_score : ndarray of shape (n_mistakes, 2), default=None
        Probabilities of the true and of the predicted label, or the decision function of an
        estimator without `predict_proba`. NaN: the estimator does not know the label. None: no
        scores are written.
    kind : {"text", "image"}, default="text"
        The kind of the samples.

    Attributes
    ----------
    figure_ : matplotlib.figure.Figure
    ax_ : matplotlib.axes.Axes
        Where texts are drawn.
    axes_ : ndarray of matplotlib.axes.Axes, of shape (n_rows, n_columns)
        Where images are drawn: one per image; the axes after the last image stay empty.

    See Also
    --------
    sklearn.metrics.ConfusionMatrixDisplay : Which classes are mistaken for which.
    TextExplanationDisplay : The effect of each word on a prediction.
    ImageExplanationDisplay : The effect of each region on a prediction.

    Examples
    --------
    >>> from sklearn_dl.inspection import MistakesDisplay
    >>> texts = ["good film", "bad film", "fine", "poor"]
    >>> display = MistakesDisplay.from_predictions(
    ...     texts, [1, 0, 1, 0], [1, 1, 0, 0],
    ...     y_proba=[[0.1, 0.9], [0.2, 0.8], [0.6, 0.4], [0.7, 0.3]], classes=[0, 1],
    ... )
    >>> display.rows, display.samples
    (array([1, 2]), ['bad film', 'fine'])
    """

    def __init__(self, samples, rows, y_true, y_pred, y_score=None, *, kind="text"):
        self.samples = samples
        self.rows = rows
        self.y_true = y_true
        self.y_pred = y_pred
        self.y_score = y_score
        self.kind = kind

    @classmethod
    def from_estimator(
        cls, estimator, X, y, *, n_mistakes=10, column=None, kind="auto", image_shape=None
    ):
        """Find the worst mistakes that a fitted classifier makes.

        X is predicted twice: by `predict`, and by `predict_proba` or `decision_function`. To find
        mistakes on rows that the estimator was not trained on, pass held-out rows, or pass the
        result of ``cross_val_predict(estimator, X, y, method="predict_proba")`` to
        :meth:`from_predictions`.

        Parameters
        ----------
        estimator : fitted classifier
            Any classifier of texts or images: one of this package, a Pipeline, or a search.
        X : array-like, Series or DataFrame of n_samples rows
            The rows to predict.
        y : array-like of shape (n_samples,)
            True labels.
        n_mistakes : int, default=10
            Largest number of mistakes that are kept.
        column : str or int, default=None
            Name or position of the column to show, if X has several columns.
        kind : {"auto", "text", "image"}, default="auto"
            The kind of the samples. "auto": images if the column has no numbers, dates or lists,
            and each str or path ends with the extension of an image file (".jpg"); otherwise, or if
            all cells are missing, texts.
        image_shape : tuple of int, default=None
            (H, W) or (H, W, C) of the images if the rows of X are pixels, as in scikit-learn's data
            sets. None: they are not.

        Returns
        -------
        display : MistakesDisplay

        Raises
        ------
        ValueError
            If `y` has missing values or not as many rows as X, or if `column` does not exist.
        TypeError
            If the estimator has neither `predict_proba` nor `decision_function`, or if it predicts
            numbers or several labels.
        sklearn.exceptions.NotFittedError
            If the estimator is not fitted.
        """
        respond, classes = response(estimator)
        y_pred = np.asarray(estimator.predict(X))
        if classes is None or y_pred.shape[1:] not in ((), (1,)):
            raise TypeError(
                f"{type(estimator).__name__} predicts no classes, but numbers or several labels: "
                "there are no mistakes to order."
            )
        display = cls.from_predictions(
            X,
            y,
            y_pred,
            y_proba=respond(X),
            classes=classes,
            n_mistakes=n_mistakes,
            column=column,
            kind=kind,
            image_shape=image_shape,
        )
        paths = (str, os.PathLike, Mapping)
        if display.kind == "image" and any(isinstance(s, paths) for s in display.samples):
            display._load_images(image_step(estimator, Column(X, column, estimator)))
        return display

    def _load_images(self, loader):
        """Replace paths that only the estimator's ImageLoader can read by lazy images."""
        if isinstance(loader, ImageLoader) and (loader.root, loader.filesystem) != (None, None):
            loader = loader_like(loader, on_error="nan")
            self.samples = list(loader.transform(object_array(self.samples))[:, 0])

    @classmethod
    def from_predictions(
        cls,
        X,
        y_true,
        y_pred,
        *,
        y_proba=None,
        classes=None,
        n_mistakes=10,
        column=None,
        kind="auto",
        image_shape=None,
    ):
        """Find the worst mistakes among predictions.

        Parameters
        ----------
        X : array-like, Series or DataFrame of n_samples rows
            The texts or images.
        y_true, y_pred : array-like of shape (n_samples,)
            True and predicted labels. Rows whose prediction is missing (an image that could not be
            read) are not among the mistakes.
        y_proba : array-like of shape (n_samples, n_classes), default=None
            Probabilities of the classes. None: the mistakes stay in the order of X.
        classes : array-like of shape (n_classes,), default=None
            The classes, in the order of the columns of `y_proba`. None: the sorted labels of
            `y_true`, as in ``cross_val_predict``.
        n_mistakes, column, kind, image_shape
            As in :meth:`from_estimator`.

        Returns
        -------
        display : MistakesDisplay

        Raises
        ------
        ValueError
            If lengths or shapes do not match, if `y_true` has missing values, or if `column` does
            not exist.
        """
        if not isinstance(n_mistakes, Integral) or n_mistakes < 1:
            raise ValueError(f"n_mistakes={n_mistakes!r} must be an integer of at least 1.")
        if kind not in ("auto", "text", "image"):
            raise ValueError(f'kind={kind!r} must be "auto", "text" or "image".')
        y_true, y_pred = target_column(y_true, "y_true"), np.asarray(y_pred)
        if y_pred.shape[1:] not in ((), (1,)):
            raise ValueError(
                f"`y_pred` has shape {y_pred.shape}, but must be one column of labels."
            )
        y_pred = y_pred.reshape(-1)
        check_consistent_length(X, y_true, y_pred)
        rows = np.flatnonzero(~missing_mask(y_pred))
        rows = rows[y_true.astype(object)[rows] != y_pred.astype(object)[rows]]
        scores = None
        if y_proba is not None:
            scores = _scores_of_both(y_true, y_pred, y_proba, classes)
            # a label that the estimator does not know has no score, and is the worst
            truth, predicted = np.nan_to_num(scores[rows], nan=-np.inf).T
            rows = rows[np.lexsort((-predicted, truth))]
        rows = rows[:n_mistakes]
        samples, kind = _samples(X, rows, column, kind, image_shape, cls([], rows, y_true, y_pred))
        scores = None if scores is None else scores[rows]
        return cls(samples, rows, y_true[rows], y_pred[rows], scores, kind=kind)

    def plot(self, *, ax=None, n_columns=5, image_size=160):
        """Draw the mistakes.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, default=None
            Where to draw texts. The first line is at the upper edge, and lines are as wide as the
            axes. None: in a new figure that is as high as the texts. Images are always drawn in a
            new figure.
        n_columns : int, default=5
            Number of images side by side.
        image_size : int or (width, height), default=160
            Space in pixels that each image is fitted into.

        Returns
        -------
        display : MistakesDisplay
            This display, with `figure_`, and `ax_` or `axes_`.

        Raises
        ------
        ValueError
            If `ax` is given for images.
        ImportError
            If matplotlib is not installed.
        """
        if self.kind == "text" or not len(self.rows):
            self.ax_, _ = draw_blocks(self._blocks(), ax, purpose="MistakesDisplay")
            self.figure_ = self.ax_.figure
            return self
        if ax is not None:
            raise ValueError("Images are drawn in a figure of their own: leave out `ax`.")
        grid = ImageGridDisplay.from_predictions(
            self.samples,
            np.array([self._lines(i) for i in range(len(self.rows))]),
            n_columns=n_columns,
            image_size=image_size,
        )
        self.figure_, self.axes_ = grid.figure_, grid.axes_
        return self

    def _repr_html_(self):
        if self.kind == "image" and len(self.rows):
            return None  # a notebook shows the plot, or falls back on the repr
        return blocks_as_html(self._blocks())

    def _blocks(self):
        """The caption of each text, and its pieces. Long texts are shortened."""
        if not len(self.rows):
            return [("no mistakes", [])]
        texts = [_cut(text, _MAX_CHARACTERS) for text in self.samples]
        return [(", ".join(self._lines(i)), [Piece(text)]) for i, text in enumerate(texts)]

    def _lines(self, i):
        """The lines above a mistake: its row, its true label and its predicted label."""
        scores = (np.nan, np.nan) if self.y_score is None else self.y_score[i]
        labels = (
            _cut(f"true: {self.y_true[i]}", _MAX_LABEL),
            _cut(f"predicted: {self.y_pred[i]}", _MAX_LABEL),
        )
        return [
            f"row {self.rows[i]}",
            *(
                label if np.isnan(score) else caption(label, score)
                for label, score in zip(labels, scores, strict=True)
            ),
        ]


def _scores_of_both(y_true, y_pred, y_proba, classes):
    """The scores of the true and of the predicted label of each row; NaN for unknown labels."""
    y_proba = np.asarray(y_proba, dtype=float)
    classes = np.unique(y_true) if classes is None else np.asarray(classes)
    if y_proba.shape != (len(y_true), len(classes)):
        raise ValueError(
            f"`y_proba` has shape {y_proba.shape}, but must have shape ({len(y_true)}, "
            f"{len(classes)}): a row for each row of X, and a column for each class."
        )
    place = {label: i for i, label in enumerate(classes.tolist())}
    with_unknown = np.column_stack([y_proba, np.full(len(y_true), np.nan)])
    every = np.arange(len(y_true))
    return np.column_stack(
        [
            with_unknown[every, [place.get(label, -1) for label in labels.tolist()]]
            for labels in (y_true, y_pred)
        ]
    )


def _samples(X, rows, column, kind, image_shape, display):
    """The texts or images of some rows, and their kind."""
    if image_shape is not None or (isinstance(X, np.ndarray) and X.ndim > 2):
        images = X if image_shape is None else as_images(X, image_shape)
        return [as_uint8(image) for image in images[rows]], "image"
    cells = Column(X, column, display).cells
    if kind == "auto":
        known = [cell for cell in cells if not is_missing(cell)]
        kind = "image" if known and all(map(_is_image, known)) else "text"
    cells = [cells[row] for row in rows]
    if kind == "image":
        return [as_uint8(c) if isinstance(c, np.ndarray) else c for c in cells], kind
    return [c if isinstance(c, str) else repr(c) for c in cells], kind


def _is_image(cell):
    """Whether a cell can be an image, or the path of one."""
    if isinstance(cell, (str, os.PathLike)):
        return os.path.splitext(cell)[1].lower() in image_extensions()
    return not isinstance(cell, (Number, np.generic, date, time, timedelta, list, tuple))


def _cut(text, length):
    """The start of a text that is longer than `length`."""
    return text if len(text) <= length else f"{text[: length - 4]} ..."
