"""The mixin of the classifiers that train a network, on texts or on images."""

from collections.abc import Callable
from numbers import Real
from typing import Any

import numpy as np
from sklearn.base import ClassifierMixin

from sklearn_dl.training._classes import Classes
from sklearn_dl.training._labels import Labels
from sklearn_dl.utils._base import all_or_nothing
from sklearn_dl.utils._messages import names_labels
from sklearn_dl.utils._sklearn import Interval, StrOptions
from sklearn_dl.utils._targets import CheckedScoreMixin, has_several_columns, target_column


class NetworkClassifierMixin(CheckedScoreMixin, ClassifierMixin):
    """Predictions of classes or labels from logits, for a TrainedEstimator."""

    # whether C applies to features that are scaled to equal variances
    _scales_each_feature = False
    _classifier_constraints: dict = {
        "C": [Interval(Real, 0, None, closed="neither"), StrOptions({"auto"})],
        "class_weight": [dict, StrOptions({"balanced"}), None],
        "missing": "no_validation",
    }
    classes_: np.ndarray
    missing: Any
    class_weight: Any
    C: Any
    _problem: Any
    _partial_fit: Callable[..., Any]
    _was_fitted: bool
    _check_is_fitted: Callable[[], None]
    _rows_to_predict: Callable[..., Any]
    _outputs: Callable[..., np.ndarray]

    @all_or_nothing
    def partial_fit(self, X, y, classes=None, sample_weight=None):
        """Train the current weights further, with one pass over more rows.

        The learning rate is constant, and the optimiser starts anew in each call. The parameters
        `max_epochs`, `warmup_ratio` and `warm_start` have no effect, and callbacks are not called.

        Parameters
        ----------
        X : array-like of n_samples rows
            As in `fit`.
        y : array-like of shape (n_samples,) or (n_samples, n_labels)
            As in `fit`. The rows may lack some of the classes.
        classes : array-like of shape (n_classes,), default=None
            All classes. Required in the first call, unless `fit` was called before, or y has
            several columns, one for each label.
        sample_weight : array-like of shape (n_samples,), default=None
            As in `fit`.

        Returns
        -------
        self : object

        Raises
        ------
        ValueError
            As in `fit`. In addition, if `classes` is missing in the first call, or a later call
            changes it; if y has classes that are not among them; if ``early_stopping=True``,
            ``class_weight="balanced"`` or ``trainable_layers=0``; or if the last fit was made with
            ``trainable_layers=0``. The estimator is left as it was.
        """
        if classes is not None and self._was_fitted and self.classes_.ndim == 1:
            given = np.unique(target_column(classes, "classes"))
            if not np.array_equal(given, self.classes_):
                raise ValueError(
                    f"classes={given.tolist()} are not those of the earlier calls, which are "
                    f"{self.classes_.tolist()}. Call fit to start anew."
                )
        return self._partial_fit(X, y, sample_weight, classes)

    @names_labels
    def predict(self, X):
        """Predict the most probable class of each row, or all its labels.

        Parameters
        ----------
        X : array-like of n_samples rows
            As in `fit`.

        Returns
        -------
        labels : ndarray of shape (n_samples,) or (n_samples, n_labels)
            In the dtype of `classes_`. With several labels: 1 where the logit is positive, else 0.
            With ``on_error="nan"``, `missing` for rows that cannot be read or scored, and a dtype
            that holds it.
        """
        rows = self._rows_to_predict(X)
        outputs = self._outputs(rows)
        if not rows.skips:
            return self._problem.predictions(outputs)
        return self._problem.predictions_or(outputs, self.missing)

    @names_labels
    def predict_proba(self, X):
        """Probability of each class, or of each label.

        Parameters
        ----------
        X : array-like of n_samples rows
            As in `fit`.

        Returns
        -------
        probabilities : float64 ndarray of shape (n_samples, n_classes) or (n_samples, n_labels)
            In the order of `classes_`. The probabilities of labels do not add up to 1. NaN for
            rows that cannot be read or scored (``on_error="nan"``), with one warning.
        """
        outputs = self._outputs(self._rows_to_predict(X))
        return self._problem.probabilities(outputs)

    @names_labels
    def predict_log_proba(self, X):
        """Logarithm of the probability of each class, or of each label.

        Parameters
        ----------
        X : array-like of n_samples rows
            As in `fit`.

        Returns
        -------
        log_probabilities : float64 ndarray of shape (n_samples, n_classes) or (n_samples, n_labels)
            In the order of `classes_`. NaN for rows that cannot be read or scored
            (``on_error="nan"``), with one warning.
        """
        outputs = self._outputs(self._rows_to_predict(X))
        return self._problem.log_probabilities(outputs)

    @names_labels
    def decision_function(self, X):
        """Logits of each row.

        Parameters
        ----------
        X : array-like of n_samples rows
            As in `fit`.

        Returns
        -------
        logits : float64 ndarray of shape (n_samples,), (n_samples, n_classes) or \
(n_samples, n_labels)
            In the order of `classes_`. With two classes: the logit of the second class minus the
            logit of the first. NaN for rows that cannot be read or scored (``on_error="nan"``),
            with one warning.
        """
        outputs = self._outputs(self._rows_to_predict(X))
        return self._problem.decision_values(outputs)

    def _labels_to_score(self, y):
        self._check_is_fitted()
        if isinstance(self._problem, Labels):
            return self._problem.encode(y, "y")
        return super()._labels_to_score(y)

    def _new_problem(self, y):
        if isinstance(self.class_weight, dict):
            for label, weight in self.class_weight.items():
                if not isinstance(weight, Real) or not 0 <= float(weight) < np.inf:
                    raise ValueError(
                        f"class_weight has {weight!r} for {label!r}: a weight must be a finite "
                        "number, and not negative."
                    )
        return self._make_problem(Labels if has_several_columns(y) else Classes)

    def _make_problem(self, kind):
        """A new problem of a `kind`: Classes or Labels."""
        smoothing = getattr(self, "label_smoothing", 0.0)
        purpose, scale = type(self).__name__, self._scales_each_feature
        return kind(purpose, self.class_weight, smoothing, self.C, scale)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        return tags
