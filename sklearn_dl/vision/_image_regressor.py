"""ImageRegressor: predicts numbers from images, by transfer learning."""

from sklearn_dl.training._network_regressor import NetworkRegressorMixin
from sklearn_dl.vision._image_estimator import ImageEstimator


class ImageRegressor(NetworkRegressorMixin, ImageEstimator):
    """Predict numbers from images with a pretrained network and a fitted head.

    It predicts one number for each image, or several, if `y` has several columns.

    By default, the network does not change. Its features are computed once, and a ridge regression
    is fitted to them as the head. Such a fit takes about as long as scoring the images. With
    `trainable_layers`, the network is fine-tuned.

    Parameters
    ----------
    model : str, Path or callable, default="efficientnet-lite0"
        The pretrained model: a name from :func:`sklearn_dl.models.list_models`, or a path. The path
        leads to a folder that transformers' AutoModelForImageClassification can load (safetensors
        only), or to an ONNX file. The ONNX graph must have one output, or an output called
        "features". It cannot be fine-tuned, so it needs ``trainable_layers=0``. A callable without
        arguments is also accepted; it returns a torch.nn.Module that maps pixels of shape
        (n, 3, H, W) to features. The registered model or the folder's preprocessor_config.json
        defines how pixels are scaled; if neither does, the mean and the standard deviation of
        ImageNet are used. A repository in the Hugging Face cache can be given by its name
        ("owner/name").
    image_size : int or (width, height), default=224
        Size in pixels that images are resized to. An int is both width and height. Images are
        cropped to this aspect ratio.
    trainable_layers : "all" or int, default=0
        Which part of the pretrained network is trained: "all" of it, a number of its last layers,
        or none (0). A block counts as a layer.
    augment : None, "standard", tuple of str or callable, default=None
        Random views of the training images, which are changed copies of them (data augmentation). A
        tuple names some of "flip" (left to right), "crop" (a part with at least three eighths of
        the area) and "color" (brightness, contrast and saturation change by up to 30 %). "standard"
        is all three. Or a function ``function(image, rng)``: it gets a PIL image and a numpy
        Generator, and returns a PIL image of the same size; several threads may call it at once. A
        fine-tuned network sees new views in each epoch. With ``trainable_layers=0``, the head is
        fitted to each image and three views of it.
    max_epochs : int, default=5
        Number of passes over the training rows. This parameter and the following ones, up to `tol`,
        have no effect with ``trainable_layers=0``.
    batch_size : int, default=32
        Number of rows in a batch. It applies to the training only.
    learning_rate : float, default=3e-4
        Highest learning rate of AdamW. It rises over the first 6 % of the steps, and then falls to
        0.
    weight_decay : float, default=0.01
        Weight decay of AdamW. It applies to weight matrices and convolution filters, not to biases
        and normalisation layers.
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
        `X_val`.
    n_iter_no_change : int, default=3
        Training stops when the score has not improved by more than `tol` for this number of epochs
        in a row.
    tol : float, default=1e-4
        An epoch counts as an improvement only if its score exceeds the best score so far by more
        than `tol`.
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
    random_state : int, RandomState instance or None, default=None
        Seed for the choice of validation rows, the order of the batches and dropout. The same int
        gives the same results, bit for bit, on the same machine with the same number of threads.
        None: a new seed for each fit, which is not drawn from numpy's global generator; with a
        `checkpoint_dir`, it is derived from the data. It is also the seed for random views.
    verbose : int, default=0
        How much is printed. 0: nothing. 1: progress bars, and a line after each epoch.

    Attributes
    ----------
    history_ : dict of list
        The keys are ``epoch``, ``train_loss``, ``learning_rate`` (at the end of the epoch),
        ``seconds``, ``examples_per_second`` and, with early stopping, ``validation_loss`` and
        ``validation_score``; each list has one value per epoch. Empty if the network was not
        trained.
    best_epoch_ : int
        Number of the epoch whose weights are kept, counted from 1; 0 if the network was not
        trained.
    device_ : str
        Torch device on which a fine-tuned network predicts.
    n_features_in_ : int
        Number of columns of X: 1.
    feature_names_in_ : ndarray of shape (1,)
        Name of the column, if X is a frame.

    See Also
    --------
    ImageClassifier : Classifies images.
    TextRegressor : Predicts numbers from texts.
    OnnxScorer : Computes only the features, for any regressor of scikit-learn.

    Notes
    -----
    ML.NET has no regression on images. With ``trainable_layers=0``, leave-one-out cross-validation
    chooses the regularisation of the ridge regression for each column of `y`. It treats repeated
    rows as independent, so pass `sample_weight` instead of repeating rows. A fine-tuned network is
    trained on the squared error of standardised targets. Batch normalisation layers keep the
    statistics of the pretraining.

    If `model` is a callable, features, checkpoints and weights of an earlier `fit` are used only if
    it has an attribute `version`, as the notes of :class:`~sklearn_dl.ImageClassifier` explain.

    The pretraining has taught the network to tell objects apart. Its features may contain little
    information about other targets, such as an angle. In that case, set `trainable_layers`.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_dl import ImageRegressor
    >>> rng = np.random.default_rng(0)
    >>> levels = np.arange(10, 250, 10)
    >>> images = [np.full((64, 64, 3), level, dtype=np.uint8) for level in levels]
    >>> regressor = ImageRegressor(image_size=64).fit(images[::2], levels[::2])
    >>> bool(regressor.score(images[1::2], levels[1::2]) > 0.9)
    True
    """

    # many features are zero for most images: few rows are not enough to estimate their variances
    _scales_each_feature = False

    def __init__(
        self,
        model="efficientnet-lite0",
        *,
        image_size=224,
        trainable_layers=0,
        augment=None,
        max_epochs=5,
        batch_size=32,
        learning_rate=3e-4,
        weight_decay=0.01,
        early_stopping=False,
        scoring=None,
        validation_fraction=0.1,
        n_iter_no_change=3,
        tol=1e-4,
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
