"""Reader: prepares the inputs of a DetectionScorer's graph, and decodes detections."""

import numpy as np

from sklearn_dl.images import PixelExtractor
from sklearn_dl.images._lazy import image_column
from sklearn_dl.images._resizer import Resize, width_and_height
from sklearn_dl.metrics._boxes import BOX_FIELDS, detection_dtype, suppress
from sklearn_dl.runtimes._scoring_loop import listed
from sklearn_dl.utils._messages import brief
from sklearn_dl.vision._finite import check_outputs
from sklearn_dl.vision.detection._extra_inputs import KNOWN_INPUTS, GeometrySource
from sklearn_dl.vision.detection._geometry import Geometry
from sklearn_dl.vision.detection._labels import class_labels, metadata_labels
from sklearn_dl.vision.detection.formats import (
    FORMATS,
    CallableFormat,
    Candidates,
    Context,
    MisreadError,
    OutputFacts,
    choose_format,
    fitting_formats,
)

# more classes than any network has; class indices below it are exact in float32
_MOST_CLASSES = 2**24


class Reader:
    """Prepares the inputs of a detector's graph, and decodes detections from its outputs.

    Parameters
    ----------
    detector : DetectionScorer
    session : OnnxSession
    """

    def __init__(self, detector, session):
        self.detector = detector
        self.metadata = session.metadata
        self.labels = class_labels(detector.classes)
        if self.labels is None:
            self.labels = metadata_labels(self.metadata)
        self.empty: np.ndarray = np.empty(
            0, detection_dtype(np.int64 if self.labels is None else self.labels.dtype)
        )
        self.image_input, self.extra_inputs = self._split_inputs(session)
        anchors = self._given_anchors()
        shapes = {spec.name: spec.row_shape for spec in session.outputs}
        self.format = self._find_format(shapes, anchors)
        self.colors = self._or_default("colors")
        self.anchors = self._check_anchors(anchors)
        self._choose_resize()
        self._chosen: dict = {}
        self.n_classes = None
        stated = all(row is not None and None not in row for row in shapes.values())
        fits = None not in shapes.values() and self.format.choose(self._facts(shapes))
        # sizes that the graph does not state are checked on the first outputs
        if stated or fits:
            self.n_classes = self.choose(shapes)[1]

    def _find_format(self, shapes, anchors):
        """Return the Format that the parameter `format` names, or that "auto" chooses."""
        given = self.detector.format
        if callable(given):
            return CallableFormat(given)
        if given != "auto":
            return FORMATS[given]
        if unknown := [name for name, shape in shapes.items() if shape is None]:
            raise ValueError(
                f'format="auto" cannot find the format: the graph does not state the shapes of its '
                f"outputs {unknown}. Set `format`."
            )
        facts = self._facts(shapes, (0, 0), anchors)
        return choose_format(facts, self._size_for)

    def _facts(self, shapes, size=None, anchors=None):
        """Return the OutputFacts of outputs with these shapes for one image."""
        names = {"names", "stride"} <= self.metadata.keys()
        return OutputFacts(
            shapes,
            size or self._input_size(),
            self.anchors if size is None else anchors,
            None if self.labels is None else len(self.labels),
            self.metadata.get("task") if names else None,
            names,
        )

    def other_sources(self, images, numbers=None):
        """Return a source for each input other than the image, by name."""
        return {
            spec.name: GeometrySource(spec, value, images, self.geometry, numbers)
            for spec, value in self.extra_inputs
        }

    def geometry(self, image_size):
        """Return the Geometry of an image of this size."""
        return Geometry(self._input_size(), image_size, *self.step.placement(image_size))

    def pixels(self, images):
        """Return lazy images as the PixelArray that the graph takes."""
        resized = image_column([image.with_step(self.step) for image in images])
        return self.extractor().transform(resized)

    def extractor(self):
        """Return the PixelExtractor that makes the graph's input from resized images."""
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
                f"format={self._shown} has {name}s only for red, green and blue; with "
                f"colors={self.colors!r}, set `{name}`."
            )
        return [default["RGB".index(color)] for color in self.colors]

    def detections(self, outputs, image_size):
        """Return the detections from the outputs of one image (dict of name to array)."""
        detector = self.detector
        geometry = self.geometry(image_size)
        found = self._candidates(outputs, geometry)
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

    def _candidates(self, outputs, geometry):
        """Return the Candidates of one image."""
        shapes = {name: array.shape for name, array in outputs.items()}
        chosen, n_classes = self.choose(shapes)
        names = list(outputs)
        read = {names[i]: outputs[names[i]] for i in chosen}
        check_outputs(read, allowed=self.format.infinities)
        detector = self.detector
        context = Context(
            geometry,
            self.anchors,
            detector.score_threshold,
            n_classes,
            is_guess=detector.format == "auto",
        )
        try:
            found = self.format.decode(read, context)
            return found._replace(classes=self._checked_classes(found.classes))
        except MisreadError as error:
            raise ValueError(f"{error} {self._instead(shapes)}") from error

    def _checked_classes(self, classes):
        """Return class indices as int64; raise an error if they are not indices of classes."""
        is_index = np.zeros(len(classes), bool)
        if classes.dtype.kind in "iuf":
            numbers = classes.astype(np.float64)
            is_index = (numbers >= 0) & (numbers < _MOST_CLASSES) & (numbers == np.floor(numbers))
        if not is_index.all():
            raise MisreadError(
                f"format={self._shown} reads class indices 0, 1, ..., but one is "
                f"{classes[~is_index][0]!s}."
            )
        if self.labels is not None and classes.max(initial=0) >= len(self.labels):
            raise ValueError(
                f"format={self._shown} returned class {classes.max():.0f}, but "
                f"{self._source_of_labels} has labels for the classes 0 to {len(self.labels) - 1}."
            )
        return classes.astype(np.int64)

    def _instead(self, shapes):
        """Return the sentence that says what to do if the values do not fit the format."""
        if callable(self.detector.format):
            return "Correct the callable."
        others = [n for n in fitting_formats(self._facts(shapes)) if n != self.format.name]
        if not others:
            return "Set `format` to a callable that decodes them."
        return (
            f"These formats have outputs of the same shapes: {others}. Set `format` to the right "
            "one, or to a callable that decodes them."
        )

    @property
    def _shown(self):
        """The name of the format in messages."""
        is_named = self.format.name in FORMATS
        return repr(self.format.name) if is_named else self.format.name

    @property
    def _source_of_labels(self):
        """The source of the labels, for messages."""
        given = self.detector.classes is not None
        return "`classes`" if given else "the file's metadata (`names`)"

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
        facts = self._facts(shapes)
        chosen = self.format.choose(facts)
        name, seen = self._shown, ", ".join(f"{n!r} {s}" for n, s in shapes.items())
        if chosen is None:
            others = fitting_formats(facts)
            fit = (
                f"these formats match: {others}"
                if others
                else "no format matches, so set `format` to a callable"
            )
            raise ValueError(
                f"format={name} expects {self.format.expects}; the outputs of one image are "
                f"{seen} for an input of {facts.size[0]} x {facts.size[1]}; {fit}."
                + self._about_anchors(shapes)
            )
        n_classes = self.format.n_classes(facts, chosen)
        if n_classes is None and self.format.needs_classes:
            raise ValueError(
                f"format={name} cannot tell the number of classes from the outputs ({seen}): set "
                "`classes`."
            )
        if n_classes is not None and facts.n_labels not in (None, n_classes):
            instead = "" if self.detector.classes is not None else " If it is right, set `classes`."
            raise ValueError(
                f"{self._source_of_labels} has {facts.n_labels} labels, but with format={name} the "
                f"model's outputs ({seen}) have {n_classes} classes.{instead}"
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
        """Return the spec of the image's input, and the other inputs as pairs (spec, value).

        A value is the same array for all images, or a function of the geometry.
        """
        given = self.detector.extra_inputs or {}
        specs = {spec.name: spec for spec in (*session.inputs, *session.optional_inputs)}
        if unknown := [name for name in given if name not in specs]:
            raise ValueError(
                f"`extra_inputs` has unknown inputs {unknown}; the inputs of the graph are "
                f"{listed(specs.values())}."
            )
        required = {spec.name for spec in session.inputs}
        values = {n: v for n, v in KNOWN_INPUTS.items() if n in required} | given
        images = [spec for spec in session.inputs if spec.name not in values]
        if len(images) != 1:
            seen = f"{listed(images)} have none" if images else "all inputs have one"
            raise ValueError(
                "Exactly one input of the graph, the image, must have no value in `extra_inputs`, "
                f"but {seen}. Set a value for every other input, as in "
                'extra_inputs={"sizes": lambda geometry: geometry.input_size}. Only the inputs '
                f"{list(KNOWN_INPUTS)} have default values."
            )
        return images[0], [(specs[name], value) for name, value in values.items()]

    def _given_anchors(self):
        """Return the parameter `anchors` as an ndarray of shape (n_anchors, 2), or None."""
        given = self.detector.anchors
        if given is None:
            return None
        try:
            anchors = np.asarray(given, dtype=np.float64)
        except (TypeError, ValueError):  # strings, or rows of different lengths
            anchors = np.empty(0)
        if (
            anchors.ndim != 2
            or anchors.shape[1] != 2
            or not len(anchors)
            or not (anchors > 0).all()
        ):
            raise ValueError(
                f"`anchors` must have shape (n_anchors, 2) and contain positive widths and heights "
                f"in grid cells, got {brief(given)}."
            )
        return anchors

    def _check_anchors(self, given):
        """Return the anchors that the format uses, or None if it has none."""
        default = self.format.anchors
        if given is None:
            return None if default is None else np.array(default)
        if default is None:
            raise ValueError(f"format={self._shown} does not use anchors; set anchors=None.")
        return given

    def _choose_resize(self):
        """Set the layout of the pixels and the resizing step."""
        self.layout = self._layout(len(self.colors))
        width, height = self._size_for(self.format)
        self.step = Resize(
            width=width,
            height=height,
            mode=self._or_default("resize_mode"),
            anchor="center",
            resample="bilinear",
            fill_color=self.format.fill_color,
        )

    def _layout(self, n_colors):
        spec = self.image_input
        row = spec.row_shape
        if row is not None and len(row) != 3:
            raise ValueError(
                f"The graph's input {spec} is not a batch of images: it needs 4 dimensions, "
                "(n, channels, height, width) or (n, height, width, channels)."
            )
        nhwc = row is not None and row[2] == n_colors and row[0] != n_colors
        return "NHWC" if nhwc else "NCHW"

    def _size_for(self, one):
        """Return (width, height) of the network's input with the defaults of a format."""
        row = self.image_input.row_shape
        nhwc = self._layout(len(self.detector.colors or one.colors)) == "NHWC"
        rows, columns = (row[:2] if nhwc else row[1:]) if row else (None, None)
        width, height = self._image_size()
        if (columns and width and columns != width) or (rows and height and rows != height):
            raise ValueError(
                f"image_size={self.detector.image_size!r}, but the graph takes {columns or 'any'} "
                f"x {rows or 'any'} pixels."
            )
        return int(columns or width or one.size), int(rows or height or one.size)

    def _image_size(self):
        size = self.detector.image_size
        return (None, None) if size is None else width_and_height(size)

    def _or_default(self, name):
        """Return the parameter `name`, or the format's default if it is None."""
        given = getattr(self.detector, name)
        return getattr(self.format, name) if given is None else given
