"""DetectionScorer: a pretrained ONNX detector as a scikit-learn estimator."""

import os
from numbers import Integral, Real

import numpy as np

from sklearn_dl.images._loader import load_column
from sklearn_dl.images._resizer import width_and_height
from sklearn_dl.models._estimator import EMBED_MODEL, ModelEstimator
from sklearn_dl.models._onnx import find_onnx
from sklearn_dl.runtimes._scoring_loop import score
from sklearn_dl.runtimes._sessions import find_session
from sklearn_dl.runtimes.onnx._graph import shared_session
from sklearn_dl.scoring._card_pixels import warn_of_other_pixels
from sklearn_dl.scoring._input_sources import PixelSource
from sklearn_dl.utils._base import all_or_nothing
from sklearn_dl.utils._columns import object_array
from sklearn_dl.utils._messages import names_labels, warn_of_failed_rows
from sklearn_dl.utils._optional import needed_by
from sklearn_dl.utils._progress import progress_bar
from sklearn_dl.utils._sklearn import HasMethods, Interval, StrOptions
from sklearn_dl.utils._threads import thread_budget
from sklearn_dl.vision.detection._collector import DetectionCollector
from sklearn_dl.vision.detection._detector import DetectorMixin
from sklearn_dl.vision.detection._labels import class_labels
from sklearn_dl.vision.detection._reader import Reader
from sklearn_dl.vision.detection._tiles import Tiles, TileSource
from sklearn_dl.vision.detection.formats import FORMATS


class DetectionScorer(DetectorMixin, ModelEstimator):
    """Find objects in images with a pretrained ONNX detector.

    Images are read, resized to the network's input and scored batch by batch. The boxes are in
    pixels of the original images. Nothing is learned: `predict` does not need `fit`.

    Parameters
    ----------
    model : str, Path, bytes, bytearray or onnx.ModelProto
        The pretrained model: a name from :func:`sklearn_dl.models.list_models`, or a path. The path
        leads to an ONNX file. The file's bytes and a parsed model are also accepted.
    format : str or callable, default="auto"
        What the outputs mean: the name of a format in the table below. "auto": the format that
        agrees with the names and shapes of the outputs, the number of labels and the metadata that
        Ultralytics writes into its files; if several formats agree, an error lists them. A callable
        ``decode(outputs, geometry)`` is also accepted. It is called once per image, with its
        outputs (dict of name to array) and its :class:`~sklearn_dl.vision.Geometry`. It returns
        boxes x0, y0, x1, y1 in pixels of the network's input, scores and class indices. It need not
        remove overlapping boxes (see `iou_threshold`). Several threads may call it at once.
    classes : sequence or dict, default=None
        Labels of the classes, in the order of the network's scores. The background is not a class.
        A dict from class indices to labels, as in the files of Ultralytics and transformers, is
        also accepted. None: the labels in the file's metadata, if Ultralytics wrote them there,
        else the indices.
    image_size : int or (width, height), default=None
        Size in pixels that images are resized to. An int is both width and height. None: the size
        that the graph states, else the size of the format.
    resize_mode : {"pad", "pad_end", "fill", "crop"}, default=None
        How an image is resized. "crop": it is scaled until it covers the output, and the rest is
        cut off. "pad": the whole image is fitted into the output, with a border. "fill": it is
        stretched. "pad_end": as "pad", with the image at the upper left. None: the mode of the
        format.
    colors : str, default=None
        Colour channels in their order, such as "RGB", or "L" for grey levels. None: those of the
        format.
    offset, scale : float or sequence of float, default=None
        A network gets ``(pixel - offset) * scale`` for each pixel of 0 to 255. Both are one number
        for all channels, or one for each channel in the order of `colors`. None: the numbers of the
        format.
    anchors : array-like of shape (n_anchors, 2), default=None
        Widths and heights in grid cells, for "yolov2". None: those of Tiny YOLOv2.
    extra_inputs : dict of str to callable or array-like, default=None
        Values of the graph's inputs other than the image, by name. A value is an array, which is
        the same for all images, or a callable ``function(geometry)``, which returns the array for
        the :class:`~sklearn_dl.vision.Geometry` of an image. The array is for one image, without
        the batch dimension. Four inputs have default values, so that the boxes are in pixels of the
        network's input: "orig_target_sizes" gets the (width, height) of this input, "im_shape" its
        (height, width), "scale_factor" (1, 1), and "pixel_mask" a mask of the pixels that show the
        image.
    score_threshold : float, default=0.3
        Detections with a lower score are left out.
    iou_threshold : float, default=0.45
        If two boxes of one class overlap by more than this intersection over union, the one with
        the lower score is left out. It has no effect with "detr", "rt-detr", "rt-detr-decoded" and
        "yolov10", which find each object once.
    class_agnostic : bool, default=False
        Whether boxes of different classes suppress each other too. It has no effect with the
        formats where `iou_threshold` has none.
    max_detections : int, default=300
        Maximum number of detections in an image. Those with the highest scores are kept.
    tile : int or (width, height), default=None
        Largest size in pixels at which an image is read whole. A larger image is read in tiles of
        this size, so that small objects are not lost when it is resized; an int is both width and
        height. None: every image is read whole. See the Notes.
    tile_overlap : float, default=0.2
        Smallest share of its width and height that a tile shares with the next tile. The shared
        part should be as large as most objects, so that each of them is whole in some tile.
    batch_size : int, default=8
        Number of rows in a batch. A graph with a fixed batch size gets batches of that size. A
        graph with dynamic quantization gets one image at a time, because the scores of an image
        would depend on the other images of its batch.
    providers : "auto" or list, default="auto"
        ONNX Runtime's execution providers, in order of preference. "auto" is CUDA if the installed
        onnxruntime supports it, else the CPU.
    n_threads : int or None, default=None
        Number of threads that may be busy at once. None: the number of CPUs that this process may
        use, but at most ``OMP_NUM_THREADS``; inside a joblib worker, its share of them.
    on_error : {"raise", "nan"}, default="raise"
        What to do with a row that cannot be read. "raise": raise an error that names the row.
        "nan": its result is None; one warning states how many rows these are. A row for which the
        network gives NaN or infinity is treated in the same way. Images from
        ``ImageLoader(on_error="nan")`` are treated as with "nan". Faults of the machine (too many
        open files, no memory, a disk that fails) raise an error in any case. If `format` is a
        callable, infinity in the outputs is allowed, but NaN is not.
    embed_model : bool or "auto", default="auto"
        Whether a pickle contains the pretrained weights. "auto": only if `model` is not the name of
        a built-in or pinned model, which is found by its name where the pickle is loaded. True:
        always. False: never, and `model` must be found where the pickle is loaded.
    verbose : int, default=0
        How much is printed. 0: nothing. 1: a progress bar.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        Label of each class; available before `fit`.
    format_ : str or callable
        What the outputs mean: the format that "auto" chose, else `format`; available before `fit`.
    inputs_, outputs_ : tuple of TensorSpec
        (name, shape, dtype) of the graph's inputs and outputs; available before `fit`.
    n_features_in_ : int
        Number of columns of X: 1. Set by `fit`.
    feature_names_in_ : ndarray of shape (1,)
        Name of the column. Set by `fit` if X is a frame.

    See Also
    --------
    sklearn_dl.metrics.mean_average_precision_score : Score of the detections.
    sklearn_dl.inspection.DetectionDisplay : Draws the detections.

    Notes
    -----
    The counterpart in ML.NET is object detection with ONNX, where the boxes are in pixels of the
    resized image.

    The table lists the formats and their defaults. C is the number of classes, and n is the number
    of candidate boxes.

    ===============  ====================================  =================  =================
    format           outputs of one image                  size, resize_mode  pixels
    ===============  ====================================  =================  =================
    yolov2           (n_anchors * (5 + C), rows, columns)  416, "fill"        RGB 0 to 255
    yolov5           (n, 5 + C)                            640, "pad"         RGB / 255
    yolov6           (n, 5 + C)                            640, "pad"         RGB / 255
    yolov8           (4 + C, n)                            640, "pad"         RGB / 255
    yolov8-seg       (4 + C + 32, n) and (32, ...)         640, "pad"         RGB / 255
    yolov8-pose      (4 + C + keypoints, n)                640, "pad"         RGB / 255
    yolov10          (n, 6)                                640, "pad"         RGB / 255
    yolox            (n, 5 + C)                            640, "pad_end"     BGR 0 to 255
    yolox-decoded    (n, 5 + C)                            640, "pad_end"     BGR 0 to 255
    ppyoloe          (n, 4) and (C, n), or (n, 4 + C)      640, "fill"        ImageNet's
    picodet          (n, C) and (n, 4 * bins) per grid     416, "fill"        ImageNet's
    ssd              (n, 1 + C) and (n, 4)                 300, "fill"        (RGB - 127) / 128
    detr             (n, C + 1) and (n, 4)                 800, "fill"        ImageNet's
    rt-detr          (n, C) and (n, 4)                     640, "fill"        RGB / 255
    rt-detr-decoded  labels (n), boxes (n, 4), scores (n)  640, "fill"        RGB / 255
    ===============  ====================================  =================  =================

    "ImageNet's" pixels are scaled with the mean and the standard deviation of ImageNet. A format
    belongs to a family of detectors:

    - "yolov5": YOLOv5 and YOLOv7, exported with their grids: boxes in pixels, objectness and
      classes.
    - "yolov6": YOLOv6 from release 2.0 on. Its objectness is always 1.
    - "yolov8": Ultralytics' YOLOv8, and later heads of the same shape (v9, v11, v12). "yolov8-seg"
      and "yolov8-pose" find the boxes, and ignore masks and keypoints.
    - "yolov10": YOLOv10, YOLO26, and Ultralytics' exports with ``nms=True``: rows of x0, y0, x1,
      y1, score and class, without duplicates.
    - "yolox-decoded": YOLOX with ``decode_in_inference``.
    - "ppyoloe": PP-YOLOE without suppression. Set ``offset=0, scale=1 / 255`` for PP-YOLOE+.
    - "picodet": PicoDet without post-processing.
    - "ssd": SSD with its priors applied, and UltraFace. The first class is the background.
    - "detr", "rt-detr": logits, as transformers exports DETR, and RT-DETR and D-FINE.
    - "rt-detr-decoded": RT-DETR and D-FINE as their authors export them.

    The label of a candidate box is its most probable class.

    With `tile`, each tile is resized to the network's input, and scored like an image. If several
    tiles show a whole object, suppression keeps one of its boxes (with all formats). If the edge of
    a tile cuts an object, the box of the part is dropped if another tile shows the whole object.
    The parts of an object in several tiles are joined to one box if they agree where the tiles
    overlap. The whole image is not scored in addition to the tiles, so an object that is larger
    than a tile may be missed. `max_detections` limits the detections in each tile, and then those
    in the image. Each image is decoded once, in full; up to ``n_threads + 1`` decoded images are in
    memory.

    Examples
    --------
    >>> import numpy as np, onnx
    >>> from onnx import TensorProto, helper
    >>> from sklearn_dl import DetectionScorer
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
    >>> detector = DetectionScorer(
    ...     model.SerializeToString(), format="ssd", classes=["cat", "dog"]
    ... )
    >>> found = detector.predict([np.zeros((100, 200, 3), dtype=np.uint8)])[0]
    >>> found["label"], found["x0"], found["x1"]
    (array(['dog'], dtype='<U3'), array([50.], dtype=float32), array([150.], dtype=float32))
    """

    _extra = "onnx"
    _parameter_constraints: dict = {
        "model": [
            str,
            os.PathLike,
            bytes,
            bytearray,
            memoryview,  # `find_onnx` refuses it and says what to pass
            HasMethods("SerializeToString"),
        ],
        "format": [StrOptions({"auto", *FORMATS}), callable],
        "classes": ["array-like", dict, None],
        "image_size": [Interval(Integral, 1, None, closed="left"), tuple, list, None],
        "resize_mode": [StrOptions({"pad", "pad_end", "fill", "crop"}), None],
        "colors": [str, None],
        "offset": [Real, "array-like", None],
        "scale": [Real, "array-like", None],
        "anchors": ["array-like", None],
        "extra_inputs": [dict, None],
        "score_threshold": [Interval(Real, 0, 1, closed="both")],
        "iou_threshold": [Interval(Real, 0, 1, closed="both")],
        "class_agnostic": ["boolean"],
        "max_detections": [Interval(Integral, 1, None, closed="left")],
        "tile": [Interval(Integral, 1, None, closed="left"), tuple, list, None],
        "tile_overlap": [Interval(Real, 0, 1, closed="left")],
        "batch_size": [Interval(Integral, 1, None, closed="left")],
        "providers": [list, tuple, StrOptions({"auto"})],
        "n_threads": [Interval(Integral, 1, None, closed="left"), None],
        "on_error": [StrOptions({"raise", "nan"})],
        "embed_model": EMBED_MODEL,
        "verbose": ["verbose"],
    }

    def __init__(
        self,
        model,
        *,
        format="auto",
        classes=None,
        image_size=None,
        resize_mode=None,
        colors=None,
        offset=None,
        scale=None,
        anchors=None,
        extra_inputs=None,
        score_threshold=0.3,
        iou_threshold=0.45,
        class_agnostic=False,
        max_detections=300,
        tile=None,
        tile_overlap=0.2,
        batch_size=8,
        providers="auto",
        n_threads=None,
        on_error="raise",
        embed_model="auto",
        verbose=0,
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
        self.extra_inputs = extra_inputs
        self.score_threshold = score_threshold
        self.iou_threshold = iou_threshold
        self.class_agnostic = class_agnostic
        self.max_detections = max_detections
        self.tile = tile
        self.tile_overlap = tile_overlap
        self.batch_size = batch_size
        self.providers = providers
        self.n_threads = n_threads
        self.on_error = on_error
        self.embed_model = embed_model
        self.verbose = verbose

    @all_or_nothing
    @names_labels
    def fit(self, X, y=None):
        """Check the parameters, the graph and the column. Nothing is learned.

        Parameters
        ----------
        X : one column of images, as in `predict`
        y : ignored

        Returns
        -------
        self : object
        """
        self._validate_params()
        self._note_content()
        self._tile_size()
        load_column(X, self, reset=True, on_error="nan")
        self._reader(self._any_session())
        return self

    @names_labels
    def predict(self, X):
        """Find the objects in each image.

        Parameters
        ----------
        X : one column of n_samples images
            Images as :class:`~sklearn_dl.ImageLoader` takes them: paths, bytes, PIL images, uint8
            arrays, lazy images.

        Returns
        -------
        detections : ndarray of shape (n_samples,), dtype object
            One structured array of shape (n_objects,) per image, with the highest score first. Its
            fields are ``x0``, ``y0``, ``x1``, ``y1`` (edges in pixels of the image after its EXIF
            rotation, clipped to it) and ``score``, all float32, and ``label`` of the dtype of
            `classes_`. Its length is 0 if nothing was found. With ``on_error="nan"``, it is None if
            the image could not be read or scored, and a single warning states how many.

        Raises
        ------
        ValueError
            If an image cannot be read, or the network gives NaN or infinity for it (the message
            names its row and path); if the shapes or the values of the graph's outputs do not match
            `format`; or if `classes`, `anchors` or `extra_inputs` do not match the graph.
        FileNotFoundError
            If the model or an image does not exist.
        """
        self._validate_params()
        images = load_column(X, self, reset=False, on_error=self.on_error)
        if not len(images):
            return object_array([])
        tiles = self._tiles(images)
        views, numbers = (images, None) if tiles is None else (tiles.images, tiles.rows)
        budget = thread_budget(self.n_threads)
        n_workers = budget if len(views) >= 2 * budget else 1
        with needed_by(self):
            session = self._session(budget // n_workers)
            reader = self._reader(session)
        collector = DetectionCollector(views, session.outputs, reader, numbers)
        pixels, spec = reader.pixels(images), reader.image_input
        source = (
            PixelSource(pixels, spec)
            if tiles is None
            else TileSource(tiles, pixels, reader.step, spec, n_kept=n_workers + 1)
        )
        warn_of_other_pixels(pixels, self.model)
        batch_size = min(self.batch_size, max(1, -(-len(views) // n_workers)))
        with progress_bar(self.verbose, len(images), type(self).__name__) as done:
            score(
                session,
                {spec.name: source, **reader.other_sources(views, numbers)},
                range(len(views)),
                1 if session.mixes_rows else batch_size,
                n_workers,
                done if tiles is None else tiles.per_image(done),
                collector,
                numbers,
            )
        found, errors = collector.detections, collector.errors
        if tiles is not None:
            found, errors = tiles.merged(found, errors, self)
        warn_of_failed_rows(errors, len(images), "image")
        return object_array(found)

    @property
    def inputs_(self):
        """Inputs of the graph: tuple of (name, shape, dtype)."""
        return self._any_session().inputs

    @property
    def outputs_(self):
        """Outputs of the graph: tuple of (name, shape, dtype)."""
        return self._any_session().outputs

    @property
    def classes_(self):
        """Label of each class."""
        if self.classes is not None:
            return class_labels(self.classes)
        reader = self._reader(self._any_session())
        if reader.labels is not None:
            return reader.labels
        if reader.n_classes is None:
            raise AttributeError(
                "The graph does not state the number of its classes; set `classes`."
            )
        return np.arange(reader.n_classes)

    @property
    def format_(self):
        """What the outputs mean: the name of a format, or the callable."""
        if callable(self.format):
            return self.format
        return self._reader(self._any_session()).format.name

    def _no_detections(self):
        """Return detections of length 0."""
        return self._reader(self._any_session()).empty

    def _find_content(self):
        return find_onnx(self.model)

    def _session(self, n_threads=None):
        n_threads = n_threads or thread_budget(self.n_threads)
        return shared_session(self._content(), None, n_threads, self.providers)

    def _any_session(self):
        """Return a session that is already open, with any number of threads, or open one."""
        return find_session((self._content().sha256, None)) or self._session()

    def _tile_size(self):
        """Return (width, height) of a tile, or None if images are read whole."""
        return None if self.tile is None else width_and_height(self.tile, "tile")

    def _tiles(self, images):
        """Return the Tiles of lazy images, or None if images are read whole."""
        size = self._tile_size()
        return None if size is None else Tiles(images, size, self.tile_overlap)

    def _reader(self, session):
        return Reader(self, session)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.one_d_array = True
        tags.input_tags.two_d_array = False
        tags.input_tags.string = True
        tags.input_tags.allow_nan = self.on_error == "nan"
        tags.requires_fit = False
        return tags
