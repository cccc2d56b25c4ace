"""Composites of scikit-learn. Each of their steps is exported separately."""

import numpy as np
from sklearn.compose import ColumnTransformer, TransformedTargetRegressor
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import GridSearchCV, RandomizedSearchCV
from sklearn.pipeline import FeatureUnion, Pipeline
from sklearn.preprocessing import FunctionTransformer

from sklearn_dl.export._exporter import predicts, transforms
from sklearn_dl.export._labels import keys_to_values
from sklearn_dl.export._table import Block, Table
from sklearn_dl.export.scikit_learn._decisions import decides, decision
from sklearn_dl.labels import LabelKeyMapper
from sklearn_dl.utils._sklearn import HalvingGridSearchCV, HalvingRandomSearchCV

_SEARCHES = (GridSearchCV, RandomizedSearchCV, HalvingGridSearchCV, HalvingRandomSearchCV)


@transforms(Pipeline)
def _pipeline_transform(pipeline, table, exporter):
    return _through(pipeline.steps, table, exporter)


@predicts(Pipeline)
def _pipeline_predict(pipeline, table, exporter):
    *steps, (name, last) = pipeline.steps
    return exporter.predict(last, _through(steps, table, exporter), name)


@decides(Pipeline)
def _pipeline_decision(pipeline, table, exporter):
    *steps, (_, last) = pipeline.steps
    return decision(last, _through(steps, table, exporter), exporter)


def _through(steps, table, exporter):
    """The table after the `transform` of all steps."""
    for name, step in steps:
        if step is not None and step != "passthrough":
            table = exporter.transform(step, table, name)
    return table


@transforms(ColumnTransformer)
def _column_transformer(transformer, table, exporter):
    places = _places(transformer, table, exporter)
    indices = transformer._transformer_to_input_indices
    weights = transformer.transformer_weights or {}
    tables = []
    for name, step, _ in transformer.transformers_:
        # a step without columns is not fitted
        if indices[name] and step != "drop":
            part = exporter.select(table, [places(j) for j in indices[name]])
            if step != "passthrough":
                part = exporter.transform(step, part, name)
            tables.append(_weighted(part, weights.get(name), exporter))
    return _side_by_side(tables, exporter)


def _places(transformer, table, exporter):
    """Return a function that maps a column of the ColumnTransformer's `fit` to one of the table.

    If both have names, the table may have its columns in another order, and more columns.
    """
    fitted = getattr(transformer, "feature_names_in_", None)
    if fitted is None or table.names is None:
        if table.width != transformer.n_features_in_:
            exporter.refuse(
                f"it was fitted on {transformer.n_features_in_} columns, but gets {table.width}",
                "Pass an X_sample with the columns that it was fitted on.",
            )
        return lambda j: j

    def place(j):
        if fitted[j] not in table.names:
            exporter.refuse(
                f"it was fitted on the column {fitted[j]!r}, which X_sample does not have",
                "Pass an X_sample with the columns that it was fitted on.",
            )
        return table.names.index(fitted[j])

    return place


@transforms(FeatureUnion)
def _feature_union(union, table, exporter):
    weights = union.transformer_weights or {}
    tables = []
    for name, step in union.transformer_list:
        if step != "drop":
            made = table if step == "passthrough" else exporter.transform(step, table, name)
            tables.append(_weighted(made, weights.get(name), exporter))
    return _side_by_side(tables, exporter)


def _weighted(table, weight, exporter):
    """Multiply the columns of a table by the weight of their transformer."""
    if weight is None:
        return table
    blocks = []
    for block in table.blocks:
        if block.kind != "columns" or block.dtype == object:
            exporter.refuse(
                "its transformer_weights has a weight for columns that are not numbers",
                "Remove this weight, and fit again.",
            )
        dtype = np.result_type(block.dtype, weight)
        value = exporter.cast(exporter.value(block), block.dtype, dtype)
        value = exporter.graph.Mul(value, np.asarray(weight, dtype))
        blocks.append(Block("columns", dtype, block.width, value))
    return Table(tuple(blocks))


def _side_by_side(tables, exporter):
    if not tables:
        exporter.refuse("none of its transformers returns a column", "Remove it.")
    return Table(tuple(block for table in tables for block in table.blocks))


@transforms(FunctionTransformer)
def _function_transformer(transformer, table, exporter):
    function = transformer.func
    if function is None:
        return table
    owner = getattr(function, "__self__", None)
    if isinstance(owner, LabelKeyMapper) and function == owner.inverse_transform:
        return keys_to_values(owner, table, exporter)
    exporter.refuse(
        "it calls a Python function, which an ONNX file cannot contain",
        "Apply the function before you run the exported model, or use a transformer without a "
        "function.",
    )


@transforms(*_SEARCHES)
def _search_transform(search, table, exporter):
    return exporter.transform(_best(search, exporter), table)


@predicts(*_SEARCHES)
def _search_predict(search, table, exporter):
    return exporter.predict(_best(search, exporter), table)


@decides(*_SEARCHES)
def _search_decision(search, table, exporter):
    return decision(_best(search, exporter), table, exporter)


def _best(search, exporter):
    if not hasattr(search, "best_estimator_"):
        exporter.refuse("it has no best estimator", "Fit it with refit=True.")
    return search.best_estimator_


@transforms(FrozenEstimator)
def _frozen_transform(frozen, table, exporter):
    return exporter.transform(frozen.estimator, table)


@predicts(FrozenEstimator)
def _frozen_predict(frozen, table, exporter):
    return exporter.predict(frozen.estimator, table)


@decides(FrozenEstimator)
def _frozen_decision(frozen, table, exporter):
    return decision(frozen.estimator, table, exporter)


@predicts(TransformedTargetRegressor)
def _transformed_target(regressor, table, exporter):
    if regressor.transformer is not None or regressor.func is not None:
        exporter.refuse(
            "it maps predictions back with a transformer or a function",
            "Export its regressor_ instead, and map the predictions back outside the file.",
        )
    return exporter.predict(regressor.regressor_, table)
