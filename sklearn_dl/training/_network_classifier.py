"""What the classifiers that train a network have in common, whatever they read."""

from collections.abc import Callable

import numpy as np
from scipy.special import log_softmax, softmax
from sklearn.base import ClassifierMixin

from sklearn_dl.utils._sklearn import StrOptions
from sklearn_dl.utils._targets import CheckedScoreMixin


class NetworkClassifierMixin(CheckedScoreMixin, ClassifierMixin):
    """Classes, their weights, and predictions from logits, for a TrainedEstimator."""

    _classifier_constraints: dict = {
        "class_weight": [dict, StrOptions({"balanced"}), None],
    }
    classes_: np.ndarray
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
            In the dtype of `classes_`.
        """
        return self._labels(self._outputs(X))

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
        return softmax(self._outputs(X), axis=1)

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
        return log_softmax(self._outputs(X), axis=1)

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
        logits = self._outputs(X)
        return logits[:, 1] - logits[:, 0] if logits.shape[1] == 2 else logits

    def _labels(self, logits):
        return self.classes_[logits.argmax(axis=1)]
