"""Several texts below each other, each under its caption."""

from html import escape

from sklearn_dl.inspection._text_layout import (
    LINE_HEIGHT,
    MARGIN,
    Pen,
    Piece,
    as_html,
    draw,
    measuring,
    without_surrogates,
)
from sklearn_dl.utils._optional import import_optional

_WIDTH = 8  # inches


def blocks_as_html(blocks):
    """HTML of blocks, which are (caption, pieces of a text)."""
    return "".join(
        '<div style="margin-bottom: 0.8em">'
        f'<strong dir="auto">{escape(without_surrogates(caption))}</strong>{as_html(pieces)}</div>'
        for caption, pieces in blocks
    )


def draw_blocks(blocks, ax, *, purpose):
    """Draw blocks below each other.

    Parameters
    ----------
    blocks : list of (str, list of Piece)
        The caption and the pieces of each text.
    ax : matplotlib.axes.Axes or None
        None: new axes that are as high as the texts.
    purpose : str
        Name of the display, for the error if matplotlib is not installed.

    Returns
    -------
    ax : matplotlib.axes.Axes
    drawn : Drawn
        The captions are among its labels.
    """
    plt = import_optional("matplotlib.pyplot", extra="demo", purpose=purpose)
    is_new = ax is None
    if is_new:
        ax = plt.figure(figsize=(_WIDTH, 1)).add_axes((0, 0, 1, 1))
    ax.set_axis_off()
    pieces = []
    for caption, parts in blocks:
        pieces += [Piece("", note=caption, label=caption), Piece("\n"), *parts, Piece("\n\n")]
    with measuring():
        drawn = draw(pieces[:-1], Pen(ax))
    if is_new:
        ax.figure.set_figheight(2 * MARGIN + drawn.n_lines * LINE_HEIGHT)
    return ax, drawn
