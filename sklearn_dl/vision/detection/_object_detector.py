"""ObjectDetector: learns to find objects in images."""

from numbers import Integral, Real

import numpy as np
from scipy.stats import loguniform

from sklearn_dl.images._loader import load_column
from sklearn_dl.images._resizer import width_and_height
from sklearn_dl.metrics._boxes import detection_dtype
from sklearn_dl.training._estimator import fit_method
from sklearn_dl.training._search_space import Searched
from sklearn_dl.utils._columns import object_array
from sklearn_dl.utils._messages import names_labels
from sklearn_dl.utils._optional import needed_by
from sklearn_dl.utils._sklearn import Interval, StrOptions
from sklearn_dl.vision._image_estimator import TrainedOnImages
from sklearn_dl.vision._image_rows import skips_images
from sklearn_dl.vision.detection._boxes import Boxes, Suppression
from sklearn_dl.vision.detection._decoding import N_CANDIDATES, detections_of
from sklearn_dl.vision.detection._detection_rows import detection_rows
from sklearn_dl.vision.detection._detector import DetectorMixin
from sklearn_dl.vision.detection._fitted_detection_network import FittedDetectionNetwork
from sklearn_dl.vision.detection._given_objects import check_list, given_objects
from sklearn_dl.vision.detection._views import checked_augment

# number of rows whose candidates are in memory at once
_CHUNK = 256


class ObjectDetector(DetectorMixin, TrainedOnImages):
    """Find objects in images, after training on images with boxes.

    By default, the pretrained network does not change. Its feature maps are computed once for each
    image and for three random views of it, and a small head is trained on them. With 300 images, a
    fit takes a few minutes on a CPU. With `trainable_layers`, the network is fine-tuned.

    Parameters
    ----------
    model : str, Path or callable, default="efficientnet-lite0"
        The pretrained model: a name from :func:`sklearn_dl.models.list_models`, or a path. The path
        leads to a folder that transformers' AutoModelForImageClassification can load (safetensors
        only), or to an ONNX file whose outputs are feature maps. An ONNX graph cannot be
        fine-tuned, so it needs ``trainable_layers=0``. A callable without arguments is also
        accepted; it returns a torch.nn.Module that maps pixels of shape (n, 3, H, W) to a list of
        feature maps of shape (n, C, H / stride, W / stride). The detector uses the maps with the
        strides 8, 16 and 32; a model need not give all three. The registered model or the folder's
        preprocessor_config.json defines how pixels are scaled; if neither does, the mean and the
        standard deviation of ImageNet are used. A repository in the Hugging Face cache can be given
        by its name ("owner/name").
    image_size : int or (width, height), default=480
        Size in pixels that images are resized to. An int is the length of the longer side; the
        other side keeps the aspect ratio. Each side is rounded to a multiple of 32, and is at least
        32. So images are stretched a little, and very thin images are stretched more.
    trainable_layers : "all" or int, default=0
        Which part of the pretrained network is trained: "all" of it, a number of its last layers,
        or none (0). A block counts as a layer. The head is always trained.
    augment : None, "standard" or tuple of str, default="standard"
        Random views of the training images, which are changed copies of them (data augmentation). A
        tuple names some of "flip" (left to right), "crop" (a part with at least 63 % of each side),
        "scale" (the image fills a part of the canvas, at least 72 % of each side) and "color"
        (brightness, contrast and saturation change by up to 30 %). "standard" is all four. The
        boxes move with the image. A fine-tuned network sees new views in each epoch. With
        ``trainable_layers=0``, the head is fitted to each image and three views of it.
    max_epochs : int, default=12
        Number of passes over the training rows.
    batch_size : int, default=4
        Number of rows in a batch. It applies to the training only.
    learning_rate : float, default=3e-3
        Highest learning rate of AdamW. It rises over the first 6 % of the steps, and then falls to
        0. The default is for a frozen network; with `trainable_layers`, start at about 1e-4.
    weight_decay : float, default=1e-4
        Weight decay of AdamW. It applies to weight matrices and convolution filters, not to biases
        and normalisation layers.
    class_weight : dict, "balanced" or None, default=None
        Weights of the classes in the loss, multiplied by `sample_weight`, as in scikit-learn. Each
        object has the weight of its class. "balanced": the weight of a class with n objects is
        proportional to 1 / n.
    early_stopping : bool, default=False
        Whether to hold out validation rows, and to stop when the score on them no longer improves.
        The weights of the epoch with the best score are kept (among equal scores, those with the
        lowest loss).
    scoring : str, callable or None, default=None
        Score that early stopping watches: a name from :func:`sklearn.metrics.get_scorer_names`, or
        a callable ``scorer(estimator, X, y)``. The callable gets the validation rows as they were
        passed to `fit`. None: the estimator's own `score` method.
    validation_fraction : float or int, default=0.1
        Share (float) or number (int) of the rows that early stopping holds out, if `fit` gets no
        `X_val`. The split is stratified by the rarest class of each image.
    n_iter_no_change : int, default=3
        Training stops when the score has not improved by more than `tol` for this number of epochs
        in a row.
    tol : float, default=1e-4
        An epoch counts as an improvement only if its score exceeds the best score so far by more
        than `tol`.
    score_threshold : float, default=0.05
        Detections with a lower score are left out. The mean average precision needs low scores; to
        show or count objects, a threshold of about 0.3 is better.
    iou_threshold : float, default=0.6
        If two boxes of one class overlap by more than this intersection over union, the one with
        the lower score is left out.
    max_detections : int, default=300
        Maximum number of detections in an image. Those with the highest scores are kept. The
        largest value is 1,000, the number of candidates in an image.
    precision : {"auto", "float32", "bfloat16"}, default="auto"
        Precision of matrix products. "auto" is bfloat16 on hardware that supports it (CPUs with
        avx512_bf16 or AMX, most GPUs), and float32 elsewhere. ONNX Runtime, which computes the
        features of ONNX backbones that are not fine-tuned, uses float32.
    device : str, default="auto"
        Device to compute on. "auto" is a GPU if there is one, else the CPU. It prefers "cuda" to
        "mps", and is chosen again where a pickle is loaded. Any other value is the name of a torch
        device, such as "cuda:1".
    n_threads : int or None, default=None
        Number of threads that may be busy at once. None: the number of CPUs that this process may
        use, but at most ``OMP_NUM_THREADS``; inside a joblib worker, its share of them. It is also
        at most ``torch.get_num_threads()``.
    memory : str, Path, joblib.Memory or None, default=None
        Folder in which the features of rows are kept, so that the folds of a cross-validation and
        the candidates of a grid search compute them once. Rows are looked up by their content. Only
        features of the pretrained network are kept, not those of a fine-tuned one. A file in this
        folder holds up to 2 GiB; the oldest features are deleted first. If the file is damaged,
        locked or cannot be written, one warning says so, and the features are computed. The
        features of random views are not kept, nor are those of a callable `model` without a version
        (see Notes).
    checkpoint_dir : str or Path, default=None
        Folder in which the state of a fit is saved, after each epoch and once a minute. A fit that
        was killed resumes from there when it is run again, and ends with the same weights. The
        checkpoint is removed when the fit has finished. If the folder has a checkpoint and a
        callable has no version (see Notes), `fit` raises an error.
    warm_start : bool, default=False
        Whether `fit` continues from the weights of the last `fit`. A callable `model` needs a
        version (see Notes).
    embed_model : bool or "auto", default="auto"
        Whether a pickle contains the pretrained weights. "auto": only if `model` is not the name of
        a built-in or pinned model, and no fit has trained the network. Where the pickle of a
        trained network is loaded, `model` must be found only to call `fit` again. True: always.
        False: never, and `model` must be found where the pickle is loaded if any of its weights are
        needed. Every pickle contains the trained weights.
    on_error : {"raise", "nan"}, default="raise"
        What to do with a row that cannot be read. "raise": raise an error that names the row.
        "nan": leave the row out of `fit`, and predict missing values for it; one warning states how
        many rows these are. A row for which the network gives NaN or infinity is treated in the
        same way. Images from ``ImageLoader(on_error="nan")`` are treated as with "nan". Faults of
        the machine (too many open files, no memory, a disk that fails) raise an error in any case.
        The missing value is None.
    random_state : int, RandomState instance or None, default=None
        Seed for the choice of validation rows, the order of the batches and dropout. The same int
        gives the same results, bit for bit, on the same machine with the same number of threads.
        None: a new seed for each fit, which is not drawn from numpy's global generator; with a
        `checkpoint_dir`, it is derived from the data. It is also the seed for random views, and for
        the first weights of the head.
    verbose : int, default=0
        How much is printed. 0: nothing. 1: progress bars, and a line after each epoch.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        The labels of y, sorted.
    history_ : dict of list
        The keys are ``epoch``, ``train_loss``, ``learning_rate`` (at the end of the epoch),
        ``seconds``, ``examples_per_second`` and, with early stopping, ``validation_loss`` and
        ``validation_score``; each list has one value per epoch.
    best_epoch_ : int
        Number of the epoch whose weights are kept, counted from 1.
    device_ : str
        Torch device on which the head predicts.
    n_features_in_ : int
        Number of columns of X: 1.
    feature_names_in_ : ndarray of shape (1,)
        Name of the column, if X is a frame.

    See Also
    --------
    DetectionScorer : Finds objects with a pretrained detector.
    sklearn_dl.datasets.load_detections : Reads images and boxes from COCO, Pascal VOC and YOLO.
    sklearn_dl.metrics.mean_average_precision_score : Score of the detections.
    sklearn_dl.inspection.DetectionDisplay : Draws the detections.

    Notes
    -----
    The head is anchor-free. It has one heat map for each class, whose peaks are the centers of
    objects [1]_. It is trained on Gaussians around these centers, and on the GIoU of the boxes
    [2]_. It uses no batch statistics, so the detections in an image never depend on other images.

    While it runs, `fit` keeps feature maps in a temporary file. It deletes the file at the end,
    after an error too. The file is in the folder that :func:`tempfile.gettempdir` names. With the
    default model, an image of 480 x 352 pixels and its three views take 1.9 MB. Fine-tuning needs
    no file.

    ML.NET's ObjectDetection trains an AutoFormerV2 with batches of one image, and without random
    views or a validation set. Its boxes are in pixels of the resized image; here, they are in
    pixels of the image.

    The code of a callable `model` may have been edited since an earlier `fit`; the tensors and
    names of its network do not show that. So the features, checkpoints and weights of an earlier
    `fit` are used only if the callable has an attribute `version`, a str or int. Change it when you
    change the code: ``make_network.version = "2"``.

    References
    ----------
    .. [1] Zhou, Wang and Krähenbühl, Objects as Points, 2019.
    .. [2] Liu et al., Training-Time-Friendly Network for Real-Time Object Detection, 2020.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_dl import ObjectDetector
    >>> from sklearn_dl.metrics import make_detections
    >>> rng = np.random.default_rng(0)
    >>> images, boxes = [], []
    >>> for _ in range(12):
    ...     x, y = rng.integers(0, 64, 2)
    ...     image = np.full((96, 96, 3), 90, dtype=np.uint8)
    ...     image[y : y + 32, x : x + 32] = [230, 60, 20]
    ...     images.append(image)
    ...     boxes.append(make_detections([[x, y, x + 32, y + 32]], ["square"]))
    >>> detector = ObjectDetector(image_size=96, max_epochs=20, augment=None, random_state=0)
    >>> detector.fit(images, boxes).predict(images[:1])[0]["label"][0].item()
    'square'
    """

    classes_: np.ndarray

    _parameter_constraints: dict = {
        **TrainedOnImages._parameter_constraints,
        "image_size": [Interval(Integral, 32, None, closed="left"), tuple, list],
        "augment": [StrOptions({"standard"}), tuple, list, None],
        "class_weight": [dict, StrOptions({"balanced"}), None],
        "score_threshold": [Interval(Real, 0, 1, closed="both")],
        "iou_threshold": [Interval(Real, 0, 1, closed="both")],
        "max_detections": [Interval(Integral, 1, N_CANDIDATES, closed="both")],
    }
    # of the head, which is always trained
    _searched_if_frozen = {
        "learning_rate": Searched(loguniform(1e-3, 1e-2), loguniform(3e-4, 3e-2)),
        "max_epochs": Searched([8, 12, 16], [8, 12, 16, 24]),
        "batch_size": Searched([4, 8], [2, 4, 8, 16]),
        "weight_decay": Searched(None, loguniform(1e-5, 1e-2)),
        "augment": Searched(None, [None, "standard"]),
    }
    _searched_if_trained = {
        **_searched_if_frozen,
        "learning_rate": Searched(loguniform(3e-5, 1e-3), loguniform(1e-5, 3e-3)),
        "trainable_layers": Searched(None, [1, 3, "all"]),
    }

    def __init__(
        self,
        model="efficientnet-lite0",
        *,
        image_size=480,
        trainable_layers=0,
        augment="standard",
        max_epochs=12,
        batch_size=4,
        learning_rate=3e-3,
        weight_decay=1e-4,
        class_weight=None,
        early_stopping=False,
        scoring=None,
        validation_fraction=0.1,
        n_iter_no_change=3,
        tol=1e-4,
        score_threshold=0.05,
        iou_threshold=0.6,
        max_detections=300,
        precision="auto",
        device="auto",
        n_threads=None,
        memory=None,
        checkpoint_dir=None,
        warm_start=False,
        embed_model="auto",
        on_error="raise",
        random_state=None,
        verbose=0,
    ):
        self._store(locals())

    @fit_method
    def fit(self, X, y, sample_weight=None, *, X_val=None, y_val=None, sample_weight_val=None):
        """Fit to images and the objects in them.

        Parameters
        ----------
        X : one column of n_samples images
            Images as :class:`~sklearn_dl.ImageLoader` takes them: paths, bytes, PIL images, uint8
            arrays, lazy images.
        y : sequence of n_samples structured ndarray or dict
            The objects of each image, as :func:`~sklearn_dl.metrics.make_detections` returns them
            (scores are not used), or a dict ``{"boxes": ..., "labels": ...}`` with one row x0, y0,
            x1, y1 for each box. Edges are in pixels of the image after its EXIF rotation. An image
            without objects has an array of length 0. Boxes are clipped to the image.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the rows. A row of weight 2 counts like two equal rows. Rows of weight 0
            are left out.
        X_val, y_val : array-like, default=None
            Rows for early stopping, instead of a `validation_fraction` of X.
        sample_weight_val : array-like of shape (n_val_samples,), default=None
            Weights of the rows of `X_val` in the validation loss. The mean average precision does
            not use them.

        Returns
        -------
        self : object

        Raises
        ------
        ValueError
            If an image cannot be read, or the network gives NaN or infinity for it (the message
            names its row and path); if a row of y is None, or a box is NaN, has no area or lies
            outside its image (the message names the row and the box); if y has no objects; if the
            network gives no feature maps, or has fewer layers than `trainable_layers`; or if a fit
            cannot continue or resume because a callable has no version. The estimator stays as it
            was.
        FileNotFoundError
            If the model or an image does not exist.
        ImportError
            If a package that is needed is not installed.
        """
        self._validate_params()
        self._refuse_to_resume()
        check_list(y, "y")
        check_list(y_val, "y_val")
        return self._fit(X, y, sample_weight, X_val, y_val, sample_weight_val)

    @names_labels
    def predict(self, X):
        """Find the objects in each image.

        Parameters
        ----------
        X : one column of n_samples images
            As in `fit`.

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
            names its row and path).
        FileNotFoundError
            If the model or an image does not exist.
        """
        self._validate_params()
        rows = self._rows_to_predict(X)
        predictor = self._present_predictor()
        made: list = []
        errors: dict = {}
        with needed_by(self), self._where().progress(len(rows), "predictions") as where:
            for start in range(0, len(rows), _CHUNK):
                read = predictor.outputs(rows.take(slice(start, start + _CHUNK)), where)
                errors |= {start + i: error for i, error in read.errors.items()}
                for i, candidates in enumerate(read.values.rows()):
                    found = detections_of(candidates, self.classes_, *self._suppression())
                    made.append(None if i in read.errors else found)
        rows.warn_of_errors([errors[p] for p in sorted(errors)], len(rows), left_out=False)
        return object_array(made)

    def _rows(self, X, reset, learns):
        images = load_column(X, self, reset=reset, on_error=self.on_error)
        skips = skips_images(images, self.on_error)
        augment = checked_augment(self.augment) if learns else None
        return detection_rows(images, self._image_size(), augment, skips, self.n_threads)

    def _image_size(self):
        """The parameter `image_size` as an int or a tuple of int."""
        if isinstance(self.image_size, Integral):
            return int(self.image_size)
        return width_and_height(self.image_size)

    def _parameters_of_the_fit(self):
        return {**super()._parameters_of_the_fit(), "image_size": self._image_size()}

    def _with_targets(self, rows, y, name, problem):
        return rows, given_objects(y, rows, name)

    def _new_problem(self, y):
        return Boxes(type(self).__name__, self.class_weight, self._suppression())

    def _suppression(self):
        return Suppression(self.score_threshold, self.iou_threshold, self.max_detections)

    def _trains(self):
        return True

    def _new_network(self, content):
        return FittedDetectionNetwork(self.model, content)

    def _network_to_start(self, content, earlier, is_partial=False):
        network = super()._network_to_start(content, earlier, is_partial)
        return network.training_body(self.trainable_layers != 0)

    def _no_detections(self):
        return np.empty(0, dtype=detection_dtype(self.classes_.dtype))

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.target_tags.required = True
        return tags
