"""Reader: prepares the inputs of an DetectionScorer's graph, and decodes detections."""

from collections.abc import Mapping, Set
from typing import Any, NamedTuple

import numpy as np

from sklearn_dl.images import ImageReadError, PixelExtractor
from sklearn_dl.images._faults import naming
from sklearn_dl.images._lazy import image_column
from sklearn_dl.images._resizer import Resize, width_and_height
from sklearn_dl.metrics._boxes import BOX_FIELDS, suppress
from sklearn_dl.runtimes._scoring_loop import listed
from sklearn_dl.scoring._input_casts import cast, check_row_shape
from sklearn_dl.utils._columns import is_missing
from sklearn_dl.utils._messages import NotFiniteError, RowError, brief
from sklearn_dl.vision._finite import check_outputs, of_row
from sklearn_dl.vision.detection._formats import (
    FORMATS,
    CallableFormat,
    Candidates,
    Format,
    fitting_formats,
)


class Geometry(NamedTuple):
    """How an image was placed on the network's input.

    Attributes
    ----------
    input_size : tuple of int
        (width, height) of the network's input, in pixels.
    image_size : tuple of int
        (width, height) of the image, after its EXIF rotation. With ``tile=``, of the tile.
    source, target : tuple of float
        Boxes x0, y0, x1, y1: the box `source` of the image fills the box `target` of the input.
    """

    input_size: tuple
    image_size: tuple
    source: tuple
    target: tuple

    def to_image(self, boxes):
        """Convert boxes from pixels of the input to pixels of the image, and clip them to it."""
        source, target = np.array(self.source), np.array(self.target)
        scale = (source[2:] - source[:2]) / (target[2:] - target[:2])
        moved = (np.reshape(boxes, (-1, 2, 2)) - target[:2]) * scale + source[:2]
        return moved.clip(0, self.image_size).reshape(-1, 4)


class Reader:
    """Prepares the inputs of a detector's graph, and decodes detections from its outputs.

    Parameters
    ----------
    detector : DetectionScorer
    session : OnnxSession
    """

    def __init__(self, detector, session):
        self.detector = detector
        by_callable = callable(detector.format)
        self.format: Format = (
            CallableFormat(detector.format) if by_callable else FORMATS[detector.format]
        )
        self.image_input, self.other_inputs = self._split_inputs(session)
        self.colors = self._or_default("colors")
        self.anchors = self._anchors()
        self._choose_resize(self.image_input)
        self.labels = class_labels(detector.classes)
        self.empty = detector._no_detections()
        self._chosen: dict = {}
        self.n_classes = None
        shapes = {spec.name: spec.row_shape for spec in session.outputs}
        stated = all(row is not None and None not in row for row in shapes.values())
        fits = None not in shapes.values() and (
            None if by_callable else self.format.choose(shapes, self._input_size(), self.anchors)
        )
        # sizes that the graph does not state are checked on the first outputs
        if not by_callable and (stated or fits):
            self.n_classes = self.choose(shapes)[1]

    def other_sources(self, images, numbers=None):
        """Return, for lazy images, the source of each input except the image's, by name."""
        given = self.detector.extra_inputs
        return {
            spec.name: GeometrySource(spec, given[spec.name], images, self.geometry, numbers)
            for spec in self.other_inputs
        }

    def geometry(self, image_size):
        """Return the Geometry of an image of this size."""
        return Geometry(self._input_size(), image_size, *self.step.placement(image_size))

    def pixels(self, images):
        """Return lazy images as the PixelArray that the graph takes."""
        resized = image_column([image.with_step(self.step) for image in images])
        return self.extractor().transform(resized)

    def extractor(self):
        """Return the PixelExtractor that makes the graph's input of resized images."""
        return PixelExtractor(
            colors=self.colors,
            layout=self.layout,
            offset=self._level("offset"),
            scale=self._level("scale"),
        )

    def _level(self, name):
        """Return the parameter `offset` or `scale`.

        If it is None, return the format's default, in the order of `colors`.
        """
        given, default = getattr(self.detector, name), getattr(self.format, name)
        if given is not None:
            return given
        if not isinstance(default, tuple):
            return default
        if set(self.colors) - set("RGB"):
            raise ValueError(
                f"format={self.detector.format!r} has {name}s only for red, green and blue; with "
                f"colors={self.colors!r}, set `{name}`."
            )
        return [default["RGB".index(color)] for color in self.colors]

    def detections(self, outputs, image_size):
        """Return the detections from the outputs of one image (dict of name to array)."""
        detector = self.detector
        geometry = self.geometry(image_size)
        if isinstance(self.format, CallableFormat):
            # for the callable, infinity may have a meaning
            check_outputs(outputs, allowed=(-np.inf, np.inf))
            found = self._decode_by_callable(outputs, geometry)
        else:
            chosen, _ = self.choose({name: array.shape for name, array in outputs.items()})
            names = [list(outputs)[i] for i in chosen]
            read = {name: outputs[name] for name in names}
            check_outputs(read, allowed=self.format.infinities)
            found = self.format.decode(
                list(read.values()), geometry.input_size, self.anchors, detector.score_threshold
            )
        check_outputs({"boxes": found.boxes, "scores": found.scores})
        boxes = geometry.to_image(found.boxes)
        # a box that lies outside the image, or has no area, is dropped
        seen = (boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1])
        found, boxes = Candidates(*(values[seen] for values in found)), boxes[seen]
        if self.format.suppresses:
            kept = suppress(
                found.boxes,
                found.scores,
                np.zeros_like(found.classes) if detector.class_agnostic else found.classes,
                detector.iou_threshold,
                detector.max_detections,
            )
        else:
            kept = np.argsort(-found.scores, kind="stable")[: detector.max_detections]
        boxes = boxes[kept]
        result = np.empty(len(kept), dtype=self.empty.dtype)
        for name, edge in zip(BOX_FIELDS, boxes.T, strict=True):
            result[name] = edge
        result["score"] = found.scores[kept]
        classes = found.classes[kept]
        result["label"] = classes if self.labels is None else self.labels[classes]
        return result

    def _decode_by_callable(self, outputs, geometry):
        """Call the user's `format` function, and check what it returns.

        Return the boxes that reach `score_threshold` as Candidates.
        """
        boxes, scores, classes = self.detector.format(outputs, geometry)
        boxes = np.asarray(boxes, dtype=np.float64).reshape(-1, 4)
        scores, classes = np.asarray(scores, dtype=np.float64), np.asarray(classes)
        if scores.shape != (len(boxes),) or classes.shape != (len(boxes),):
            raise ValueError(
                f"format={self.detector.format!r} returned {len(boxes)} boxes, scores of shape "
                f"{scores.shape} and classes of shape {classes.shape}; each box needs one score "
                "and one class."
            )
        check_outputs({"scores": scores}, allowed=(-np.inf,))
        kept = scores >= self.detector.score_threshold
        boxes, scores, classes = boxes[kept], scores[kept], classes[kept]
        if classes.dtype.kind not in "iu" and (classes != np.floor(classes)).any():
            raise ValueError(
                f"format={self.detector.format!r} returned classes that are not whole numbers: "
                f"{classes[:5].tolist()}."
            )
        if self.labels is not None:
            beyond = classes[(classes < 0) | (classes >= len(self.labels))]
            if len(beyond):
                raise ValueError(
                    f"format={self.detector.format!r} returned class {beyond[0]}, but `classes` "
                    f"has labels for the classes 0 to {len(self.labels) - 1}."
                )
        return Candidates(boxes, scores, classes.astype(np.int64))

    def _input_size(self):
        return self.step.width, self.step.height

    def choose(self, shapes):
        """Return the positions of the outputs to read, and the number of classes or None."""
        key = tuple(shapes.values())
        if key not in self._chosen:
            self._chosen[key] = self._check(shapes)
        return self._chosen[key]

    def _check(self, shapes):
        """Return what `choose` returns; raise a ValueError if shapes or labels do not match."""
        size = self._input_size()
        chosen = self.format.choose(shapes, size, self.anchors)
        name, seen = self.detector.format, ", ".join(f"{n!r} {s}" for n, s in shapes.items())
        if chosen is None:
            others = fitting_formats(shapes, size)
            fit = (
                f"these formats match: {others}"
                if others
                else "no format matches, so set `format` to a callable"
            )
            raise ValueError(
                f"format={name!r} expects {self.format.expects}; the outputs of one image are "
                f"{seen} for an input of {size[0]} x {size[1]}; {fit}."
                + self._about_anchors(shapes)
            )
        picked = [list(shapes.values())[i] for i in chosen]
        n_classes = self.format.n_classes(picked, self.anchors)
        labels = self.labels
        if n_classes is not None and labels is not None and len(labels) != n_classes:
            raise ValueError(
                f"`classes` has {len(labels)} labels, but with format={name!r} the model's outputs "
                f"({seen}) have {n_classes} classes."
            )
        return chosen, n_classes

    def _about_anchors(self, shapes):
        """Return the sentence about anchors for the error message about shapes, or ''."""
        depths = [shape[0] for shape in shapes.values() if len(shape) == 3]
        if self.anchors is None or not depths or depths[0] is None:
            return ""
        n_anchors = len(self.anchors)
        if depths[0] % n_anchors == 0 and depths[0] > 5 * n_anchors:
            return ""  # the anchors match
        return (
            f" With {n_anchors} anchors, the first size of an output must be {n_anchors} * "
            f"(5 + n_classes), but it is {depths[0]}."
        )

    def _split_inputs(self, session):
        """Return the spec of the image's input, and the specs of the `extra_inputs`."""
        given = self.detector.extra_inputs or {}
        specs = {spec.name: spec for spec in (*session.inputs, *session.optional_inputs)}
        images = [spec for spec in session.inputs if spec.name not in given]
        if unknown := [name for name in given if name not in specs]:
            raise ValueError(
                f"`extra_inputs` has unknown inputs {unknown}; the graph has "
                f"{listed(specs.values())}."
            )
        if len(images) != 1:
            raise ValueError(
                "`extra_inputs` must leave exactly one input of the graph, for the image, but "
                f"leaves {listed(images) or 'none'}. Set a value for every other input, as in "
                'extra_inputs={"orig_target_sizes": lambda geometry: geometry.input_size}.'
            )
        return images[0], [specs[name] for name in given]

    def _anchors(self):
        """Return the anchors as an ndarray of shape (n_anchors, 2); None if the format has none."""
        given = self.detector.anchors
        if given is None:
            return None if self.format.anchors is None else np.array(self.format.anchors)
        if self.format.anchors is None:
            raise ValueError(
                f"format={self.detector.format!r} does not use anchors; set anchors=None."
            )
        anchors = np.asarray(given, dtype=np.float64)
        if (
            anchors.ndim != 2
            or anchors.shape[1] != 2
            or not len(anchors)
            or not (anchors > 0).all()
        ):
            raise ValueError(
                f"`anchors` must have shape (n_anchors, 2) and contain positive widths and heights "
                f"in grid cells, got {brief(given)} of shape {anchors.shape}."
            )
        return anchors

    def _choose_resize(self, spec):
        """Set the layout of the pixels and the resizing step."""
        row, n_colors = spec.row_shape, len(self.colors)
        if row is not None and len(row) != 3:
            raise ValueError(
                f"The graph's input {spec} is not a batch of images: it needs 4 dimensions, "
                "(n, channels, height, width) or (n, height, width, channels)."
            )
        nhwc = row is not None and row[2] == n_colors and row[0] != n_colors
        self.layout = "NHWC" if nhwc else "NCHW"
        rows, columns = (row[:2] if nhwc else row[1:]) if row else (None, None)
        width, height = self._image_size()
        if (columns and width and columns != width) or (rows and height and rows != height):
            raise ValueError(
                f"image_size={self.detector.image_size!r}, but the graph takes {columns or 'any'} "
                f"x {rows or 'any'} pixels."
            )
        self.step = Resize(
            width=int(columns or width or self.format.size),
            height=int(rows or height or self.format.size),
            mode=self._or_default("resize_mode"),
            anchor="center",
            resample="bilinear",
            fill_color=self.format.fill_color,
        )

    def _image_size(self):
        size = self.detector.image_size
        return (None, None) if size is None else width_and_height(size)

    def _or_default(self, name):
        """Return the parameter `name`, or the format's default if it is None."""
        given = getattr(self.detector, name)
        return getattr(self.format, name) if given is None else given


class DetectionCollector:
    """Decodes the outputs of each batch, and keeps only the detections.

    Parameters
    ----------
    images : sequence of LazyImage
    specs : sequence of TensorSpec
        The graph's outputs.
    reader : Reader
    numbers : sequence of int or None, default=None
        The numbers, in messages, of the rows of `images`. None: their positions.
    """

    def __init__(self, images, specs, reader, numbers=None):
        self.images = images
        self.numbers = range(len(images)) if numbers is None else numbers
        self.names = [spec.name for spec in specs]
        self.reader = reader
        self.errors: dict[int, RowError] = {}
        self.detections: list[Any] = [None] * len(images)

    def add(self, rows, outputs, n_fed):
        """Keep the detections of some rows; `n_fed` is the size of the batch that the graph got."""
        for name, output in zip(self.names, outputs, strict=True):
            if len(output) != n_fed:
                raise ValueError(
                    f"The output {name!r} has shape {output.shape} for a batch of {n_fed} images, "
                    "but one result per image is needed. Export the detector without non-maximum "
                    "suppression."
                )
        for position, row in enumerate(rows):
            arrays = {n: output[position] for n, output in zip(self.names, outputs, strict=True)}
            image, number = self.images[row], self.numbers[row]
            try:
                size = image.size_as_read()
            except ImageReadError as error:  # the file was removed after its pixels were read
                raise error.at(number) from error
            try:
                self.detections[row] = self.reader.detections(arrays, size)
            except NotFiniteError as error:
                named = of_row(number, image, error.message)
                if image.decoding.on_error == "raise":
                    raise named from error
                self.errors[row] = named
            except ValueError as error:
                error.add_note(f"Row {number}")
                raise


class GeometrySource:
    """Source of the values of an input that is not the image.

    Parameters
    ----------
    spec : TensorSpec
    value : callable(Geometry) or array-like
        The value for one image, without the batch dimension, or a function that returns it.
    images : sequence of LazyImage
    geometry : callable(image_size) -> Geometry
    numbers : sequence of int or None, default=None
        The numbers, in messages, of the rows of `images`. None: their positions.
    """

    shapes = None

    def __init__(self, spec, value, images, geometry, numbers=None):
        self.spec, self.value = spec, value
        self.images, self.geometry = images, geometry
        self.numbers = range(len(images)) if numbers is None else numbers

    def read(self, rows):
        """Return the values of the rows that can be read, and the errors of the other rows."""
        values, errors = [], {}
        for row in rows:
            image, number = self.images[row], self.numbers[row]
            try:
                with naming(f"Row {number}"):
                    values.append(self._of_image(image))
            except ImageReadError as error:
                named = error.at(number)
                if image.decoding.on_error == "raise":
                    raise named from error
                errors[row] = named
        good = [self.numbers[row] for row in rows if row not in errors]
        batch = np.empty((0, *(size or 0 for size in self.spec.row_shape or ())))
        return cast(np.stack(values) if values else batch, self.spec, good), errors

    def _of_image(self, image):
        value = self.value
        if callable(value):
            value = value(self.geometry(image.size_as_read()))
        array = np.asarray(value)
        check_row_shape(array.shape, self.spec)
        return array


def class_labels(classes):
    """Return the parameter `classes` as an ndarray of labels, or None.

    Parameters
    ----------
    classes : sequence, dict of int to label, or None

    Raises
    ------
    ValueError
        If it does not have one label for each class.
    """
    if classes is None:
        return None
    if isinstance(classes, Mapping):
        # JSON turns the class indices into strings
        by_index = {
            int(key) if isinstance(key, str) and key.isdecimal() else key: label
            for key, label in classes.items()
        }
        missing = [index for index in range(len(classes)) if index not in by_index]
        if missing:
            raise ValueError(
                f"`classes` is a dict of {len(classes)} labels, but class {missing[0]} has no "
                f"label: the keys must be the class indices 0, 1, ...; got {list(classes)[:5]}."
            )
        classes = [by_index[index] for index in range(len(classes))]
    elif isinstance(classes, (str, bytes, Set)):
        raise ValueError(
            f"`classes` is a {type(classes).__name__}; pass a list of labels in the "
            "network's order, or a dict from class indices to labels."
        )
    labels = classes if isinstance(classes, np.ndarray) else list(classes)
    missing = [index for index, label in enumerate(labels) if is_missing(label)]
    array = np.asarray(labels)
    if array.ndim != 1 or not len(array) or missing:
        seen = f"class {missing[0]} has none" if missing else f"its shape is {array.shape}"
        raise ValueError(f"`classes` must have one label per class, but {seen}.")
    return array
