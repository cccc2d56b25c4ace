"""Text in matplotlib's axes, broken into lines, in pieces of different looks."""

import re
import warnings
from contextlib import contextmanager
from itertools import accumulate, groupby, pairwise
from typing import NamedTuple

from sklearn_dl.utils._optional import import_optional

# inches (the padding is around entities and before their labels), and points
MARGIN, PADDING = 0.1, 0.03
_TEXT_SIZE, _LABEL_SIZE = 11, 7


class Run(NamedTuple):
    """What is written at once: text of one piece on one line, or the label of the piece."""

    text: str
    piece: int
    is_label: bool = False


class Pen:
    """Writes and measures text in axes, in inches from the upper left corner."""

    def __init__(self, ax):
        transforms = import_optional("matplotlib.transforms", extra="demo", purpose="EntityDisplay")
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
        """The width of what is in the axes, or of the axes."""
        return artist.get_window_extent().transformed(self.inches.inverted()).width

    def run_width(self, run):
        """About the width of a run: that of its characters, without their kerning."""
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
        yield Run(without_surrogates(piece.caption), index, is_label=True)


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
    """The words of a line as runs: the words of one piece together, no spaces at the end."""
    runs = [
        Run("".join(word.text for word in group), *key)
        for key, group in groupby(words, key=lambda word: word[1:])
    ]
    if runs:
        runs[-1] = runs[-1]._replace(text=runs[-1].text.rstrip(" "))
    return [run for run in runs if run.text]


def without_surrogates(text):
    """`text` without lone surrogates, which neither fonts nor UTF-8 have."""
    return re.sub("[\ud800-\udfff]", "\ufffd", text)


@contextmanager
def measuring():
    """Texts are measured inside: missing glyphs (emoji, Chinese) are not warned about.

    matplotlib warns of each glyph that its fonts lack when the figure is drawn, and once is enough.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", r"Glyph \d+ |Matplotlib currently does not support")
        yield
