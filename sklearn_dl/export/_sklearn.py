"""Single estimators of scikit-learn, as skl2onnx converts them.

These are the estimators that no other function of this folder exports. An estimator of another
package is exported in the same way if its user registered a converter with skl2onnx.
"""

import copy
import warnings
from typing import NamedTuple

import numpy as np
import onnx_ir as ir
import onnxruntime
import skl2onnx
from scipy.sparse import issparse
from skl2onnx._supported_operators import sklearn_operator_name_map
from skl2onnx.common._registration import get_converter
from skl2onnx.common.data_types import DoubleTensorType, FloatTensorType, StringTensorType
from sklearn import config_context
from sklearn.base import is_regressor
from sklearn.cluster import KMeans, MiniBatchKMeans
from sklearn.ensemble import (
    GradientBoostingClassifier,
    GradientBoostingRegressor,
    IsolationForest,
    RandomTreesEmbedding,
)
from sklearn.preprocessing import KBinsDiscretizer
from sklearn.utils import get_tags

from sklearn_dl.export._classes import check_binary, known_labels, probabilities_output
from sklearn_dl.export._decisions import Scores, decides
from sklearn_dl.export._exporter import predicts, transforms
from sklearn_dl.export._graph import ML
from sklearn_dl.export._table import Output, columns

_TYPES: dict = {
    np.dtype(np.float32): FloatTensorType,
    np.dtype(np.float64): DoubleTensorType,
    np.dtype(object): StringTensorType,
}
# scikit-learn casts X to float32 before these
_TREES = (
    GradientBoostingClassifier,
    GradientBoostingRegressor,
    IsolationForest,
    RandomTreesEmbedding,
)
# skl2onnx refuses these values of a parameter, which only choose a sparse result
_SPARSE = (
    (KBinsDiscretizer, "encode", "onehot", "onehot-dense"),
    (RandomTreesEmbedding, "sparse_output", True, False),
)
# their `transform` is the second output of skl2onnx
_DISTANCES = (KMeans, MiniBatchKMeans)
_ML_VERSION = 3


class _Result(NamedTuple):
    """One output of skl2onnx."""

    value: ir.Value
    dtype: np.dtype
    expected: np.ndarray  # what scikit-learn returns for a few rows


@transforms(object)
def _transform(estimator, table, exporter):
    if hasattr(estimator, "predict") and not isinstance(estimator, _DISTANCES):
        exporter.refuse(
            "it predicts, and skl2onnx converts only its predictions",
            "Replace it by a transformer that does not predict.",
        )
    position = int(isinstance(estimator, _DISTANCES))
    (made,) = _added(_dense(estimator), {"transform": position}, table, exporter)
    expected = made.expected
    value = exporter.cast(made.value, made.dtype, expected.dtype)
    return columns(value, expected.dtype, expected.shape[1])


def _dense(estimator):
    """The estimator, with a dense array as its output if its parameters say that it is sparse."""
    for cls, name, sparse, dense in _SPARSE:
        if isinstance(estimator, cls) and getattr(estimator, name) == sparse:
            estimator = copy.copy(estimator)
            setattr(estimator, name, dense)
    return estimator


@predicts(object)
def _predict(estimator, table, exporter):
    methods = {"predict": 0}
    if hasattr(estimator, "predict_proba"):
        methods["predict_proba"] = 1
    predicted, *probabilities = _added(estimator, methods, table, exporter)
    shape = predicted.expected.shape
    value = exporter.graph.Reshape(predicted.value, [-1, *shape[1:]])
    shape = ("N", *shape[1:])
    if is_regressor(estimator):
        return {"prediction": Output(value, predicted.dtype, shape)}
    dtype = _label_dtype(predicted.expected, estimator, exporter)
    outputs = {"label": Output(exporter.cast(value, predicted.dtype, dtype), dtype, shape)}
    for made in probabilities:
        value, n = made.value, made.expected.shape[1]
        if made.expected.ndim == 3:  # several labels, with the probabilities of 0 and 1 for each
            check_binary(estimator.classes_, exporter)
            n = len(made.expected)
            value = exporter.graph.Transpose(exporter.graph.Gather(value, 1, axis=2), perm=[1, 0])
        outputs["probabilities"] = probabilities_output(value, made.dtype, n, exporter)
    return outputs


@decides(object)
def _decision(estimator, table, exporter):
    if "raw_scores" not in _known_options(estimator):
        exporter.refuse(
            "skl2onnx cannot convert its decision_function",
            "Replace it by a classifier without decision_function, or by another one.",
        )
    (made,) = _added(estimator, {"decision_function": 1}, table, exporter, raw_scores=True)
    width = 1 if made.expected.ndim == 1 else made.expected.shape[1]
    value = exporter.cast(made.value, made.dtype, np.float64)
    if width == 1:  # of two classes, skl2onnx has both
        value = exporter.graph.Gather(value, [1], axis=1)
    return Scores(value, width)


def _label_dtype(predicted, estimator, exporter):
    """The dtype of labels: skl2onnx makes integers of all numbers."""
    dtype = known_labels(predicted.ravel()[:1], exporter).dtype
    classes = np.asarray(getattr(estimator, "classes_", predicted))
    if dtype == np.float64 and not np.array_equal(classes, classes.round()):
        exporter.refuse("its labels are fractions", "Fit it on strings or integers.")
    return dtype


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
    value, dtype = exporter.concatenated(table)
    opset = exporter.graph.opset
    failures = []
    for of_input in _dtypes(estimator, dtype):
        try:
            model = _converted(estimator, of_input, table.width, opset, options)
            rows, expected = _expected(estimator, methods, of_input, table.width)
            names, outputs = _run(model, rows)
            for method, array, position in zip(methods, expected, methods.values(), strict=True):
                _check_equal(method, outputs[position], array)
            break
        # skl2onnx and ONNX Runtime raise errors of many types
        except Exception as error:
            failures.append(error)
    else:
        _refuse_because_of(failures[0], exporter)
    values = exporter.graph.embed(model, {"X": exporter.cast(value, dtype, of_input)})
    return [
        _Result(values[names[position]], outputs[position].dtype, array)
        for array, position in zip(expected, methods.values(), strict=True)
    ]


def _dtypes(estimator, dtype):
    """The dtypes in which an estimator may get its input; the first that works is taken."""
    if dtype.kind == "O":
        return [dtype]
    if dtype == np.float32 or isinstance(estimator, _TREES):
        return [np.dtype(np.float32)]
    # some converters and kernels exist for float32 only
    return [np.dtype(np.float64), np.dtype(np.float32)]


def _converted(estimator, dtype, width, opset, options):
    known = _known_options(estimator)
    # arrays of probabilities; no locale of the machine
    usual = {"zipmap": False, "locale": "C"}
    options = {name: usual[name] for name in usual if name in known} | options
    with warnings.catch_warnings():
        # skl2onnx reads attributes that scikit-learn deprecates
        warnings.simplefilter("ignore", FutureWarning)
        model = skl2onnx.convert_sklearn(
            estimator,
            name="estimator",
            initial_types=[("X", _TYPES[dtype]([None, width]))],
            target_opset={"": opset, ML: _ML_VERSION},
            options={id(estimator): options},
        )
    for part in (model, *model.functions):
        for domain in part.opset_import:
            # it states the lowest version that its nodes need
            domain.version = {"": opset, ML: _ML_VERSION}.get(domain.domain, domain.version)
    # some of the shapes that it states are wrong
    del model.graph.value_info[:]
    for output in model.graph.output:
        output.type.tensor_type.ClearField("shape")
    return model


def _known_options(estimator):
    """The names of the options that its converter takes."""
    alias = sklearn_operator_name_map.get(type(estimator))
    return (get_converter(alias).get_allowed_options() if alias else None) or {}


def _run(model, rows):
    """Names of the outputs of a model, and what ONNX Runtime computes for them."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 4  # what fails is raised
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    return [output.name for output in session.get_outputs()], session.run(None, {"X": rows})


def _expected(estimator, methods, dtype, width):
    """A few rows, and what the methods of an estimator return for them."""
    normal = np.random.default_rng(0).standard_normal((16, width))
    normal[0] = 0
    failures = []
    for rows in (normal, abs(normal), np.ones_like(normal)):
        rows = np.full((2, width), "a", object) if dtype.kind == "O" else rows.astype(dtype)
        try:
            return rows, [_called(estimator, method, rows) for method in methods]
        # scikit-learn refuses negative numbers, or more categories than `fit` saw
        except (ValueError, IndexError) as error:
            failures.append(error)
    raise failures[-1]


def _called(estimator, method, rows):
    """What a method of an estimator returns for an array, whatever frame it was fitted on."""
    if not get_tags(estimator).input_tags.two_d_array:  # of texts
        rows = rows[:, 0]
    unnamed = copy.copy(estimator)
    for name in ("feature_names_in_", "_sklearn_output_config"):
        vars(unnamed).pop(name, None)
    with config_context(transform_output="default"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        made = getattr(unnamed, method)(rows)
    return made.toarray() if issparse(made) else np.asarray(made)


def _check_equal(method, got, expected):
    """Raise a ValueError if an output is far from what a method of the estimator returned.

    The tolerance is wide, because the rows may be far from those that the estimator was fitted on.
    """
    if method == "decision_function" and expected.ndim == 1:
        got = got[:, 1]
    if not isinstance(got, np.ndarray) or got.size != expected.size:
        raise ValueError(f"the result of its {method} would have another shape")
    got = got.reshape(expected.shape)
    if expected.dtype.kind in "OU":
        equal = np.array_equal(got, expected)
    else:
        equal = np.allclose(got, expected, rtol=1e-3, atol=1e-3, equal_nan=True)
    if not equal:
        raise ValueError(f"the result of its {method} would differ")


def _refuse_because_of(error, exporter):
    reason = str(error).strip().partition("\n")[0].rstrip(".")
    try:
        exporter.refuse(
            f"skl2onnx {skl2onnx.__version__} cannot convert it ({reason})",
            "Replace it by another estimator, or register a converter for it by "
            "skl2onnx.update_registered_converter.",
        )
    except ValueError as refusal:
        raise refusal from error
