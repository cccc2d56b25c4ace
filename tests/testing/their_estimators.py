"""Estimators of texts as another package may write them, with scikit-learn alone."""

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin, TransformerMixin
from sklearn.linear_model import LogisticRegression, Ridge, SGDClassifier
from sklearn.multiclass import OneVsRestClassifier
from sklearn.utils import assert_all_finite, check_array, check_consistent_length
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data


class TextsOfOneColumn(BaseEstimator):
    """Takes X as a list of texts, or as a table of one column."""

    def __init__(self, lowercase=True):
        self.lowercase = lowercase

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.string = True
        tags.input_tags.one_d_array = True
        tags.input_tags.two_d_array = False
        return tags

    def _texts(self, X, reset):
        if X is None or isinstance(X, (str, bytes, dict)):
            raise TypeError(f"X is {X!r}, not a column of texts.")
        if not isinstance(self.lowercase, bool):
            raise ValueError(f"lowercase={self.lowercase!r} is not a bool.")
        if not hasattr(X, "shape") or len(X.shape) == 1:
            X = np.array(list(X), dtype=object).reshape(-1, 1)
        validate_data(self, X, reset=reset, skip_check_array=True)
        texts = list(np.asarray(X, dtype=object)[:, 0])
        for text in texts:
            if not isinstance(text, str):
                raise ValueError(f"X contains {text!r}, which is not a text.")
        if not texts:
            raise ValueError("X has 0 samples.")
        return [text.lower() for text in texts] if self.lowercase else texts

    def _counts(self, texts):
        return np.array([[float(text.count(c)) for c in self.characters_] for text in texts])

    def _learn(self, X):
        texts = self._texts(X, reset=True)
        self.characters_ = sorted(set("".join(texts)))
        return self._counts(texts)


class CharacterCounter(TransformerMixin, TextsOfOneColumn):
    def fit(self, X, y=None):
        self._learn(X)
        return self

    def transform(self, X):
        check_is_fitted(self)
        return self._counts(self._texts(X, reset=False))

    def get_feature_names_out(self, input_features=None):
        return np.array([f"count_{ord(c)}" for c in self.characters_], dtype=object)


class CharacterClassifier(ClassifierMixin, TextsOfOneColumn):
    def fit(self, X, y, sample_weight=None):
        counts = self._learn(X)
        if y is None:
            raise ValueError("y is None, but a classifier learns from labels.")
        y = np.asarray(y)
        assert_all_finite(y)
        check_consistent_length(counts, y)
        check_classification_targets(y)
        if sample_weight is not None:
            sample_weight = _check_sample_weight(
                sample_weight, counts, allow_all_zero_weights=False
            )
        self.model_ = LogisticRegression().fit(counts, y, sample_weight)
        self.classes_ = self.model_.classes_
        return self

    def predict(self, X):
        probabilities = self.predict_proba(X)
        return self.classes_[probabilities.argmax(axis=1)]

    def predict_proba(self, X):
        check_is_fitted(self)
        return self.model_.predict_proba(self._counts(self._texts(X, reset=False)))


class CharacterLabels(CharacterClassifier):
    """One class or several labels for each text."""

    def fit(self, X, y, sample_weight=None):
        if y is None or np.ndim(y) < 2:
            return super().fit(X, y, sample_weight)
        y = np.asarray(y)
        if not np.isin(y, (0, 1)).all():
            raise ValueError("Labels are 0 and 1.")
        self.model_ = OneVsRestClassifier(LogisticRegression()).fit(self._learn(X), y)
        self.classes_ = np.tile(np.array([0, 1], y.dtype), (y.shape[1], 1))
        return self

    def predict(self, X):
        check_is_fitted(self)
        if self.classes_.ndim == 1:
            return super().predict(X)
        return (self.predict_proba(X) > 0.5).astype(self.classes_.dtype)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        return tags


class CharacterSteps(CharacterClassifier):
    """Learns from some rows, and then from others; it counts the letters."""

    def fit(self, X, y):
        super().fit(X, y)
        self.model_ = SGDClassifier(loss="log_loss", random_state=0).fit(self._learn(X), y)
        return self

    def partial_fit(self, X, y, classes=None):
        if not hasattr(self, "model_"):
            self._learn(["abcdefghijklmnopqrstuvwxyz"])
            self.model_ = SGDClassifier(loss="log_loss", random_state=0)
        self.model_.partial_fit(self._counts(self._texts(X, reset=True)), y, classes)
        self.classes_ = self.model_.classes_
        return self


class CharacterRegressor(RegressorMixin, TextsOfOneColumn):
    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags

    def fit(self, X, y):
        self.model_ = Ridge().fit(self._learn(X), y)
        return self

    def predict(self, X):
        check_is_fitted(self)
        return self.model_.predict(self._counts(self._texts(X, reset=False)))


class MeanColor(TransformerMixin, BaseEstimator):
    """The mean of each channel; takes X as a list of images of one size, or an array of them."""

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False
        tags.input_tags.three_d_array = True
        tags.requires_fit = False
        return tags

    def fit(self, X, y=None):
        self._pixels(X)
        return self

    def transform(self, X):
        return self._pixels(X).mean(axis=(1, 2))

    def _pixels(self, X):
        images = check_array([*X] if isinstance(X, tuple) else X, ensure_2d=False, allow_nd=True)
        if images.ndim != 4:
            raise ValueError(f"X has {images.ndim} dimensions, not 4.")
        return images
