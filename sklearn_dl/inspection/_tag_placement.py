"""Placement of the tags of boxes so that no tag hides another."""

from typing import NamedTuple

import numpy as np

# cost of each step down the list of places; 1 is the cost of a tag that hides a whole box
_STEP = 0.01
# two tags that touch may overlap by this area, because of rounding
_ROUNDING = 1e-6


class Place(NamedTuple):
    """Where a tag is.

    Attributes
    ----------
    corner : (float, float)
        x and y of its lower left corner.
    is_far : bool
        Whether the tag does not touch its box, so that a line must join them.
    """

    corner: tuple
    is_far: bool


def place_tags(boxes, sizes, area):
    """Find a place for the tag of each box.

    The boxes get their tags in order. A place is free if it is inside the area and hides no earlier
    tag. A tag goes to the free place at its box that hides the least of the boxes. If there is
    none, it goes to the nearest free place. If the area is full, it goes to the place at its box
    that hides the least of the other tags.

    Parameters
    ----------
    boxes : ndarray of shape (n, 4)
        x0, y0, x1, y1; y grows upwards.
    sizes : ndarray of shape (n, 2)
        Widths and heights of the tags.
    area : (float, float, float, float)
        x0, y0, x1, y1 of the area that the tags should not leave.

    Returns
    -------
    places : list of Place
        In the order of `boxes`.
    """
    low, high = np.array(area[:2], float), np.array(area[2:], float)
    boxes = np.clip(boxes, [*low, *low], [*high, *high])
    placed = np.empty((0, 4))
    places = []
    for box, size in zip(boxes, np.asarray(sizes, float), strict=True):
        near = _with_size(_corners_near(box, size), size)
        costs = _hidden(near, boxes) + _STEP * np.arange(len(near))
        chosen = _cheapest(near, costs, placed, low, high)
        is_far = chosen is None
        if is_far:
            far = _with_size(_corners_in(low, high, size), size)
            costs_far = _distances(far, box) / size[1] + _hidden(far, boxes)
            chosen = _cheapest(far, costs_far, placed, low, high)
        if chosen is None:
            is_far = False
            inside = _with_size(np.clip(near[:, :2], low, np.maximum(low, high - size)), size)
            chosen = inside[np.argmin(_shared(inside, placed).sum(axis=1) + costs)]
        placed = np.vstack([placed, chosen])
        places.append(Place((float(chosen[0]), float(chosen[1])), is_far))
    return places


def _corners_near(box, size):
    """Lower left corners of the places at a box, from the best to the worst."""
    x0, y0, x1, y1 = box
    width, height = size
    right, top = x1 - width, y1 - height
    corners = [(x0, y1), (right, y1), (x0, y0 - height), (right, y0 - height)]  # above and below
    corners += [(x0, top), (right, top), (x0, y0), (right, y0)]  # inside
    corners += [(x1, top), (x0 - width, top), (x1, y0), (x0 - width, y0)]  # beside
    for part in (0.5, 0.25, 0.75):
        x, y = x0 + part * (right - x0), y0 + part * (top - y0)
        corners += [(x, y1), (x, y0 - height), (x, top), (x, y0), (x1, y), (x0 - width, y)]
    return np.array(corners)


def _corners_in(low, high, size):
    """Lower left corners of places all over the area, a quarter of a tag apart."""
    axes = [np.arange(low[i], high[i] - size[i], size[i] / 4) for i in (0, 1)]
    return np.stack(np.meshgrid(*axes), axis=-1).reshape(-1, 2)


def _with_size(corners, size):
    """Tags, as x0, y0, x1, y1, of one size."""
    return np.hstack([corners, corners + size])


def _cheapest(tags, costs, placed, low, high):
    """The tag with the least cost among those that are inside and hide no other tag, or None."""
    free = ((tags[:, :2] >= low) & (tags[:, 2:] <= high)).all(axis=1)
    free &= ~(_shared(tags, placed) > _ROUNDING).any(axis=1)
    if not free.any():
        return None
    return tags[np.argmin(np.where(free, costs, np.inf))]


def _hidden(tags, boxes):
    """The fractions of the boxes that each tag hides, summed over the boxes."""
    areas = (boxes[:, 2:] - boxes[:, :2]).prod(axis=1)
    return (_shared(tags, boxes) / np.maximum(areas, 1e-9)).sum(axis=1)


def _distances(tags, box):
    """How far each tag is from a box."""
    gaps = np.maximum(tags[:, :2] - box[2:], box[:2] - tags[:, 2:])
    return np.hypot(*np.clip(gaps, 0, None).T)


def _shared(tags, others):
    """The area that each of `tags` shares with each of `others`: shape (n_tags, n_others)."""
    low = np.maximum(tags[:, None, :2], others[None, :, :2])
    high = np.minimum(tags[:, None, 2:], others[None, :, 2:])
    return np.clip(high - low, 0, None).prod(axis=2)
