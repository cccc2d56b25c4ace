"""The panels of a DetectionDisplay: images, boxes and their tags in matplotlib's axes."""

from typing import NamedTuple

import numpy as np

from sklearn_dl.inspection._tag_placement import place_tags
from sklearn_dl.inspection._text_layout import without_surrogates
from sklearn_dl.metrics._boxes import box_array
from sklearn_dl.utils._optional import import_optional

# the colors of Okabe and Ito, and black or white, whichever is easier to read on them
_COLORS = (
    ("#e69f00", "black"),
    ("#56b4e9", "black"),
    ("#009e73", "black"),
    ("#f0e442", "black"),
    ("#0072b2", "white"),
    ("#d55e00", "black"),
    ("#cc79a7", "black"),
)
_LINE_STYLES = ("solid", "dashed", "dotted")
# in points: the text, the space around it, the line of a box, and the line's dark edges
_TEXT_SIZE, _PADDING, _LINE, _EDGE = 8, 1, 1.5, 0.5
# space between tags in points: the same text has different widths in PNG and in PDF and SVG
_GAP = 1
# in inches: the space between panels, and the space for a title above them
_MARGIN, _TITLE = 0.08, 0.28


class Panel(NamedTuple):
    """What one of the axes shows: the row of its image, a title, and the objects in the image.

    If `objects` is None, the panel shows the text `otherwise`.
    """

    row: int
    title: str
    objects: np.ndarray | None
    captions: list
    otherwise: str


class Style(NamedTuple):
    """How the boxes and tags of a class look."""

    color: str
    text_color: str
    line_style: str


def box_styles(classes):
    """The style of each class: dict of label to Style."""
    return {
        label: Style(
            *_COLORS[place % len(_COLORS)],
            _LINE_STYLES[place // len(_COLORS) % len(_LINE_STYLES)],
        )
        for place, label in enumerate(classes)
    }


def new_axes(plt, panels, n_columns, pictures, space):
    """Axes in a new figure, in a grid of cells that the images fill."""
    fitted = []
    for _, size in pictures:
        scale = min(most / side for most, side in zip(space, size, strict=True))
        fitted.append([scale * side for side in size])
    width, height = np.max(fitted, axis=0) / 100
    above = _TITLE if any(panel.title for panel in panels) else _MARGIN
    n_rows = -(-len(panels) // n_columns)
    total = n_columns * (width + _MARGIN) + _MARGIN, n_rows * (height + above) + _MARGIN
    _, axes = plt.subplots(
        n_rows,
        n_columns,
        squeeze=False,
        figsize=total,
        layout="none",
        gridspec_kw={
            "left": _MARGIN / total[0],
            "right": 1 - _MARGIN / total[0],
            "bottom": _MARGIN / total[1],
            "top": 1 - above / total[1],
            "wspace": _MARGIN / width,
            "hspace": above / height,
        },
    )
    return axes


def draw_picture(ax, picture, panel):
    """Draw the image of a panel and its title, or a text that says what is missing."""
    pixels, (width, height) = picture
    if pixels is not None:
        # boxes are in pixels of the image that was read; whole numbers are the edges of pixels, not
        # their centers
        ax.imshow(pixels, extent=(0, width, height, 0))
    if pixels is None or panel.objects is None:
        missing = "no image" if pixels is None else panel.otherwise
        center = {"ha": "center", "va": "center", "transform": ax.transAxes}
        ax.text(0.5, 0.5, missing, bbox={"facecolor": "white"}, **center)
    if panel.title:
        ax.set_title(panel.title, fontsize=9, parse_math=False)


def draw_boxes(ax, objects, captions, styles):
    """Draw the boxes of objects, and tags with their captions.

    Parameters
    ----------
    ax : matplotlib.axes.Axes
        Must have an image and its final place in the figure.
    objects : structured ndarray of shape (n_objects,)
        The first is drawn above the others, and gets the best place for its tag.
    captions : list of str
    styles : dict of label to Style

    Returns
    -------
    boxes : list of matplotlib.patches.Rectangle
    texts : list of matplotlib.text.Text
    """
    patches = import_optional("matplotlib.patches", extra="demo", purpose="DetectionDisplay")
    effects = import_optional("matplotlib.patheffects", extra="demo", purpose="DetectionDisplay")
    styles = [styles[label] for label in objects["label"].tolist()]
    corners = box_array(objects)
    boxes = []
    for (x0, y0, x1, y1), style in reversed(list(zip(corners, styles, strict=True))):
        box = patches.Rectangle(
            (x0, y0),
            x1 - x0,
            y1 - y0,
            fill=False,
            edgecolor=style.color,
            linestyle=style.line_style,
            linewidth=_LINE,
            # visible on an image of the same color
            path_effects=[effects.withStroke(linewidth=_LINE + 2 * _EDGE, foreground="black")],
        )
        boxes.append(ax.add_patch(box))
    return boxes[::-1], _draw_tags(ax, corners, captions, styles)


def _draw_tags(ax, boxes, captions, styles):
    """Draw the tags of boxes where they do not hide each other."""
    lines = import_optional("matplotlib.lines", extra="demo", purpose="DetectionDisplay")
    captions = [without_surrogates(caption) for caption in captions]
    point = ax.figure.dpi / 72  # in pixels
    sizes = {caption: _text_size(ax, caption) + 2 * _PADDING * point for caption in {*captions}}
    # in pixels, where y grows upwards
    corners = ax.transData.transform(boxes.reshape(-1, 2)).reshape(-1, 4)[:, [0, 3, 2, 1]]
    area = ax.get_window_extent().extents
    places = place_tags(corners, [sizes[c] + _GAP * point for c in captions], area)
    to_data = ax.transData.inverted()
    texts = []
    # the first is drawn last, above the others, in case there is no room for all
    for box, caption, style, place in reversed(
        list(zip(corners, captions, styles, places, strict=True))
    ):
        corner, size = np.array(place.corner), sizes[caption]
        if place.is_far:
            middle = corner + size / 2
            ends = to_data.transform([middle, np.clip(middle, box[:2], box[2:])])
            # above the boxes, below the texts
            line = lines.Line2D(*ends.T, color=style.color, linewidth=_LINE / 2, zorder=1.5)
            ax.add_line(line)
        text = ax.text(
            *to_data.transform(corner + (_GAP / 2 + _PADDING) * point),
            caption,
            color=style.text_color,
            fontsize=_TEXT_SIZE,
            verticalalignment="bottom",
            bbox={"facecolor": style.color, "edgecolor": "none", "pad": _PADDING},
            parse_math=False,
        )
        texts.append(text)
    return texts[::-1]


def _text_size(ax, caption):
    """Width and height of a text in pixels."""
    text = ax.text(0, 0, caption, fontsize=_TEXT_SIZE, verticalalignment="bottom", parse_math=False)
    extent = text.get_window_extent()
    text.remove()
    return np.array([extent.width, extent.height])
