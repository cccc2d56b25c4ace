"""Decision trees, forests and histogram gradient boosting.

skl2onnx converts most of them too. But its files do not load for float64, it forgets where the
missing values of a node go, and sums of rounded shares break ties in another way. The trees here
compare and add in float64, as scikit-learn does.
"""

from typing import NamedTuple

import numpy as np
import onnx
from sklearn.ensemble import (
    ExtraTreesClassifier,
    ExtraTreesRegressor,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.tree import (
    DecisionTreeClassifier,
    DecisionTreeRegressor,
    ExtraTreeClassifier,
    ExtraTreeRegressor,
)

from sklearn_dl.export._classes import class_outputs, several_labels
from sklearn_dl.export._decisions import Scores, decides
from sklearn_dl.export._exporter import predicts
from sklearn_dl.export._graph import ML
from sklearn_dl.export._table import Output


class _Tree(NamedTuple):
    """The nodes of a tree: arrays with one row for each node."""

    left: np.ndarray
    right: np.ndarray
    feature: np.ndarray
    threshold: np.ndarray
    missing_left: np.ndarray
    is_leaf: np.ndarray
    values: np.ndarray  # (n_nodes, n_targets), NaN where a leaf adds nothing to a target


@predicts(DecisionTreeClassifier, ExtraTreeClassifier, ExtraTreesClassifier, RandomForestClassifier)
def _classifier(classifier, table, exporter):
    mean, n_targets = _mean(classifier, table, exporter)
    if classifier.n_outputs_ == 1:
        return class_outputs(mean, np.float64, classifier.classes_, exporter)
    # the outputs have the same number of columns: that of the largest number of classes
    width = n_targets // classifier.n_outputs_
    outputs = []
    for j, classes in enumerate(classifier.classes_):
        columns = exporter.graph.Gather(mean, range(j * width, j * width + len(classes)), axis=1)
        outputs.append(class_outputs(columns, np.float64, classes, exporter))
    return several_labels(outputs, classifier.classes_, exporter)


@predicts(DecisionTreeRegressor, ExtraTreeRegressor, ExtraTreesRegressor, RandomForestRegressor)
def _regressor(regressor, table, exporter):
    mean, n_targets = _mean(regressor, table, exporter)
    return _prediction(mean, n_targets, exporter)


def _mean(estimator, table, exporter):
    """The mean of the values of all trees, float64 of shape (N, n_targets), and n_targets."""
    trees = [_tree(each.tree_) for each in getattr(estimator, "estimators_", [estimator])]
    value, _ = exporter.concatenated(table, np.dtype(np.float32))
    value = exporter.cast(value, np.float32, np.float64)
    # the sum is divided after it: shares of 1 / n_trees would not add up to equal numbers
    return exporter.graph.Div(_sum(trees, value, exporter), np.float64(len(trees))), trees[
        0
    ].values.shape[1]


def _tree(tree):
    is_leaf = tree.children_left < 0
    values = tree.value.reshape(tree.node_count, -1)
    return _Tree(
        tree.children_left,
        tree.children_right,
        tree.feature,
        tree.threshold,
        tree.missing_go_to_left,
        is_leaf,
        values,
    )


@predicts(HistGradientBoostingClassifier)
def _boosted_classifier(classifier, table, exporter):
    graph, one, raw = exporter.graph, np.float64(1), _raw(classifier, table, exporter)
    if len(classifier.classes_) == 2:
        # an operator Sigmoid of float64 is missing in some builds of ONNX Runtime
        positive = graph.Div(one, graph.Add(graph.Exp(graph.Neg(raw)), one))
        probabilities = graph.Concat(graph.Sub(one, positive), positive, axis=1)
    else:
        probabilities = graph.Softmax(raw, axis=1)
    return class_outputs(probabilities, np.float64, classifier.classes_, exporter)


@decides(HistGradientBoostingClassifier)
def _boosted_decision(classifier, table, exporter):
    return Scores(_raw(classifier, table, exporter), classifier.n_trees_per_iteration_)


@predicts(HistGradientBoostingRegressor)
def _boosted_regressor(regressor, table, exporter):
    raw = _raw(regressor, table, exporter)
    if regressor.loss in ("gamma", "poisson"):  # their link is the logarithm
        raw = exporter.graph.Exp(raw)
    return _prediction(raw, 1, exporter)


def _raw(estimator, table, exporter):
    """The sum of the baseline and all trees, float64 of shape (N, n_trees_per_iteration_)."""
    if estimator.is_categorical_ is not None:
        exporter.refuse(
            "it splits by categories, which trees of ONNX cannot do",
            "Fit it with categorical_features=None on columns from an OrdinalEncoder.",
        )
    trees = []
    for iteration in estimator._predictors:
        for target, predictor in enumerate(iteration):
            nodes = predictor.nodes
            values = np.full((len(nodes), len(iteration)), np.nan)
            values[:, target] = nodes["value"]
            trees.append(
                _Tree(
                    nodes["left"],
                    nodes["right"],
                    nodes["feature_idx"],
                    nodes["num_threshold"],
                    nodes["missing_go_to_left"],
                    nodes["is_leaf"].astype(bool),
                    values,
                )
            )
    value, _ = exporter.concatenated(table, np.dtype(np.float64))
    return exporter.graph.Add(
        _sum(trees, value, exporter), estimator._baseline_prediction.reshape(1, -1)
    )


def _sum(trees, value, exporter):
    """The sum of the values of all trees, for a Value of float64: float64 (N, n_targets)."""
    sizes = [len(tree.left) for tree in trees]
    ids = np.repeat(np.arange(len(trees)), sizes)
    nodes = np.concatenate([np.arange(size) for size in sizes])
    all_nodes = _Tree(*(np.concatenate(arrays) for arrays in zip(*trees, strict=True)))
    inner = ~all_nodes.is_leaf
    rows, targets = np.nonzero(all_nodes.is_leaf[:, None] & ~np.isnan(all_nodes.values))
    thresholds = np.where(inner, all_nodes.threshold, 0)
    total = exporter.graph.node(
        "TreeEnsembleRegressor",
        value,
        domain=ML,
        n_targets=all_nodes.values.shape[1],
        nodes_treeids=ids.tolist(),
        nodes_nodeids=nodes.tolist(),
        nodes_featureids=np.where(inner, all_nodes.feature, 0).tolist(),
        nodes_modes=np.where(inner, "BRANCH_LEQ", "LEAF").tolist(),
        nodes_truenodeids=np.where(inner, all_nodes.left, 0).tolist(),
        nodes_falsenodeids=np.where(inner, all_nodes.right, 0).tolist(),
        nodes_missing_value_tracks_true=(inner & (all_nodes.missing_left != 0))
        .astype(int)
        .tolist(),
        nodes_values_as_tensor=_tensor(thresholds),
        target_treeids=ids[rows].tolist(),
        target_nodeids=nodes[rows].tolist(),
        target_ids=targets.tolist(),
        target_weights_as_tensor=_tensor(all_nodes.values[rows, targets]),
    )
    return exporter.cast(total, np.float32, np.float64)


def _tensor(numbers):
    return onnx.numpy_helper.from_array(np.asarray(numbers, np.float64))


def _prediction(value, n_targets, exporter):
    """The Output of a regressor with one or several targets."""
    shape = ("N",) if n_targets == 1 else ("N", n_targets)
    value = exporter.graph.Reshape(value, [-1, *shape[1:]])
    return {"prediction": Output(value, np.dtype(np.float64), shape)}
