"""The detections of one image, from the detections in its overlapping tiles."""

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from sklearn_dl.metrics._boxes import BOX_FIELDS, box_array, iou, suppress

# if a box ends nearer to an edge of its tile than this share of the tile, the edge may cut the
# object
_NEAR = 0.02


def merge(parts, tiles, size, settings):
    """Return the detections of one image from those of its tiles.

    A box at an edge of its tile, inside the image, may be a part of an object. It is dropped if
    another tile shows the whole object. Otherwise, the parts are joined. Two boxes of different
    tiles belong to the same object if they overlap by more than `iou_threshold` in the area that
    both tiles show.

    Parameters
    ----------
    parts : list of structured ndarray
        The detections in each tile, in pixels of the tile.
    tiles : int ndarray of shape (n_tiles, 4)
        x0, y0, x1, y1 of each tile.
    size : tuple of int
        (width, height) of the image.
    settings : DetectionScorer
        As for `Tiles.merged`.
    """
    if len(parts) == 1:
        return parts[0]
    found, tile_of = np.concatenate(parts), np.repeat(np.arange(len(parts)), list(map(len, parts)))
    if not len(found):
        return found
    boxes = box_array(found) + np.tile(tiles[tile_of, :2], 2)
    labels = np.zeros(len(found)) if settings.class_agnostic else found["label"]
    cut = _at_inner_edges(boxes, tiles[tile_of], size)
    pairs = _same_objects(boxes, labels, tiles, tile_of, settings.iou_threshold)
    kept = np.ones(len(found), bool)
    for one, other in (pairs, pairs[::-1]):
        kept[one[cut[one] & ~cut[other]]] = False
    joined = pairs[:, cut[pairs].all(axis=0) & kept[pairs].all(axis=0)]
    links = coo_array((np.ones(joined.shape[1]), tuple(joined)), shape=(len(found),) * 2)
    n_objects, group = connected_components(links, directed=False)
    # the box around the parts, with the score and the label of the best of them
    around = np.full((n_objects, 4), [np.inf, np.inf, -np.inf, -np.inf])
    np.minimum.at(around[:, :2], group, boxes[:, :2])
    np.maximum.at(around[:, 2:], group, boxes[:, 2:])
    best = np.lexsort((-found["score"], group))
    best = best[np.unique(group[best], return_index=True)[1]]
    best = best[kept[best]]
    boxes = around[group[best]]
    order = suppress(
        boxes, found["score"][best], labels[best], settings.iou_threshold, settings.max_detections
    )
    result = found[best[order]]
    for name, edge in zip(BOX_FIELDS, boxes[order].T, strict=True):
        result[name] = edge
    return result


def _at_inner_edges(boxes, tiles, size):
    """Return a mask of the boxes that reach an edge of their tile inside the image."""
    near = _NEAR * (tiles[:, 2:] - tiles[:, :2])
    low = (boxes[:, :2] <= tiles[:, :2] + near) & (tiles[:, :2] > 0)
    high = (boxes[:, 2:] >= tiles[:, 2:] - near) & (tiles[:, 2:] < size)
    return (low | high).any(axis=1)


def _same_objects(boxes, labels, tiles, tile_of, iou_threshold):
    """Return the pairs of boxes that may belong to the same object in two tiles.

    Returns
    -------
    pairs : int ndarray of shape (2, n_pairs)
    """
    pairs = [np.empty((2, 0), np.intp)]
    of_tile = [np.flatnonzero(tile_of == tile) for tile in range(len(tiles))]
    for tile, first in enumerate(of_tile):
        low = np.maximum(tiles[tile, :2], tiles[tile + 1 :, :2])
        high = np.minimum(tiles[tile, 2:], tiles[tile + 1 :, 2:])
        for other in np.flatnonzero((low < high).all(axis=1)):
            second = of_tile[tile + 1 + other]
            in_both = [
                boxes[members].reshape(-1, 2, 2).clip(low[other], high[other]).reshape(-1, 4)
                for members in (first, second)
            ]
            same = iou(*in_both) > iou_threshold
            same &= labels[first][:, None] == labels[second]
            one, two = np.nonzero(same)
            pairs.append(np.stack([first[one], second[two]]))
    return np.concatenate(pairs, axis=1)
