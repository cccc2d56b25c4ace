"""TrainingCurveDisplay: losses and scores of a fit, epoch by epoch."""

from sklearn.base import is_classifier, is_regressor
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import check_is_fitted

from sklearn_dl.utils._optional import import_optional

_LOSSES = {"train_loss": "training loss", "validation_loss": "validation loss"}


class TrainingCurveDisplay:
    """The losses of each epoch of a fit and, if there were validation rows, validation scores.

    Use :meth:`from_estimator` to make and draw one.

    Parameters
    ----------
    history : dict of list
        The `history_` of a fitted estimator: ``epoch`` and ``train_loss``, and optionally
        ``validation_loss`` and ``validation_score``, with one entry per epoch in each.
    best_epoch : int, default=None
        Epoch whose weights were kept. It is drawn only if there is a validation score: without a
        validation score, the weights of the last epoch are always kept.
    score_name : str, default=None
        Name of the score in the plot. None: "score".

    Attributes
    ----------
    figure_ : matplotlib.figure.Figure
    ax_ : matplotlib.axes.Axes
        The axes of the losses.
    score_ax_ : matplotlib.axes.Axes or None
        The axes of the validation score, on the right of `ax_`. None if there were no
        validation rows.
    lines_ : dict of str to matplotlib.lines.Line2D
        The curves, by their keys in the history; ``"best_epoch"`` is the vertical line.

    See Also
    --------
    sklearn_dl.TextClassifier : Has `history_`.
    sklearn_dl.SentenceSimilarityRegressor : Has `history_`.

    Examples
    --------
    >>> from sklearn_dl.inspection import TrainingCurveDisplay
    >>> history = {"epoch": [1, 2], "train_loss": [0.6, 0.3], "validation_score": [0.7, 0.8]}
    >>> display = TrainingCurveDisplay(history, best_epoch=2).plot()
    >>> sorted(display.lines_)
    ['best_epoch', 'train_loss', 'validation_score']
    """

    def __init__(self, history, *, best_epoch=None, score_name=None):
        self.history = history
        self.best_epoch = best_epoch
        self.score_name = score_name

    def plot(self, ax=None, *, score_name=None):
        """Draw the curves.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, default=None
            Where to draw. None: in a new figure.
        score_name : str, default=None
            Name of the score in the plot. None: the `score_name` of the display.

        Returns
        -------
        display : TrainingCurveDisplay
            This display, with `figure_`, `ax_`, `score_ax_` and `lines_`.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        """
        plt = import_optional("matplotlib.pyplot", extra="demo", purpose="TrainingCurveDisplay")
        if ax is None:
            _, ax = plt.subplots(layout="constrained")
        self.ax_, self.figure_, self.score_ax_, self.lines_ = ax, ax.figure, None, {}
        for column, label in _LOSSES.items():
            if column in self.history:
                self._draw(ax, column, label=label)
        ax.set(xlabel="epoch", ylabel="loss")
        ax.xaxis.get_major_locator().set_params(integer=True)
        if "validation_score" in self.history:
            name = f"validation {score_name or self.score_name or 'score'}"
            self.score_ax_ = ax.twinx()
            self._draw(self.score_ax_, "validation_score", label=name, color="C2", linestyle="--")
            self.score_ax_.set_ylabel(name)
            if self.best_epoch:
                self.lines_["best_epoch"] = ax.axvline(
                    self.best_epoch, color="grey", linestyle=":", label="best epoch"
                )
        # above the plot, because falling and rising curves leave no corner of it free
        ax.legend(
            handles=list(self.lines_.values()),
            loc="lower center",
            bbox_to_anchor=(0.5, 1.0),
            ncols=2,
            frameon=False,
        )
        return self

    @classmethod
    def from_estimator(cls, estimator, *, ax=None, score_name=None):
        """Make a display of the fit of an estimator, and draw it.

        Parameters
        ----------
        estimator : fitted estimator
            An estimator with `history_`, a Pipeline that ends with one, or a search whose
            `best_estimator_` is one of these.
        ax : matplotlib.axes.Axes, default=None
            Where to draw. None: in a new figure.
        score_name : str, default=None
            Name of the validation score in the plot. None: "accuracy" for a classifier, "R²" for a
            regressor.

        Returns
        -------
        display : TrainingCurveDisplay

        Raises
        ------
        sklearn.exceptions.NotFittedError
            If the estimator is not fitted.
        TypeError
            If the estimator has no `history_`.
        ValueError
            If nothing was trained.
        """
        check_is_fitted(estimator)
        estimator = getattr(estimator, "best_estimator_", estimator)
        if isinstance(estimator, Pipeline):
            estimator = estimator[-1]
        name = type(estimator).__name__
        try:
            history = estimator.history_
        except AttributeError:
            raise TypeError(
                f"{name} has no history_ to draw; TextClassifier, TextRegressor, "
                "SentenceSimilarityRegressor, ImageClassifier and ImageRegressor have one."
            ) from None
        if not history or not history["epoch"]:
            raise ValueError(
                f"The fit of this {name} trained nothing (trainable_layers=0 or max_epochs=0), so "
                "there is no curve to draw."
            )
        if score_name is None and is_classifier(estimator):
            score_name = "accuracy"
        elif score_name is None and is_regressor(estimator):
            score_name = "R²"
        best_epoch = getattr(estimator, "best_epoch_", None)
        return cls(history, best_epoch=best_epoch, score_name=score_name).plot(ax)

    def _draw(self, ax, column, **style):
        # with markers, because the line of a single epoch is not visible
        (line,) = ax.plot(self.history["epoch"], self.history[column], marker="o", **style)
        self.lines_[column] = line
