"""Estimators of scikit-learn that combine the predictions of other estimators.

skl2onnx converts some of them too, but only if it can convert the inner estimators, and if all of
these get the same tensor. Here, the inner estimators may be those of this package.
"""

import numpy as np
from sklearn.ensemble import (
    BaggingClassifier,
    BaggingRegressor,
    StackingClassifier,
    StackingRegressor,
    VotingClassifier,
    VotingRegressor,
)
from sklearn.multiclass import OneVsRestClassifier
from sklearn.multioutput import MultiOutputClassifier, MultiOutputRegressor
from sklearn.semi_supervised import SelfTrainingClassifier

from sklearn_dl.export._classes import (
    class_outputs,
    known_labels,
    probabilities_output,
    several_labels,
)
from sklearn_dl.export._exporter import predicts, transforms
from sklearn_dl.export._graph import ir_type
from sklearn_dl.export._problems import chosen
from sklearn_dl.export._table import Block, Output, Table
from sklearn_dl.export.scikit_learn._decisions import decides, decision, scores

_ONE = np.float64(1)
_INT64 = int(ir_type(np.int64))


@predicts(VotingClassifier)
def _voting_classifier(voting, table, exporter):
    n_classes = len(voting.classes_)
    parts = []
    for name, estimator in _named(voting):
        outputs = exporter.predict(estimator, table, name)
        parts.append(_votes(outputs, voting.voting, n_classes, exporter))
    mean = _weighted_mean(parts, _weights(voting), exporter.graph)
    outputs = class_outputs(mean, np.float64, voting.classes_, exporter)
    if voting.voting == "hard":
        del outputs["probabilities"]
    return outputs


def _votes(outputs, voting, n_classes, exporter):
    """Return the probabilities of a classifier, or 1 for its label: float64 (N, n_classes)."""
    if voting == "soft":
        return exporter.cast(outputs["probabilities"].value, np.float32, np.float64)
    # the classifiers were fitted on the positions of the labels
    label = exporter.graph.Unsqueeze(outputs["label"].value, [1])
    is_voted = exporter.graph.Equal(label, np.arange(n_classes).reshape(1, -1))
    return exporter.cast(is_voted, np.dtype(bool), np.float64)


@predicts(VotingRegressor)
def _voting_regressor(voting, table, exporter):
    parts = [_numbers(estimator, table, exporter, name) for name, estimator in _named(voting)]
    mean = _weighted_mean(parts, _weights(voting), exporter.graph)
    return {"prediction": Output(mean, np.dtype(np.float64), ("N",))}


def _named(ensemble):
    """Return the names and the fitted estimators, without those that were dropped."""
    names = [name for name, estimator in ensemble.estimators if estimator != "drop"]
    return list(zip(names, ensemble.estimators_, strict=True))


def _weights(voting):
    if voting.weights is None:
        return np.ones(len(voting.estimators_))
    pairs = zip(voting.estimators, voting.weights, strict=True)
    return np.array([weight for (_, estimator), weight in pairs if estimator != "drop"], float)


def _weighted_mean(parts, weights, graph):
    weighted = [graph.Mul(part, np.float64(w)) for part, w in zip(parts, weights, strict=True)]
    return graph.Div(graph.Sum(*weighted), np.float64(weights.sum()))


def _numbers(regressor, table, exporter, name=None):
    """The predictions of a regressor, in float64."""
    output = exporter.predict(regressor, table, name)["prediction"]
    return exporter.cast(output.value, output.dtype, np.float64)


@transforms(StackingClassifier, StackingRegressor)
def _stacked(stacking, table, exporter):
    graph = exporter.graph
    blocks = []
    for (name, estimator), method in zip(_named(stacking), stacking.stack_method_, strict=True):
        if method == "predict":
            (output, *_) = exporter.predict(estimator, table, name).values()
            value, dtype, width = graph.Unsqueeze(output.value, [1]), output.dtype, 1
        else:
            # if there are two classes, only one column is kept
            (value, width), _ = scores(estimator, table, exporter, (method,))
            dtype = np.dtype(np.float64)
        blocks.append(Block("columns", dtype, width, value))
    if stacking.passthrough:
        blocks.extend(table.blocks)
    return Table(tuple(blocks))


@predicts(StackingClassifier)
def _stacking_classifier(stacking, table, exporter):
    if isinstance(stacking.classes_, list):
        exporter.refuse("it predicts several labels", "Fit one StackingClassifier for each label.")
    final = stacking.final_estimator_
    outputs = exporter.predict(final, _stacked(stacking, table, exporter), "final_estimator")
    # the final estimator was fitted on the positions of the labels
    classes = known_labels(stacking.classes_, exporter)
    return outputs | {"label": chosen(classes, outputs["label"].value, exporter)}


@predicts(StackingRegressor)
def _stacking_regressor(stacking, table, exporter):
    stacked = _stacked(stacking, table, exporter)
    return exporter.predict(stacking.final_estimator_, stacked, "final_estimator")


@decides(StackingClassifier)
def _stacking_decision(stacking, table, exporter):
    return decision(stacking.final_estimator_, _stacked(stacking, table, exporter), exporter)


@predicts(BaggingClassifier)
def _bagging_classifier(bagging, table, exporter):
    parts = []
    for estimator, part in _bags(bagging, table, exporter):
        outputs = exporter.predict(estimator, part)
        if "probabilities" not in outputs:
            parts.append(_votes(outputs, "hard", bagging.n_classes_, exporter))
            continue
        value = _votes(outputs, "soft", bagging.n_classes_, exporter)
        if len(estimator.classes_) < bagging.n_classes_:
            # a bag may lack some classes; here, `classes_` are positions of labels
            value = exporter.graph.MatMul(value, np.eye(bagging.n_classes_)[estimator.classes_])
        parts.append(value)
    mean = exporter.graph.Div(exporter.graph.Sum(*parts), np.float64(len(parts)))
    return class_outputs(mean, np.float64, bagging.classes_, exporter)


@predicts(BaggingRegressor)
def _bagging_regressor(bagging, table, exporter):
    parts = [_numbers(e, part, exporter) for e, part in _bags(bagging, table, exporter)]
    mean = exporter.graph.Div(exporter.graph.Sum(*parts), np.float64(len(parts)))
    return {"prediction": Output(mean, np.dtype(np.float64), ("N",))}


def _bags(bagging, table, exporter):
    """Yield each estimator with the columns that it gets."""
    table = table._replace(names=None)
    for estimator, columns in zip(bagging.estimators_, bagging.estimators_features_, strict=True):
        yield estimator, exporter.select(table, np.asarray(columns).tolist())


@predicts(MultiOutputClassifier)
def _multi_output_classifier(classifier, table, exporter):
    outputs = [exporter.predict(estimator, table) for estimator in classifier.estimators_]
    return several_labels(outputs, classifier.classes_, exporter)


@predicts(MultiOutputRegressor)
def _multi_output_regressor(regressor, table, exporter):
    graph = exporter.graph
    columns = [_numbers(estimator, table, exporter) for estimator in regressor.estimators_]
    value = graph.Concat(*(graph.Unsqueeze(column, [1]) for column in columns), axis=1)
    return {"prediction": Output(value, np.dtype(np.float64), ("N", len(columns)))}


@predicts(SelfTrainingClassifier)
def _self_training(classifier, table, exporter):
    return exporter.predict(classifier.estimator_, table)


@predicts(OneVsRestClassifier)
def _one_vs_rest(classifier, table, exporter):
    """Predict the class with the highest score, or all labels whose scores reach a threshold."""
    graph = exporter.graph
    given = [scores(estimator, table, exporter) for estimator in classifier.estimators_]
    value = graph.Concat(*(of_class.value for of_class, _ in given), axis=1)
    classes = known_labels(classifier.classes_, exporter)
    if len(given) > 1 and not classifier.multilabel_:
        label = chosen(classes, graph.ArgMax(value, axis=1, keepdims=0), exporter)
    else:
        threshold = 0.5 if given[0][1] == "predict_proba" else 0.0
        reached = graph.Cast(graph.Greater(value, np.float64(threshold)), to=_INT64)
        if classifier.multilabel_:
            label = Output(reached, np.dtype(np.int64), ("N", len(given)))
        else:
            label = chosen(classes, graph.Squeeze(reached, [1]), exporter)
    outputs = {"label": label}
    if hasattr(classifier, "predict_proba"):
        value = _rest_probabilities(classifier, table, exporter)
        outputs["probabilities"] = probabilities_output(value, np.float64, len(classes), exporter)
    return outputs


def _rest_probabilities(classifier, table, exporter):
    graph = exporter.graph
    parts = [
        scores(estimator, table, exporter, ("predict_proba",))[0].value
        for estimator in classifier.estimators_
    ]
    if len(parts) == 1:
        return graph.Concat(graph.Sub(_ONE, parts[0]), parts[0], axis=1)
    value = graph.Concat(*parts, axis=1)
    if classifier.multilabel_:
        return value
    total = graph.ReduceSum(value, [1], keepdims=1)
    return graph.Div(value, graph.Where(graph.Equal(total, np.float64(0)), _ONE, total))
