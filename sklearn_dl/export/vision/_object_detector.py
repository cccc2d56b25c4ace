"""Export ObjectDetector: from the pixels of one image to boxes, scores and labels."""

import numpy as np
import torch

from sklearn_dl.export._exporter import predicts
from sklearn_dl.export._graph import END, ir_type
from sklearn_dl.export._networks import CPU, torch_outputs
from sklearn_dl.export._number import Number
from sklearn_dl.export._onnx_models import embedded
from sklearn_dl.export._problems import chosen
from sklearn_dl.export.vision._images import extract_with, filled, images_of, loaded
from sklearn_dl.export.vision._objects import clipped, have_area, objects, twice
from sklearn_dl.export.vision._resize import size_of
from sklearn_dl.export.vision._suppression import suppressed
from sklearn_dl.images import PixelExtractor
from sklearn_dl.runtimes.onnx._graph import shared_session
from sklearn_dl.vision import ObjectDetector
from sklearn_dl.vision.detection._decoding import N_CANDIDATES
from sklearn_dl.vision.detection._map_source import graph_maps
from sklearn_dl.vision.detection._views import STEP, canvas_of


@predicts(ObjectDetector)
def export_detector(detector, table, exporter):
    """Export an ObjectDetector: images on canvases, the network, peaks and suppression."""
    detector._validate_params()
    exporter.refuse_nan(detector)
    exporter.fix_rows(1)
    exporter.score_threshold = detector.score_threshold
    network = detector._present_predictor().network
    block = loaded(images_of(table, exporter), exporter)
    size = size_of(exporter.graph, exporter.value(block))
    canvas = _canvas(size, detector._image_size())
    extractor = PixelExtractor(**network.content.pixels)
    made = extract_with(extractor, filled(block, canvas, exporter), exporter)
    outputs, stride = _network(network, exporter.value(made), detector, exporter)
    boxes, scores, classes = _candidates(outputs, stride, len(detector.classes_), exporter.graph)
    boxes = clipped(boxes / twice(canvas / size), size)
    return _best(detector, boxes, scores, classes, exporter)


def _canvas(size, image_size):
    """Return (width, height) of the canvas for images of a `size`, as `canvas_of` does."""
    if isinstance(image_size, tuple):
        return Number(size.graph, canvas_of((1, 1), image_size))
    wanted = size * (image_size / size.max())
    return (wanted / STEP + 0.5).floor().at_least(1) * STEP


def _network(network, pixels, detector, exporter):
    """Add the network.

    Returns
    -------
    outputs : Value
        Logits, and distances: float32 of shape (1, n_classes + 4, h, w).
    stride : int
        Width of a cell in pixels of the canvas.
    """
    if network.runs_a_graph:
        return _on_a_graph(network, pixels, detector, exporter)
    exporter.made_from(network.content.sha256, detector.model)
    where = CPU.resolved()
    body, head = network.maps_network(where), network.head_network(where).head
    image_size = detector._image_size()
    if isinstance(image_size, tuple):
        (width, height), sizes = canvas_of((1, 1), image_size).tolist(), {}
    else:
        # sides of canvases are multiples of STEP; with other sizes, the maps might not fit together
        width, height = 5 * STEP, 4 * STEP
        sizes = {2: STEP * torch.export.Dim("rows"), 3: STEP * torch.export.Dim("columns")}
    outputs = torch_outputs(
        exporter,
        lambda: _Detector(head, body),
        {"pixels": pixels},
        {"pixels": sizes},
        {"pixels": torch.zeros(1, 3, height, width)},
    )
    return outputs, head.stride


def _on_a_graph(network, pixels, detector, exporter):
    """Add an ONNX graph that computes the maps, and the head. Return what `_network` returns."""
    content = network.whole_content().content
    names, sizes = graph_maps(content)
    spec = shared_session(content, names, 1, ["CPUExecutionProvider"]).inputs[0]
    if spec.batch not in (None, 1):
        exporter.refuse(
            f"its network takes {spec.batch} images at a time, but the exported model takes one",
            "Export the network with a batch size of 1, and fit again.",
        )
    pixels = exporter.cast(pixels, np.dtype(np.float32), spec.dtype)
    made = embedded(exporter, content, names, {spec.name: pixels}, detector.model)
    # the maps may be float16
    float32 = int(ir_type(np.float32))
    maps = {f"map_{i}": exporter.graph.Cast(made[name], to=float32) for i, name in enumerate(names)}
    head = network.head_network(CPU.resolved()).head
    rows, columns = torch.export.Dim("rows"), torch.export.Dim("columns")
    factors = [sizes.strides[-1] // stride for stride in sizes.strides]
    shapes = [(1, n, 4 * f, 5 * f) for n, f in zip(sizes.channels, factors, strict=True)]
    outputs = torch_outputs(
        exporter,
        lambda: _Detector(head),
        maps,
        {name: {2: f * rows, 3: f * columns} for name, f in zip(maps, factors, strict=True)},
        {name: torch.zeros(shape) for name, shape in zip(maps, shapes, strict=True)},
    )
    return outputs, head.stride


class _Detector(torch.nn.Module):
    """A DetectionHead, and the DetectionNetwork that computes its maps, as a module.

    Parameters
    ----------
    head : DetectionHead
    body : DetectionNetwork or None, default=None
        None: the module takes maps instead of pixels.
    """

    def __init__(self, head, body=None):
        super().__init__()
        self.head = head
        self.body = body

    # torch's exporter does not accept *args
    def forward(self, first, second=None, third=None):
        """Logits and distances in one tensor of shape (n, n_classes + 4, h, w)."""
        if self.body is not None:
            maps = self.body.features(first)
        else:
            maps = [values for values in (first, second, third) if values is not None]
        return torch.cat(self.head(maps), dim=1)


def _candidates(outputs, stride, n_classes, graph):
    """The peaks of the heat maps, as in `candidates_of`.

    Returns
    -------
    boxes : Number
        x0, y0, x1, y1 in pixels of the canvas: float64 of shape (n, 4).
    scores : Number
        float64 of shape (n,).
    classes : Number
        int64 of shape (n,).
    """
    logits = graph.Slice(outputs, [0], [n_classes], [1])
    distances = graph.Reshape(graph.Slice(outputs, [n_classes], [END], [1]), [4, -1])
    highest = graph.MaxPool(logits, kernel_shape=[3, 3], pads=[1, 1, 1, 1])
    heat = graph.Where(graph.Equal(highest, logits), graph.Sigmoid(logits), np.float32(0))
    heat = graph.Reshape(heat, [-1])
    n_candidates = graph.Min(graph.Shape(heat), N_CANDIDATES)
    scores, index = graph.TopK(heat, n_candidates, axis=0, n_outputs=2)
    sizes, index = Number(graph, graph.Shape(logits), np.int64), Number(graph, index, np.int64)
    height, width = sizes.item(2), sizes.item(3)
    cell = index % (height * width)
    row = cell / width
    x, y = (number.cast(np.float32) + 0.5 for number in (cell % width, row))
    near = Number(graph, graph.Gather(distances, cell.value, axis=1), np.float32)
    left, top, right, bottom = (near.item(i) for i in range(4))
    edges = [(n * stride).unsqueeze(1) for n in (x - left, y - top, x + right, y + bottom)]
    boxes = Number(graph, graph.Concat(*(n.value for n in edges), axis=1), np.float32)
    scores = Number(graph, scores, np.float32)
    return boxes.cast(np.float64), scores.cast(np.float64), index / (height * width)


def _best(detector, boxes, scores, classes, exporter):
    """Return the outputs of the file: the candidates that are kept, best first."""
    graph = exporter.graph
    kept = have_area(boxes) & (scores > 0) & (scores >= detector.score_threshold)
    boxes, scores, classes = (
        graph.Compress(number.value, kept.value, axis=0) for number in (boxes, scores, classes)
    )
    limit = int(detector.max_detections)
    order = suppressed(graph, boxes, scores, classes, detector.iou_threshold, limit)
    boxes, scores, classes = (graph.Gather(values, order) for values in (boxes, scores, classes))
    return objects(boxes, scores, chosen(detector.classes_, classes, exporter), exporter)
