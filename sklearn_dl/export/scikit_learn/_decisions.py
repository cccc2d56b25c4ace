"""Export the `decision_function` of a classifier that is a part of another classifier.

Functions decorated with `decides` export it for some classifiers; skl2onnx does for many others.
"""

from typing import NamedTuple

import numpy as np
import onnx_ir as ir

_DECISIONS: dict = {}


class Scores(NamedTuple):
    """Numbers for the classes of a classifier.

    Attributes
    ----------
    value : Value
        float64 of shape (N, width).
    width : int
        The number of classes, or 1: the scores of the second of two classes.
    """

    value: ir.Value
    width: int


def decides(*classes):
    """Decorate ``convert(estimator, table, exporter) -> Scores``: its `decision_function`."""

    def register(convert):
        _DECISIONS.update(dict.fromkeys(classes, convert))
        return convert

    return register


def decision(estimator, table, exporter):
    """Add what `decision_function` of a fitted classifier computes.

    Returns
    -------
    scores : Scores
    """
    exporter.path.append(type(estimator).__name__)
    convert = _DECISIONS.get(type(estimator)) or _DECISIONS[object]
    scores = convert(estimator, table, exporter)
    exporter.path.pop()
    return scores


def of_logits(logits, n_classes, exporter):
    """The Scores of float64 logits of shape (N, n_classes)."""
    if n_classes > 2:
        return Scores(logits, n_classes)
    first, second = (exporter.graph.Gather(logits, [k], axis=1) for k in (0, 1))
    return Scores(exporter.graph.Sub(second, first), 1)


def scores(estimator, table, exporter, methods=("decision_function", "predict_proba")):
    """Add the result of a classifier's method: the first one in `methods` that it has.

    Returns
    -------
    scores : Scores
        If there are two classes: the scores of the second one, as scikit-learn uses them.
    method : str
        The name of the method.
    """
    method = next((name for name in methods if hasattr(estimator, name)), None)
    if method is None:
        exporter.refuse(
            f"it has none of the methods {', '.join(methods)}",
            "Replace it by a classifier that has one of them.",
        )
    if method == "decision_function":
        return decision(estimator, table, exporter), method
    output = exporter.predict(estimator, table)["probabilities"]
    value = exporter.cast(output.value, output.dtype, np.float64)
    width = output.shape[1]
    if width == 2:
        value, width = exporter.graph.Gather(value, [1], axis=1), 1
    return Scores(value, width), method
