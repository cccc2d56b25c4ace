"""ScoreClassifier and top_k: turn the scores of a network into labels."""

import numpy as np
from sklearn.base import ClassifierMixin
from sklearn.exceptions import NotFittedError
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_array, validate_data

from sklearn_dl.scoring._probabilities import (
    ColumnLabels,
    column_labels,
    enumerated,
    one_score_per_label,
    probabilities,
)
from sklearn_dl.utils._base import DeepEstimator, all_or_nothing
from sklearn_dl.utils._columns import is_empty_list
from sklearn_dl.utils._messages import RowsError, names_labels
from sklearn_dl.utils._sklearn import StrOptions
from sklearn_dl.utils._targets import CheckedScoreMixin, labels_of, target_column


class ScoreClassifier(CheckedScoreMixin, ClassifierMixin, DeepEstimator):
    """Turn the scores of a network into labels: the last step of a pipeline.

    It learns nothing from X, and does not need `fit` if `classes` is set.

    Parameters
    ----------
    classes : array-like of shape (n_classes,), default=None
        Labels of the classes, in the order of the network's scores. For one column of scores, pass
        two labels; the scores belong to the second one. None: column k belongs to the k-th label of
        ``np.unique(y)``. Several columns may have the same label, such as the two kinds of "crane"
        among ImageNet's labels: see Notes.
    activation : {"softmax", "sigmoid"}, default=None
        How scores become probabilities. "softmax": by the softmax of each row. "sigmoid": by the
        sigmoid of each score; with several columns, it is then divided by the sum of its row.
        None: the scores are probabilities already.
    on_error : {"raise", "nan"}, default="raise"
        What to do with a row that cannot be read. "raise": raise an error that names the row.
        "nan": return missing values for it. Such a row contains NaN, which the step before returned
        for it. Infinite scores raise an error in any case.
    missing : label, default=None
        Label that `predict` returns for a row that could not be read (``on_error="nan"``). With
        None, labels are an object array, which scikit-learn's metrics refuse if it contains None.
        `score` compares it with `y`, so it should have the type of the classes.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        The labels in ascending order. The columns of all outputs are in this order, as
        scikit-learn's metrics assume.
    n_features_in_ : int
        Number of columns of scores, after `fit`.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the columns, after `fit` on a data frame whose column names are strings.

    See Also
    --------
    OnnxScorer : Compute scores with an ONNX model.
    LabelKeyMapper : Map labels to integer keys.

    Notes
    -----
    This is ML.NET's step from Score to PredictedLabel. Scores in float32 and float16 are computed
    in float32, all others in float64. If probabilities are equal, the label that comes first in
    `classes_` is predicted. With ``activation=None``, the probabilities of a row must lie in
    [0, 1], and their sum must be 1 within 0.005, a tolerance that suits float16; they are divided
    by that sum.

    Columns with the same label are one class, and its probability is the sum of theirs. With
    ``activation="sigmoid"``, scores are independent: the class gets the largest of its scores.

    Examples
    --------
    >>> from sklearn_dl import ScoreClassifier
    >>> logits = [[2.0, 0.0, 1.0], [0.0, 0.5, 3.0]]
    >>> clf = ScoreClassifier(["dog", "cat", "bird"], activation="softmax")
    >>> clf.predict(logits)
    array(['dog', 'bird'], dtype='<U4')
    >>> clf.classes_
    array(['bird', 'cat', 'dog'], dtype='<U4')
    >>> clf.predict_proba(logits).round(2)
    array([[0.24, 0.09, 0.67],
           [0.88, 0.07, 0.04]])
    >>> labels, probabilities = clf.top_k(logits, 2)
    >>> labels
    array([['dog', 'bird'],
           ['bird', 'cat']], dtype='<U4')
    """

    _parameter_constraints: dict = {
        "classes": ["array-like", None],
        "activation": [StrOptions({"softmax", "sigmoid"}), None],
        "on_error": [StrOptions({"raise", "nan"})],
        "missing": "no_validation",
    }

    def __init__(self, classes=None, *, activation=None, on_error="raise", missing=None):
        self.classes = classes
        self.activation = activation
        self.on_error = on_error
        self.missing = missing

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.requires_fit = self.classes is None
        tags.input_tags.allow_nan = self.on_error == "nan"
        return tags

    def __sklearn_is_fitted__(self):
        return self.classes is not None or hasattr(self, "_seen_classes")

    @property
    def classes_(self):
        """The labels in ascending order."""
        if not self.__sklearn_is_fitted__():
            raise AttributeError("`classes_` is known after `fit`, or if `classes` is set.")
        try:
            labels, order, _ = self._column_labels()
        except ValueError as error:
            # the notebook repr reads every property, and catches only AttributeError
            raise AttributeError(str(error)) from error
        return labels[order]

    @all_or_nothing
    @names_labels
    def fit(self, X, y):
        """Check X and y against the classes, or learn them from y.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_scores)
            Scores, one column per class, or a single one.
        y : array-like of shape (n_samples,)
            Labels. If `classes` is set, each must be one of them.

        Returns
        -------
        self : ScoreClassifier

        Raises
        ------
        ValueError
            If a label is missing or is not in `classes`; if the number of columns does not match
            the classes; if X contains infinity, or NaN with ``on_error="raise"``.
        """
        self._validate_params()
        y = y if y is None else target_column(y, "y")
        X, y = validate_data(self, X, y, dtype="numeric", ensure_all_finite="allow-nan")
        check_classification_targets(y)
        seen = np.unique(y)
        self._seen_classes = seen
        if self.classes is not None:
            known = set(self._column_labels().labels.tolist())
            unknown = [label for label in seen.tolist() if label not in known]
            if unknown:
                raise ValueError(
                    f"y contains labels that are not in `classes`: {enumerated(unknown)}."
                )
        self._check_scores(X)
        return self

    @names_labels
    def predict(self, X):
        """Return the most probable label of each row.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_scores)

        Returns
        -------
        labels : ndarray of shape (n_samples,)
            They have the dtype of `classes_`. With ``on_error="nan"``, the dtype is object if
            `missing` has a different type from the classes.
        """
        proba, columns = self._probabilities(X, log=False)
        # the argmax of a row of NaN is 0; `_labels` replaces it
        return self._labels(proba.argmax(axis=1), np.isnan(proba[:, 0]), columns)

    @names_labels
    def predict_proba(self, X):
        """Return the probability of each class.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_scores)

        Returns
        -------
        probabilities : ndarray of shape (n_samples, n_classes), float32 or float64
            In the order of `classes_`. NaN for the rows that get the label `missing`.
        """
        return self._probabilities(X, log=False)[0]

    @names_labels
    def predict_log_proba(self, X):
        """Return the logarithm of the probability of each class.

        It is exact even if the probability itself underflows to 0.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_scores)

        Returns
        -------
        log_probabilities : ndarray of shape (n_samples, n_classes), float32 or float64
            In the order of `classes_`. NaN for the rows that get the label `missing`.
        """
        return self._probabilities(X, log=True)[0]

    @names_labels
    def decision_function(self, X):
        """Return the scores of the classes, without the activation.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_scores)

        Returns
        -------
        scores : ndarray of shape (n_samples,) or (n_samples, n_classes), float32 or float64
            With three or more classes: the score of each class, in the order of `classes_`. With
            two classes: one number per row, which is positive if ``classes_[1]`` is the more
            probable. It is the score of ``classes_[1]`` minus the score of ``classes_[0]``. If X
            has a single column, the number is the score (``activation="sigmoid"``) or the
            probability minus 0.5 (``activation=None``); its sign is changed if the column belongs
            to ``classes_[0]``.

            Columns with the same label have one score: the largest of their scores ("sigmoid"),
            or the score whose probability is the sum of their probabilities. Rows with NaN get NaN.
        """
        scores, is_nan, columns = self._check_call(X)
        if scores.shape[1] == 1:
            margin = scores[:, 0] - (0.5 if self.activation is None else 0)
            return margin if columns.order[1] == 1 else -margin
        scores = scores[:, columns.order]
        scores[is_nan] = np.nan
        return scores[:, 1] - scores[:, 0] if scores.shape[1] == 2 else scores

    def top_k(self, X, k):
        """Return the k most probable labels of each row.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_scores)
        k : int
            From 1 to the number of classes.

        Returns
        -------
        labels : ndarray of shape (n_samples, k)
            The most probable label first. Equally probable labels are in the order of `classes_`.
        probabilities : ndarray of shape (n_samples, k), float32 or float64
            Their probabilities.
        """
        return top_k(self, X, k)

    def _column_labels(self):
        """The ColumnLabels of `classes`, or of the labels that `fit` saw."""
        if self.classes is None:
            return ColumnLabels(self._seen_classes, np.arange(len(self._seen_classes)))
        return column_labels(self.classes, self)

    def _labels(self, indices, is_nan, columns):
        """The labels at `indices` in `classes_`; rows that are NaN get the label `missing`."""
        labels, order, _ = columns
        if self.on_error == "raise":
            return labels[order[indices]]
        return labels_of(indices, labels[order], is_nan, self.missing)

    def _check_call(self, X):
        """Check that the classes are known, and X; return the result of `_check_scores`."""
        self._validate_params()
        if not self.__sklearn_is_fitted__():
            raise NotFittedError(
                "This ScoreClassifier does not know its classes: call `fit`, or set `classes`."
            )
        if is_empty_list(X):
            n_columns = getattr(self, "n_features_in_", self._column_labels().n_columns)
            X = np.empty((0, n_columns))
        options = {"dtype": "numeric", "ensure_all_finite": "allow-nan", "ensure_min_samples": 0}
        if hasattr(self, "n_features_in_"):
            X = validate_data(self, X, reset=False, **options)
        elif not _is_plain(X):
            X = check_array(X, estimator=self, **options)
        return self._check_scores(X)

    def _check_scores(self, X):
        """The scores as floats, one per class; the mask of rows with NaN; and the ColumnLabels."""
        columns = self._column_labels()
        n_columns, n_classes = X.shape[1], columns.n_columns
        if n_columns == 1 and self.activation == "softmax":
            raise ValueError(
                "activation='softmax' of one column of scores is 1 for every row: use 'sigmoid'."
            )
        if n_classes != (2 if n_columns == 1 else n_columns):
            raise ValueError(
                f"X has {n_columns} column(s) of scores, but there are {n_classes} classes: "
                f"{enumerated(columns.labels.tolist())}. One column needs two classes; several "
                "columns need one class each."
            )
        if columns.positions is not None and len(columns.labels) == 1:
            raise ValueError(
                "`classes` contains only one label, "
                f"{columns.labels.tolist()[0]!r}: set two or more."
            )
        if X.dtype == np.float16:
            X = X.astype(np.float32)
        elif X.dtype != np.float32:
            X = X.astype(np.float64)
        is_nan = np.isnan(X).any(axis=1)
        if self.on_error == "raise" and is_nan.any():
            rows = np.flatnonzero(is_nan).tolist()
            raise RowsError(
                f"Scores contain NaN in row(s) {enumerated(rows)}: leave these rows out, or set "
                "on_error='nan', and missing=<a label> to give them a label.",
                rows[0],
            )
        if columns.positions is not None:
            X = one_score_per_label(X, columns.positions, self.activation)
        return X, is_nan, columns

    def _probabilities(self, X, *, log):
        """The probabilities in the order of `classes_`, NaN for rows with NaN; the ColumnLabels."""
        scores, is_nan, columns = self._check_call(X)
        rows = np.flatnonzero(~is_nan)
        values = probabilities(scores[rows], rows, self.activation, log=log)
        out = np.full((len(scores), len(columns.order)), np.nan, dtype=scores.dtype)
        out[rows] = values[:, columns.order]
        return out, columns


def top_k(classifier, X, k):
    """Return the k most probable labels of each row, for any classifier with probabilities.

    Parameters
    ----------
    classifier : classifier with `predict_proba` and `classes_`
        It can also be a Pipeline, or a search such as GridSearchCV.
    X : anything that the classifier's `predict_proba` accepts
    k : int
        From 1 to the number of classes.

    Returns
    -------
    labels : ndarray of shape (n_samples, k)
        The most probable label first. Equally probable labels are in the order of `classes_`. Rows
        whose probabilities are NaN get the label in the classifier's parameter `missing`.
    probabilities : ndarray of shape (n_samples, k), float32 or float64
        Their probabilities.

    Raises
    ------
    ValueError
        If k is out of range.

    See Also
    --------
    ScoreClassifier : Turn the scores of a network into labels.

    Examples
    --------
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import FunctionTransformer
    >>> from sklearn_dl import ScoreClassifier
    >>> from sklearn_dl.scoring import top_k
    >>> pipeline = make_pipeline(
    ...     FunctionTransformer(), ScoreClassifier(["dog", "cat", "bird"], activation="softmax")
    ... )
    >>> labels, probabilities = top_k(pipeline, [[2.0, 0.0, 1.0]], 2)
    >>> labels
    array([['dog', 'bird']], dtype='<U4')
    """
    proba = np.asarray(classifier.predict_proba(X))
    classes = np.asarray(classifier.classes_)
    n_classes = len(classes)
    if not isinstance(k, (int, np.integer)) or isinstance(k, bool) or not 1 <= k <= n_classes:
        raise ValueError(
            f"k must be an int from 1 to {n_classes}, the number of classes, got {k!r}."
        )
    best = np.argsort(-proba, axis=1, kind="stable")[:, :k]
    best_proba = np.take_along_axis(proba, best, axis=1)
    is_nan = np.isnan(proba[:, 0])
    last = getattr(classifier, "best_estimator_", classifier)
    last = getattr(last, "_final_estimator", last)
    if getattr(last, "on_error", "raise") == "raise" and not is_nan.any():
        return classes[best], best_proba
    return labels_of(best, classes, is_nan, getattr(last, "missing", None)), best_proba


def _is_plain(X):
    """Whether X is a 2-D array of floats without infinity, as a scorer returns it.

    `check_array` is skipped for such an X: it would take longer than scoring a single row.
    """
    plain = type(X) is np.ndarray and X.ndim == 2 and X.size and X.dtype.kind == "f"
    return plain and not np.isinf(X).any()
