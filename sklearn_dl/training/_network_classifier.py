"""The mixin of the classifiers that train a network, on texts or on images."""

from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.special import log_softmax, softmax
from sklearn.base import ClassifierMixin

from sklearn_dl.utils._sklearn import StrOptions
from sklearn_dl.utils._targets import CheckedScoreMixin, labels_of


class NetworkClassifierMixin(CheckedScoreMixin, ClassifierMixin):
    """Predictions of classes from logits, for a TrainedEstimator."""

    _classifier_constraints: dict = {
        "class_weight": [dict, StrOptions({"balanced"}), None],
        "missing": "no_validation",
    }
    classes_: np.ndarray
    missing: Any
    _rows_to_predict: Callable[..., Any]
    _outputs: Callable[..., np.ndarray]

    def predict(self, X):
        """The most probable class of each row.

        Parameters
        ----------
        X : array-like of n_samples rows
            As in `fit`.

        Returns
        -------
        labels : ndarray of shape (n_samples,)
            In the dtype of `classes_`. With ``on_error="nan"``, `missing` for rows that cannot be
            read or scored, and a dtype that holds it.
        """
        rows = self._rows_to_predict(X)
        outputs = self._outputs(rows)
        if not rows.skips:
            return self.classes_[outputs.argmax(axis=1)]
        is_nan = np.isnan(outputs).any(axis=1)
        best = np.where(is_nan, 0, outputs.argmax(axis=1))
        return labels_of(best, self.classes_, is_nan, self.missing)

    def predict_proba(self, X):
        """Probability of each class.

        Parameters
        ----------
        X : array-like of n_samples rows
            As in `fit`.

        Returns
        -------
        probabilities : float64 ndarray of shape (n_samples, n_classes)
            In the order of `classes_`. NaN for rows that cannot be read or scored
            (``on_error="nan"``), with one warning.
        """
        return softmax(self._outputs(self._rows_to_predict(X)), axis=1)

    def predict_log_proba(self, X):
        """Logarithm of the probability of each class.

        Parameters
        ----------
        X : array-like of n_samples rows
            As in `fit`.

        Returns
        -------
        log_probabilities : float64 ndarray of shape (n_samples, n_classes)
            In the order of `classes_`. NaN for rows that cannot be read or scored
            (``on_error="nan"``), with one warning.
        """
        return log_softmax(self._outputs(self._rows_to_predict(X)), axis=1)

    def decision_function(self, X):
        """Logits of each row.

        Parameters
        ----------
        X : array-like of n_samples rows
            As in `fit`.

        Returns
        -------
        logits : float64 ndarray of shape (n_samples,) or (n_samples, n_classes)
            In the order of `classes_`. With two classes: the logit of the second class minus the
            logit of the first. NaN for rows that cannot be read or scored (``on_error="nan"``),
            with one warning.
        """
        logits = self._outputs(self._rows_to_predict(X))
        return logits[:, 1] - logits[:, 0] if logits.shape[1] == 2 else logits
