"""What the regressors that train a network have in common, for all kinds of rows."""

from collections.abc import Callable
from typing import Any

import numpy as np
from sklearn.base import RegressorMixin

from sklearn_dl.training._numbers import Numbers


class NetworkRegressorMixin(RegressorMixin):
    """One number or several for each row, for a TrainedEstimator."""

    # whether the features of a frozen network are scaled to equal variances
    _scales_each_feature = True
    _problem: Any
    _rows_to_predict: Callable[..., Any]
    _outputs: Callable[..., np.ndarray]

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

    def _new_problem(self):
        return Numbers("targets", several=True, tune=True, each=self._scales_each_feature)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags
