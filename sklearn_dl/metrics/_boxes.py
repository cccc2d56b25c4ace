"""Boxes: arrays of detections, overlap, and non-maximum suppression."""

import numpy as np

BOX_FIELDS = ("x0", "y0", "x1", "y1")
# largest number of characters of a label in a file, because all labels of an array take as much
# memory as the longest one; the longest names in published data sets have 70 letters
LONGEST_LABEL = 200


def make_detections(boxes, labels, scores=None):
    """Make a structured array of the objects of one image.

    `DetectionScorer.predict` returns arrays of this kind, and the metrics accept them.

    Parameters
    ----------
    boxes : array-like of shape (n_objects, 4)
        x0, y0, x1, y1 in pixels: left, top, right and bottom edge.
    labels : array-like of shape (n_objects,)
    scores : array-like of shape (n_objects,), default=None
        None: each score is 1.0, for true objects.

    Returns
    -------
    detections : structured ndarray of shape (n_objects,)
        Fields ``x0``, ``y0``, ``x1``, ``y1`` and ``score`` of dtype float32, and ``label`` of the
        dtype of `labels`, in the order of `boxes`.

    Raises
    ------
    ValueError
        If the lengths differ, or a box is not finite or has x0 > x1 or y0 > y1.

    Examples
    --------
    >>> from sklearn_dl.metrics import make_detections
    >>> make_detections([[10, 20, 50, 80]], ["dog"])["label"]
    array(['dog'], dtype='<U3')
    """
    boxes = check_boxes(boxes)
    labels = np.asarray(labels) if len(boxes) else np.asarray(labels).reshape(-1)
    scores = np.ones(len(boxes)) if scores is None else np.asarray(scores)
    if labels.shape != (len(boxes),) or scores.shape != (len(boxes),):
        raise ValueError(
            f"There are {len(boxes)} boxes, labels of shape {labels.shape} and scores of shape "
            f"{scores.shape}."
        )
    detections = np.empty(len(boxes), dtype=detection_dtype(labels.dtype))
    for name, edge in zip(BOX_FIELDS, boxes.T, strict=True):
        detections[name] = edge
    detections["score"], detections["label"] = scores, labels
    return detections


def detection_dtype(label):
    """The dtype of detections whose labels have the dtype `label`."""
    return np.dtype([*((name, np.float32) for name in (*BOX_FIELDS, "score")), ("label", label)])


def box_array(detections):
    """The boxes of structured detections: float64 ndarray of shape (n_objects, 4)."""
    return np.stack([detections[name].astype(np.float64) for name in BOX_FIELDS], axis=1)


def sorted_labels(images):
    """The distinct labels of the objects of several images, sorted.

    Parameters
    ----------
    images : list of structured ndarray
        The true and the predicted objects of all images.

    Returns
    -------
    labels : list

    Raises
    ------
    ValueError
        If some labels are strings, and others are not.
    """
    distinct = {label for image in images if len(image) for label in image["label"].tolist()}
    if len({isinstance(label, str) for label in distinct}) > 1:
        raise ValueError(
            "Some labels in y_true and y_pred are strings, and others are numbers: set the "
            "parameter `classes` of DetectionScorer, or use numbers as labels in y_true."
        )
    return sorted(distinct)


def check_boxes(boxes):
    """`boxes` as a float64 ndarray of shape (n, 4).

    Raises
    ------
    ValueError
        If the shape is not (n, 4), or a box is not finite or has x0 > x1 or y0 > y1.
    """
    boxes = np.asarray(boxes, dtype=np.float64)
    if boxes.size == 0:
        boxes = boxes.reshape(0, 4)
    if boxes.ndim != 2 or boxes.shape[1] != 4:
        raise ValueError(
            "Boxes must have shape (n, 4), with x0, y0, x1, y1 in each row, but have shape "
            f"{boxes.shape}."
        )
    wrong = ~np.isfinite(boxes).all(axis=1)
    wrong |= (boxes[:, 2] < boxes[:, 0]) | (boxes[:, 3] < boxes[:, 1])
    if wrong.any():
        row = np.flatnonzero(wrong)[0]
        raise ValueError(
            f"Box {row} is {boxes[row].tolist()}: x0, y0, x1, y1 must be finite, with x0 <= x1 and "
            "y0 <= y1."
        )
    return boxes


def box_iou(boxes_a, boxes_b):
    """Intersection over union of each box of `boxes_a` with each box of `boxes_b`.

    Parameters
    ----------
    boxes_a : array-like of shape (n, 4)
        x0, y0, x1, y1: the positions of the edges. The width of a box is x1 - x0.
    boxes_b : array-like of shape (m, 4)

    Returns
    -------
    iou : float64 ndarray of shape (n, m)
        From 0 to 1; 0 if both boxes are empty.

    Raises
    ------
    ValueError
        If a shape is not (n, 4), or a box is not finite or has x0 > x1 or y0 > y1.

    Examples
    --------
    >>> from sklearn_dl.metrics import box_iou
    >>> box_iou([[0, 0, 2, 2]], [[0, 0, 2, 1], [1, 1, 3, 3]]).round(3)
    array([[0.5  , 0.143]])
    """
    return iou(check_boxes(boxes_a), check_boxes(boxes_b))


def iou(a, b):
    """`box_iou` of checked boxes."""
    low = np.maximum(a[:, None, :2], b[None, :, :2])
    high = np.minimum(a[:, None, 2:], b[None, :, 2:])
    shared = np.clip(high - low, 0, None).prod(axis=2)
    areas = [(boxes[:, 2:] - boxes[:, :2]).prod(axis=1) for boxes in (a, b)]
    union = areas[0][:, None] + areas[1][None] - shared
    return np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)


def non_max_suppression(boxes, scores, labels=None, *, iou_threshold=0.45, max_detections=None):
    """Keep the box with the highest score among boxes that overlap.

    Parameters
    ----------
    boxes : array-like of shape (n, 4)
        x0, y0, x1, y1.
    scores : array-like of shape (n,)
    labels : array-like of shape (n,), default=None
        Boxes with different labels do not suppress each other. None: all have the same label.
    iou_threshold : float, default=0.45
        A box is dropped if its intersection over union with a better box that is kept is larger
        than this.
    max_detections : int or None, default=None
        Largest number of boxes that are kept. None: no limit.

    Returns
    -------
    kept : int ndarray of shape (n_kept,)
        Positions of the kept boxes, in order of decreasing score. Boxes with equal scores keep
        their order.

    Raises
    ------
    ValueError
        If the lengths differ, `boxes` does not contain boxes, a score is not finite, or the
        threshold is out of range.

    Examples
    --------
    >>> from sklearn_dl.metrics import non_max_suppression
    >>> boxes = [[0, 0, 10, 10], [1, 0, 10, 10], [20, 20, 30, 30]]
    >>> non_max_suppression(boxes, [0.8, 0.9, 0.7])
    array([1, 2])
    """
    boxes, scores = check_boxes(boxes), np.asarray(scores, dtype=np.float64)
    if not 0 <= iou_threshold <= 1:
        raise ValueError(f"iou_threshold={iou_threshold!r} must be from 0 to 1.")
    labels = np.zeros(len(boxes), dtype=int) if labels is None else np.asarray(labels)
    if scores.shape != (len(boxes),) or labels.shape != (len(boxes),):
        raise ValueError(
            f"There are {len(boxes)} boxes, scores of shape {scores.shape} and labels of shape "
            f"{labels.shape}."
        )
    if not np.isfinite(scores).all():
        raise ValueError(f"Score {np.flatnonzero(~np.isfinite(scores))[0]} is not finite.")
    return suppress(boxes, scores, labels, iou_threshold, max_detections)


def suppress(boxes, scores, labels, iou_threshold, max_detections):
    """`non_max_suppression` of checked arguments."""
    order = np.argsort(-scores, kind="stable")
    kept: list = []
    while len(order) and (max_detections is None or len(kept) < max_detections):
        best, order = order[0], order[1:]
        kept.append(best)
        rivals = labels[order] == labels[best]
        rivals[rivals] = iou(boxes[[best]], boxes[order[rivals]])[0] > iou_threshold
        order = order[~rivals]
    return np.array(kept, dtype=np.intp)
