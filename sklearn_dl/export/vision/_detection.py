"""Export DetectionScorer: from the pixels of one image to boxes, scores and labels."""

import numpy as np

from sklearn_dl.export._classes import known_labels
from sklearn_dl.export._exporter import predicts
from sklearn_dl.export._onnx_models import embedded
from sklearn_dl.export._problems import chosen
from sklearn_dl.export._table import Output
from sklearn_dl.export.vision._detection_formats import Decoding
from sklearn_dl.export.vision._images import extract_with, images_of, loaded, resized
from sklearn_dl.export.vision._objects import clipped, have_area, objects
from sklearn_dl.export.vision._resize import placement
from sklearn_dl.export.vision._suppression import sorted_by_score, suppressed
from sklearn_dl.scoring._input_casts import cast, check_row_shape
from sklearn_dl.vision import DetectionScorer


@predicts(DetectionScorer)
def export_detector(detector, table, exporter):
    """Export a DetectionScorer: image preparation, graph, decoding of outputs and suppression."""
    detector._validate_params()
    exporter.refuse_nan(detector)
    _refuse_callables(detector, exporter)
    if detector.tile is not None:
        exporter.refuse(
            "it reads images in tiles, but the exported model reads whole images",
            "Set tile=None, and pass one tile at a time to the exported model.",
        )
    block = images_of(table, exporter)
    reader = detector._reader(detector._any_session())
    exporter.fix_rows(1)
    exporter.score_threshold = detector.score_threshold
    pixels, where = _pixels(reader, block, exporter)
    found = _candidates(detector, reader, pixels, exporter)
    return _best(detector, reader, found, _to_image(found.boxes, where), exporter)


def _refuse_callables(detector, exporter):
    if callable(detector.format):
        exporter.refuse(
            "its `format` is a callable, but an ONNX file cannot contain Python code",
            "Set `format` to the name of a format, or export the network with an OnnxScorer and "
            "decode the outputs in the program that uses the file.",
        )
    for name, value in (detector.extra_inputs or {}).items():
        if callable(value):
            exporter.refuse(
                f"extra_inputs[{name!r}] is a callable, but an ONNX file cannot contain Python "
                "code",
                "Pass an array, if it is the same for all images.",
            )


def _pixels(reader, block, exporter):
    """Return the network's input, which has the resized image, and the image's Placement in it."""
    block = loaded(block, exporter)
    where = placement(exporter.graph, exporter.value(block), reader.step)
    made = extract_with(reader.extractor(), resized(block, reader.step, exporter), exporter)
    return exporter.cast(exporter.value(made), made.dtype, reader.image_input.dtype), where


def _candidates(detector, reader, pixels, exporter):
    """Run the network, and decode its outputs: Candidates."""
    for spec in (reader.image_input, *(spec for spec, _ in reader.extra_inputs)):
        if spec.batch not in (None, 1):
            exporter.refuse(
                f"its network takes {spec.batch} images at a time, but the exported model takes "
                "one",
                "Export the network with a batch size of 1.",
            )
    session = detector._any_session()
    others = {
        spec.name: _constant(reader, spec, value, exporter) for spec, value in reader.extra_inputs
    }
    shapes = _row_shapes(session, reader, others)
    positions, n_classes = reader.choose(shapes)
    specs = [session.outputs[i] for i in positions]
    inputs = {name: exporter.graph.constant(value) for name, value in others.items()}
    inputs[reader.image_input.name] = pixels
    names = tuple(spec.name for spec in specs)
    made = embedded(exporter, detector._content(), names, inputs, detector.model)
    decoding = Decoding(
        exporter.graph,
        (reader.step.width, reader.step.height),
        reader.anchors,
        detector.score_threshold,
        [shapes[name] for name in names],
        [spec.dtype for spec in specs],
        n_classes,
    )
    return decoding.decode(reader.format.name, [made[name] for name in names])


def _constant(reader, spec, value, exporter):
    """Return the value of an input other than the image, with a batch dimension of 1."""
    if callable(value):  # one of `KNOWN_INPUTS`; those of the user are refused
        # they depend on the image only if its border does
        if spec.name == "pixel_mask" and reader.step.mode not in ("fill", "crop"):
            exporter.refuse(
                f"its input {spec.name!r} depends on the size of the image",
                'Set resize_mode="fill" or "crop".',
            )
        value = value(reader.geometry((reader.step.width, reader.step.height)))
    value, name = np.asarray(value), f"extra_inputs[{spec.name!r}]"
    check_row_shape(value.shape, spec, name=name)
    return cast(value[None], spec, [0], name)


def _row_shapes(session, reader, others):
    """Return the shape of each output for one image: the shape in the graph, or that of a run."""
    shapes = {spec.name: spec.row_shape for spec in session.outputs}
    if all(shape is not None and None not in shape for shape in shapes.values()):
        return shapes
    spec, step = reader.image_input, reader.step
    row = [step.height, step.width]
    row.insert(0 if reader.layout == "NCHW" else 2, len(reader.colors))
    outputs = session.run({spec.name: np.zeros((1, *row), spec.dtype), **others})
    return {name: output.shape[1:] for name, output in zip(shapes, outputs, strict=True)}


def _to_image(boxes, where):
    """Convert boxes from pixels of the network's input to pixels of the image, and clip them."""
    start, end = where.kept.item([0, 1]), where.kept.item([2, 3])
    corners = boxes.apply("Reshape", boxes, boxes.graph.constant([-1, 2, 2]))
    moved = (corners - where.placed.item([0, 1])) * ((end - start) / where.target) + start
    return clipped(boxes.apply("Reshape", moved, boxes.graph.constant([-1, 4])), where.size)


def _best(detector, reader, found, boxes, exporter):
    """Return the outputs of the file: the candidates that are kept, best first."""
    graph = exporter.graph
    kept = graph.And(found.kept.value, have_area(boxes).value)
    boxes, inside, scores, classes = (
        graph.Compress(number.value, kept, axis=0)
        for number in (boxes, found.boxes, found.scores, found.classes)
    )
    limit = int(detector.max_detections)
    if reader.format.suppresses:
        groups = graph.Mul(classes, 0) if detector.class_agnostic else classes
        order = suppressed(graph, inside, scores, groups, detector.iou_threshold, limit)
    else:
        order = graph.Slice(sorted_by_score(graph, scores), [0], [limit], [0])
    boxes, scores, classes = (graph.Gather(values, order) for values in (boxes, scores, classes))
    labels = Output(classes, np.dtype(np.int64), ("n",))
    if reader.labels is not None:
        labels = chosen(known_labels(reader.labels, exporter), classes, exporter)
    return objects(boxes, scores, labels, exporter)
