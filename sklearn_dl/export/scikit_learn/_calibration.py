"""Classifiers that change the predictions of another classifier: calibration and thresholds."""

import numpy as np
from sklearn.calibration import CalibratedClassifierCV
from sklearn.model_selection import FixedThresholdClassifier, TunedThresholdClassifierCV

from sklearn_dl.export._classes import class_outputs, known_labels
from sklearn_dl.export._exporter import predicts
from sklearn_dl.export._graph import ir_type
from sklearn_dl.export._problems import chosen
from sklearn_dl.export.scikit_learn._decisions import Scores, scores
from sklearn_dl.utils._sklearn import tuned_pos_label

_ONE = np.float64(1)


@predicts(CalibratedClassifierCV)
def _calibrated(classifier, table, exporter):
    parts = [_of_fold(fold, table, exporter) for fold in classifier.calibrated_classifiers_]
    mean = exporter.graph.Div(exporter.graph.Sum(*parts), np.float64(len(parts)))
    return class_outputs(mean, np.float64, classifier.classes_, exporter)


def _of_fold(fold, table, exporter):
    """The probabilities of one calibrated classifier, float64 of shape (N, n_classes)."""
    graph, n_classes = exporter.graph, len(fold.classes)
    given, method = scores(fold.estimator, table, exporter)
    if fold.method == "temperature":
        (scaling,) = fold.calibrators
        return graph.Softmax(graph.Mul(_logits(given, method, graph), np.float64(scaling.beta_)))
    places = np.searchsorted(fold.classes, fold.estimator.classes_)
    columns = {}
    # if there are two classes, there are scores of the second one only
    for j, (place, calibrator) in enumerate(
        zip(places[-given.width :], fold.calibrators, strict=True)
    ):
        column = graph.Gather(given.value, [j], axis=1)
        columns[place] = _calibrated_scores(column, calibrator, fold.method, graph)
    if n_classes == 2:
        (positive,) = columns.values()
        return graph.Concat(graph.Sub(_ONE, positive), positive, axis=1)
    first = next(iter(columns.values()))
    zero = graph.Sub(first, first)
    made = graph.Concat(*(columns.get(k, zero) for k in range(n_classes)), axis=1)
    total = graph.ReduceSum(made, [1], keepdims=1)
    is_zero = graph.Equal(total, np.float64(0))
    return graph.Where(
        is_zero, np.float64(1 / n_classes), graph.Div(made, graph.Where(is_zero, _ONE, total))
    )


def _logits(given: Scores, method, graph):
    if given.width == 1:
        other = (
            graph.Sub(_ONE, given.value) if method == "predict_proba" else graph.Neg(given.value)
        )
        value = graph.Concat(other, given.value, axis=1)
    else:
        value = given.value
    if method == "predict_proba":
        value = graph.Log(graph.Add(value, np.float64(1e-12)))
    return value


def _calibrated_scores(column, calibrator, method, graph):
    """Scores of shape (N, 1) as probabilities."""
    if method == "sigmoid":
        exponent = graph.Add(
            graph.Mul(column, np.float64(calibrator.a_)), np.float64(calibrator.b_)
        )
        return graph.Div(_ONE, graph.Add(graph.Exp(exponent), _ONE))
    return interpolated(column, calibrator.X_thresholds_, calibrator.y_thresholds_, graph)


def interpolated(value, x, y, graph):
    """``np.interp(value, x, y)`` of a Value of shape (N, 1), float64."""
    x, y = x.astype(np.float64), y.astype(np.float64)
    if len(x) == 1:
        return graph.Expand(y.reshape(1, 1), graph.Shape(value))
    value = graph.Clip(value, x[0], x[-1])
    # the position of the interval is the number of inner knots that are not above the value
    reached = graph.Cast(
        graph.GreaterOrEqual(value, x[1:-1].reshape(1, -1)), to=int(ir_type(np.int64))
    )
    place = graph.ReduceSum(reached, [1], keepdims=1)
    slopes = np.diff(y) / np.diff(x)
    offset = graph.Sub(value, graph.Gather(x[:-1], place, axis=0))
    rise = graph.Mul(offset, graph.Gather(slopes, place, axis=0))
    return graph.Add(graph.Gather(y[:-1], place, axis=0), rise)


@predicts(FixedThresholdClassifier)
def _fixed_threshold(classifier, table, exporter):
    # if the estimator was already fitted (FrozenEstimator), `fit` may not have been called
    estimator = getattr(classifier, "estimator_", classifier.estimator)
    threshold, pos_label = classifier.threshold, classifier.pos_label
    return _thresholded(classifier, estimator, threshold, pos_label, table, exporter)


@predicts(TunedThresholdClassifierCV)
def _tuned_threshold(classifier, table, exporter):
    threshold, pos_label = classifier.best_threshold_, tuned_pos_label(classifier)
    return _thresholded(classifier, classifier.estimator_, threshold, pos_label, table, exporter)


def _thresholded(classifier, estimator, threshold, pos_label, table, exporter):
    """The outputs of a classifier whose label depends on a threshold of a fitted estimator."""
    graph = exporter.graph
    methods: tuple[str, ...] = (classifier.response_method,)
    if methods == ("auto",):
        methods = ("predict_proba", "decision_function")
    given, method = scores(estimator, table, exporter, methods)
    of_second, bound = given.value, threshold
    if threshold == "auto":
        bound = 0.5 if method == "predict_proba" else 0.0
    if method == "predict_proba":
        # probabilities are float32 here, and the one that gave the threshold must reach it
        bound -= 1e-7
    is_first = pos_label is not None and pos_label == classifier.classes_[0]
    if is_first:
        negated = graph.Neg(of_second)
        of_first = graph.Add(negated, _ONE) if method == "predict_proba" else negated
        reached = graph.Not(graph.GreaterOrEqual(of_first, np.float64(bound)))
    else:
        reached = graph.GreaterOrEqual(of_second, np.float64(bound))
    place = graph.Cast(graph.Squeeze(reached, [1]), to=int(ir_type(np.int64)))
    outputs = {"label": chosen(known_labels(classifier.classes_, exporter), place, exporter)}
    if hasattr(estimator, "predict_proba"):
        outputs["probabilities"] = exporter.predict(estimator, table)["probabilities"]
    return outputs
