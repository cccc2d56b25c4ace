"""Effects of the parts of a row: its prediction is compared with those without each part."""

from dataclasses import dataclass

import numpy as np
from sklearn.base import is_regressor
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import check_is_fitted

from sklearn_dl.utils._columns import count_rows, counted, require_rows
from sklearn_dl.utils._messages import RowError, brief


@dataclass
class Explanation:
    """The effects of parts of some rows on the predictions for these rows.

    Parameters
    ----------
    effects : list of ndarray of shape (n_parts,), dtype float64
        Per row, the score of the whole row minus the score without each part.
    scores : ndarray of shape (n_samples,), dtype float64
        Score of the explained class for each whole row.
    labels : ndarray of shape (n_samples,) or None
        The explained class of each row. None: the estimator is a regressor of one target.
    differences : ndarray of shape (n_samples,), dtype float64
        Score of each whole row minus the score of its unchanged copy.
    """

    effects: list
    scores: np.ndarray
    labels: np.ndarray | None
    differences: np.ndarray


def explain(
    estimator,
    with_cells,
    cells,
    n_parts,
    without,
    *,
    class_of_interest,
    response_method,
    batch_size,
    given=None,
):
    """Explain the predictions of some rows.

    Parameters
    ----------
    estimator : fitted classifier or regressor
    with_cells : callable(rows, cells)
        Returns the X that the estimator predicts.
    cells : sequence of n_samples cells
        The whole cells.
    n_parts : list of int
        How many parts each cell has.
    without : callable(row, part)
        Returns the cell of a row without one of its parts.
    class_of_interest : label or None
        The class to explain, or the position of the column of y. None: for each row, the one with
        the highest score.
    response_method : {"auto", "predict_proba", "decision_function"}
        As in `response`.
    batch_size : int
        How many rows the estimator predicts in one call.
    given : X or None, default=None
        The whole rows, if unchanged copies of them may have other scores. None: they have not.

    Returns
    -------
    explanation : Explanation

    Raises
    ------
    ValueError
        If `class_of_interest` is not a class, if there are no rows, or if the estimator does not
        return one finite score per row.
    TypeError
        If the estimator has none of the methods.
    """
    respond, classes = response(estimator, response_method)
    require_rows(len(cells), estimator)

    def scores_of(rows, cell_of):
        """The scores of copies of rows, batch by batch; `cell_of` gives the cell of a copy."""
        batches = [range(len(rows))[i : i + batch_size] for i in range(0, len(rows), batch_size)]
        return np.concatenate(
            [respond(with_cells([rows[i] for i in b], [cell_of(i) for i in b])) for b in batches]
        )

    every = list(range(len(cells)))
    copies = scores_of(every, lambda i: cells[i])
    whole = copies if given is None else respond(given)
    for scores in (whole, copies):
        _check_finite(scores, every, "the estimator predicts NaN, which cannot be explained")
    chosen = _chosen(whole, classes, class_of_interest)
    scores, unchanged = whole[every, chosen], copies[every, chosen]
    rows = np.repeat(every, n_parts).tolist()
    parts = [part for count in n_parts for part in range(count)]
    changes = np.zeros(0)
    if rows:
        changed = scores_of(rows, lambda i: without(rows[i], parts[i]))
        _check_finite(changed, rows, "the estimator predicts NaN if a part of the row is missing")
        changes = unchanged[rows] - changed[np.arange(len(rows)), chosen[rows]]
    effects = np.split(changes, np.cumsum(n_parts)[:-1])
    if classes is None and whole.shape[1] > 1:
        classes = np.arange(whole.shape[1])
    labels = None if classes is None else classes[chosen]
    return Explanation(effects, scores, labels, scores - unchanged)


def _check_finite(scores, rows, message):
    """Raise an error that names the first of `rows` whose scores are not finite."""
    for copy in np.flatnonzero(~np.isfinite(scores).all(axis=1)):
        raise RowError(message, rows[copy])


def response(estimator, response_method="auto"):
    """The function that returns an estimator's scores, and the classes of their columns.

    Parameters
    ----------
    estimator : fitted classifier or regressor
    response_method : {"auto", "predict_proba", "decision_function"}, default="auto"
        "auto": `predict_proba`, or `decision_function` without it, as in scikit-learn's displays.
        For a regressor, `predict` is used in any case.

    Returns
    -------
    respond : callable(X)
        Returns scores of shape (n_samples, n_columns), dtype float64.
    classes : ndarray of shape (n_columns,), or None
        None: there are no classes; the columns are several labels or the targets of a regressor.
    """
    methods = ("predict_proba", "decision_function")
    if response_method != "auto" and response_method not in methods:
        raise ValueError(
            f"response_method={response_method!r} must be 'auto' or one of {brief(methods)}."
        )
    check_is_fitted(estimator)
    if is_regressor(estimator):

        def predict(X):
            values = np.asarray(estimator.predict(X), dtype=float)
            return _one_per_row(values.reshape(len(values), -1), X, estimator)

        return predict, None
    wanted = methods if response_method == "auto" else (response_method,)
    for name in wanted:
        if hasattr(estimator, name) and hasattr(estimator, "classes_"):
            break
    else:
        raise TypeError(
            f"{type(estimator).__name__} is not a regressor, and lacks classes_ or "
            f"{' and '.join(wanted)}: there is no score to explain."
        )

    classes = estimator.classes_
    has_several_labels = np.ndim(classes[0]) > 0
    if name == "decision_function" and _compares_pairs(estimator):
        raise TypeError(
            "The decision function of a support vector machine with decision_function_shape='ovo' "
            "compares pairs of classes: no column is the score of a class. Use 'ovr'."
        )

    def respond(X):
        scores = getattr(estimator, name)(X)
        if isinstance(scores, list):  # several labels, in scikit-learn's form
            return _one_per_row(_of_labels(scores, classes), X, estimator)
        scores = np.asarray(scores, dtype=float)
        if scores.ndim == 1:  # a decision function of two classes
            scores = np.column_stack([-scores, scores])
        if not has_several_labels and scores.shape[1] != len(classes):
            raise TypeError(
                f"{name} of {type(estimator).__name__} has {scores.shape[1]} columns for "
                f"{len(classes)} classes: they are not the scores of the classes."
            )
        return _one_per_row(scores, X, estimator)

    return respond, None if has_several_labels else np.asarray(classes)


def _one_per_row(scores, X, estimator):
    """The scores, if there is one row of them for each row of X."""
    if len(scores) != count_rows(X):
        raise ValueError(
            f"{type(estimator).__name__} returns {counted(len(scores), 'row')} for "
            f"{counted(count_rows(X), 'row')} of X. scikit-learn's vectorizers read the names of "
            'the columns of a data frame: pass one column of it, as in X["text"].'
        )
    return scores


def _compares_pairs(estimator):
    """Whether the last step of a pipeline, also inside a search, is an SVM of pairs of classes."""
    estimator = getattr(estimator, "best_estimator_", estimator)
    if isinstance(estimator, Pipeline):
        return _compares_pairs(estimator[-1])
    shape = getattr(estimator, "decision_function_shape", None)
    return shape == "ovo" and len(estimator.classes_) > 2


def _of_labels(scores, classes):
    """The probability of the second value of each label, of shape (n_samples, n_labels)."""
    columns = []
    for column, (of_label, values) in enumerate(zip(scores, classes, strict=True)):
        if len(values) > 2:
            raise TypeError(
                f"Column {column} of y has {len(values)} classes. Columns with more than two "
                "cannot be explained together: explain an estimator of one column."
            )
        # a column that was constant in fit has one class
        is_second = np.full(len(of_label), values[0] == 1, dtype=float)
        columns.append(of_label[:, 1] if len(values) == 2 else is_second)
    return np.column_stack(columns)


def _chosen(scores, classes, class_of_interest):
    """The column of the class that is explained, for each row."""
    if class_of_interest is None:
        return scores.argmax(axis=1)
    known = list(range(scores.shape[1])) if classes is None else classes.tolist()
    if class_of_interest not in known:
        what = "positions of the columns of y" if classes is None else "classes of the estimator"
        raise ValueError(
            f"class_of_interest={class_of_interest!r} is not one of {brief(known)}, the {what}."
        )
    return np.full(len(scores), known.index(class_of_interest))
