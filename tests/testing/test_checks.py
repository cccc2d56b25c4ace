"""The public checks pass on estimators of others that keep the rules."""

import pandas as pd
from sklearn.feature_extraction.text import HashingVectorizer, TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from sklearn_dl.testing import (
    parametrize_with_image_checks,
    parametrize_with_row_checks,
    parametrize_with_text_checks,
)
from tests.testing.their_estimators import (
    CharacterClassifier,
    CharacterCounter,
    CharacterRegressor,
    MeanColor,
)

THEIRS = [CharacterCounter(), CharacterClassifier(), CharacterRegressor()]
VECTORIZERS = {
    "tfidf": TfidfVectorizer(),
    "hashing": HashingVectorizer(n_features=32),
    "pipeline": make_pipeline(TfidfVectorizer(), LogisticRegression()),
}


def failures_of_scikit_learn(estimator):
    expected = {"check_what_is_not_rows": "bytes raise AttributeError, a dict is read as its keys"}
    if isinstance(estimator, HashingVectorizer):
        expected["check_dict_unchanged"] = "transform keeps what it compiled"
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
