"""Convert one estimator with skl2onnx, and compare the graph with the estimator on a few rows.

The comparison is needed because skl2onnx silently ignores some parameters, and because some of its
graphs do not load.
"""

import copy
import warnings
from typing import NamedTuple

import numpy as np
import onnx
import skl2onnx
from scipy.sparse import issparse
from skl2onnx._supported_operators import sklearn_operator_name_map
from skl2onnx.common._registration import get_converter
from skl2onnx.common.data_types import DoubleTensorType, FloatTensorType, StringTensorType
from sklearn import config_context
from sklearn.utils import get_tags

from sklearn_dl.export._graph import ML
from sklearn_dl.runtimes.onnx._runtime import import_onnxruntime

_TYPES: dict = {
    np.dtype(np.float32): FloatTensorType,
    np.dtype(np.float64): DoubleTensorType,
    np.dtype(object): StringTensorType,
}
_ML_VERSION = 3
# large, because the rows may differ much from those that the estimator was fitted on
_TOLERANCE = 1e-3


class Converted(NamedTuple):
    """An estimator as a separate model.

    Attributes
    ----------
    model : ModelProto
        Its input is "X".
    names : list of str
        The names of its outputs.
    results : list of ndarray
        Its outputs for the rows.
    expected : dict of str to ndarray
        The results of the estimator's methods for the rows.
    """

    model: onnx.ModelProto
    names: list
    results: list
    expected: dict


def known_options(estimator):
    """Return the names of the options that the converter of an estimator takes."""
    alias = sklearn_operator_name_map.get(type(estimator))
    return (get_converter(alias).get_allowed_options() if alias else None) or {}


def converted(estimator, methods, dtype, width, opset, options):
    """Convert an estimator, and check that the graph gives the same results as its methods.

    Parameters
    ----------
    estimator : estimator
    methods : dict of str to int
        For each method, the position of its result among the outputs of skl2onnx.
    dtype : dtype
        float32, float64 or object: the dtype of the input.
    width : int
        Number of columns.
    opset : int
    options : dict
        Options of the converter.

    Returns
    -------
    made : Converted

    Raises
    ------
    Exception
        Of any type, from skl2onnx or ONNX Runtime.
    ValueError
        If a result is wrong.
    """
    model = _model(estimator, dtype, width, opset, options)
    rows, expected = _expected(estimator, methods, dtype, width)
    names, results = _run(model, rows)
    for method, want in expected.items():
        _check_equal(method, results[methods[method]], want, expected)
    return Converted(model, names, results, expected)


def _model(estimator, dtype, width, opset, options):
    """Return the graph of an estimator. The parameters are those of `converted`."""
    known = known_options(estimator)
    # probabilities become arrays, not maps; the locale does not depend on the machine
    usual = {"zipmap": False, "locale": "C"}
    options = {name: usual[name] for name in usual if name in known} | options
    with warnings.catch_warnings():
        # skl2onnx reads attributes that scikit-learn deprecates
        warnings.simplefilter("ignore", FutureWarning)
        model = skl2onnx.convert_sklearn(
            estimator,
            name="estimator",
            initial_types=[("X", _TYPES[dtype]([None, width]))],
            target_opset={"": min(opset, _latest()), ML: _ML_VERSION},
            options={id(estimator): options},
        )
    for part in (model, *model.functions):
        for domain in part.opset_import:
            # skl2onnx states the lowest version that the nodes need
            of_domain = {"": min(opset, _latest()), ML: _ML_VERSION}
            domain.version = of_domain.get(domain.domain, domain.version)
    if opset > _latest():
        model = onnx.version_converter.convert_version(model, opset)
    # some of the shapes that skl2onnx states are wrong
    del model.graph.value_info[:]
    for output in model.graph.output:
        output.type.tensor_type.ClearField("shape")
    return model


def _latest():
    return skl2onnx.get_latest_tested_opset_version()


def _run(model, rows):
    """Run a model with ONNX Runtime; return the names of its outputs, and the outputs."""
    ort = import_onnxruntime(extra="export", purpose="to_onnx")
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 4  # log nothing: failures raise errors
    session = ort.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    return [output.name for output in session.get_outputs()], session.run(None, {"X": rows})


def _expected(estimator, methods, dtype, width):
    """Return a few rows, and the results of the estimator's methods for them."""
    failures = []
    for rows in _rows(estimator, methods, dtype, width):
        try:
            return rows, {method: _called(estimator, method, rows) for method in methods}
        # scikit-learn refuses negative numbers, or more categories than `fit` saw
        except (ValueError, IndexError) as error:
            failures.append(error)
    raise failures[-1]


def _rows(estimator, methods, dtype, width):
    """Return several arrays of rows, because an estimator may refuse some of them."""
    if dtype.kind == "O":
        words = list(getattr(estimator, "vocabulary_", ["word"]))[:100]
        joined = [sign.join(words) for sign in (" ", ", a ", "-", " it's ")]
        texts = ["", " two  spaces ", *words, *joined, joined[0].upper()]
        return [np.array([[text] * width for text in texts], dtype=object)]
    normal = np.random.default_rng(0).standard_normal((16, width))
    normal *= np.geomspace(0.1, 10, 16).reshape(-1, 1)
    if "transform" in methods:
        normal[0] = 0  # for transformers only: predictors may have ties there
    return [rows.astype(dtype) for rows in (normal, abs(normal), np.ones_like(normal))]


def _called(estimator, method, rows):
    """Call a method of an estimator with an array, even if the estimator was fitted on a frame."""
    if not get_tags(estimator).input_tags.two_d_array:  # it takes texts
        rows = rows[:, 0]
    unnamed = copy.copy(estimator)
    for name in ("feature_names_in_", "_sklearn_output_config"):
        vars(unnamed).pop(name, None)
    with config_context(transform_output="default"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        made = getattr(unnamed, method)(rows)
    return made.toarray() if issparse(made) else np.asarray(made)


def _check_equal(method, got, want, expected):
    """Raise a ValueError if an output differs much from the result of the estimator's method."""
    if method == "decision_function" and want.ndim == 1:
        got = got[:, 1]
    if not isinstance(got, np.ndarray) or got.size != want.size:
        raise ValueError(f"the result of its {method} would have another shape")
    got = got.reshape(want.shape)
    if method == "predict" and "predict_proba" in expected and want.ndim == 1:
        best = np.sort(expected["predict_proba"], axis=1)
        untied = best[:, -1] - best[:, -2:].min(axis=1) > _TOLERANCE
        got, want = got[untied], want[untied]
    if want.dtype.kind in "OU":
        equal = np.array_equal(got, want)
    else:
        equal = np.allclose(got, want, rtol=_TOLERANCE, atol=_TOLERANCE, equal_nan=True)
    if not equal:
        raise ValueError(f"the result of its {method} would differ")
