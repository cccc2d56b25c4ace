"""ObjectDetector: a pretrained ONNX detector as a scikit-learn estimator."""

import os
from numbers import Integral, Real
from typing import Any, NamedTuple

import numpy as np

from sklearn_dl.images import ImageLoader, ImageReadError, PixelExtractor
from sklearn_dl.images._lazy import image_column
from sklearn_dl.images._pixel_array import warn_of_failed_rows
from sklearn_dl.images._resizer import Resize
from sklearn_dl.metrics import mean_average_precision_score
from sklearn_dl.metrics._boxes import BOX_FIELDS, detection_dtype, suppress
from sklearn_dl.scoring import _onnx_model
from sklearn_dl.scoring._onnx_graph import shared_session
from sklearn_dl.scoring._scorer import listed, score
from sklearn_dl.scoring._sources import PixelSource
from sklearn_dl.utils._columns import object_array, row_index, single_column
from sklearn_dl.utils._embedding import EmbeddedModelEstimator
from sklearn_dl.utils._optional import import_optional
from sklearn_dl.utils._sklearn import HasMethods, Interval, StrOptions
from sklearn_dl.utils._threads import thread_budget
from sklearn_dl.vision._formats import FORMATS, Candidates, Format, OwnFormat, fitting


class Geometry(NamedTuple):
    """How an image was laid on the network's input.

    Attributes
    ----------
    input_size : tuple of int
        (width, height) of the network's input, in pixels.
    image_size : tuple of int
        (width, height) of the image, after its EXIF rotation.
    source, target : tuple of float
        The box x0, y0, x1, y1 of the image that fills the box `target` of the input.
    """

    input_size: tuple
    image_size: tuple
    source: tuple
    target: tuple

    def to_image(self, boxes):
        """Boxes in pixels of the input, as boxes in pixels of the image, clipped to it."""
        source, target = np.array(self.source), np.array(self.target)
        scale = (source[2:] - source[:2]) / (target[2:] - target[:2])
        moved = (np.reshape(boxes, (-1, 2, 2)) - target[:2]) * scale + source[:2]
        return moved.clip(0, self.image_size).reshape(-1, 4)


class ObjectDetector(EmbeddedModelEstimator):
    """Find objects in photographs with a pretrained ONNX detector.

    Photographs are decoded, fitted into the network's input, run and decoded batch by batch; the
    boxes come back in pixels of the original photographs. Nothing is learned: no `fit` is needed.

    Parameters
    ----------
    model : str, Path, bytes or onnx.ModelProto
        A file, its bytes, a parsed model, or the name of a registered model.
    format : str or callable
        What the outputs mean: "yolov2", "yolov8" (and later heads of its shape), "yolox", "ssd",
        "detr" or "rt-detr". Or ``decode(outputs, geometry)``, called once per image with its
        outputs (dict of name to array) and :class:`~sklearn_dl.vision.Geometry`, which returns
        boxes x0, y0, x1, y1 in pixels of the network's input, scores and numbers of classes.
    classes : sequence, default=None
        Label of each class, in the network's order (without background). None: their numbers.
    image_size : int or (width, height), default=None
        Input of the network in pixels. None: what the graph states, else the format's.
    resize_mode : {"pad", "pad_end", "fill", "crop"}, default=None
        "pad": fitted in, centred on grey; "pad_end": fitted in at the upper left; "fill":
        stretched; "crop": what stands over is cut off. None: the format's.
    colors : str, default=None
        "RGB", "BGR", ... or "L". None: the format's.
    offset, scale : float or sequence of float, default=None
        ``(pixel - offset) * scale``, as in :class:`~sklearn_dl.PixelExtractor`. None: the format's.
    anchors : array-like of shape (n_anchors, 2), default=None
        Widths and heights in grid cells, for "yolov2". None: Tiny YOLOv2's.
    score_threshold : float, default=0.3
        Detections with a lower score are left out.
    iou_threshold : float, default=0.45
        Of two boxes of one class that overlap more than that (intersection over union) the one
        with the lower score is left out. Not used by "detr" and "rt-detr".
    max_detections : int, default=300
        Detections of an image at most, the highest scores first.
    batch_size : int, default=8
        Images per run; a graph with a fixed batch size is fed in that size.
    providers : "auto" or list, default="auto"
        ONNX Runtime's execution providers, best first. "auto": CUDA where the installed
        onnxruntime has it, else the processor.
    n_threads : int or None, default=None
        Threads that are busy at once. None: the CPUs that this process may use, or inside a
        joblib worker its share of them.
    on_error : {"raise", "nan"}, default="raise"
        What an image that cannot be read does: raise, naming its row and path; or its result is
        None, and one warning counts such images.
    embed_model : bool, default=True
        Whether a pickle carries the model. False: it carries the path or name and the content's
        hash, and the model must be found where the pickle is loaded.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        Label of each class. Needs no `fit`.
    inputs_, outputs_ : tuple of TensorSpec
        (name, shape, dtype) of the graph's inputs and outputs. Need no `fit`.
    n_features_in_ : int
        1, after `fit`.
    feature_names_in_ : ndarray of shape (1,)
        Name of the column, after `fit` on a data frame.

    See Also
    --------
    sklearn_dl.metrics.mean_average_precision_score : How good the detections are.
    sklearn_dl.inspection.DetectionDisplay : Draws them.

    Notes
    -----
    ML.NET's object detection with ONNX, whose boxes stay in the frame of the resized image. What
    the formats imply (input size, resizing, colours, scaling):

    =========  ====================================  ===================  ========================
    format     outputs of one image                  input                pixels
    =========  ====================================  ===================  ========================
    yolov2     (n_anchors * (5 + C), rows, columns)  416, stretched       RGB 0 to 255
    yolov8     (4 + C, n)                            640, centred, grey   RGB / 255
    yolox      (n, 5 + C)                            640, at the corner   BGR 0 to 255
    ssd        (n, 1 + C) and (n, 4)                 300, stretched       (RGB - 127) / 128
    detr       (n, C + 1) and (n, 4)                 800, stretched       ImageNet's mean and std
    rt-detr    (n, C) and (n, 4)                     640, stretched       RGB / 255
    =========  ====================================  ===================  ========================

    A candidate box has one label, its most probable class.

    Examples
    --------
    >>> import numpy as np, onnx
    >>> from onnx import TensorProto, helper
    >>> from sklearn_dl import ObjectDetector
    >>> boxes = np.array([[[0.25, 0.0, 0.75, 0.5]]], dtype=np.float32)
    >>> scores = np.array([[[0.1, 0.0, 0.9]]], dtype=np.float32)
    >>> graph = helper.make_graph(  # a detector that finds the same object everywhere
    ...     [
    ...         helper.make_node("Identity", ["constant_scores"], ["scores"]),
    ...         helper.make_node("Identity", ["constant_boxes"], ["boxes"]),
    ...     ],
    ...     "constant",
    ...     [helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3, 32, 32])],
    ...     [
    ...         helper.make_tensor_value_info("scores", TensorProto.FLOAT, [1, 1, 3]),
    ...         helper.make_tensor_value_info("boxes", TensorProto.FLOAT, [1, 1, 4]),
    ...     ],
    ...     [
    ...         onnx.numpy_helper.from_array(scores, "constant_scores"),
    ...         onnx.numpy_helper.from_array(boxes, "constant_boxes"),
    ...     ],
    ... )
    >>> model = helper.make_model(
    ...     graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8
    ... )
    >>> detector = ObjectDetector(
    ...     model.SerializeToString(), format="ssd", classes=["cat", "dog"]
    ... )
    >>> detector.predict([np.zeros((100, 200, 3), dtype=np.uint8)])[0]
    array([(50., 0., 150., 50., 0.9, 'dog')],
          dtype=[('x0', '<f4'), ('y0', '<f4'), ('x1', '<f4'), ('y1', '<f4'), ('score', '<f4'), ('label', '<U3')])
    """  # noqa: E501

    _parameter_constraints: dict = {
        "model": [str, os.PathLike, bytes, HasMethods("SerializeToString")],
        "format": [StrOptions(set(FORMATS)), callable],
        "classes": ["array-like", None],
        "image_size": [Interval(Integral, 1, None, closed="left"), tuple, list, None],
        "resize_mode": [StrOptions({"pad", "pad_end", "fill", "crop"}), None],
        "colors": [str, None],
        "offset": [Real, "array-like", None],
        "scale": [Real, "array-like", None],
        "anchors": ["array-like", None],
        "score_threshold": [Interval(Real, 0, 1, closed="both")],
        "iou_threshold": [Interval(Real, 0, 1, closed="both")],
        "max_detections": [Interval(Integral, 1, None, closed="left")],
        "batch_size": [Interval(Integral, 1, None, closed="left")],
        "providers": [list, tuple, StrOptions({"auto"})],
        "n_threads": [Interval(Integral, 1, None, closed="left"), None],
        "on_error": [StrOptions({"raise", "nan"})],
        "embed_model": ["boolean"],
    }

    def __init__(
        self,
        model,
        *,
        format,
        classes=None,
        image_size=None,
        resize_mode=None,
        colors=None,
        offset=None,
        scale=None,
        anchors=None,
        score_threshold=0.3,
        iou_threshold=0.45,
        max_detections=300,
        batch_size=8,
        providers="auto",
        n_threads=None,
        on_error="raise",
        embed_model=True,
    ):
        self.model = model
        self.format = format
        self.classes = classes
        self.image_size = image_size
        self.resize_mode = resize_mode
        self.colors = colors
        self.offset = offset
        self.scale = scale
        self.anchors = anchors
        self.score_threshold = score_threshold
        self.iou_threshold = iou_threshold
        self.max_detections = max_detections
        self.batch_size = batch_size
        self.providers = providers
        self.n_threads = n_threads
        self.on_error = on_error
        self.embed_model = embed_model

    def fit(self, X, y=None):
        """Check the parameters, the graph and the column; nothing is learned.

        Parameters
        ----------
        X : one column of images, as in `predict`
        y : ignored

        Returns
        -------
        self : object
        """
        self._validate_params()
        single_column(X, self, reset=True)
        self._reader(self._session())
        return self

    def predict(self, X):
        """The objects of each image.

        Parameters
        ----------
        X : one column of n_samples images
            Whatever :class:`~sklearn_dl.ImageLoader` takes: paths, bytes, PIL images, uint8
            arrays, lazy images.

        Returns
        -------
        detections : ndarray of shape (n_samples,), dtype object
            One structured array per image, of shape (n_objects,), by falling score: fields
            ``x0``, ``y0``, ``x1``, ``y1`` (edges in pixels of the image after its EXIF rotation,
            clipped to it) and ``score``, all float32, and ``label`` of the dtype of `classes_`.
            Of length 0 if nothing was found; None if the image could not be read
            (``on_error="nan"``, with one warning).

        Raises
        ------
        ValueError
            If an image cannot be read (its row and path are named), the graph's outputs do not
            fit `format`, or `classes` or `anchors` do not fit them.
        FileNotFoundError
            If the model or an image does not exist.
        """
        self._validate_params()
        cells = single_column(X, self, reset=False)
        images = ImageLoader(on_error=self.on_error).transform(object_array(cells))[:, 0]
        budget = thread_budget(self.n_threads)
        n_workers = budget if len(images) >= 2 * budget else 1
        session = self._session(budget // n_workers)
        reader = self._reader(session)
        collector = _Detections(images, session.outputs, reader)
        source = PixelSource(reader.pixels(images), session.inputs[0])
        batch_size = min(self.batch_size, -(-len(images) // n_workers))
        score(
            session,
            {source.spec.name: source},
            range(len(images)),
            batch_size,
            n_workers,
            collector=collector,
        )
        warn_of_failed_rows(collector.errors, len(images))
        return object_array(collector.detections)

    def predict_frame(self, X):
        """The objects of all images in one table.

        Parameters
        ----------
        X : one column of n_samples images
            As in `predict`.

        Returns
        -------
        frame : pandas.DataFrame
            One row per object, with the columns ``image`` (the row's name in the index of X if it
            is a frame or Series, else its number), ``label``, ``score``, ``x0``, ``y0``, ``x1``
            and ``y1``. Images in which nothing was found, or that could not be read, have none.

        Raises
        ------
        ImportError
            If pandas is not installed.
        ValueError
            As `predict` does.
        """
        pandas = import_optional("pandas", extra="demo", purpose="predict_frame")
        found = self.predict(X)
        counts = [0 if image is None else len(image) for image in found]
        rows = np.repeat(np.arange(len(found)), counts)
        whole = np.concatenate([image for image in found if image is not None] or [self._nothing()])
        index = row_index(X)
        columns = {"image": rows if index is None else index[rows], "label": whole["label"]}
        return pandas.DataFrame(
            columns | {name: whole[name] for name in ("score", *BOX_FIELDS)},
        )

    def score(self, X, y):
        """Mean average precision at an intersection over union of 0.5.

        Parameters
        ----------
        X : one column of n_samples images
        y : sequence of n_samples structured ndarray
            Their objects, as :func:`~sklearn_dl.metrics.make_detections` makes them.

        Returns
        -------
        score : float
            See :func:`~sklearn_dl.metrics.mean_average_precision_score`.
        """
        return mean_average_precision_score(y, self.predict(X))

    @property
    def inputs_(self):
        """Inputs of the graph: tuple of (name, shape, dtype)."""
        return self._session().inputs

    @property
    def outputs_(self):
        """Outputs of the graph: tuple of (name, shape, dtype)."""
        return self._session().outputs

    @property
    def classes_(self):
        """Label of each class."""
        if self.classes is not None:
            return np.asarray(self.classes)
        n_classes = self._reader(self._session()).n_classes
        if n_classes is None:
            raise AttributeError(
                "The graph does not state the number of its classes; set `classes`."
            )
        return np.arange(n_classes)

    def _nothing(self):
        label = np.int64 if self.classes is None else np.asarray(self.classes).dtype
        return np.empty(0, dtype=detection_dtype(label))

    def _find_content(self):
        return _onnx_model.resolve(self.model)

    def _session(self, n_threads=None):
        n_threads = n_threads or thread_budget(self.n_threads)
        return shared_session(self._content(), None, n_threads, self.providers)

    def _reader(self, session):
        return _Reader(self, session)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False
        tags.input_tags.string = True
        tags.requires_fit = False
        return tags


class _Reader:
    """What an ObjectDetector's parameters mean for one graph: pixels in, detections out."""

    def __init__(self, detector, session):
        self.detector = detector
        own = callable(detector.format)
        self.format: Format = OwnFormat(detector.format) if own else FORMATS[detector.format]
        if len(session.inputs) != 1:
            raise ValueError(
                f"A detector has one input, the image; this graph has {listed(session.inputs)}."
            )
        self.colors = self._or_default("colors")
        self.anchors = self._anchors()
        self._place(session.inputs[0])
        self.empty = detector._nothing()
        self._chosen: dict = {}
        self.n_classes = None
        if not own and all(spec.row_shape is not None for spec in session.outputs):
            shapes = {spec.name: spec.row_shape for spec in session.outputs}
            self.n_classes = self._choose(shapes)[1]

    def pixels(self, images):
        """PixelArray of lazy images, as the graph wants them."""
        detector = self.detector
        return PixelExtractor(
            colors=self.colors,
            layout=self.layout,
            offset=self.format.offset if detector.offset is None else detector.offset,
            scale=self.format.scale if detector.scale is None else detector.scale,
        ).transform(image_column([image.with_step(self.step) for image in images]))

    def detections(self, outputs, image_size):
        """Detections from the outputs of one image: dict of name to array."""
        detector = self.detector
        input_size = (self.step.width, self.step.height)
        geometry = Geometry(input_size, image_size, *self.step.placement(image_size))
        if isinstance(self.format, OwnFormat):
            found = self._own(outputs, geometry)
        else:
            chosen, _ = self._choose({name: array.shape for name, array in outputs.items()})
            arrays = list(outputs.values())
            found = self.format.decode(
                [arrays[i] for i in chosen], input_size, self.anchors, detector.score_threshold
            )
        if self.format.suppresses:
            kept = suppress(
                found.boxes,
                found.scores,
                found.classes,
                detector.iou_threshold,
                detector.max_detections,
            )
        else:
            kept = np.argsort(-found.scores, kind="stable")[: detector.max_detections]
        boxes = geometry.to_image(found.boxes[kept])
        seen = (boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1])
        kept, boxes = kept[seen], boxes[seen]
        result = np.empty(len(kept), dtype=self.empty.dtype)
        for name, edge in zip(BOX_FIELDS, boxes.T, strict=True):
            result[name] = edge
        result["score"] = found.scores[kept]
        classes = found.classes[kept]
        result["label"] = (
            classes if detector.classes is None else np.asarray(detector.classes)[classes]
        )
        return result

    def _own(self, outputs, geometry):
        boxes, scores, classes = self.detector.format(outputs, geometry)
        boxes = np.asarray(boxes, dtype=np.float64).reshape(-1, 4)
        scores, classes = np.asarray(scores, dtype=np.float64), np.asarray(classes)
        if scores.shape != (len(boxes),) or classes.shape != (len(boxes),):
            raise ValueError(
                f"format={self.detector.format!r} gave {len(boxes)} boxes, scores of shape "
                f"{scores.shape} and classes of shape {classes.shape}."
            )
        names = self.detector.classes
        if (
            names is not None
            and len(classes)
            and not 0 <= classes.min() <= classes.max() < len(names)
        ):
            raise ValueError(
                f"format={self.detector.format!r} gave class {classes.max()}, and `classes` has "
                f"{len(names)} labels."
            )
        kept = scores >= self.detector.score_threshold
        return Candidates(boxes[kept], scores[kept], classes[kept].astype(np.int64))

    def _choose(self, shapes):
        """Which outputs are read, and the number of classes (None: not known yet)."""
        key = tuple(shapes.values())
        if key not in self._chosen:
            self._chosen[key] = self._check(shapes)
        return self._chosen[key]

    def _check(self, shapes):
        size = (self.step.width, self.step.height)
        chosen = self.format.choose(shapes, size, self.anchors)
        name, seen = self.detector.format, ", ".join(f"{n!r} {s}" for n, s in shapes.items())
        if chosen is None:
            others = fitting(shapes, size)
            hint = f"these would fit: {others}" if others else "no format fits; give a callable"
            raise ValueError(
                f"format={name!r} expects {self.format.expects}; the outputs of one image are "
                f"{seen} for an input of {size[0]} x {size[1]}; {hint}."
                + self._about_anchors(shapes)
            )
        picked = [list(shapes.values())[i] for i in chosen]
        n_classes = self.format.n_classes(picked, self.anchors)
        labels = self.detector.classes
        if n_classes is not None and labels is not None and len(labels) != n_classes:
            raise ValueError(
                f"classes has {len(labels)} labels, but with format={name!r} the model's outputs "
                f"({seen}) have {n_classes} classes."
            )
        return chosen, n_classes

    def _about_anchors(self, shapes):
        depths = [shape[0] for shape in shapes.values() if len(shape) == 3]
        if self.anchors is None or not depths or depths[0] is None:
            return ""
        return (
            f" There are {len(self.anchors)} anchors: {depths[0]} must be a multiple of that, and "
            "more than 5 for each."
        )

    def _anchors(self):
        given = self.detector.anchors
        if given is None:
            return None if self.format.anchors is None else np.array(self.format.anchors)
        if self.format.anchors is None:
            raise ValueError(f"format={self.detector.format!r} has no anchors; leave them None.")
        anchors = np.asarray(given, dtype=np.float64)
        if (
            anchors.ndim != 2
            or anchors.shape[1] != 2
            or not len(anchors)
            or not (anchors > 0).all()
        ):
            raise ValueError(
                f"anchors must have shape (n_anchors, 2), positive widths and heights in grid "
                f"cells, got shape {anchors.shape}."
            )
        return anchors

    def _place(self, spec):
        """Layout of the pixels, and the resizing step."""
        row, n_colors = spec.row_shape, len(self.colors)
        if row is not None and len(row) != 3:
            raise ValueError(f"The graph's input {spec} is no batch of images.")
        nhwc = row is not None and row[2] == n_colors and row[0] != n_colors
        self.layout = "NHWC" if nhwc else "NCHW"
        rows, columns = (row[:2] if nhwc else row[1:]) if row else (None, None)
        width, height = self._image_size()
        if (columns and width and columns != width) or (rows and height and rows != height):
            raise ValueError(
                f"image_size={self.detector.image_size!r}, but the graph takes {columns} x {rows} "
                "pixels."
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
        if size is None:
            return None, None
        width, height = (size, size) if isinstance(size, Integral) else size
        for side in (width, height):
            if not isinstance(side, Integral) or side < 1:
                raise ValueError(f"image_size={size!r} must be positive integers of pixels.")
        return width, height

    def _or_default(self, name):
        given = getattr(self.detector, name)
        return getattr(self.format, name) if given is None else given


class _Detections:
    """Takes the outputs of batches, and keeps the detections only."""

    def __init__(self, images, specs, reader):
        self.images = images
        self.names = [spec.name for spec in specs]
        self.reader = reader
        self.errors: dict[int, str] = {}
        self.detections: list[Any] = [None] * len(images)

    def add(self, rows, outputs, n_fed):
        for name, output in zip(self.names, outputs, strict=True):
            if len(output) != n_fed:
                raise ValueError(
                    f"The output {name!r} has shape {output.shape} for a batch of {n_fed} images: "
                    "export the detector without suppression, one result per image."
                )
        for place, row in enumerate(rows):
            arrays = {n: output[place] for n, output in zip(self.names, outputs, strict=True)}
            try:
                size = self.images[row].size
            except ImageReadError as error:  # removed since its pixels were read
                raise ImageReadError(f"Row {row}: {error}") from error
            self.detections[row] = self.reader.detections(arrays, size)
