"""Average precision of object detections, as COCO's evaluation computes it."""

import warnings
from numbers import Integral

import numpy as np
from sklearn.exceptions import UndefinedMetricWarning
from sklearn.metrics import make_scorer
from sklearn.utils.validation import check_consistent_length

from sklearn_dl.metrics._boxes import BOX_FIELDS, box_array, iou, sorted_labels

_COCO_THRESHOLDS = np.linspace(0.5, 0.95, 10)
_RECALLS = np.linspace(0.0, 1.0, 101)


def mean_average_precision_score(
    y_true, y_pred, *, iou_thresholds=0.5, average="macro", max_detections=100
):
    """Mean average precision (mAP) of object detections.

    Parameters
    ----------
    y_true : sequence of n_images structured ndarray
        The objects of each image: arrays with the fields ``x0``, ``y0``, ``x1``, ``y1`` and
        ``label``, as :func:`make_detections` makes them.
    y_pred : sequence of n_images structured ndarray
        The detections of each image: arrays with the same fields and ``score``, as
        :meth:`sklearn_dl.DetectionScorer.predict` returns them.
    iou_thresholds : float, sequence of float or "coco", default=0.5
        Smallest intersection over union with which a detection is right. With several thresholds,
        the score is the mean over them. "coco": 0.50, 0.55, ..., 0.95.
    average : {"macro", "weighted", "micro"}, default="macro"
        "macro": the mean over the classes in `y_true`, as in COCO. "weighted": this mean, weighted
        by the number of objects of each class. "micro": the average precision of the detections
        of all classes, ranked together.
    max_detections : int, default=100
        Largest number of detections per image and class that count. Those with the highest scores
        are kept.

    Returns
    -------
    score : float
        From 0 to 1. NaN, with an `UndefinedMetricWarning`, if `y_true` has no objects.

    Raises
    ------
    ValueError
        If the lengths differ, an item is None (an image that could not be read), fields are
        missing, or a parameter is out of range.

    See Also
    --------
    average_precision_per_class : The same, class by class.
    mean_average_precision_scorer : Scorer for `cross_validate`.

    Notes
    -----
    This is COCO's evaluation [1]_ without crowds and area ranges, and agrees with pycocotools.
    The detections of an image and class are matched in order of decreasing score. Each detection
    is matched to the object with the largest overlap among those that are not yet matched. The
    precision at a recall is the highest precision at this or any higher recall. The average
    precision is its mean over 101 recalls. ML.NET's MAP50 differs: it ignores the scores and
    matches in order of decreasing overlap, treats boxes as one pixel wider and higher, integrates
    over all recalls, returns 1 if there are no objects, and fails if a predicted class is absent
    from `y_true`.

    References
    ----------
    .. [1] Lin et al., Microsoft COCO: Common Objects in Context, 2014;
       https://cocodataset.org/#detection-eval

    Examples
    --------
    >>> from sklearn_dl.metrics import make_detections, mean_average_precision_score
    >>> y_true = [make_detections([[0, 0, 10, 10], [20, 20, 40, 40]], ["cat", "dog"])]
    >>> y_pred = [make_detections([[1, 0, 10, 10], [60, 60, 80, 80]], ["cat", "dog"], [0.9, 0.8])]
    >>> mean_average_precision_score(y_true, y_pred)
    0.5
    >>> round(mean_average_precision_score(y_true, y_pred, iou_thresholds="coco"), 3)
    0.45
    """
    if average not in ("macro", "weighted", "micro"):
        raise ValueError(f"average={average!r} must be 'macro', 'weighted' or 'micro'.")
    rankings, n_objects, _ = _rankings(y_true, y_pred, iou_thresholds, max_detections)
    if not n_objects.sum():
        warnings.warn(
            "y_true has no objects: the mean average precision is not defined.",
            UndefinedMetricWarning,
            stacklevel=2,
        )
        return float("nan")
    if average == "micro":
        scores, right = (np.concatenate(parts) for parts in zip(*rankings, strict=True))
        return float(_average_precision(scores, right, n_objects.sum()).mean())
    present = np.flatnonzero(n_objects)
    each = [
        _average_precision(scores, right, n_objects[c]).mean()
        for c, (scores, right) in enumerate(rankings)
        if n_objects[c]
    ]
    weights = n_objects[present] if average == "weighted" else None
    return float(np.average(each, weights=weights))


def average_precision_per_class(y_true, y_pred, *, iou_thresholds=0.5, max_detections=100):
    """Average precision of each class of object detections.

    Parameters
    ----------
    y_true, y_pred, iou_thresholds, max_detections
        As in :func:`mean_average_precision_score`.

    Returns
    -------
    average_precisions : dict of label to float
        One for each class in `y_true` or `y_pred`, sorted. NaN if the class is absent from
        `y_true`.

    Raises
    ------
    ValueError
        As :func:`mean_average_precision_score` does.

    Examples
    --------
    >>> from sklearn_dl.metrics import average_precision_per_class, make_detections
    >>> y_true = [make_detections([[0, 0, 10, 10], [20, 20, 40, 40]], ["cat", "dog"])]
    >>> y_pred = [make_detections([[1, 0, 10, 10]], ["cat"], [0.9])]
    >>> average_precision_per_class(y_true, y_pred)
    {'cat': 1.0, 'dog': 0.0}
    """
    rankings, n_objects, labels = _rankings(y_true, y_pred, iou_thresholds, max_detections)
    return {
        label: float(_average_precision(scores, right, n).mean()) if n else float("nan")
        for label, (scores, right), n in zip(labels, rankings, n_objects, strict=True)
    }


mean_average_precision_scorer = make_scorer(mean_average_precision_score)
mean_average_precision_scorer.__doc__ = (
    "Scorer of :func:`~sklearn_dl.metrics.mean_average_precision_score` for `cross_validate` and "
    "`GridSearchCV`."
)


def _rankings(y_true, y_pred, iou_thresholds, max_detections):
    """For each class, the scores of its detections and the thresholds at which they are right.

    Returns
    -------
    rankings : list of (float ndarray of shape (n,), bool ndarray of shape (n, n_thresholds))
        One pair per class: scores, and whether the detection is right at each threshold.
    n_objects : int ndarray of shape (n_classes,)
    labels : list
    """
    thresholds = _thresholds(iou_thresholds)
    if not isinstance(max_detections, Integral) or max_detections < 1:
        raise ValueError(f"max_detections={max_detections!r} must be an integer of at least 1.")
    check_consistent_length(y_true, y_pred)
    truths = [_checked(image, row, "y_true", ()) for row, image in enumerate(y_true)]
    found = [_checked(image, row, "y_pred", ("score",)) for row, image in enumerate(y_pred)]
    labels = sorted_labels([*truths, *found])
    parts: list = [([], []) for _ in labels]
    n_objects = np.zeros(len(labels), dtype=int)
    for truth, detections in zip(truths, found, strict=True):
        boxes, predicted = box_array(truth), box_array(detections)
        for c, label in enumerate(labels):
            objects = boxes[truth["label"] == label]
            n_objects[c] += len(objects)
            positions = np.flatnonzero(detections["label"] == label)
            scores = detections["score"][positions].astype(np.float64)
            order = np.argsort(-scores, kind="stable")[:max_detections]
            parts[c][0].append(scores[order])
            parts[c][1].append(_matched(iou(predicted[positions[order]], objects), thresholds))
    empty = np.zeros((0, len(thresholds)), dtype=bool)
    return (
        [(np.concatenate([[], *s]), np.concatenate([empty, *r])) for s, r in parts],
        n_objects,
        labels,
    )


def _matched(overlaps, thresholds):
    """Find the detections of an image and class that match an object not matched before.

    Parameters
    ----------
    overlaps : float ndarray of shape (n_detections, n_objects)
        Intersection over union; the detections are in order of decreasing score.
    thresholds : float ndarray of shape (n_thresholds,)

    Returns
    -------
    right : bool ndarray of shape (n_detections, n_thresholds)
    """
    n_detections, n_objects = overlaps.shape
    right = np.zeros((n_detections, len(thresholds)), dtype=bool)
    if not n_objects:
        return right
    for t, threshold in enumerate(thresholds):
        free = np.ones(n_objects, dtype=bool)
        for d in range(n_detections):
            # the last object among those with equal overlap, as in pycocotools
            candidates = np.where(free, overlaps[d], -1.0)[::-1]
            best = n_objects - 1 - int(candidates.argmax())
            if free[best] and overlaps[d, best] >= min(threshold, 1 - 1e-10):
                free[best] = False
                right[d, t] = True
    return right


def _average_precision(scores, right, n_objects):
    """Average precision at each threshold: float ndarray of shape (n_thresholds,)."""
    right = right[np.argsort(-scores, kind="stable")]
    true = np.cumsum(right, axis=0)
    recall = true / n_objects
    precision = true / np.arange(1, len(right) + 1)[:, None]
    # the highest precision at this recall or a higher one
    precision = np.maximum.accumulate(precision[::-1], axis=0)[::-1]
    result = np.zeros(right.shape[1])
    for t in range(right.shape[1]):
        positions = np.searchsorted(recall[:, t], _RECALLS, side="left")
        reached = positions < len(right)
        result[t] = precision[positions[reached], t].sum() / len(_RECALLS)
    return result


def _thresholds(iou_thresholds):
    if isinstance(iou_thresholds, str):
        if iou_thresholds != "coco":
            raise ValueError(f"iou_thresholds={iou_thresholds!r} must be numbers or 'coco'.")
        return _COCO_THRESHOLDS
    thresholds = np.atleast_1d(np.asarray(iou_thresholds))
    numbers = thresholds.ndim == 1 and thresholds.dtype.kind in "fiu" and len(thresholds)
    if not numbers or not ((thresholds > 0) & (thresholds <= 1)).all():
        raise ValueError(f"iou_thresholds={iou_thresholds!r} must be above 0 and at most 1.")
    return thresholds.astype(np.float64)


def _checked(image, row, name, more):
    """Return `image`, or raise an error if a field is missing or a value is not finite."""
    if image is None:
        raise ValueError(
            f"{name}[{row}] is None: the image could not be read. Leave this row out of y_true and "
            "y_pred."
        )
    wanted = (*BOX_FIELDS, "label", *more)
    fields = getattr(getattr(image, "dtype", None), "names", None) or ()
    missing = [field for field in wanted if field not in fields]
    if missing or image.ndim != 1:
        raise ValueError(
            f"{name}[{row}] must be a structured array of shape (n_objects,) with the fields "
            f"{list(wanted)}, as sklearn_dl.metrics.make_detections makes it; the fields {missing} "
            "are missing."
            if missing
            else f"{name}[{row}] has shape {image.shape}, but must have shape (n_objects,)."
        )
    values = box_array(image)
    if more:
        values = np.column_stack([values, image["score"]])
    if not np.isfinite(values).all():
        raise ValueError(f"{name}[{row}] has NaN or infinity.")
    return image
