"""Export an estimator, run its file, and compare the results with the estimator's own."""

import numpy as np
import onnxruntime
from sklearn.base import is_regressor

from sklearn_dl.export import to_onnx
from sklearn_dl.utils._columns import is_frame


def run(model, X):
    """The outputs of a file for X, by their names."""
    session = onnxruntime.InferenceSession(model.SerializeToString())
    inputs = [given.name for given in session.get_inputs()]
    if is_frame(X):
        feeds = {name: np.asarray(X[name]).reshape(-1, 1) for name in inputs}
        feeds = {k: v.astype(object) if v.dtype.kind in "UT" else v for k, v in feeds.items()}
    elif X.dtype == object:  # each column is an input
        feeds = {name: X[:, [j]] for j, name in enumerate(inputs)}
    else:
        (name,) = inputs
        feeds = {name: X}
    outputs = [output.name for output in session.get_outputs()]
    return dict(zip(outputs, session.run(None, feeds), strict=True))


def assert_exports(estimator, X, X_sample=None, *, tolerance=1e-5):
    """Check the file of an estimator on X; return its outputs and the model."""
    model = to_onnx(estimator, X if X_sample is None else X_sample)
    outputs = run(model, X)
    expected = own_results(estimator, X)
    assert set(outputs) == set(expected)
    for name, want in expected.items():
        rows = slice(None)
        if name == "label" and np.ndim(want) == 1 and "probabilities" in expected:
            best = np.sort(expected["probabilities"], axis=1)
            rows = best[:, -1] - best[:, -2] > tolerance  # the others are ties
        assert_same(outputs[name][rows], np.asarray(want)[rows], tolerance)
    return outputs, model


def own_results(estimator, X):
    """What the estimator itself returns, by the names that the outputs of its file have."""
    if not hasattr(estimator, "predict"):
        features = estimator.transform(X)
        return {"features": features.toarray() if hasattr(features, "toarray") else features}
    if is_regressor(estimator):
        return {"prediction": estimator.predict(X)}
    results = {"label": estimator.predict(X)}
    if hasattr(estimator, "predict_proba"):
        proba = estimator.predict_proba(X)
        if isinstance(proba, list):  # several labels
            proba = np.column_stack([of_label[:, 1] for of_label in proba])
        results["probabilities"] = proba
    return results


def assert_same(got, want, tolerance):
    want = np.asarray(want)
    assert got.shape == want.shape
    if want.dtype.kind in "fc":
        want = want.astype(np.float64)
        error = abs(got - want) / np.maximum(1, abs(want))
        assert np.array_equal(np.isnan(got), np.isnan(want))
        assert np.nanmax(error, initial=0) <= tolerance
    else:
        assert got.dtype.kind == ("O" if want.dtype.kind in "OUT" else want.dtype.kind)
        np.testing.assert_array_equal(got, want)
