"""Decision trees and forests.

skl2onnx converts most of them too, but it has three faults: its models do not load for float64, it
ignores to which side missing values go, and it sums rounded shares, so that ties break in another
way. The trees here compare and add in float64, as scikit-learn does.
"""

from typing import NamedTuple

import numpy as np
import onnx
from sklearn.ensemble import (
    ExtraTreesClassifier,
    ExtraTreesRegressor,
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
from sklearn_dl.export._exporter import predicts
from sklearn_dl.export._graph import ML
from sklearn_dl.export._table import Output


class Tree(NamedTuple):
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
    # all outputs have the same number of columns: the largest number of classes
    width = n_targets // classifier.n_outputs_
    outputs = []
    for j, classes in enumerate(classifier.classes_):
        columns = exporter.graph.Gather(mean, range(j * width, j * width + len(classes)), axis=1)
        outputs.append(class_outputs(columns, np.float64, classes, exporter))
    return several_labels(outputs, classifier.classes_, exporter)


@predicts(DecisionTreeRegressor, ExtraTreeRegressor, ExtraTreesRegressor, RandomForestRegressor)
def _regressor(regressor, table, exporter):
    mean, n_targets = _mean(regressor, table, exporter)
    return prediction(mean, n_targets, exporter)


def _mean(estimator, table, exporter):
    """The mean of the values of all trees, float64 of shape (N, n_targets), and n_targets."""
    trees = [
        tree_of(each.tree_, each.tree_.value.reshape(each.tree_.node_count, -1))
        for each in getattr(estimator, "estimators_", [estimator])
    ]
    total = tree_sum(trees, rounded(table, exporter), exporter)
    # divide the sum, not the shares: shares of 1 / n_trees would not add up to equal numbers
    return exporter.graph.Div(total, np.float64(len(trees))), trees[0].values.shape[1]


def rounded(table, exporter):
    """Return the table as a Value of float64, rounded to float32, as trees compare it."""
    value, _ = exporter.concatenated(table, np.dtype(np.float32))
    return exporter.cast(value, np.float32, np.float64)


def tree_of(tree, values):
    """Return the Tree of a `tree_` of scikit-learn, with these values."""
    return Tree(
        tree.children_left,
        tree.children_right,
        tree.feature,
        tree.threshold,
        tree.missing_go_to_left,
        tree.children_left < 0,
        values,
    )


def tree_sum(trees, value, exporter):
    """The sum of the values of all trees.

    Parameters
    ----------
    trees : list of Tree
    value : Value
        float64 of shape (N, n_features).
    exporter : Exporter

    Returns
    -------
    total : Value
        float64 of shape (N, n_targets); ONNX Runtime rounds it to float32.
    """
    sizes = [len(tree.left) for tree in trees]
    ids = np.repeat(np.arange(len(trees)), sizes)
    nodes = np.concatenate([np.arange(size) for size in sizes])
    all_nodes = Tree(*(np.concatenate(arrays) for arrays in zip(*trees, strict=True)))
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


def prediction(value, n_targets, exporter):
    """The Output of a regressor with one or several targets."""
    shape = ("N",) if n_targets == 1 else ("N", n_targets)
    value = exporter.graph.Reshape(value, [-1, *shape[1:]])
    return {"prediction": Output(value, np.dtype(np.float64), shape)}
