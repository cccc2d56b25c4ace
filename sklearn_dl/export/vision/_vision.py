"""Export ImageClassifier and ImageRegressor."""

import numpy as np
import torch

from sklearn_dl.export._exporter import predicts, transforms
from sklearn_dl.export._networks import CPU, head_outputs, torch_outputs
from sklearn_dl.export._onnx_models import embedded
from sklearn_dl.export._problems import predictions
from sklearn_dl.export._table import columns
from sklearn_dl.export.scikit_learn._decisions import decides, of_logits
from sklearn_dl.export.vision._images import extract_with, images_of, loaded, resized
from sklearn_dl.images import PixelExtractor
from sklearn_dl.images._resizer import Resize, width_and_height
from sklearn_dl.vision import ImageClassifier, ImageRegressor
from sklearn_dl.vision._backbone import feature_output


@predicts(ImageClassifier, ImageRegressor)
def export_predictor(estimator, table, exporter):
    """Export `predict` (and `predict_proba`) of an image estimator."""
    return predictions(estimator._problem, _outputs(estimator, table, exporter), exporter)


@decides(ImageClassifier)
def export_decision(classifier, table, exporter):
    """Export `decision_function`, for the calibration of a classifier."""
    outputs = _outputs(classifier, table, exporter)
    return of_logits(outputs, len(classifier.classes_), exporter)


@transforms(ImageClassifier, ImageRegressor)
def export_transform(estimator, table, exporter):
    """Export `transform`: the features of the fitted network."""
    head = estimator._present_predictor().linear_head(CPU)
    return columns(_features(estimator, table, exporter), np.float32, head.weights.shape[1])


def _outputs(estimator, table, exporter):
    """What the head computes: a Value of float64 and shape (N, n_outputs)."""
    features = _features(estimator, table, exporter)
    head = estimator._present_predictor().linear_head(CPU)
    return head_outputs(exporter, head, features)


def _features(estimator, table, exporter):
    """The features of the network: a Value of float32 and shape (N, n_features)."""
    exporter.refuse_nan(estimator)
    graph, network = exporter.graph, estimator._present_predictor().network
    width, height = width_and_height(estimator.image_size)
    step = Resize(width, height, "crop", "center", "bilinear", 0)
    extractor = PixelExtractor(**network.content.pixels)
    images = loaded(images_of(table, exporter), exporter)
    made = extract_with(extractor, resized(images, step, exporter), exporter)
    value = exporter.value(made)
    if not network.needs_torch:
        content = network.whole_content().content
        output = feature_output(content)
        session = network.content.session(1, ["CPUExecutionProvider"])
        inputs = {session.inputs[0].name: value}
        made = embedded(exporter, content, (output,), inputs, estimator.model)[output]
        is_map = len(session.outputs[0].shape) == 4
        return graph.ReduceMean(made, [2, 3], keepdims=0) if is_map else made
    exporter.made_from(network.content.sha256, estimator.model)
    dynamic = torch.export.Dim.DYNAMIC
    return torch_outputs(
        exporter,
        lambda: _Features(network.network_to_train(torch.device("cpu")).eval()),
        {"pixels": value},
        {"pixels": {0: dynamic}},
        {"pixels": torch.zeros(3, 3, height, width)},
    )


class _Features(torch.nn.Module):
    """The features of an ImageNetwork as a module."""

    def __init__(self, network):
        super().__init__()
        self.network = network

    def forward(self, pixels):
        return self.network.features(pixels)
