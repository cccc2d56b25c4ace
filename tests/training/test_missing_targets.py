"""A missing target is found in every estimator that takes y, also in a list of strings."""

import numpy as np
import pandas as pd
import pytest

from sklearn_dl import (
    ImageClassifier,
    ScoreClassifier,
    SentenceSimilarityRegressor,
    TextClassifier,
)

IMAGES = [np.full((8, 8, 3), level, np.uint8) for level in (0, 50, 100, 150)]
TEXTS = ["a fine film", "dull", "great", "a bore"]
ESTIMATORS = {
    "text": (TextClassifier(), TEXTS),
    "frozen text": (TextClassifier(trainable_layers=0), TEXTS),
    "image": (ImageClassifier(), IMAGES),
    "trained image": (ImageClassifier(trainable_layers=1), IMAGES),
    "scores": (ScoreClassifier(), np.eye(4)[:, :2]),
    "similarity": (SentenceSimilarityRegressor(), [[text, text] for text in TEXTS]),
}


def series(cells):
    return pd.Series(cells, dtype=object)


@pytest.mark.parametrize("case", ESTIMATORS)
@pytest.mark.parametrize(
    "missing", [np.nan, None, pd.NA, np.float32("nan")], ids=["nan", "None", "NA", "nan of float32"]
)
@pytest.mark.parametrize("container", [list, tuple, series])
def test_a_missing_target(case, missing, container):
    estimator, X = ESTIMATORS[case]
    labels = ["0.5", "1", missing, "0.5"]
    with pytest.raises(ValueError, match=r"^y is missing \(NaN or None\) in row\(s\) 2: drop"):
        estimator.fit(X, container(labels))
    assert not hasattr(estimator, "n_features_in_")


@pytest.mark.parametrize("case", ["text", "image", "similarity"])
def test_a_missing_target_in_y_val(case):
    estimator, X = ESTIMATORS[case]
    estimator = type(estimator)(early_stopping=True)
    with pytest.raises(ValueError, match=r"^y_val is missing .* row\(s\) 0: drop"):
        estimator.fit(X, ["0.5", "1", "1", "0.5"], X_val=X[:2], y_val=[np.nan, "1"])


@pytest.mark.parametrize("case", ["frozen text", "image"])
def test_a_missing_target_in_score(case):
    estimator, X = ESTIMATORS[case]
    fitted = type(estimator)(trainable_layers=0).fit(X, ["a", "a", "b", "b"])
    with pytest.raises(ValueError, match=r"^y is missing .* row\(s\) 1: drop"):
        fitted.score(X, ["a", np.nan, "b", "b"])
