"""Arithmetic that several formats share: shapes of outputs, cells of grids, edges of boxes."""

import numpy as np


def only_table(shapes):
    """Return the shape of the only output, if it is a table; else None."""
    if len(shapes) != 1:
        return None
    (shape,) = shapes.values()
    return shape if len(shape) == 2 else None


def scores_and_boxes(shapes, least=2):
    """Return the positions of scores (at least `least` per box) and boxes, or None."""
    if len(shapes) != 2 or any(len(shape) != 2 for shape in shapes.values()):
        return None
    names, tables = list(shapes), list(shapes.values())
    boxes = [i for i in range(2) if tables[i][1] == 4]
    boxes = boxes or [i for i in range(2) if tables[i][1] is None]
    # if there are four scores per box, or the sizes are not stated, the names decide
    if len(boxes) == 2:
        boxes = [i for i in boxes if "box" in names[i].lower()]
    if len(boxes) != 1:
        return None
    scores = 1 - boxes[0]
    n_boxes = {tables[i][0] for i in range(2)} - {None}
    if len(n_boxes) > 1 or (tables[scores][1] is not None and tables[scores][1] < least):
        return None
    return [scores, boxes[0]]


def n_cells(size, strides):
    """Return the number of cells of the grids with these strides.

    A cell may extend beyond the edge of the input.

    Parameters
    ----------
    size : tuple of int
        (width, height) of the network's input.
    strides : tuple of int
    """
    return sum(-(-size[0] // stride) * -(-size[1] // stride) for stride in strides)


def cells(size, strides, n_anchors=1):
    """Return the cells of all grids, one grid after the other and row by row, and their strides.

    Parameters
    ----------
    size, strides
        As in `n_cells`.
    n_anchors : int, default=1
        How often the cells of a grid are repeated before those of the next grid.

    Returns
    -------
    cells : int ndarray of shape (n, 2)
        (column, row).
    strides : int ndarray of shape (n, 1)
    """
    places = []
    for stride in strides:
        row, column = np.indices((-(-size[1] // stride), -(-size[0] // stride)))
        grid = np.stack([column.ravel(), row.ravel()], axis=1)
        places.append(np.tile(grid, (n_anchors, 1)))
    sides = [np.full((len(grid), 1), s) for grid, s in zip(places, strides, strict=True)]
    return np.concatenate(places), np.concatenate(sides)


def exp(logarithms):
    """Return sides with these logarithms, limited so that they do not overflow.

    The limit is so large that the checks of the decoders refuse such sides.
    """
    return np.exp(np.minimum(logarithms, 50.0))


def corners(centers, sides):
    """Return the boxes (x0, y0, x1, y1) with these centers and sides."""
    return np.concatenate([centers - sides / 2, centers + sides / 2], axis=1)
