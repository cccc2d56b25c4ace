"""`y` as columns. Missing values are found before numpy can turn them into labels."""

from collections.abc import Iterator, Mapping, Set

import numpy as np
from scipy.sparse import issparse
from sklearn.metrics import accuracy_score
from sklearn.utils.validation import check_consistent_length, column_or_1d

from sklearn_dl.utils._columns import (
    MAX_EXACT_INTEGER,
    counted,
    frame_to_numpy,
    is_frame,
    is_missing,
    is_series,
    missing_mask,
    row_index,
    series_to_numpy,
)
from sklearn_dl.utils._messages import brief, shown_row

_ROWS_SHOWN = 5


def target_column(y, name):
    """Return `y` as one column; raise an error for a missing value.

    Parameters
    ----------
    y : array-like of shape (n_samples,)
    name : str
        Name of `y` in messages.

    Returns
    -------
    y : ndarray of shape (n_samples,)

    Raises
    ------
    ValueError
        If a target is missing (the rows are named) or infinite, or `y` is not one column.
    """
    if isinstance(y, Iterator):  # it would be empty for the next reader
        raise ValueError(
            f"{name} is a {type(y).__name__}, which can be read only once: pass a list or an array."
        )
    index = row_index(y)
    if is_series(y):
        y = series_to_numpy(y)
    elif issparse(y):
        y = y.toarray()
    cells = None
    if not hasattr(y, "__array__") and np.iterable(y) and not isinstance(y, (str, Mapping, Set)):
        # checked here, since numpy turns a missing value among strings into the string "nan"
        y = cells = list(y)
        if any(issubclass(t, (list, tuple)) for t in set(map(type, y))):
            cells = [r[0] if isinstance(r, (list, tuple)) and len(r) == 1 else r for r in y]
        _refuse_missing(cells, name, index)
    y = column_or_1d(y, warn=True)
    _refuse_missing(y, name, index)
    if y.dtype.kind == "f" and np.isinf(y).any():
        row = int(np.flatnonzero(np.isinf(y))[0])
        raise ValueError(f"{name} is infinite in row {shown_row(row, index)}.")
    if cells is not None and y.dtype.kind == "f":
        _refuse_rounded(cells, y, name)
    return y


def target_rows(y, name):
    """The rows of a `y` whose cells are not single labels or numbers, unchanged.

    Parameters
    ----------
    y : list, tuple, ndarray, Series or one-column DataFrame of n_samples rows
    name : str
        Name of `y` in messages.

    Returns
    -------
    rows : list of length n_samples

    Raises
    ------
    ValueError
        If `y` is anything else, such as a string, a dict or an iterator.
    """
    if isinstance(y, (list, tuple)):
        return list(y)
    if isinstance(y, np.ndarray) and y.ndim and y.dtype.names is None:
        return list(y)
    if is_series(y):
        return list(series_to_numpy(y))
    if is_frame(y):
        columns = frame_to_numpy(y)
        if len(columns) == 1:
            return list(columns[0])
        raise ValueError(f"{name} must be one column, but has {counted(len(columns), 'column')}.")
    raise ValueError(
        f"{name} must be a list, an array or a Series with one item for each row, but is "
        f"{brief(y)} ({type(y).__name__})."
    )


def has_several_columns(y):
    """Whether `y` has several values for each row: several columns, or a collection in a cell.

    The rows of ``[[1], [2]]`` have one value each. An iterator is not read: the result is False.
    """
    if is_frame(y) or issparse(y):
        return len(y.shape) == 2 and y.shape[1] != 1
    if is_series(y):
        y = series_to_numpy(y)
    if isinstance(y, np.ndarray) and (y.ndim > 1 or y.dtype != object):
        return y.ndim == 2 and y.shape[1] != 1
    if not isinstance(y, (list, tuple, np.ndarray)):
        return False
    return any(_n_values(cell) != 1 for cell in y)


def _n_values(row):
    """Number of values of a row of `y`; a string is one value."""
    # not collections.abc.Set, which makes this three times as slow for strings
    is_collection = isinstance(row, (list, tuple, set, frozenset)) or getattr(row, "ndim", 0) == 1
    return len(row) if is_collection else 1


def indicator_matrix(y, name):
    """Return `y` as a matrix of which labels each row has.

    Parameters
    ----------
    y : array-like or sparse matrix of shape (n_samples, n_labels)
        0 and 1, or False and True.
    name : str
        Name of `y` in messages.

    Returns
    -------
    indicators : bool ndarray of shape (n_samples, n_labels)
    dtype : dtype
        The dtype of `y`.

    Raises
    ------
    ValueError
        If `y` contains other or missing values, has no columns, or is a list of lists of labels.
    """
    if issparse(y):
        y = y.toarray()
    if is_series(y):
        y = list(series_to_numpy(y))
    columns = _label_columns(y)
    if columns is None:
        raise ValueError(
            f"{name} has lists of labels. Several labels for each row must be a matrix of 0 and 1 "
            "with one column for each label: make it with "
            "sklearn.preprocessing.MultiLabelBinarizer().fit_transform(y)."
        )
    if not columns:
        raise ValueError(f"{name} has no columns.")
    checked = []
    for j, column in enumerate(columns):
        values = target_column(column, f"column {j} of {name}")
        if values.dtype == object:
            values = np.array(values.tolist())
        wrong = np.flatnonzero(~np.isin(values, (0, 1)))
        if len(wrong):
            row = wrong[0]
            raise ValueError(
                f"{name} has {counted(len(columns), 'column')}, so each column is a label and "
                f"must contain only 0 and 1. Row {row} has {values[row].item()!r} in column {j}. "
                "For several columns of classes, fit one estimator for each column: see "
                "sklearn.multioutput.MultiOutputClassifier."
            )
        checked.append(values)
    matrix = np.column_stack(checked)
    return matrix == 1, matrix.dtype


def _label_columns(y):
    """The columns of a table of labels. None: each row of `y` is a list of its labels."""
    if is_frame(y) or (isinstance(y, np.ndarray) and y.ndim == 2):
        return split_targets(y, "y")
    y = list(y)
    if len(set(map(_n_values, y))) > 1 or any(isinstance(row, Set) for row in y):
        return None
    columns = split_targets(y, "y")
    # strings in cells mean lists of labels: a table would have 0 and 1
    is_text = any(isinstance(cell, str) for column in columns for cell in column[:1])
    return None if is_text else columns


def split_targets(y, name):
    """The columns of `y`; a 1-D `y` is one column.

    Parameters
    ----------
    y : array-like of shape (n_samples,) or (n_samples, n_columns)
    name : str
        Name of `y` in messages.

    Returns
    -------
    columns : list of array-like of shape (n_samples,)

    Raises
    ------
    ValueError
        If rows have different numbers of values.
    """
    if is_frame(y):
        return frame_to_numpy(y)
    if hasattr(y, "__array__") and not is_series(y):
        y = np.asarray(y)
    if isinstance(y, np.ndarray):
        return list(y.T) if y.ndim == 2 else [y]
    is_row = (list, tuple, np.ndarray)
    if isinstance(y, (list, tuple)) and y and all(isinstance(row, is_row) for row in y):
        for row, values in enumerate(y):
            if len(values) != len(y[0]):
                raise ValueError(
                    f"Row {row} of {name} has {counted(len(values), 'value')}, but row 0 has "
                    f"{len(y[0])}."
                )
        return [[values[j] for values in y] for j in range(len(y[0]))]
    return [y]


class CheckedScoreMixin:
    """`score` that raises an error for missing labels. List this mixin before ClassifierMixin."""

    def score(self, X, y, sample_weight=None):
        """Accuracy of `predict`.

        Parameters
        ----------
        X : as in `predict`
        y : array-like of shape (n_samples,) or (n_samples, n_labels)
            The labels. A missing label raises an error. The prediction is wrong for a label that
            `fit` did not see. It is also wrong for a row that cannot be read (``on_error="nan"``),
            unless the label equals `missing`. With several labels for each row, all must be right.
        sample_weight : array-like of shape (n_samples,), default=None

        Returns
        -------
        accuracy : float
        """
        y = self._labels_to_score(y)
        predicted = self.predict(X)  # type: ignore[attr-defined]
        check_consistent_length(predicted, y)
        if predicted.ndim == 2:
            right = (predicted == y).all(axis=1)
        elif predicted.dtype != object:
            return accuracy_score(y, predicted, sample_weight=sample_weight)
        else:  # accuracy_score sorts labels, but `missing` may not be comparable with the others
            right = [not is_missing(p) and p == t for p, t in zip(predicted, y, strict=True)]
        return accuracy_score(np.ones(len(y)), np.array(right, float), sample_weight=sample_weight)

    def _labels_to_score(self, y):
        """Check the labels that `predict` is compared with."""
        return target_column(y, "y")


def _refuse_rounded(cells, y, name):
    """Raise an error if numpy rounded an integer among floats, which could merge two classes."""
    for row in np.flatnonzero(np.abs(y) >= MAX_EXACT_INTEGER):
        cell = cells[row]
        if isinstance(cell, (int, np.integer)) and int(cell) != float(y[row]):
            raise ValueError(
                f"{name} contains floats and, in row {row}, the integer {cell}, which a float "
                "cannot hold exactly: pass only integers, or strings."
            )


def _refuse_missing(y, name, index):
    """Raise an error that names the rows with missing values, and their labels in the index."""
    rows = np.flatnonzero(missing_mask(y)).tolist()
    if rows:
        shown = ", ".join(shown_row(row, index) for row in rows[:_ROWS_SHOWN])
        more = f" and {len(rows) - _ROWS_SHOWN} more" if len(rows) > _ROWS_SHOWN else ""
        raise ValueError(
            f"{name} is missing (NaN or None) in row(s) {shown}{more}: drop these rows."
        )


def labels_of(indices, classes, is_nan, missing):
    """``classes[indices]``, with `missing` in the rows that are NaN.

    Raises
    ------
    ValueError
        If `missing` is not one label.
    """
    if np.ndim(missing):
        raise ValueError(f"missing={brief(missing)} must be one label, or None.")
    fill = np.asarray(missing)
    same_kind = fill.dtype.kind == classes.dtype.kind
    # `missing` counts even if no row is NaN, so that the dtype does not depend on the batch
    dtype = np.result_type(classes, fill) if same_kind else object
    labels = classes.astype(dtype)[indices]
    labels[is_nan] = missing
    return labels
