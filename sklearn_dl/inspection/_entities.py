"""EntityDisplay: a text whose entities are highlighted."""

from itertools import accumulate, pairwise

import numpy as np

from sklearn_dl.inspection._text_layout import (
    LINE_HEIGHT,
    MARGIN,
    Pen,
    Piece,
    as_html,
    draw,
    measuring,
)
from sklearn_dl.utils._columns import counted
from sklearn_dl.utils._messages import brief
from sklearn_dl.utils._optional import import_optional

# matplotlib's "tab10"; HTML needs no matplotlib
_COLORS = (
    "#1f77b4",
    "#ff7f0e",
    "#2ca02c",
    "#d62728",
    "#9467bd",
    "#8c564b",
    "#e377c2",
    "#7f7f7f",
    "#bcbd22",
    "#17becf",
)
_WIDTH = 8  # inches, of plots


class EntityDisplay:
    """A text whose entities are highlighted, with their labels and scores.

    Use :meth:`from_predictions` to make one. A notebook shows the display as HTML if it is the last
    value of a cell; this does not need matplotlib. Elsewhere, :meth:`plot` draws it.

    Parameters
    ----------
    text : str or list of str
        A text, or its words.
    entities : structured ndarray of shape (n_entities,) or list of (start, end, label)
        The entities that `predict` of an EntityRecognizer returns for the text (``start``, ``end``,
        ``label`` and optionally ``score``), or spans as in its `y`. `start` and `end` count
        characters if `text` is a str, and words if it is a list; `end` is exclusive.

    Attributes
    ----------
    figure_ : matplotlib.figure.Figure
    ax_ : matplotlib.axes.Axes
    texts_ : list of matplotlib.text.Text
        The pieces of the text, in their order; there are several on each line.
    labels_ : list of matplotlib.text.Text
        The labels and scores of the entities, in the order of the text.
    boxes_ : list of matplotlib.patches.Rectangle
        The boxes behind the entities. An entity on several lines has a box on each line.

    See Also
    --------
    DetectionDisplay : An image with its boxes.

    Notes
    -----
    Each label has its own color: the sorted labels have the colors of matplotlib's "tab10", in
    order.

    Examples
    --------
    >>> from sklearn_dl.inspection import EntityDisplay
    >>> text = "Ada Lovelace lived in London."
    >>> display = EntityDisplay.from_predictions(text, [(0, 12, "PER"), (22, 28, "LOC")])
    >>> [label.get_text() for label in display.plot().labels_]
    ['PER', 'LOC']
    """

    def __init__(self, text, entities):
        self.text = text
        self.entities = entities

    @classmethod
    def from_predictions(cls, text, entities, *, ax=None):
        """Make a display of a text and its entities; with `ax`, draw it there.

        Without `ax` nothing is drawn, because a notebook would show both the HTML and the plot.
        Call :meth:`plot` for a plot.

        Parameters
        ----------
        text : str or list of str
            A text, or its words.
        entities : structured ndarray of shape (n_entities,) or list of (start, end, label)
            The entities that `predict` of an EntityRecognizer returns for the text, or spans as in
            its `y`.
        ax : matplotlib.axes.Axes, default=None
            Where to draw. None: nothing is drawn.

        Returns
        -------
        display : EntityDisplay

        Raises
        ------
        ValueError
            If `text` is neither a str nor words, if `entities` lacks a field, or if an entity is
            empty, outside the text, or overlaps another.
        ImportError
            If `ax` is given and matplotlib is not installed.
        """
        display = cls(text, entities)
        _split(text, entities)  # errors come here, not when a notebook shows the display
        return display if ax is None else display.plot(ax=ax)

    def plot(self, *, ax=None):
        """Draw the text and its entities.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, default=None
            Where to draw. The first line is at the upper edge, and lines are as wide as the axes. A
            long text continues below the axes. None: in a new figure that is as high as the text.

        Returns
        -------
        display : EntityDisplay
            This display, with `figure_`, `ax_`, `texts_`, `labels_` and `boxes_`.

        Raises
        ------
        ValueError
            As in :meth:`from_predictions`.
        ImportError
            If matplotlib is not installed.
        """
        pieces = _split(self.text, self.entities)
        plt = import_optional("matplotlib.pyplot", extra="demo", purpose="EntityDisplay")
        is_new = ax is None
        if is_new:
            ax = plt.figure(figsize=(_WIDTH, 1)).add_axes((0, 0, 1, 1))
        self.ax_, self.figure_ = ax, ax.figure
        ax.set_axis_off()
        with measuring():
            self.texts_, self.labels_, self.boxes_, n_lines = draw(pieces, Pen(ax))
        if is_new:
            self.figure_.set_figheight(2 * MARGIN + n_lines * LINE_HEIGHT)
        return self

    def _repr_html_(self):
        return as_html(_split(self.text, self.entities))


def _split(text, entities):
    """Check a text and its entities, and split the text.

    Returns
    -------
    pieces : list of Piece
        Together they are the text, or the words with spaces between them.
    """
    words = None if isinstance(text, str) or not np.iterable(text) else list(text)
    if not (isinstance(text, str) if words is None else all(isinstance(w, str) for w in words)):
        raise ValueError(f"`text` must be a str or a list of words (str), not {brief(text)}.")
    unit, length = ("character", len(text)) if words is None else ("word", len(words))
    spans = sorted(_spans(entities, length, unit), key=lambda span: span[0])
    for first, second in pairwise(spans):
        if second[0] < first[1]:
            raise ValueError(f"The entities {first[:3]} and {second[:3]} overlap.")
    if words is not None:
        text = " ".join(words)
        starts = list(accumulate((len(word) + 1 for word in words), initial=0))
        spans = [(starts[start], starts[end] - 1, *rest) for start, end, *rest in spans]
    labels = sorted({label for _, _, label, _ in spans})
    colors = {label: _COLORS[i % len(_COLORS)] for i, label in enumerate(labels)}
    pieces, last = [], 0
    for start, end, label, score in spans:
        note = label if score is None else f"{label} {score:.2f}"
        pieces += [
            Piece(text[last:start]),
            Piece(text[start:end], colors[label], note=note, label=label),
        ]
        last = end
    pieces.append(Piece(text[last:]))
    return [piece for piece in pieces if piece.text]


def _spans(entities, length, unit):
    """Yield the start, end, label and score (or None) of each entity, in any order."""
    if entities is None:
        raise ValueError("`entities` is None, which means that the text could not be read.")
    names = getattr(getattr(entities, "dtype", None), "names", None)
    if names is not None:
        missing = {"start", "end", "label"} - set(names)
        if missing:
            raise ValueError(f"`entities` lacks the fields {sorted(missing)}.")
        scores = entities["score"].tolist() if "score" in names else [None] * len(entities)
        entities = entities[["start", "end", "label"]].tolist()
    else:
        entities = list(entities)
        scores = [None] * len(entities)
    for number, (entity, score) in enumerate(zip(entities, scores, strict=True)):
        shown = f"Entity {number} is {brief(entity)}, but"
        if not isinstance(entity, (tuple, list)) or len(entity) != 3:
            raise ValueError(f"{shown} must be (start, end, label).")
        start, end, label = entity
        if not (isinstance(start, (int, np.integer)) and isinstance(end, (int, np.integer))):
            raise ValueError(f"{shown} `start` and `end` must be integers.")
        if not isinstance(label, str):
            raise ValueError(f"{shown} its label must be a str.")
        if not 0 <= start < end <= length:
            raise ValueError(
                f"{shown} 0 <= start < end <= {length} must hold: the text has "
                f"{counted(length, unit)}."
            )
        yield int(start), int(end), label, score
