"""Selection of columns, and imputation of missing numbers."""

import numpy as np
from sklearn.feature_selection import (
    RFE,
    RFECV,
    GenericUnivariateSelect,
    SelectFdr,
    SelectFpr,
    SelectFromModel,
    SelectFwe,
    SelectKBest,
    SelectPercentile,
    SequentialFeatureSelector,
    VarianceThreshold,
)
from sklearn.impute import SimpleImputer

from sklearn_dl.export._exporter import predicts, transforms
from sklearn_dl.export._table import columns
from sklearn_dl.utils._columns import is_missing


@transforms(
    GenericUnivariateSelect,
    RFE,
    RFECV,
    SelectFdr,
    SelectFpr,
    SelectFromModel,
    SelectFwe,
    SelectKBest,
    SelectPercentile,
    SequentialFeatureSelector,
    VarianceThreshold,
)
def _selected(selector, table, exporter):
    kept = selector.get_support(indices=True).tolist()
    if not kept:
        exporter.refuse("it selects no column", "Remove it, or select at least one column.")
    return exporter.select(table._replace(names=None), kept)


@predicts(RFE, RFECV)
def _selected_prediction(selector, table, exporter):
    return exporter.predict(selector.estimator_, _selected(selector, table, exporter))


@transforms(SimpleImputer)
def _imputed(imputer, table, exporter):
    """Replace missing numbers by statistics, and add the imputer's indicator if it has one."""
    value, dtype = exporter.concatenated(table)
    if dtype.kind == "O":
        exporter.refuse(
            "it gets strings, which are never missing in ONNX",
            "Remove it, and replace missing strings before they enter the exported model.",
        )
    if dtype.kind in "biu" and imputer.strategy in ("mean", "median"):
        value, dtype = exporter.cast(value, dtype, np.float64), np.dtype(np.float64)
    graph = exporter.graph
    missing = _missing(value, dtype, imputer, exporter)
    # a column without values in `fit` has no statistic, and is left out
    kept = [j for j, number in enumerate(imputer.statistics_) if not is_missing(number)]
    fill = np.asarray(imputer.statistics_)[kept].astype(dtype).reshape(1, -1)
    parts = [
        graph.Where(graph.Gather(missing, kept, axis=1), fill, graph.Gather(value, kept, axis=1))
    ]
    width = len(kept)
    if imputer.add_indicator:
        marked = imputer.indicator_.features_
        marks = graph.Gather(missing, marked.astype(np.int64), axis=1)
        parts.append(exporter.cast(marks, np.dtype(bool), dtype))
        width += len(marked)
    return columns(graph.Concat(*parts, axis=1), dtype, width)


def _missing(value, dtype, imputer, exporter):
    """Which cells are missing: a Value of bool."""
    if not is_missing(imputer.missing_values):
        return exporter.graph.Equal(value, np.asarray(imputer.missing_values, dtype))
    if dtype.kind != "f":
        value = exporter.cast(value, dtype, np.float32)
    return exporter.graph.IsNaN(value)
