"""The mixins of the regressors that train a network, on texts or on images."""

from collections.abc import Callable
from typing import Any

import numpy as np
from sklearn.base import RegressorMixin

from sklearn_dl.training._numbers import Numbers
from sklearn_dl.utils._base import all_or_nothing
from sklearn_dl.utils._messages import names_labels


class PartialFitRegressorMixin(RegressorMixin):
    """The `partial_fit` of a TrainedEstimator that predicts numbers."""

    _partial_fit: Callable[..., Any]

    @all_or_nothing
    def partial_fit(self, X, y, sample_weight=None):
        """Train the current weights further, with one pass over more rows.

        The learning rate is constant, and the optimiser starts anew in each call. The parameters
        `max_epochs`, `warmup_ratio` and `warm_start` have no effect, and callbacks are not called.
        The network learns scaled targets; the rows of the first call determine the scale.

        Parameters
        ----------
        X : array-like of n_samples rows
            As in `fit`.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            As in `fit`.
        sample_weight : array-like of shape (n_samples,), default=None
            As in `fit`.

        Returns
        -------
        self : object

        Raises
        ------
        ValueError
            As in `fit`, but equal targets are an error only in the first call. In addition, if
            ``early_stopping=True``, ``trainable_layers=0`` or ``max_epochs=0``, or if the last fit
            trained only a head. The estimator is left as it was.
        """
        return self._partial_fit(X, y, sample_weight)


class NetworkRegressorMixin(PartialFitRegressorMixin):
    """Predictions of one or several numbers for each row, for a TrainedEstimator."""

    # whether the features of a frozen network are scaled to equal variances
    _scales_each_feature = True
    _problem: Any
    _rows_to_predict: Callable[..., Any]
    _outputs: Callable[..., np.ndarray]

    @names_labels
    def predict(self, X):
        """Predict the numbers of each row.

        Parameters
        ----------
        X : array-like of n_samples rows
            As in `fit`.

        Returns
        -------
        numbers : float64 ndarray of shape (n_samples,) or (n_samples, n_outputs)
            With the same number of dimensions as `y`. NaN for rows that cannot be read or scored
            (``on_error="nan"``), with one warning.
        """
        outputs = self._outputs(self._rows_to_predict(X))
        return self._problem.predictions(outputs)

    def _new_problem(self, y):
        return Numbers("targets", several=True, tune=True, each=self._scales_each_feature)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags
