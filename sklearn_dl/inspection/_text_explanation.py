"""TextExplanationDisplay: texts whose words are colored by their effect on a prediction."""

import re

from sklearn_dl.inspection._column import Column
from sklearn_dl.inspection._effect_colors import (
    caption,
    color_of,
    is_visible,
    largest,
    opacity_of,
)
from sklearn_dl.inspection._occlusion import explain
from sklearn_dl.inspection._text_blocks import blocks_as_html, draw_blocks
from sklearn_dl.inspection._text_layout import Piece
from sklearn_dl.utils._messages import RowError, brief

_CALL_ROWS, _CALL_CHARACTERS = 1024, 2**23
# not \w, which is neither the vowel signs of Hindi nor emoji
_INSIDE = r"[^\s!-/:-@\[-^`{-~\u00a1-\u00bf\u2010-\u205e\u3000-\u3020\uff01-\uff0f\uff1a-\uff20]"
_WORD = rf"{_INSIDE}+(?:['\u2019-]{_INSIDE}+)*"


class TextExplanationDisplay:
    """Texts whose words are colored by how much they moved the prediction.

    The effect of a word is the score of the text minus the score of the text without the word. An
    orange word raises the score: without it, the score is lower. A blue word lowers the score. The
    word with the largest effect in all texts has the strongest color. An effect of at least half
    that size is written beside its word.

    Use :meth:`from_estimator` to make one. A notebook shows the display as HTML if it is the last
    value of a cell; this does not need matplotlib. Elsewhere, :meth:`plot` draws it.

    Parameters
    ----------
    texts : list of str
    words : list of list of (start, end)
        For each text, the positions of its words, in order; `end` is exclusive.
    effects : list of ndarray of shape (n_words,), dtype float64
        For each text, the effects of its words.
    scores : ndarray of shape (n_samples,), dtype float64
        Score of the explained class for each text: its probability, or the decision function of an
        estimator without `predict_proba`, or the prediction of a regressor.
    labels : array-like of shape (n_samples,), default=None
        The explained class, or column of y, of each text. None: a regressor of one target.

    Attributes
    ----------
    figure_ : matplotlib.figure.Figure
    ax_ : matplotlib.axes.Axes
    texts_ : list of matplotlib.text.Text
        The pieces of the texts.
    labels_ : list of matplotlib.text.Text
        The captions, and the effects that are written beside words.
    boxes_ : list of matplotlib.patches.Rectangle
        The boxes behind the words.

    See Also
    --------
    ImageExplanationDisplay : The same for images.
    MistakesDisplay : The worst mistakes, whose predictions can then be explained.

    Notes
    -----
    The method is occlusion, or erasure [1]_. It shows what the estimator reacts to, not why the
    label is true. Two words that say the same thing can each have a small effect, because the other
    one remains when one is left out.

    References
    ----------
    .. [1] J. Li, W. Monroe and D. Jurafsky, "Understanding Neural Networks through Representation
       Erasure", 2016, arXiv:1612.08220.

    Examples
    --------
    >>> from sklearn.feature_extraction.text import CountVectorizer
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn_dl.inspection import TextExplanationDisplay
    >>> texts = ["a good film", "a bad film", "good acting", "bad acting"]
    >>> clf = make_pipeline(CountVectorizer(), LogisticRegression()).fit(texts, [1, 0, 1, 0])
    >>> display = TextExplanationDisplay.from_estimator(clf, ["a good film"])
    >>> display.labels, display.effects[0].round(2)
    (array([1]), array([0.  , 0.16, 0.  ]))
    """

    def __init__(self, texts, words, effects, scores, labels=None):
        self.texts = texts
        self.words = words
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
        token_pattern=None,
        ax=None,
    ):
        r"""Explain the predictions for some texts; with `ax`, draw the explanations there.

        The estimator predicts each text once, and once without each of its words. The calls are
        batches of at most 1,024 texts.

        Parameters
        ----------
        estimator : fitted classifier or regressor
            Any estimator of texts: one of this package, a Pipeline, or a search.
        X : list, tuple, ndarray, Series or DataFrame of n_samples rows
            The rows to predict, with texts in one column.
        column : str or int, default=None
            Name or position of the column with the texts, if X has several columns. The other
            columns do not change.
        class_of_interest : label, default=None
            The class whose score is explained, or the position of the column of y if y has several
            labels or targets. None: for each text, the one with the highest score.
        response_method : {"auto", "predict_proba", "decision_function"}, default="auto"
            Which score of a classifier is explained. "auto": `predict_proba`, or
            `decision_function` if the classifier has no probabilities. With "decision_function",
            words have visible effects even if the probability is close to 1.
        token_pattern : str, default=None
            Regular expression of the parts that are removed one at a time. None: words, which are
            the characters between spaces and punctuation, with the hyphens and apostrophes inside.
            ``r"\w"`` removes single characters, as for Chinese; ``r"[^.!?]+[.!?]*"`` removes
            sentences, which is faster for long texts.
        ax : matplotlib.axes.Axes, default=None
            Where to draw. None: nothing is drawn.

        Returns
        -------
        display : TextExplanationDisplay

        Raises
        ------
        ValueError
            If a row is not a text, if `column` or `class_of_interest` does not exist, or if
            `response_method` has another value.
        TypeError
            If a classifier does not have the method that `response_method` asks for.
        sklearn.exceptions.NotFittedError
            If the estimator is not fitted.
        ImportError
            If `ax` is given and matplotlib is not installed.
        """
        given = Column(X, column, estimator)
        texts = [_checked(text, row) for row, text in enumerate(given.cells)]
        words = [
            [match.span() for match in re.finditer(token_pattern or _WORD, text)] for text in texts
        ]
        longest = max(map(len, texts), default=0)
        explanation = explain(
            estimator,
            given.with_cells,
            texts,
            [len(spans) for spans in words],
            lambda row, word: _without(texts[row], *words[row][word]),
            class_of_interest=class_of_interest,
            response_method=response_method,
            batch_size=max(1, min(_CALL_ROWS, _CALL_CHARACTERS // (longest + 1))),
        )
        display = cls(texts, words, explanation.effects, explanation.scores, explanation.labels)
        return display if ax is None else display.plot(ax=ax)

    def plot(self, *, ax=None):
        """Draw the texts and the effects of their words.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, default=None
            Where to draw. The first line is at the upper edge, and lines are as wide as the axes.
            Long texts continue below the axes. None: in a new figure that is as high as the texts.

        Returns
        -------
        display : TextExplanationDisplay
            This display, with `figure_`, `ax_`, `texts_`, `labels_` and `boxes_`.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        """
        self.ax_, drawn = draw_blocks(self._blocks(), ax, purpose="TextExplanationDisplay")
        self.figure_ = self.ax_.figure
        self.texts_, self.labels_, self.boxes_ = drawn.texts, drawn.labels, drawn.boxes
        return self

    def _repr_html_(self):
        return blocks_as_html(self._blocks())

    def _blocks(self):
        """The caption of each text, and its pieces."""
        most = largest(self.effects)
        labels = [None] * len(self.texts) if self.labels is None else self.labels
        return [
            (caption(label, score), _pieces(text, words, effects, most))
            for text, words, effects, label, score in zip(
                self.texts, self.words, self.effects, labels, self.scores, strict=True
            )
        ]


def _checked(text, row):
    if not isinstance(text, str):
        raise RowError(f"{brief(text)} is not a text.", row)
    return str(text)


def _without(text, start, end):
    """The text without a word, and without the space before it or, at the start, after it."""
    before, after = text[:start], text[end:]
    if before[-1:].isspace():
        before = before[:-1]
    elif not before and after[:1].isspace():
        after = after[1:]
    return before + after


def _pieces(text, words, effects, most):
    pieces, last = [], 0
    for (start, end), effect in zip(words, effects, strict=True):
        if not is_visible(effect, most):
            continue
        note = f"{effect:+.2g}"
        label = note if abs(effect) >= most / 2 else None
        colored = Piece(text[start:end], color_of(effect), opacity_of(effect, most), note, label)
        pieces += [Piece(text[last:start]), colored]
        last = end
    pieces.append(Piece(text[last:]))
    return [piece for piece in pieces if piece.text]
