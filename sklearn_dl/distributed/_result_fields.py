"""Names and types of the columns that hold an estimator's results."""

import numpy as np
import pandas as pd
import pyarrow as pa
from scipy.sparse import issparse
from sklearn.pipeline import Pipeline

from sklearn_dl.distributed._arrow import arrow_type, type_of_cells
from sklearn_dl.metrics._entity_tags import ENTITY_DTYPE
from sklearn_dl.text import EntityRecognizer
from sklearn_dl.vision.detection._detector import DetectorMixin

# method -> column of its results; other columns have the method's name without "predict_"
_NAMES = {"predict": "prediction", "transform": "features"}


def classes_of(estimator):
    """The class labels of an estimator, or None if they are not one array."""
    classes = getattr(estimator, "classes_", None)
    return classes if isinstance(classes, np.ndarray) else None


def result_columns(values, method, classes):
    """Split the results of a method into named columns.

    Parameters
    ----------
    values : array-like of shape (n_samples,) or (n_samples, n_outputs)
    method : str
    classes : ndarray or None
        What `classes_of` returns.

    Returns
    -------
    columns : dict of str to ndarray
        One column of lists if `method` is "transform"; otherwise one for each column of `values`.

    Raises
    ------
    TypeError
        If `values` are not a dense array of one or two dimensions.
    """
    shape = getattr(values, "shape", None)
    if shape is None or len(shape) not in (1, 2) or issparse(values):
        what = f"{type(values).__name__} of shape {shape}" if shape else type(values).__name__
        raise TypeError(
            f"{method} returned a {what}. Only dense arrays of one or two dimensions become "
            "columns of a frame."
        )
    array = np.asarray(values)
    name = _NAMES.get(method, method.removeprefix("predict_"))
    if array.ndim == 1 or method == "transform":
        return {name: array}
    is_by_class = method != "predict" and np.shape(classes) == array.shape[1:]
    labels = classes if is_by_class else range(array.shape[1])
    return {f"{name}_{label}": array[:, j] for j, label in enumerate(labels)}


def result_fields(estimator, columns, method, X_sample):
    """Find the names and types of the columns that hold the results of a method.

    Parameters
    ----------
    estimator : estimator
    columns : str or list of str
    method : str
    X_sample : array-like or None

    Returns
    -------
    schema : pyarrow.Schema
        A field is nullable if the results are objects, such as labels that may be missing.

    Raises
    ------
    ValueError
        If `X_sample` is needed, but None.
    """
    compute, classes = getattr(estimator, method), classes_of(estimator)
    of_labels = None
    if method == "predict" and classes is not None:
        of_labels = arrow_type(classes.dtype) or type_of_cells(classes.ravel())
    if X_sample is not None:
        values = compute(X_sample)
    else:
        kind = _type_of_lists(_last(estimator), method, of_labels)
        if kind is not None:
            return pa.schema([pa.field(_NAMES.get(method, method.removeprefix("predict_")), kind)])
        values = _of_no_rows(estimator, columns, method, classes)
    fields = []
    for name, cells in result_columns(values, method, classes).items():
        kind = arrow_type(cells.dtype, of_labels) or type_of_cells(cells.ravel())
        if kind is None:
            raise ValueError(
                f"{method} returns objects, whose type is not known before a row is scored: "
                "pass some rows as X_sample, of which at least one has a result."
            )
        kind = pa.list_(kind) if cells.ndim == 2 else kind
        fields.append(pa.field(name, kind, nullable=cells.dtype == object))
    return pa.schema(fields)


def _last(estimator):
    """The estimator that makes the predictions of a pipeline, or of a search."""
    while True:
        if hasattr(estimator, "best_estimator_"):
            estimator = estimator.best_estimator_
        elif isinstance(estimator, Pipeline):
            estimator = estimator[-1]
        else:
            return estimator


def _type_of_lists(estimator, method, of_labels):
    """The type of results that have a list for each row; None for other results."""
    if isinstance(estimator, DetectorMixin) and method == "predict":
        return pa.list_(arrow_type(estimator._no_detections().dtype, of_labels))
    if isinstance(estimator, EntityRecognizer) and method == "predict":
        return pa.list_(arrow_type(ENTITY_DTYPE))
    if isinstance(estimator, EntityRecognizer) and method == "predict_tags":
        return pa.list_(pa.string())
    return None


def _of_no_rows(estimator, columns, method, classes):
    """What a method returns for X without rows."""
    if isinstance(columns, str):
        X = pd.Series([], name=columns, dtype=object)
    else:
        X = pd.DataFrame(columns=columns, dtype=object)
    try:
        return getattr(estimator, method)(X)
    except ValueError as error:
        # scikit-learn's estimators refuse X without rows; the classes of a classifier are enough
        if "0 sample(s)" not in str(error):
            raise
        seen = getattr(estimator, "feature_names_in_", ()) if X.ndim == 2 else ()
        absent = sorted({*seen} - {*columns})
        if absent:
            raise ValueError(f"columns={columns} lacks {absent}, which fit saw.") from error
        if np.ndim(classes) == 1 and method == "predict":
            return np.empty(0, dtype=classes.dtype)
        if np.ndim(classes) == 1 and method in ("predict_proba", "predict_log_proba"):
            return np.empty((0, len(classes)))
        raise ValueError(
            f"{type(estimator).__name__}.{method} does not accept X without rows, so the type of "
            "its results is not known: pass some rows of the frame as X_sample."
        ) from error
