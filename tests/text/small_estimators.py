"""One small estimator for each way in which the package reads texts, and rows that it learns."""

import numpy as np

from sklearn_dl import SentenceSimilarityRegressor, TextClassifier, TextEncoder

TEXTS = np.array(["a good film", "the bad book", "fine music", "poor plot"] * 3, dtype=object)
PAIRS = np.column_stack([TEXTS, TEXTS[::-1]])
TARGETS = np.array([1.0, 0.0] * 6)

CLASSIFIERS = ["classifier", "frozen classifier", "classifier of pairs"]
REGRESSORS = ["bi-encoder", "scaled cosine", "cross-encoder"]
LEARNERS = [*CLASSIFIERS, *REGRESSORS]
KINDS = [*LEARNERS, "encoder"]


def small_estimator(kind, folder):
    """An unfitted estimator of one of `KINDS`, with the encoder in `folder`."""
    params = {"max_length": 32, "precision": "float32"}
    if kind == "encoder":
        return TextEncoder(folder, **params)
    params |= {"max_epochs": 1, "random_state": 0}
    if kind in CLASSIFIERS:
        layers = 0 if kind == "frozen classifier" else "all"
        return TextClassifier(folder, trainable_layers=layers, **params)
    if kind == "scaled cosine":
        params["max_epochs"] = 0
    architecture = "cross-encoder" if kind == "cross-encoder" else "bi-encoder"
    return SentenceSimilarityRegressor(folder, architecture=architecture, **params)


def rows_of(kind):
    """New rows that an estimator of this kind reads."""
    return (PAIRS if kind in REGRESSORS or kind == "classifier of pairs" else TEXTS).copy()


def targets_of(kind):
    """New targets of `rows_of`."""
    return TARGETS.astype(int) if kind in CLASSIFIERS else TARGETS.copy()


def outputs(estimator, rows):
    """What the estimator makes of the rows."""
    return estimator.transform(rows) if hasattr(estimator, "transform") else estimator.predict(rows)


def learned_attributes(estimator):
    """The attributes of an estimator that are not its parameters."""
    params = estimator.get_params()
    return {name: value for name, value in vars(estimator).items() if name not in params}
