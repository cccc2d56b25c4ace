"""Code shared by the transformers that take a column of images."""

import numpy as np
from sklearn.base import OneToOneFeatureMixin

from sklearn_dl.images._lazy import LazyImage
from sklearn_dl.utils._base import all_or_nothing
from sklearn_dl.utils._columns import single_column
from sklearn_dl.utils._messages import RowError, names_labels


class ImageStepMixin(OneToOneFeatureMixin):
    """The tags, the output name and the `fit` of these transformers."""

    @all_or_nothing
    @names_labels
    def fit(self, X, y=None):
        """Check the parameters and store the column's name.

        Parameters
        ----------
        X : one column, as in `transform`
        y : ignored

        Returns
        -------
        self : object
        """
        self._validate_params()
        single_column(X, self, reset=True)
        return self

    def get_feature_names_out(self, input_features=None):
        """Return the name of the output column.

        Parameters
        ----------
        input_features : array-like of str of shape (1,) or None, default=None
            Must be the name seen in `fit`, if there was one. Otherwise the output's name is
            "image".

        Returns
        -------
        names : ndarray of shape (1,), dtype object
        """
        if not hasattr(self, "feature_names_in_"):
            return np.array(["image"], dtype=object)  # the name that an unfitted `transform` uses
        return super().get_feature_names_out(input_features)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.one_d_array = True
        tags.input_tags.two_d_array = False
        tags.input_tags.string = True
        tags.input_tags.allow_nan = getattr(self, "on_error", "raise") == "nan"
        tags.transformer_tags.preserves_dtype = []
        tags.requires_fit = False
        return tags


def lazy_images(X, estimator, *, reset):
    """Return the lazy images of a one-column X.

    Returns
    -------
    images : ndarray of LazyImage, of shape (n_samples,)

    Raises
    ------
    ValueError
        If X is not one column, or a row is not a LazyImage.
    """
    images = single_column(X, estimator, reset=reset)
    for row, image in enumerate(images):
        if not isinstance(image, LazyImage):
            raise RowError(
                f"{type(estimator).__name__} takes the images that ImageLoader makes, got "
                f"{type(image).__name__}. Put an ImageLoader before it.",
                row,
            )
    return images
