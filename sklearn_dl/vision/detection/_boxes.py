"""The problem of ObjectDetector: the boxes and classes of the objects in each image."""

from hashlib import sha256
from typing import NamedTuple

import numpy as np
from sklearn.utils.class_weight import compute_class_weight

from sklearn_dl.metrics import mean_average_precision_score
from sklearn_dl.metrics._boxes import BOX_FIELDS, box_array, detection_dtype
from sklearn_dl.training._problem import Problem
from sklearn_dl.training._ragged import Ragged
from sklearn_dl.utils._columns import counted
from sklearn_dl.utils._messages import RowsError
from sklearn_dl.vision.detection._decoding import detections_of


class Suppression(NamedTuple):
    """Parameters of ObjectDetector that determine which candidates become detections."""

    score_threshold: float
    iou_threshold: float
    max_detections: int


class Boxes(Problem):
    """The problem of finding the objects in each image.

    `y` is a list of structured arrays, as `given_objects` returns them. The targets are a Ragged;
    its columns are x0, y0, x1, y1 and the number of the class.

    Parameters
    ----------
    purpose : str
        Name of the estimator in messages.
    class_weight : dict, "balanced" or None
    suppression : Suppression

    Attributes
    ----------
    classes : ndarray of shape (n_classes,)
        The labels, sorted.
    class_weights : float64 ndarray of shape (n_classes,)
    """

    outputs_tell_loss = False
    classes: np.ndarray

    def __init__(self, purpose, class_weight, suppression):
        self.purpose = purpose
        self.class_weight = class_weight
        self.suppression = suppression

    def attributes(self):
        return {"classes_": self.classes}

    def learn(self, y):
        labels = [image["label"] for image in y if len(image)]
        _refuse_mixed(labels)
        self.classes = np.unique(np.concatenate(labels)) if labels else np.empty(0, dtype=str)
        return self._encode(y, "y")

    def continue_from(self, earlier, y, how):
        targets = self.learn(y)
        if np.array_equal(self.classes, earlier.classes):
            return targets
        # the head of the earlier fit also knows labels that are not in y
        if not np.isin(self.classes, earlier.classes).all():
            raise how.error(
                f"the labels: the estimator was fitted with {earlier.classes.tolist()}, but y has "
                f"{self.classes.tolist()}"
            )
        self.classes = earlier.classes
        return self._encode(y, "y")

    def encode(self, y, name):
        targets = self._encode(y, name)
        if not len(targets.values):
            raise ValueError(f"{name} has no objects, so the score of the rows is not defined.")
        return targets

    def _encode(self, y, name):
        parts = []
        for row, image in enumerate(y):
            unknown = image["label"][~np.isin(image["label"], self.classes)].tolist()
            if unknown:
                raise RowsError(
                    f"{name} has the label {unknown[0]!r} in row {row}, but the labels of y are "
                    f"{self.classes.tolist()}.",
                    row,
                )
            number = np.searchsorted(self.classes, image["label"])
            parts.append(np.column_stack([box_array(image), number]))
        values = np.concatenate(parts) if parts else np.empty((0, 5))
        return Ragged(values, [len(image) for image in y])

    def refuse(self, targets):
        if not len(targets.values):
            raise ValueError(
                f"{self.purpose} needs objects to learn from, but there are none in "
                f"{counted(len(targets), 'image')}."
            )

    def refuse_held_out(self, targets):
        if not len(targets.values):
            raise ValueError(
                "The validation rows have no objects, so their score is not defined: pass other "
                "rows as X_val and y_val, or a larger validation_fraction."
            )

    def weights(self, targets, weights):
        labels = self.classes[targets.values[:, 4].astype(int)]
        self.class_weights = _class_weights(self.class_weight, self.classes, labels)
        return weights

    def strata(self, targets):
        """Return the rarest label of each image. Images without objects have their own stratum."""
        row = np.repeat(np.arange(len(targets)), targets.lengths)
        has_label = np.zeros((len(targets), len(self.classes)), dtype=bool)
        has_label[row, targets.values[:, 4].astype(int)] = True
        rare_first = np.argsort(has_label.sum(axis=0), kind="stable")
        rarest = has_label[:, rare_first].argmax(axis=1)
        return np.where(has_label.any(axis=1), rarest, -1) + 1

    def fit_head(self, features, targets, weights, where=None):
        raise AssertionError("the head of a detector is trained")

    def initial_head(self, features, goals, weights):
        raise AssertionError("the network makes the head of a detector")

    def losses(self, outputs, goals):
        from sklearn_dl.vision.detection._losses import detection_losses

        return detection_losses(outputs, goals, self.class_weights)

    def evaluate(self, outputs, targets, weights):
        """Return None for the loss, and the mean average precision at an IoU of 0.5."""
        return None, mean_average_precision_score(
            list(map(self._objects, targets.rows())), self.predictions(outputs)
        )

    def predictions(self, outputs):
        """The detections of each image, as structured arrays."""
        return [detections_of(c, self.classes, *self.suppression) for c in outputs.rows()]

    def digest(self, targets):
        return sha256(targets.values.tobytes() + targets.lengths.tobytes()).digest()

    def _objects(self, values):
        """The objects of one image as a structured array."""
        objects = np.ones(len(values), dtype=detection_dtype(self.classes.dtype))
        for name, edge in zip(BOX_FIELDS, values.T, strict=False):
            objects[name] = edge
        objects["label"] = self.classes[values[:, 4].astype(int)]
        return objects


def _refuse_mixed(labels):
    """Raise a ValueError if some labels are strings, and others are not."""
    first: dict = {}
    for label in (label for image in labels for label in image.tolist()):
        first.setdefault(isinstance(label, str), label)
    if len(first) > 1:
        raise ValueError(
            f"The labels of y must be all strings or all numbers, but two of them are "
            f"{first[True]!r} and {first[False]!r}."
        )


def _class_weights(class_weight, classes, labels):
    """The weight of each class: float64 ndarray of shape (n_classes,)."""
    present = np.unique(labels)
    weights = np.ones(len(classes))
    # class_weight may name classes that are not in any row
    is_present = np.isin(classes, present)
    if not len(present):
        return weights
    weights[is_present] = compute_class_weight(class_weight, classes=classes[is_present], y=labels)
    if not (np.isfinite(weights) & (weights > 0)).all():
        raise ValueError(f"class_weight={class_weight!r} must have positive weights.")
    return weights
