"""Text in pieces with different styles: as HTML, and in lines in matplotlib's axes."""

import re
import warnings
from contextlib import contextmanager
from html import escape
from itertools import accumulate, groupby, pairwise
from typing import NamedTuple

from sklearn_dl.utils._optional import import_optional

# in inches; the padding is around entities and before their labels
MARGIN, PADDING = 0.1, 0.03
LINE_HEIGHT = 0.28
# in points
_TEXT_SIZE, _LABEL_SIZE = 11, 7


class Piece(NamedTuple):
    """A part of a text.

    Parameters
    ----------
    text : str
    color : str or None, default=None
        Color behind the text, as "#rrggbb". None: plain text.
    alpha : float, default=0.25
        Opacity of the color.
    note : str or None, default=None
        A note about a colored part. HTML shows it when the pointer is on the part.
    label : str or None, default=None
        A short form of the note. HTML writes it after the part, and plots write the note there.
        None: neither is written.
    """

    text: str
    color: str | None = None
    alpha: float = 0.25
    note: str | None = None
    label: str | None = None


class Run(NamedTuple):
    """Text that is written in one call: the text of a piece on one line, or the piece's label."""

    text: str
    piece: int
    is_label: bool = False


class Pen:
    """Writes and measures text in axes, in inches from the upper left corner."""

    def __init__(self, ax):
        transforms = import_optional(
            "matplotlib.transforms", extra="demo", purpose="plots of texts"
        )
        self.ax = ax
        self.inches = ax.figure.dpi_scale_trans
        self.transform = self.inches + transforms.ScaledTranslation(0, 1, ax.transAxes)
        self.line_width = self.width(ax) - 2 * MARGIN
        self._widths = {}

    def write(self, text, x, y, *, is_label):
        """Write text, and return matplotlib's Text."""
        return self.ax.text(
            x,
            y,
            text,
            fontsize=_LABEL_SIZE if is_label else _TEXT_SIZE,
            fontweight="bold" if is_label else "normal",
            transform=self.transform,
            parse_math=False,
        )

    def width(self, artist):
        """The width of the axes or of an artist in them."""
        return artist.get_window_extent().transformed(self.inches.inverted()).width

    def run_width(self, run):
        """The approximate width of a run: the sum of its characters' widths, without kerning."""
        width = sum(self.character_width(character, run.is_label) for character in run.text)
        return width + 3 * PADDING if run.is_label else width

    def character_width(self, character, is_label=False):
        """The width of a character."""
        key = character, is_label
        if key not in self._widths:
            text = self.write(character, 0, 0, is_label=is_label)
            self._widths[key] = self.width(text)
            text.remove()
        return self._widths[key]


class Drawn(NamedTuple):
    """What was drawn: matplotlib's artists, in their order, and the number of lines."""

    texts: list
    labels: list
    boxes: list
    n_lines: int


def draw(pieces, pen):
    """Draw the pieces of a text on as many lines as they need, and return what was drawn."""
    patches = import_optional("matplotlib.patches", extra="demo", purpose="plots of texts")
    lines = broken_lines(pieces, pen)
    drawn = Drawn([], [], [], len(lines))
    for number, line in enumerate(lines):
        x, y = MARGIN, -MARGIN - (number + 0.7) * LINE_HEIGHT
        # a piece and its label are neighbours and share one box
        for index, runs in groupby(line, key=lambda run: run.piece):
            color, start = pieces[index].color, x
            for run in runs:
                x += PADDING * (color is not None)
                text = pen.write(run.text, x, y, is_label=run.is_label)
                (drawn.labels if run.is_label else drawn.texts).append(text)
                x += pen.width(text)
            if color is not None:
                x += PADDING
                box = patches.Rectangle(
                    (start, y - 0.25 * LINE_HEIGHT),
                    x - start,
                    0.9 * LINE_HEIGHT,
                    facecolor=color,
                    alpha=pieces[index].alpha,
                    transform=pen.transform,
                    clip_on=False,
                )
                drawn.boxes.append(pen.ax.add_patch(box))
    return drawn


def as_html(pieces):
    """The pieces of a text as HTML, with inline styles that suit light and dark pages."""
    parts = []
    for piece in pieces:
        text = escape(without_surrogates(piece.text))
        if piece.color is None:
            parts.append(text)
            continue
        label = ""
        if piece.label is not None:
            # ARIA does not allow an aria-label on a mark, so the label is text; `user-select` keeps
            # it out of copied text
            label = (
                '<small dir="auto" style="font-variant: all-small-caps; font-weight: bold; '
                f'user-select: none"> {escape(without_surrogates(piece.label))}</small>'
            )
        background = f"{piece.color}{round(255 * piece.alpha):02x}"
        parts.append(
            f'<mark title="{escape(without_surrogates(piece.note))}" '
            f'style="background: {background}; border-bottom: 2px solid {piece.color}; '
            "color: inherit; "
            f'padding: 0.1em 0.2em; border-radius: 0.2em">{text}{label}</mark>'
        )
    return (
        '<div dir="auto" style="white-space: pre-wrap; overflow-wrap: anywhere; '
        f'line-height: 1.8">{"".join(parts)}</div>'
    )


def broken_lines(pieces, pen):
    """Break pieces of a text into lines.

    Returns
    -------
    lines : list of list of Run
    """
    lines: list[list[Run]] = [[]]
    used = 0.0
    for index, piece in enumerate(pieces):
        for run, following in pairwise([*_words(piece, index, pen), None]):
            if run.text == "\n":
                lines.append([])
                used = 0.0
                continue
            width = needed = pen.run_width(run)
            if following is not None and following.is_label:
                needed += pen.run_width(following)  # the last word and the label stay together
            if used and used + needed > pen.line_width:
                lines.append([])
                used = 0.0
                if run.text.isspace():
                    continue
            lines[-1].append(run)
            used += width
    return [_joined(line) for line in lines]


def _words(piece, index, pen):
    """Yield the line ends, spaces and words of a piece, and its label, as runs."""
    text = re.sub("\r\n?", "\n", without_surrogates(piece.text)).replace("\t", "    ")
    for word in re.findall("\n| +|[^ \n]+", text):
        yield from _cut(Run(word, index), pen)
    if piece.label is not None:
        yield Run(without_surrogates(piece.note), index, is_label=True)


def _cut(word, pen):
    """Yield a word, or its parts if it is longer than a line (as texts without spaces are)."""
    start = 0
    ends = accumulate(map(pen.character_width, word.text))
    before = last = 0.0
    for position, end in enumerate(ends):
        if end - before > pen.line_width and position > start:
            yield word._replace(text=word.text[start:position])
            start, before = position, last
        last = end
    yield word._replace(text=word.text[start:])


def _joined(words):
    """Join the words of each piece in a line into one run, and drop spaces at the line's end."""
    runs = [
        Run("".join(word.text for word in group), *key)
        for key, group in groupby(words, key=lambda word: word[1:])
    ]
    if runs:
        runs[-1] = runs[-1]._replace(text=runs[-1].text.rstrip(" "))
    return [run for run in runs if run.text]


def without_surrogates(text):
    """Replace lone surrogates in a text, which neither fonts nor UTF-8 have."""
    return re.sub("[\ud800-\udfff]", "\ufffd", text)


@contextmanager
def measuring():
    """Context in which measuring texts does not warn about missing glyphs (emoji, Chinese).

    matplotlib warns about them again when it draws the figure, and once is enough.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", r"Glyph \d+ |Matplotlib currently does not support")
        yield
