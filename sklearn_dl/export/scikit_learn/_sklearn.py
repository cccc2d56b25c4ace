"""Export single estimators of scikit-learn with skl2onnx.

It is used for all estimators that no other function in this folder exports. Estimators of other
packages are exported in the same way, if the user registered a converter with skl2onnx.
"""

import copy
from typing import NamedTuple

import numpy as np
import onnx_ir as ir
import skl2onnx
from sklearn.base import is_regressor
from sklearn.cluster import KMeans, MiniBatchKMeans
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.ensemble import IsolationForest, RandomTreesEmbedding
from sklearn.linear_model import SGDClassifier
from sklearn.preprocessing import KBinsDiscretizer, MaxAbsScaler
from sklearn.svm import SVC, NuSVC

from sklearn_dl.export._classes import (
    class_outputs,
    known_labels,
    probabilities_output,
)
from sklearn_dl.export._exporter import predicts, transforms
from sklearn_dl.export._graph import ir_type
from sklearn_dl.export._problems import chosen
from sklearn_dl.export._table import Output, columns
from sklearn_dl.export.scikit_learn._decisions import Scores, decides, decision
from sklearn_dl.export.scikit_learn._skl2onnx import converted, known_options

# these estimators cast X to float32
_TREES = (IsolationForest, RandomTreesEmbedding)
# skl2onnx refuses these values of a parameter, which only choose a sparse result
_SPARSE = (
    (KBinsDiscretizer, "encode", "onehot", "onehot-dense"),
    (RandomTreesEmbedding, "sparse_output", True, False),
)
# their `transform` is the second output of skl2onnx
_DISTANCES = (KMeans, MiniBatchKMeans)
_INT64 = int(ir_type(np.int64))
# values of parameters that skl2onnx ignores silently
_LEFT_OUT = (
    (MaxAbsScaler, "clip", True),
    (SVC, "break_ties", True),
    (NuSVC, "break_ties", True),
)


class _Result(NamedTuple):
    """One output of skl2onnx."""

    value: ir.Value
    dtype: np.dtype
    expected: np.ndarray  # what scikit-learn returns for a few rows


@transforms(object)
def _transform(estimator, table, exporter):
    if hasattr(estimator, "predict") and not isinstance(estimator, _DISTANCES):
        exporter.refuse(
            "it is used as a transformer, but skl2onnx converts only its `predict`",
            "Replace it by a transformer that has no `predict`.",
        )
    position = int(isinstance(estimator, _DISTANCES))
    (made,) = _added(_dense(estimator), {"transform": position}, table, exporter)
    expected = made.expected
    value = exporter.cast(made.value, made.dtype, expected.dtype)
    return columns(value, expected.dtype, expected.shape[1])


def _dense(estimator):
    """Return the estimator, with the parameters changed so that its output is not sparse."""
    for cls, name, sparse, dense in _SPARSE:
        if isinstance(estimator, cls) and getattr(estimator, name) == sparse:
            estimator = copy.copy(estimator)
            setattr(estimator, name, dense)
    return estimator


@predicts(object)
def predictions(estimator, table, exporter):
    """The outputs of a classifier, regressor or clusterer, as skl2onnx converts it."""
    methods = {"predict": 0}
    if hasattr(estimator, "predict_proba"):
        methods["predict_proba"] = 1
    # without this option, skl2onnx converts classifiers without probabilities to float32 only
    raw = len(methods) == 1 and "raw_scores" in known_options(estimator)
    options = {"raw_scores": True} if raw else {}
    predicted, *probabilities = _added(estimator, methods, table, exporter, **options)
    shape = predicted.expected.shape
    value = exporter.graph.Reshape(predicted.value, [-1, *shape[1:]])
    shape = ("N", *shape[1:])
    if is_regressor(estimator):
        return {"prediction": Output(value, predicted.dtype, shape)}
    # skl2onnx converts all labels that are numbers to integers
    dtype = known_labels(predicted.expected.ravel()[:1], exporter).dtype
    outputs = {"label": Output(exporter.cast(value, predicted.dtype, dtype), dtype, shape)}
    for made in probabilities:
        n_classes = made.expected.shape[1]
        outputs["probabilities"] = probabilities_output(made.value, made.dtype, n_classes, exporter)
    return outputs


@predicts(SGDClassifier)
def _sgd(classifier, table, exporter):
    graph = exporter.graph
    value, width = decision(classifier, table, exporter)
    # skl2onnx computes labels from probabilities, which tie when they are 0 or 1
    if width == 1:
        place = graph.Cast(graph.Greater(graph.Squeeze(value, [1]), np.float64(0)), to=_INT64)
    else:
        place = graph.ArgMax(value, axis=1, keepdims=0)
    outputs = {"label": chosen(known_labels(classifier.classes_, exporter), place, exporter)}
    if hasattr(classifier, "predict_proba"):
        (made,) = _added(classifier, {"predict_proba": 1}, table, exporter)
        n = len(classifier.classes_)
        outputs["probabilities"] = probabilities_output(made.value, made.dtype, n, exporter)
    return outputs


@predicts(LinearDiscriminantAnalysis)
def _discriminant(classifier, table, exporter):
    # skl2onnx doubles the scores of two classes
    graph = exporter.graph
    value, width = decision(classifier, table, exporter)
    if width == 1:
        value = graph.Concat(graph.Sub(value, value), value, axis=1)
    probabilities = graph.Softmax(value, axis=1)
    return class_outputs(probabilities, np.dtype(np.float64), classifier.classes_, exporter)


@decides(object)
def _decision(estimator, table, exporter):
    if "raw_scores" not in known_options(estimator):
        exporter.refuse(
            "skl2onnx cannot convert its decision_function",
            "Replace it by another classifier.",
        )
    (made,) = _added(estimator, {"decision_function": 1}, table, exporter, raw_scores=True)
    width = 1 if made.expected.ndim == 1 else made.expected.shape[1]
    value = exporter.cast(made.value, made.dtype, np.float64)
    if width == 1:  # skl2onnx has the scores of both classes
        value = exporter.graph.Gather(value, [1], axis=1)
    return Scores(value, width)


def _added(estimator, methods, table, exporter, **options):
    """Add the nodes of an estimator.

    Parameters
    ----------
    estimator : estimator
    methods : dict of str to int
        For each method that the graph computes, the position of its result among the outputs of
        skl2onnx.
    table : Table
    exporter : Exporter
    **options
        Options of the converter.

    Returns
    -------
    results : list of _Result
        One for each method.
    """
    for cls, name, left_out in _LEFT_OUT:
        if isinstance(estimator, cls) and getattr(estimator, name) == left_out:
            exporter.refuse(f"skl2onnx ignores {name}={left_out!r}", f"Fit it without {name}.")
    value, dtype = exporter.concatenated(table)
    failures = []
    for of_input in _dtypes(estimator, dtype):
        try:
            made = converted(
                estimator, methods, of_input, table.width, exporter.graph.opset, options
            )
            break
        # skl2onnx and ONNX Runtime raise errors of many types
        except Exception as error:
            failures.append(error)
    else:
        _refuse_because_of(failures[0], exporter)
    values = exporter.graph.embed(made.model, {"X": exporter.cast(value, dtype, of_input)})
    return [
        _Result(values[made.names[place]], made.results[place].dtype, made.expected[method])
        for method, place in methods.items()
    ]


def _dtypes(estimator, dtype):
    """Return the dtypes of the input to try. The first one that works is used."""
    if dtype.kind == "O":
        return [dtype]
    single, double = np.dtype(np.float32), np.dtype(np.float64)
    if isinstance(estimator, _TREES):
        return [single]
    # some converters and kernels exist for float32 only, and some are exact in float64 only
    return [single, double] if dtype == single else [double, single]


def _refuse_because_of(error, exporter):
    reason = str(error).strip().partition("\n")[0].rstrip(".")
    try:
        exporter.refuse(
            f"skl2onnx {skl2onnx.__version__} cannot convert it ({reason})",
            "Replace it by another estimator, or register a converter for it with "
            "skl2onnx.update_registered_converter.",
        )
    except ValueError as refusal:
        raise refusal from error
