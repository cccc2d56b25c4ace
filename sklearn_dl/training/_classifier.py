"""What the classifiers that train a network have in common, whatever they read."""

from typing import Any

import numpy as np
from scipy.special import log_softmax, softmax
from sklearn.base import ClassifierMixin
from sklearn.utils.class_weight import compute_sample_weight
from sklearn.utils.multiclass import check_classification_targets

from sklearn_dl.training._estimator import mean_loss
from sklearn_dl.training._head import logistic_head
from sklearn_dl.utils._sklearn import StrOptions
from sklearn_dl.utils._targets import CheckedScoreMixin, target_column


class NetworkClassifierMixin(CheckedScoreMixin, ClassifierMixin):
    """Classes, their weights, and predictions from logits, for a TrainedEstimator.

    A subclass computes ``_logits(X)``, and ``_held_out_logits(fitted, rows)`` during a fit.
    """

    _classifier_constraints: dict = {
        "class_weight": [dict, StrOptions({"balanced"}), None],
    }
    classes_: np.ndarray
    _keeps_head: bool
    class_weight: Any
    trainable_layers: Any

    def predict(self, X):
        """The most probable class of each row.

        Parameters
        ----------
        X : array-like of n_samples rows
            As in `fit`.

        Returns
        -------
        labels : ndarray of shape (n_samples,)
            In the dtype of `classes_`.
        """
        return self._labels(self._logits(X))

    def predict_proba(self, X):
        """Probability of each class.

        Parameters
        ----------
        X : array-like of n_samples rows
            As in `fit`.

        Returns
        -------
        probabilities : float64 ndarray of shape (n_samples, n_classes)
            In the order of `classes_`.
        """
        return softmax(self._logits(X), axis=1)

    def predict_log_proba(self, X):
        """Logarithm of the probability of each class.

        Parameters
        ----------
        X : array-like of n_samples rows
            As in `fit`.

        Returns
        -------
        log_probabilities : float64 ndarray of shape (n_samples, n_classes)
            In the order of `classes_`.
        """
        return log_softmax(self._logits(X), axis=1)

    def decision_function(self, X):
        """Logits.

        Parameters
        ----------
        X : array-like of n_samples rows
            As in `fit`.

        Returns
        -------
        logits : float64 ndarray of shape (n_samples,) or (n_samples, n_classes)
            In the order of `classes_`; with two classes, what the second one's exceeds the first
            one's by.
        """
        logits = self._logits(X)
        return logits[:, 1] - logits[:, 0] if logits.shape[1] == 2 else logits

    def _trains(self):
        return self.trainable_layers != 0

    def _set_targets(self, y, previous):
        y = target_column(y, "y", self)
        check_classification_targets(y)
        classes, codes = np.unique(y, return_inverse=True)
        # a head that is there knows classes that these rows lack; one that is solved anew does not
        self._keeps_head = previous is not None and previous.is_trained and self._trains()
        if previous is None or np.array_equal(classes, self.classes_):
            self.classes_ = classes
            return codes.astype(np.int64)
        if self._keeps_head and np.isin(classes, self.classes_).all():
            return self._encode_targets(y, "y")
        raise ValueError(
            f"warm_start=True cannot change the classes: fitted were {self.classes_.tolist()}, y "
            f"holds {classes.tolist()}. {self._hint_of_warm_start(classes)}"
        )

    def _hint_of_warm_start(self, classes):
        if not np.isin(classes, self.classes_).all():
            return "Set warm_start=False to start anew."
        return (
            "A trained network learns from rows of some of its classes; here the head is solved "
            "anew, from these rows alone: give rows of each class, or set warm_start=False to "
            "start anew."
        )

    def _encode_targets(self, y, name):
        y = target_column(y, name, self)
        unknown = sorted({str(label) for label in np.setdiff1d(y, self.classes_)})
        if unknown:
            raise ValueError(f"{name} holds classes that y does not: {unknown}.")
        return np.searchsorted(self.classes_, y).astype(np.int64)

    def _weighted(self, rows):
        if self.class_weight is None:
            return rows
        by_class = compute_sample_weight(self.class_weight, self.classes_[rows.targets])
        return rows._replace(weights=rows.weights * by_class)

    def _refuse_equal_targets(self, rows):
        if not self._keeps_head and np.ptp(rows.targets) == 0:
            label = self.classes_[rows.targets[:1]].tolist()[0]
            raise ValueError(
                f"{type(self).__name__} needs at least two classes, but the rows to learn from are "
                f"all of one class: {label!r}."
            )

    def _strata(self, rows):
        return rows.targets

    def _labels(self, logits):
        return self.classes_[logits.argmax(axis=1)]

    def _solved(self, features, rows, **options):
        return logistic_head(features, rows.targets, len(self.classes_), rows.weights, **options)

    def _evaluate(self, live, rows):
        logits = self._held_out_logits(live, rows)
        losses = -log_softmax(logits, axis=1)[np.arange(len(logits)), rows.targets]
        right = logits.argmax(axis=1) == rows.targets
        return mean_loss(losses, rows.weights), mean_loss(right, rows.weights)
