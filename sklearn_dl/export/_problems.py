"""Export problems, which turn the outputs of a head into predictions.

A new kind of problem adds one function, decorated with `predictions_of`.
"""

import numpy as np

from sklearn_dl.export._table import Output
from sklearn_dl.text._cosines import Cosines, Similarities
from sklearn_dl.training._classes import Classes
from sklearn_dl.training._labels import Labels
from sklearn_dl.training._numbers import Numbers

_PREDICTIONS: dict = {}


def predictions_of(*problems):
    """Decorate ``convert(problem, outputs, exporter) -> dict of Output``."""

    def register(convert):
        _PREDICTIONS.update(dict.fromkeys(problems, convert))
        return convert

    return register


def predictions(problem, outputs, exporter):
    """Add the predictions of a fitted problem to the graph.

    Parameters
    ----------
    problem : Problem
    outputs : Value
        What the head computes, float64 of shape (N, n_outputs).
    exporter : Exporter

    Returns
    -------
    made : dict of str to Output
    """
    return _PREDICTIONS[type(problem)](problem, outputs, exporter)


@predictions_of(Classes)
def classes(problem, outputs, exporter):
    """Softmax, and the most probable class."""
    graph = exporter.graph
    return {
        "label": chosen(problem.classes, graph.ArgMax(outputs, axis=1, keepdims=0), exporter),
        "probabilities": _probabilities(graph.Softmax(outputs, axis=1), problem, exporter),
    }


@predictions_of(Labels)
def labels(problem, outputs, exporter):
    """For each label, whether its logit is positive, and the sigmoid of the logit."""
    graph, values = exporter.graph, problem.classes
    dtype = _dtype(values.dtype)
    is_positive = graph.Greater(outputs, np.float64(0))
    shape = ("N", len(values))
    # an operator Sigmoid of float64 is missing in some builds of ONNX Runtime
    expit = graph.Div(np.float64(1), graph.Add(graph.Exp(graph.Neg(outputs)), np.float64(1)))
    return {
        "label": Output(exporter.cast(is_positive, np.dtype(bool), dtype), dtype, shape),
        "probabilities": _probabilities(expit, problem, exporter),
    }


@predictions_of(Numbers, Similarities, Cosines)
def numbers(problem, outputs, exporter):
    """The outputs, converted to the units of y."""
    graph = exporter.graph
    value = graph.Add(
        graph.Mul(outputs, np.asarray(problem.slope, np.float64)),
        np.asarray(problem.intercept, np.float64),
    )
    shape: tuple = ("N", problem.n_outputs)
    if problem.n_outputs is None:
        value, shape = graph.Squeeze(value, [1]), ("N",)
    value = exporter.cast(value, np.dtype(np.float64), np.float32)
    return {"prediction": Output(value, np.dtype(np.float32), shape)}


def chosen(classes, positions, exporter):
    """The Output `label`: the class at each position.

    Parameters
    ----------
    classes : ndarray of shape (n_classes,)
        str, int, float or bool.
    positions : Value
        int64 of shape (N,).
    exporter : Exporter
    """
    dtype = _dtype(classes.dtype)
    return Output(exporter.graph.Gather(classes.astype(dtype), positions, axis=0), dtype, ("N",))


def _dtype(dtype):
    """The dtype that labels of a dtype have in the file: str, bool, int64 or float64."""
    of_kind = {"b": bool, "i": np.int64, "u": np.int64, "f": np.float64}
    return np.dtype(of_kind.get(dtype.kind, object))


def _probabilities(value, problem, exporter):
    value = exporter.cast(value, np.dtype(np.float64), np.float32)
    return Output(value, np.dtype(np.float32), ("N", len(problem.classes)))
