"""Functions for the exports of all detectors: boxes, and the outputs of the files."""

import numpy as np

from sklearn_dl.export._number import Number
from sklearn_dl.export._table import Output


def clipped(boxes, size):
    """Clip boxes to an image.

    Parameters
    ----------
    boxes : Number
        x0, y0, x1, y1: float64 of shape (n, 4).
    size : Number
        (width, height) of the image: float64 of shape (2,).

    Returns
    -------
    boxes : Number
    """
    return boxes.at_least(0).at_most(twice(size))


def twice(point):
    """A point (x, y) as (x, y, x, y), for the corners of boxes."""
    return point.apply("Concat", point, point, axis=0)


def have_area(boxes):
    """Whether boxes have an area: a Number, bool of shape (n,).

    After clipping, a box that lay outside the image has no area.
    """
    graph = boxes.graph
    edges = graph.Split(boxes.value, axis=1, num_outputs=4, n_outputs=4)
    x0, y0, x1, y1 = (Number(graph, edge) for edge in edges)
    seen = (x1 > x0) & (y1 > y0)
    return Number(graph, graph.Squeeze(seen.value, [1]), bool)


def objects(boxes, scores, labels, exporter):
    """The outputs of a file that finds objects in one image.

    Parameters
    ----------
    boxes, scores : Value
        float64 of shape (n, 4), and (n,).
    labels : Output
        Of shape (n,).
    exporter : Exporter

    Returns
    -------
    outputs : dict of str to Output
    """
    float32, float64 = np.dtype(np.float32), np.dtype(np.float64)
    return {
        "boxes": Output(exporter.cast(boxes, float64, float32), float32, ("n", 4)),
        "scores": Output(exporter.cast(scores, float64, float32), float32, ("n",)),
        "labels": labels._replace(shape=("n",)),
    }
