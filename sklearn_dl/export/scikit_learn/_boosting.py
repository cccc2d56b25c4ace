"""Gradient boosting.

skl2onnx is not used: it cannot convert histogram gradient boosting with onnx 1.23, and it adds
trees in float32.
"""

import numpy as np
from sklearn.ensemble import (
    GradientBoostingClassifier,
    GradientBoostingRegressor,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
)

from sklearn_dl.export._classes import class_outputs, known_labels
from sklearn_dl.export._exporter import predicts
from sklearn_dl.export._graph import ir_type
from sklearn_dl.export._problems import chosen
from sklearn_dl.export.scikit_learn._decisions import Scores, decides
from sklearn_dl.export.scikit_learn._trees import Tree, prediction, rounded, tree_of, tree_sum


@predicts(HistGradientBoostingClassifier)
def _histogram_classifier(classifier, table, exporter):
    raw = _histogram_raw(classifier, table, exporter)
    return _class_outputs(raw, classifier.classes_, exporter)


@predicts(GradientBoostingClassifier)
def _classifier(classifier, table, exporter):
    graph, classes = exporter.graph, classifier.classes_
    raw = _raw(classifier, table, exporter)
    if len(classes) > 2:
        return _class_outputs(raw, classes, exporter)
    # if both are equal, the second class is predicted
    reached = graph.Squeeze(graph.GreaterOrEqual(raw, np.float64(0)), [1])
    place = graph.Cast(reached, to=int(ir_type(np.int64)))
    logits = graph.Mul(raw, np.float64(2)) if classifier.loss == "exponential" else raw
    label = chosen(known_labels(classes, exporter), place, exporter)
    return _class_outputs(logits, classes, exporter) | {"label": label}


def _class_outputs(raw, classes, exporter):
    """The outputs for the logits of all classes, or for the logit of the second of two classes."""
    graph, one = exporter.graph, np.float64(1)
    if len(classes) == 2:
        # an operator Sigmoid of float64 is missing in some builds of ONNX Runtime
        positive = graph.Div(one, graph.Add(graph.Exp(graph.Neg(raw)), one))
        probabilities = graph.Concat(graph.Sub(one, positive), positive, axis=1)
    else:
        probabilities = graph.Softmax(raw, axis=1)
    return class_outputs(probabilities, np.dtype(np.float64), classes, exporter)


@decides(HistGradientBoostingClassifier)
def _histogram_decision(classifier, table, exporter):
    return Scores(_histogram_raw(classifier, table, exporter), classifier.n_trees_per_iteration_)


@decides(GradientBoostingClassifier)
def _decision(classifier, table, exporter):
    return Scores(_raw(classifier, table, exporter), classifier.n_trees_per_iteration_)


@predicts(HistGradientBoostingRegressor)
def _histogram_regressor(regressor, table, exporter):
    raw = _histogram_raw(regressor, table, exporter)
    if regressor.loss in ("gamma", "poisson"):  # their link function is the logarithm
        raw = exporter.graph.Exp(raw)
    return prediction(raw, 1, exporter)


@predicts(GradientBoostingRegressor)
def _regressor(regressor, table, exporter):
    return prediction(_raw(regressor, table, exporter), 1, exporter)


def _histogram_raw(estimator, table, exporter):
    """The sum of the baseline and all trees, float64 of shape (N, n_trees_per_iteration_)."""
    if estimator.is_categorical_ is not None:
        exporter.refuse(
            "it splits by categories, which trees of ONNX cannot do",
            "Fit it with categorical_features=None on columns from an OrdinalEncoder.",
        )
    trees = [
        _histogram_tree(predictor.nodes, target, len(iteration))
        for iteration in estimator._predictors
        for target, predictor in enumerate(iteration)
    ]
    value, _ = exporter.concatenated(table, np.dtype(np.float64))
    total = tree_sum(trees, value, exporter)
    return exporter.graph.Add(total, estimator._baseline_prediction.reshape(1, -1))


def _histogram_tree(nodes, target, n_targets):
    return Tree(
        nodes["left"],
        nodes["right"],
        nodes["feature_idx"],
        nodes["num_threshold"],
        nodes["missing_go_to_left"],
        nodes["is_leaf"].astype(bool),
        _for_target(nodes["value"], target, n_targets),
    )


def _raw(estimator, table, exporter):
    """As `_histogram_raw`, for GradientBoostingClassifier and GradientBoostingRegressor."""
    if estimator.init not in (None, "zero"):
        exporter.refuse(
            "it starts from the predictions of another estimator (`init`)",
            "Fit it with init=None or init='zero'.",
        )
    trees = [
        tree_of(
            each.tree_,
            _for_target(each.tree_.value.ravel() * estimator.learning_rate, target, len(iteration)),
        )
        for iteration in estimator.estimators_
        for target, each in enumerate(iteration)
    ]
    start = estimator._raw_predict_init(np.zeros((1, estimator.n_features_in_), np.float32))
    return exporter.graph.Add(tree_sum(trees, rounded(table, exporter), exporter), start)


def _for_target(values, target, n_targets):
    """Values of nodes as in `Tree`, for one of several targets."""
    made = np.full((len(values), n_targets), np.nan)
    made[:, target] = values
    return made
