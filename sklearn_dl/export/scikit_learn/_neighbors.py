"""Nearest neighbours by the Euclidean distance.

skl2onnx is used only for other metrics: it compares a row with the training rows one after the
other, and its weights for ``weights="distance"`` are wrong.
"""

import numpy as np
from scipy.sparse import issparse
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor

from sklearn_dl.export._classes import class_outputs, several_labels
from sklearn_dl.export._exporter import predicts
from sklearn_dl.export._table import Output
from sklearn_dl.export.scikit_learn._sklearn import predictions


@predicts(KNeighborsClassifier)
def _classifier(classifier, table, exporter):
    if classifier.effective_metric_ not in ("euclidean", "l2"):
        return predictions(classifier, table, exporter)
    places, weights = _neighbors(classifier, table, exporter)
    y = classifier._y.reshape(len(classifier._y), -1)
    several = classifier.outputs_2d_
    outputs = []
    for j, classes in enumerate(classifier.classes_ if several else [classifier.classes_]):
        is_class = np.eye(len(classes))[y[:, j]]
        shares = _weighted_mean(is_class, places, weights, exporter.graph)
        outputs.append(class_outputs(shares, np.float64, classes, exporter))
    return several_labels(outputs, classifier.classes_, exporter) if several else outputs[0]


@predicts(KNeighborsRegressor)
def _regressor(regressor, table, exporter):
    if regressor.effective_metric_ not in ("euclidean", "l2"):
        return predictions(regressor, table, exporter)
    places, weights = _neighbors(regressor, table, exporter)
    y = regressor._y.reshape(len(regressor._y), -1).astype(np.float64)
    mean = _weighted_mean(y, places, weights, exporter.graph)
    shape = ("N", *regressor._y.shape[1:])
    mean = exporter.graph.Reshape(mean, [-1, *shape[1:]])
    return {"prediction": Output(mean, np.dtype(np.float64), shape)}


def _neighbors(estimator, table, exporter):
    """The positions of the neighbours, int64 of shape (N, k), and their weights in float64."""
    if estimator.weights not in ("uniform", "distance"):
        exporter.refuse(
            "its weights are a Python function, which an ONNX file cannot contain",
            "Use weights='uniform' or weights='distance'.",
        )
    graph = exporter.graph
    known = estimator._fit_X
    known = np.asarray(known.toarray() if issparse(known) else known, np.float64)
    # without centering, differences of large numbers would lose digits
    center = known.mean(axis=0)
    known = known - center
    value, _ = exporter.concatenated(table, np.dtype(np.float64))
    value = graph.Sub(value, center)
    products = graph.MatMul(value, -2 * known.T)
    # the square of the row itself does not change the order
    closeness = graph.Add(products, (known**2).sum(axis=1))
    _, places = graph.TopK(
        closeness, [estimator.n_neighbors], largest=0, axis=1, sorted=1, n_outputs=2
    )
    if estimator.weights == "uniform":
        return places, None
    differences = graph.Sub(graph.Unsqueeze(value, [1]), graph.Gather(known, places, axis=0))
    distances = graph.Sqrt(graph.ReduceSum(graph.Mul(differences, differences), [2], keepdims=0))
    # if a row equals some training rows, only these are its neighbours
    is_equal = graph.Equal(distances, np.float64(0))
    is_equal_number = exporter.cast(is_equal, np.dtype(bool), np.float64)
    any_equal = graph.Greater(graph.ReduceSum(is_equal_number, [1], keepdims=1), np.float64(0))
    positive = graph.Where(is_equal, np.float64(1), distances)
    return places, graph.Where(any_equal, is_equal_number, graph.Reciprocal(positive))


def _weighted_mean(y, places, weights, graph):
    """The weighted mean of the rows of y of the neighbours: a Value of shape (N, n_columns)."""
    of_neighbors = graph.Gather(y, places, axis=0)
    if weights is None:
        return graph.ReduceMean(of_neighbors, [1], keepdims=0)
    total = graph.ReduceSum(graph.Mul(of_neighbors, graph.Unsqueeze(weights, [2])), [1], keepdims=0)
    return graph.Div(total, graph.ReduceSum(weights, [1], keepdims=1))
