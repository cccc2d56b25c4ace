"""The public checks pass on other packages' estimators that keep the rules."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.sparse import csr_matrix
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.compose import make_column_transformer
from sklearn.decomposition import PCA, TruncatedSVD
from sklearn.ensemble import RandomForestClassifier
from sklearn.feature_extraction.text import HashingVectorizer, TfidfVectorizer
from sklearn.linear_model import LogisticRegression, PoissonRegressor, Ridge
from sklearn.naive_bayes import MultinomialNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC
from sklearn.tree import DecisionTreeClassifier
from sklearn.utils.validation import check_is_fitted

from sklearn_dl.testing import (
    parametrize_with_image_checks,
    parametrize_with_row_checks,
    parametrize_with_text_checks,
)
from tests.testing.their_estimators import (
    CharacterClassifier,
    CharacterCounter,
    CharacterLabels,
    CharacterRegressor,
    CharacterSteps,
    MeanColor,
    TextsOfOneColumn,
)

THEIRS = [
    CharacterCounter(),
    CharacterClassifier(),
    CharacterLabels(),
    CharacterSteps(),
    CharacterRegressor(),
]
VECTORIZERS = {
    "tfidf": TfidfVectorizer(),
    "hashing": HashingVectorizer(n_features=32),
    "pipeline": make_pipeline(TfidfVectorizer(), LogisticRegression()),
}


def failures_of_scikit_learn(estimator):
    expected = {"check_what_is_not_rows": "a dict is read as its keys"}
    if isinstance(estimator, HashingVectorizer):
        expected["check_dict_unchanged"] = "transform keeps what it compiled"
        for check in ("check_estimators_empty_data_messages", "check_methods_on_no_rows"):
            expected[check] = "no text raises StopIteration"
    return expected


@parametrize_with_text_checks(THEIRS)
def test_estimators_of_a_list(estimator, check):
    check(estimator)


@parametrize_with_text_checks(THEIRS, n_columns=1)
def test_estimators_of_a_column(estimator, check):
    check(estimator)


@parametrize_with_text_checks(VECTORIZERS, expected_failed_checks=failures_of_scikit_learn)
def test_vectorizers_of_scikit_learn(estimator, check):
    check(estimator)


@parametrize_with_image_checks([MeanColor()])
def test_estimators_of_images(estimator, check):
    check(estimator)


@parametrize_with_row_checks([CharacterCounter(), CharacterClassifier()], ["one", "two", "three"])
def test_estimators_of_rows_that_are_given(estimator, check):
    check(estimator)


class TakesSeriesOnly(CharacterCounter):
    def _texts(self, X, reset):
        if not hasattr(X, "to_list"):
            raise TypeError(f"X is a {type(X).__name__}, not a Series.")
        return super()._texts(X.to_list(), reset)


@parametrize_with_row_checks([TakesSeriesOnly()], pd.Series(["one", "two", "three"], [3, 3, 1]))
def test_estimators_of_a_series(estimator, check):
    check(estimator)


class Words(TransformerMixin, TextsOfOneColumn):
    """Its results have another number of items for each row."""

    def fit(self, X, y=None):
        self._learn(X)
        return self

    def transform(self, X):
        check_is_fitted(self)
        return [text.split() for text in self._texts(X, reset=False)]


class Spans(Words):
    def transform(self, X):
        words = super().transform(X)
        return [{"length": len(w), "boxes": np.ones((len(w), 4)), "none": None} for w in words]


class SparseCounter(CharacterCounter):
    def transform(self, X):
        return csr_matrix(super().transform(X))


@dataclass(eq=True)
class NotHashable(CharacterCounter):
    lowercase: bool = True


class OfTwoClasses(CharacterClassifier):
    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_class = False
        return tags

    def fit(self, X, y, sample_weight=None):
        super().fit(X, y, sample_weight)
        if len(self.classes_) > 2:
            raise ValueError("Only binary classification is supported.")
        return self


class WithoutProbabilities(CharacterClassifier):
    def predict_log_proba(self, X):
        check_is_fitted(self)
        return np.log(self.model_.predict_proba(self._counts(self._texts(X, reset=False))))

    @property
    def predict_proba(self):
        raise AttributeError("no probabilities")

    def predict(self, X):
        best = self.predict_log_proba(X).argmax(axis=1)
        return self.classes_[best]


OTHERS = {
    "lists": Words(),
    "dicts": Spans(),
    "sparse": SparseCounter(),
    "not hashable": NotHashable(),
    "two classes": OfTwoClasses(),
    "log probabilities": WithoutProbabilities(),
}


@parametrize_with_text_checks(OTHERS)
def test_unusual_estimators(estimator, check):
    check(estimator)


PIPELINES = {
    "svd": make_pipeline(TfidfVectorizer(), TruncatedSVD(2)),
    "svm": make_pipeline(TfidfVectorizer(), LinearSVC()),
    "bayes": make_pipeline(TfidfVectorizer(), MultinomialNB()),
    "forest": make_pipeline(TfidfVectorizer(), RandomForestClassifier(n_estimators=3)),
    "poisson": make_pipeline(TfidfVectorizer(), PoissonRegressor()),
}


def failures_of_pipelines(estimator):
    expected = failures_of_scikit_learn(estimator)
    if isinstance(estimator[-1], TruncatedSVD):
        expected["check_fit_one_sample"] = "the SVD needs two words"
    if isinstance(estimator[-1], PoissonRegressor):
        expected["check_regressors_train"] = "its score is D²"
    return expected


@parametrize_with_text_checks(PIPELINES, expected_failed_checks=failures_of_pipelines)
def test_pipelines(estimator, check):
    check(estimator)


class MeanColorOfArrays(MeanColor):
    """Takes one array of all images only."""

    def _pixels(self, X):
        if not isinstance(X, np.ndarray):
            raise TypeError(f"X is a {type(X).__name__}.")
        return super()._pixels(X)


@parametrize_with_row_checks(
    [MeanColorOfArrays()],
    np.random.default_rng(0).integers(0, 256, (4, 8, 8, 3), dtype=np.uint8),
    expected_failed_checks=lambda _: {"check_containers_mean_the_same": "takes arrays only"},
)
def test_estimators_of_one_array(estimator, check):
    check(estimator)


class Loudness(TransformerMixin, BaseEstimator):
    """Takes a list of recordings of any length."""

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.requires_fit = False
        return tags

    def fit(self, X, y=None):
        self.transform(X)
        return self

    def transform(self, X):
        if X is None or isinstance(X, (str, bytes, dict)):
            raise TypeError(f"X is {X!r}.")
        for row, wave in enumerate(X):
            if not isinstance(wave, np.ndarray):
                raise ValueError(f"Row {row} of X is {wave!r}.")
        return np.array([np.abs(wave).mean() for wave in X]).reshape(-1, 1)


@parametrize_with_row_checks([Loudness()], [np.linspace(0, 1, n) for n in (50, 60, 70, 50)])
def test_estimators_of_recordings(estimator, check):
    check(estimator)


TABLE = pd.DataFrame(
    {"text": ["a b", "b c", "c d", "a d"], "number": [1.0, 2.0, 3.0, 4.0]}, index=[3, 3, 1, 0]
)


@parametrize_with_row_checks(
    [
        make_pipeline(
            make_column_transformer(
                (TfidfVectorizer(token_pattern=r"\w"), "text"), (StandardScaler(), ["number"])
            ),
            LogisticRegression(),
        )
    ],
    TABLE,
    [0, 1, 0, 1],
)
def test_estimators_of_frames(estimator, check):
    check(estimator)


@parametrize_with_row_checks(
    [StandardScaler(), PCA(2), Ridge()],
    np.random.default_rng(0).normal(size=(12, 4)),
    expected_failed_checks=lambda estimator: (
        {"check_missing_cells": "NaN is left alone"}
        if isinstance(estimator, StandardScaler)
        else {}
    ),
)
def test_estimators_of_numbers(estimator, check):
    check(estimator)


@parametrize_with_row_checks(
    [DecisionTreeClassifier(random_state=0)],
    np.random.default_rng(0).normal(size=(12, 4)),
    np.random.default_rng(1).integers(0, 2, (12, 3)),
)
def test_probabilities_in_an_array_for_each_label(estimator, check):
    check(estimator)
