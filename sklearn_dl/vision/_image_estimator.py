"""Base of the image estimators that learn: columns of images, a network and its head."""

import os
from numbers import Integral
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import loguniform
from sklearn.base import ClassNamePrefixFeaturesOutMixin, TransformerMixin

from sklearn_dl.images._loader import load_column
from sklearn_dl.images._resizer import Resize, width_and_height
from sklearn_dl.training._estimator import TrainedEstimator, fit_method
from sklearn_dl.training._search_space import Searched
from sklearn_dl.utils._messages import names_labels
from sklearn_dl.utils._optional import needed_by
from sklearn_dl.utils._sklearn import Interval, StrOptions
from sklearn_dl.vision._augment import checked_augment
from sklearn_dl.vision._backbone import FittedImageNetwork, find_backbone, version_of
from sklearn_dl.vision._image_rows import ImageRows, skips_images

_HOW_TO_VERSION = (
    "A fit can continue or resume only with a callable that has a version. Set this attribute, as "
    'in `make.version = "1"`, and change it when you change the code.'
)


class TrainedOnImages(TrainedEstimator):
    """Base of the estimators whose network learns from a column of images."""

    _extra = "vision"
    image_size: Any
    augment: Any

    _parameter_constraints: dict = {
        "model": [str, os.PathLike, callable],
        "image_size": [Interval(Integral, 1, None, closed="left"), tuple, list],
        **TrainedEstimator._training_constraints,
    }

    def _new_network(self, content):
        """The network of a fit that starts anew."""
        return FittedImageNetwork(self.model, content)

    def _network_to_start(self, content, earlier, is_partial=False):
        if earlier is None:
            return self._new_network(content)
        network = earlier.predictor.network
        # partial_fit continues with the trained network itself; its code is not run again
        is_at_hand = is_partial and network.live is not None and network.model is self.model
        if not content.is_identified and not is_at_hand:
            raise ValueError(
                f"A fit cannot continue with model={self.model!r}: this callable has no version, "
                "and may now make a different network. "
                f"{_HOW_TO_VERSION}"
            )
        return network.with_content(content)

    def _find_content(self):
        return find_backbone(self.model)

    def _check_partial_fit(self):
        super()._check_partial_fit()
        self._refuse_to_resume()

    def _refuse_to_resume(self):
        """Raise an error if the code of a callable may differ from that of a checkpoint."""
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
                f"checkpoint_dir contains {path}, but `fit` cannot resume from it: "
                f"{name}={value!r} has no version, and its code may have changed since the file "
                f"was written. Remove the file. {_HOW_TO_VERSION}"
            )

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.one_d_array = True
        tags.input_tags.two_d_array = False
        tags.input_tags.string = True
        tags.input_tags.allow_nan = self.on_error == "nan"
        return tags


class ImageEstimator(ClassNamePrefixFeaturesOutMixin, TransformerMixin, TrainedOnImages):
    """Base of the estimators that learn one target, or several, for each image."""

    _parameter_constraints: dict = {
        **TrainedOnImages._parameter_constraints,
        "augment": [StrOptions({"standard"}), tuple, list, callable, None],
    }
    _searched_if_frozen = {"augment": Searched(None, [None, "standard"])}
    _searched_if_trained = {
        "learning_rate": Searched(loguniform(3e-5, 1e-3), loguniform(1e-5, 3e-3)),
        "max_epochs": Searched([3, 5, 8], [3, 5, 8, 12]),
        "batch_size": Searched([16, 32], [16, 32, 64]),
        "trainable_layers": Searched(None, [1, 3, "all"]),
        "weight_decay": Searched(None, loguniform(1e-3, 1e-1)),
        **_searched_if_frozen,
    }

    @fit_method
    def fit(self, X, y, sample_weight=None, *, X_val=None, y_val=None, sample_weight_val=None):
        """Fit to images and their targets.

        Parameters
        ----------
        X : one column of n_samples images
            Images as :class:`~sklearn_dl.ImageLoader` takes them: paths, bytes, PIL images, uint8
            arrays, lazy images.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            The target of each row. Several columns (an array, a data frame or a sparse matrix)
            contain numbers for `ImageRegressor`. For `ImageClassifier`, each column is a label, and
            contains 0 and 1.
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
            If an image cannot be read, or the network gives NaN or infinity for it (the message
            names its row and path); if a target is missing; if all targets are equal; if the
            network has fewer layers than `trainable_layers`; or if a fit cannot continue or resume
            because a callable has no version. The estimator stays as it was.
        FileNotFoundError
            If the model or an image does not exist.
        ImportError
            If a package that is needed is not installed.
        """
        self._validate_params()
        self._refuse_to_resume()
        return self._fit(X, y, sample_weight, X_val, y_val, sample_weight_val)

    @names_labels
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
        if not len(rows):
            return np.empty((0, self._n_features_out), dtype=np.float32)
        with needed_by(self), self._where().progress(len(rows), "features") as where:
            read = self._present_predictor().features(rows, where)
        rows.warn(read)
        features = read.values
        if features.shape[1]:
            return features
        return np.full((len(features), self._n_features_out), np.nan, dtype=np.float32)

    @property
    def _n_features_out(self):
        return self._predictor.linear_head(self._where()).weights.shape[1]

    def _rows(self, X, reset, learns):
        images = load_column(X, self, reset=reset, on_error=self.on_error)
        width, height = width_and_height(self.image_size)
        return ImageRows(
            images,
            np.arange(len(images)),
            Resize(width, height, "crop", "center", "bilinear", 0),
            checked_augment(self.augment) if learns else None,
            skips=skips_images(images, self.on_error),
        )

    def _parameters_of_the_fit(self):
        size = width_and_height(self.image_size)
        return {**super()._parameters_of_the_fit(), "image_size": size}

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = []
        return tags
