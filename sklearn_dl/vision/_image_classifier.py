"""ImageClassifier: classify images by transfer learning."""

import os
from numbers import Integral, Real
from pathlib import Path

import numpy as np
from sklearn.base import ClassNamePrefixFeaturesOutMixin, TransformerMixin

from sklearn_dl.images._loader import load_column
from sklearn_dl.images._resizer import Resize, width_and_height
from sklearn_dl.training._estimator import TrainedEstimator, fit_method
from sklearn_dl.training._network_classifier import NetworkClassifierMixin
from sklearn_dl.training._problem import Classes
from sklearn_dl.utils._optional import needed_by
from sklearn_dl.utils._sklearn import Interval, StrOptions
from sklearn_dl.vision._augment import checked_augment
from sklearn_dl.vision._backbone import FittedImageNetwork, find_backbone, version_of
from sklearn_dl.vision._image_rows import ImageRows

_HOW_TO_VERSION = (
    "A fit can continue or resume only with a callable that has a version. Set this attribute, as "
    'in `make.version = "1"`, and change it when you change the code.'
)


class ImageClassifier(
    ClassNamePrefixFeaturesOutMixin, TransformerMixin, NetworkClassifierMixin, TrainedEstimator
):
    """Classify images with a pretrained network and a fitted head.

    By default the network does not change. Its features are computed once, and a logistic
    regression is fitted to them as the head: a fit takes about as long as scoring the images. With
    `trainable_layers` the network is fine-tuned.

    Parameters
    ----------
    model : str, Path or callable, default="efficientnet-lite0"
        The pretrained model: a name from :func:`sklearn_dl.models.list_models`, or a path. The path
        leads to a folder that transformers' AutoModelForImageClassification can load (safetensors
        only), or to an ONNX file with one output, or with an output called "features" (an ONNX
        graph cannot be fine-tuned: ``trainable_layers=0``). A callable without arguments is also
        accepted; it returns a torch.nn.Module that maps pixels of shape (n, 3, H, W) to features.
        Pixels are scaled as the registered model or the folder's preprocessor_config.json defines;
        if neither does, by ImageNet's mean and standard deviation. The name of a repository in the
        Hugging Face cache ("owner/name") stands for its folder.
    image_size : int or (width, height), default=224
        Size in pixels that images are resized to. An int is both width and height. Images are
        cropped to this aspect ratio.
    trainable_layers : "all" or int, default=0
        Which part of the pretrained network is trained: "all" of it, a number of its last layers,
        or none (0). A block counts as a layer.
    C : float, default=1.0
        Inverse of the regularisation strength of the logistic regression on the features. The
        regression is the head, or the head that fine-tuning starts with. It is fitted to features
        scaled to equal variances that add up to 1.
    augment : None, "standard", tuple of str or callable, default=None
        Random views of the training images: a tuple of some of "flip" (left to right), "crop" (a
        part with at least three eighths of the area) and "color" (brightness, contrast and
        saturation change by up to 30 %). "standard" is all three. Or ``function(image, rng)``,
        which gets a PIL image and a numpy Generator, and returns a PIL image of the same size;
        several threads may call it at once. A fine-tuned network sees new views in each epoch. With
        ``trainable_layers=0``, the head learns from each image and from three views of it.
    max_epochs : int, default=5
        Number of passes over the training rows. This parameter and the following ones, up to `tol`
        (except `class_weight`), have no effect with ``trainable_layers=0``.
    batch_size : int, default=32
        Number of rows in a batch. These are the batches of the training.
    learning_rate : float, default=1e-3
        Highest learning rate of AdamW. It rises over the first 6 % of the steps, and then falls to
        0.
    weight_decay : float, default=0.01
        Weight decay of matrices and filters. Biases and normalisation layers have none.
    class_weight : dict, "balanced" or None, default=None
        Weights of the classes in the loss, multiplied by `sample_weight`, as in scikit-learn.
    early_stopping : bool, default=False
        Whether to hold out rows, to stop when the `score` on them no longer improves, and to keep
        the weights of the epoch with the best score (among equal scores, the lowest loss).
    validation_fraction : float or int, default=0.1
        Share or number of the rows to hold out, if `fit` gets no `X_val`. The split is stratified
        by class.
    n_iter_no_change : int, default=3
        Training stops after this number of epochs in a row whose score does not exceed the best
        score so far by more than `tol`.
    tol : float, default=1e-4
        Smallest improvement of the score that counts, as `n_iter_no_change` says.
    precision : {"auto", "float32", "bfloat16"}, default="auto"
        Precision of matrix products. "auto" is bfloat16 where the hardware computes with it (CPUs
        with avx512_bf16 or AMX, most GPUs), and float32 elsewhere. ONNX Runtime, which computes the
        features of ONNX backbones that are not fine-tuned, uses float32.
    device : str, default="auto"
        Device to compute on. "auto" is a GPU if there is one, else the CPU. Or the name of a torch
        device, such as "cuda:1" or "mps". "auto" prefers cuda to mps, and is chosen again where a
        pickle is loaded.
    n_threads : int or None, default=None
        Number of threads that may be busy at once. None: the number of CPUs that this process may
        use, but at most ``OMP_NUM_THREADS``; inside a joblib worker, its share of them. It is also
        at most ``torch.get_num_threads()``.
    memory : str, Path, joblib.Memory or None, default=None
        Folder in which the features of rows are kept, so that the folds of a cross-validation and
        the candidates of a grid search compute them once. Rows are looked up by their content. Only
        features of the pretrained network are kept, not those of a fine-tuned one. A file in this
        folder holds up to 2 GiB; the oldest features are deleted first. If the file is damaged,
        locked or cannot be written, one warning says so, and the features are computed. Features of
        random views, and of a callable without a version (see Notes), are not kept.
    checkpoint_dir : str or Path, default=None
        Folder in which the state of a fit is saved, after each epoch and once a minute. A fit that
        was killed resumes from there when it is run again, and ends with the same weights. The
        checkpoint is removed when the fit has finished. If the folder has a checkpoint and a
        callable has no version (see Notes), `fit` raises an error.
    warm_start : bool, default=False
        Whether `fit` continues from the weights of the last `fit`. A callable `model` needs a
        version (see Notes).
    embed_model : bool, default=True
        Whether a pickle contains the pretrained model. If False, it contains the model's hash, and
        `model` must be found where the pickle is loaded. Trained weights are in every pickle.
    on_error : {"raise", "nan"}, default="raise"
        What to do with a row that cannot be read. "raise": raise an error that names the row.
        "nan": leave the row out of `fit`, and predict missing values for it; one warning states how
        many rows these are. A row for which the network gives NaN or infinity is treated in the
        same way. Images from ``ImageLoader(on_error="nan")`` are treated as with "nan". Faults of
        the machine (too many open files, no memory, a disk that fails) raise an error in any case.
    missing : label, default=None
        Label that `predict` returns for a row that could not be read (``on_error="nan"``). With
        None, labels are an object array, which scikit-learn's metrics refuse if it contains None.
    random_state : int, RandomState instance or None, default=None
        Seed for the choice of validation rows, the order of the batches and dropout. The same int
        gives the same results, bit for bit, on the same machine with the same number of threads.
        None: a new seed for each fit, which is not drawn from numpy's global generator; with a
        `checkpoint_dir`, it is derived from the data. It is also the seed for random views.
    verbose : int, default=0
        How much is printed. 0: nothing. 1: a line is printed after each epoch.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        The classes, sorted: the order of the columns of `predict_proba`.
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
    OnnxScorer : The features alone, in a pipeline of your own.
    ObjectDetector : Find where objects are in images.

    Notes
    -----
    ML.NET's ImageClassification trains a softmax on the same kind of features, by plain gradient
    descent over 200 epochs; here the same convex problem is solved exactly. Batch normalisation
    layers keep the statistics of the pretraining. Images are resized as by
    ``ImageResizer(width, height)``.

    The code of a callable `model` may have been edited since an earlier `fit`; the tensors and
    names of its network do not show that. So the features, checkpoints and weights of an earlier
    `fit` are used only if the callable has an attribute `version`, a str or int. Change it when you
    change the code: ``make_network.version = "2"``. A callable `augment` needs a version only to
    resume from a checkpoint.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_dl import ImageClassifier
    >>> rng = np.random.default_rng(0)
    >>> dark = list(rng.integers(0, 100, (6, 64, 64, 3), dtype=np.uint8))
    >>> light = list(rng.integers(100, 256, (6, 64, 64, 3), dtype=np.uint8))
    >>> clf = ImageClassifier(image_size=64).fit(dark + light, ["dark"] * 6 + ["light"] * 6)
    >>> clf.predict([light[0], dark[0]])
    array(['light', 'dark'], dtype='<U5')
    """

    _parameter_constraints: dict = {
        "model": [str, os.PathLike, callable],
        "image_size": [Interval(Integral, 1, None, closed="left"), tuple, list],
        "C": [Interval(Real, 0, None, closed="neither")],
        "augment": [StrOptions({"standard"}), tuple, list, callable, None],
        **TrainedEstimator._training_constraints,
        **NetworkClassifierMixin._classifier_constraints,
    }
    _extra = "vision"

    def __init__(
        self,
        model="efficientnet-lite0",
        *,
        image_size=224,
        trainable_layers=0,
        C=1.0,
        augment=None,
        max_epochs=5,
        batch_size=32,
        learning_rate=1e-3,
        weight_decay=0.01,
        class_weight=None,
        early_stopping=False,
        validation_fraction=0.1,
        n_iter_no_change=3,
        tol=1e-4,
        precision="auto",
        device="auto",
        n_threads=None,
        memory=None,
        checkpoint_dir=None,
        warm_start=False,
        embed_model=True,
        on_error="raise",
        missing=None,
        random_state=None,
        verbose=0,
    ):
        self._store(locals())

    @fit_method
    def fit(self, X, y, sample_weight=None, *, X_val=None, y_val=None, sample_weight_val=None):
        """Fit to images and their classes.

        Parameters
        ----------
        X : one column of n_samples images
            Images as :class:`~sklearn_dl.ImageLoader` takes them: paths, bytes, PIL images, uint8
            arrays, lazy images.
        y : array-like of shape (n_samples,)
            The class of each row.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the rows. A row of weight 2 counts like two equal rows. Rows of weight 0
            are left out.
        X_val, y_val : array-like, default=None
            Rows for early stopping, instead of a `validation_fraction` of X.
        sample_weight_val : array-like of shape (n_val_samples,), default=None
            Weights of the rows of `X_val`.

        Returns
        -------
        self : object

        Raises
        ------
        ValueError
            If an image cannot be read or the network gives NaN or infinity for it (the message
            names its row and path), a label is missing, there is only one class, the network does
            not have the layers to train, or a fit cannot continue or resume because a callable has
            no version. The estimator stays as it was.
        FileNotFoundError
            If the model or an image does not exist.
        ImportError
            If a package that is needed is not installed.
        """
        self._validate_params()
        self._refuse_to_resume()
        return self._fit(X, y, sample_weight, X_val, y_val, sample_weight_val)

    def transform(self, X):
        """Compute the features of the network, which are the input of its head.

        Parameters
        ----------
        X : one column of n_samples images
            As in `fit`.

        Returns
        -------
        features : float32 ndarray of shape (n_samples, n_features)
            NaN for rows that cannot be read or scored (``on_error="nan"``), with one warning.
        """
        rows = self._rows_to_predict(X)
        with needed_by(self):
            read = self._present_predictor().features(rows, self._where())
        rows.warn(read)
        features = read.values
        if features.shape[1]:
            return features
        return np.full((len(features), self._n_features_out), np.nan, dtype=np.float32)

    @property
    def _n_features_out(self):
        return self._predictor.linear_head(self._where()).weights.shape[1]

    def _rows(self, X, reset):
        images = load_column(X, self, reset=reset, on_error=self.on_error)
        width, height = width_and_height(self.image_size)
        return ImageRows(
            images,
            np.arange(len(images)),
            Resize(width, height, "crop", "center", "bilinear", 0),
            checked_augment(self.augment) if reset else None,
            skips=any(image.decoding.on_error == "nan" for image in images),
        )

    def _new_problem(self):
        return Classes(type(self).__name__, self.class_weight, C=self.C, scale=True)

    def _parameters_of_the_fit(self):
        size = width_and_height(self.image_size)
        return {**super()._parameters_of_the_fit(), "image_size": size}

    def _network_to_start(self, content, earlier):
        if earlier is None:
            return FittedImageNetwork(self.model, content)
        if not content.is_identified:
            raise ValueError(
                f"warm_start=True cannot continue with model={self.model!r}: it has no version, so "
                "it is not known whether it still makes the same network. "
                f"{_HOW_TO_VERSION}"
            )
        return earlier.predictor.network.with_content(content)

    def _find_content(self):
        return find_backbone(self.model)

    def _refuse_to_resume(self):
        """Raise an error if a checkpoint exists whose code may have changed since."""
        unversioned = [
            name
            for name in ("model", "augment")
            if callable(getattr(self, name)) and version_of(getattr(self, name)) is None
        ]
        if self.checkpoint_dir is None or not unversioned or not self._trains():
            return
        name = unversioned[0]
        value = getattr(self, name)
        for path in sorted(Path(self.checkpoint_dir).glob("checkpoint-*.safetensors")):
            raise ValueError(
                f"checkpoint_dir contains {path}, from which no fit can resume: {name}={value!r} "
                "has no version, and its code may have changed since the file was written. Remove "
                f"the file. {_HOW_TO_VERSION}"
            )

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.one_d_array = True
        tags.input_tags.two_d_array = False
        tags.input_tags.string = True
        tags.input_tags.allow_nan = self.on_error == "nan"
        tags.transformer_tags.preserves_dtype = []
        return tags
