"""Checks of the outputs' values, so that no format reads the numbers of another format."""

import numpy as np


class MisreadError(ValueError):
    """The values of the outputs do not fit the format. The caller adds what to do."""


def check_probabilities(name, scores):
    """Raise an error if scores are not from 0 to 1; quantized scores may be outside by 0.01."""
    low, high = scores.min(initial=0.0), scores.max(initial=0.0)
    if low < -0.01 or high > 1.01:
        raise MisreadError(
            f'format="{name}" reads probabilities, but the scores go from {low:.3g} to {high:.3g}.'
        )


def refuse_probabilities(name, logits):
    """Raise an error if all logits are from 0 to 1, because they look like probabilities."""
    low, high = logits.min(initial=np.inf), logits.max(initial=-np.inf)
    if 0 <= low < high <= 1:
        raise MisreadError(
            f'format="{name}" reads logits, but all of them lie from {low:.3g} to {high:.3g}: they '
            "look like probabilities."
        )


def refuse_fractions(name, boxes, n_found):
    """Raise an error if objects were found, but no coordinate of the boxes is above 2."""
    if n_found and boxes.max() <= 2:
        raise MisreadError(
            f'format="{name}" reads boxes in pixels, but no coordinate of the {boxes.size // 4} '
            "boxes is above 2: they look like fractions of the input."
        )


def refuse_decoded(name, sides, size, most):
    """Raise an error if a side in pixels is more than `most` times the side of the input."""
    largest = (sides / size).max(initial=0)
    if largest > most:
        raise decoded(name, f"a side would be {largest:.3g} times the side of the input")


def decoded(name, why):
    """Return the error for boxes that the graph has already decoded."""
    return MisreadError(
        f'format="{name}" reads centers and sides that are not decoded yet, but {why}: the graph '
        "seems to decode them itself."
    )


def refuse_centers(name, boxes):
    """Raise an error if most of the boxes x0, y0, x1, y1 end before they start."""
    reversed_ = (boxes[:, 2:] < boxes[:, :2]).any(axis=1)
    if 2 * reversed_.sum() > len(boxes):
        raise MisreadError(
            f'format="{name}" reads boxes as x0, y0, x1, y1, but {reversed_.sum()} of '
            f"{len(boxes)} end before they start: they look like centers and sides."
        )


def refuse_corners(name, sides, grid):
    """Raise an error if sides increase with the grid of cells, as x1 and y1 do.

    Parameters
    ----------
    name : str
    sides, grid : ndarray of shape (n, 2)
    """
    if follows(sides, grid):
        raise MisreadError(
            f'format="{name}" reads boxes as centers and sides, but the sides follow the grid: '
            "they look like x1 and y1."
        )


def refuse_negative_sides(name, sides):
    """Raise an error if a side is negative."""
    least = sides.min(initial=0)
    if least < 0:
        raise MisreadError(
            f'format="{name}" reads sides in pixels, but one is {least:.3g}: they look like '
            "logarithms that are not decoded yet."
        )


def follows(values, grid):
    """Whether both columns of values increase with those of a grid, as decoded centers do."""
    with np.errstate(invalid="ignore", divide="ignore"):
        values = values - values.mean(axis=0, dtype=np.float64)
        grid = grid - grid.mean(axis=0)
        products = (values * grid).sum(axis=0)
        correlation = products / np.sqrt((values**2).sum(axis=0) * (grid**2).sum(axis=0))
    return bool((correlation > 0.9).all())


def fractions(name, boxes):
    """Return boxes as float64; raise an error if they look like pixels, not numbers from 0 to 1."""
    largest = np.abs(boxes).max(initial=0)
    if 10 < largest < np.inf:
        raise MisreadError(
            f'format="{name}" reads boxes from 0 to 1, but they reach {largest:.4g}: they look '
            "like pixels."
        )
    return boxes.astype(np.float64)
