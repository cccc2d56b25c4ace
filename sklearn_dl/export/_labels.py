"""Export LabelKeyMapper, in both directions, and ScoreClassifier."""

import numpy as np

from sklearn_dl.export._classes import class_outputs, known_labels
from sklearn_dl.export._exporter import predicts, transforms
from sklearn_dl.export._lookup import positions
from sklearn_dl.export._table import Block, Table, columns
from sklearn_dl.export.scikit_learn._decisions import Scores, decides, of_logits
from sklearn_dl.labels import LabelKeyMapper
from sklearn_dl.scoring import ScoreClassifier
from sklearn_dl.scoring._probabilities import column_labels


@transforms(LabelKeyMapper)
def _keys(mapper, table, exporter):
    graph = exporter.graph
    keys = []
    for j, values in enumerate(mapper.keys_):
        _check_kind(exporter.select(table, [j]), values, exporter)
        found = positions(table, j, values, exporter)
        # a cell without a key has the position after the last one, which becomes 0
        key = graph.Mod(graph.Add(found, 1), len(values) + 1)
        keys.append(graph.Unsqueeze(key, [1]))
    return columns(graph.Concat(*keys, axis=1), np.int64, len(keys))


def _check_kind(column, values, exporter):
    """Refuse bools if the mapper was fitted on numbers, and numbers if it was fitted on bools."""
    kinds = {column.blocks[0].dtype.kind, values.dtype.kind}
    if "b" in kinds and kinds & set("iuf"):
        maps, gets = ("bools", "numbers") if values.dtype.kind == "b" else ("numbers", "bools")
        exporter.refuse(
            f"it maps {maps}, but gets {gets}",
            "Pass an X_sample whose columns have the types that it was fitted on.",
        )


def keys_to_values(mapper, table, exporter):
    """The table of `LabelKeyMapper.inverse_transform`.

    ONNX has no missing strings and no missing bools. Among strings, the key 0 becomes the empty
    string; among bools, it is an error. Integers become float64, so that the key 0 can become NaN.
    """
    graph = exporter.graph
    blocks = []
    for j, values in enumerate(mapper.keys_):
        key, _ = exporter.concatenated(exporter.select(table, [j]), np.dtype(np.int64))
        known = known_labels(values, exporter)
        if known.dtype == bool:
            key = graph.Sub(key, 1)
        else:
            known = np.insert(known, 0, "") if known.dtype.kind == "O" else np.append(np.nan, known)
        # Gather raises an error for positions after the last, but not for -1
        key = graph.Where(graph.Less(key, 0), len(known), key)
        blocks.append(Block("columns", known.dtype, 1, graph.Gather(known, key, axis=0)))
    return Table(tuple(blocks))


@predicts(ScoreClassifier)
def _score_classifier(classifier, table, exporter):
    value, dtype, columns = _scores(classifier, table, exporter)
    value = _probabilities(value, table.width == 1, dtype, classifier.activation, exporter.graph)
    value = exporter.graph.Gather(value, columns.order, axis=1)
    return class_outputs(value, dtype, columns.labels[columns.order], exporter)


@decides(ScoreClassifier)
def _decision(classifier, table, exporter):
    graph = exporter.graph
    value, dtype, columns = _scores(classifier, table, exporter)
    value = exporter.cast(value, dtype, np.float64)
    if table.width == 1:
        if classifier.activation is None:
            value = graph.Sub(value, np.float64(0.5))
        return Scores(value if columns.order[1] == 1 else graph.Neg(value), 1)
    value = graph.Gather(value, columns.order, axis=1)
    return of_logits(value, len(columns.order), exporter)


def _scores(classifier, table, exporter):
    """Return one score for each label as a Value, its dtype, and the ColumnLabels."""
    if classifier.on_error == "nan":
        exporter.refuse(
            'on_error="nan" returns missing labels, which ONNX does not have',
            'Call set_params(on_error="raise"). It need not be fitted again.',
        )
    given = classifier.classes_ if classifier.classes is None else classifier.classes
    columns = column_labels(given, classifier)
    value, dtype = exporter.concatenated(table)
    wanted = np.dtype(np.float32 if dtype in (np.float16, np.float32) else np.float64)
    value = exporter.cast(value, dtype, wanted)
    if columns.positions is not None:
        value = _joined(value, columns.positions, classifier.activation, exporter.graph)
    return value, wanted, columns


def _joined(scores, places, activation, graph):
    """Join columns of scores of the same label. `places` is the label of each column."""
    reduce = {
        "softmax": graph.ReduceLogSumExp,
        "sigmoid": graph.ReduceMax,
        None: graph.ReduceSum,
    }[activation]
    parts = []
    for place in range(places.max() + 1):
        of_label = graph.Gather(scores, np.flatnonzero(places == place), axis=1)
        parts.append(reduce(of_label, [1], keepdims=1))
    return graph.Concat(*parts, axis=1)


def _probabilities(scores, is_one_column, dtype, activation, graph):
    """Compute what `scoring._probabilities.probabilities` computes."""
    zero, one = dtype.type(0), dtype.type(1)
    if activation is None:
        if is_one_column:
            scores = graph.Concat(graph.Sub(one, scores), scores, axis=1)
        scores = graph.Clip(scores, zero, one)
        return graph.Div(scores, graph.ReduceSum(scores, [1], keepdims=1))
    if activation == "sigmoid":
        if is_one_column:
            scores = graph.Concat(graph.Sub(scores, scores), scores, axis=1)
        else:  # the logarithm of the sigmoid
            rest = graph.Log(graph.Add(one, graph.Exp(graph.Neg(graph.Abs(scores)))))
            scores = graph.Sub(graph.Min(scores, zero), rest)
    return graph.Softmax(scores, axis=1)
