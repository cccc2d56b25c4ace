"""The mixin of the text estimators that are also transformers: they return embeddings."""

from typing import Any

import numpy as np
from sklearn.base import ClassNamePrefixFeaturesOutMixin, TransformerMixin

from sklearn_dl.utils._messages import names_labels
from sklearn_dl.utils._optional import needed_by


class TextTransformerMixin(ClassNamePrefixFeaturesOutMixin, TransformerMixin):
    """Embeddings of the fitted encoder. Put this mixin to the left of TextEstimator."""

    _network: Any
    _where: Any
    _rows_to_predict: Any

    def transform(self, X):
        """Compute embeddings with the fitted encoder, without the head.

        Parameters
        ----------
        X : array-like of shape (n_samples,) or (n_samples, n_columns)
            Texts, as in `fit`.

        Returns
        -------
        embeddings : float32 ndarray of shape (n_samples, hidden_size)
            A pair has one embedding, for which both texts are read together. With
            ``trainable_layers=0``, the result for a pair is u, v, abs(u - v) and u * v, side by
            side, where u and v are the embeddings of its texts: the shape is (n_samples, 4 *
            hidden_size). A data frame if `set_output` asks for it. NaN for rows that cannot be
            read (``on_error="nan"``), with one warning.
        """
        return self.embed(X)

    @names_labels
    def embed(self, X):
        """Compute embeddings like `transform`, but always return an ndarray.

        Parameters
        ----------
        X : array-like of shape (n_samples,) or (n_samples, n_columns)
            Texts, as in `fit`.

        Returns
        -------
        embeddings : float32 ndarray of shape (n_samples, hidden_size)
            As those of `transform`.
        """
        rows = self._rows_to_predict(X)
        with needed_by(self), self._where().progress(len(rows), "embeddings") as where:
            read = self._network.embed(rows, where)
        rows.warn(read)
        return read.values.astype(np.float32, copy=False)

    @property
    def _n_features_out(self):
        # a head of the model's folder reads pairs together, so that its width is that of one text
        n_columns = getattr(self, "n_features_in_", 1)
        return self._network.width(self._where(), n_columns)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = []
        return tags
