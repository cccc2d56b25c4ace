"""``scoring=``: early stopping by any scorer of scikit-learn, on the validation rows themselves."""

import joblib
import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.metrics import balanced_accuracy_score, get_scorer, make_scorer, mean_absolute_error

from sklearn_dl import (
    ImageClassifier,
    SentenceSimilarityRegressor,
    TextClassifier,
    TextRegressor,
)
from tests.training.reviews import LABELS, TEXTS
from tests.vision.backbones import SIZE, colored_images, versioned_module

QUICK = {"max_epochs": 2, "early_stopping": True, "random_state": 0, "precision": "float32"}
NUMBERS = np.arange(len(TEXTS), dtype=float)
PAIRS = list(zip(TEXTS, TEXTS[::-1], strict=True))


def make(kind, encoder):
    """An estimator, the X and y that it learns from, and the name of a scorer."""
    texts = {"max_length": 16, **QUICK}
    if kind == "classifier":
        return classifier(encoder), TEXTS, LABELS, "neg_log_loss"
    if kind == "regressor":
        return TextRegressor(encoder, **texts), TEXTS, NUMBERS, "neg_mean_absolute_error"
    if kind == "similarity":
        return SentenceSimilarityRegressor(encoder, **texts), PAIRS, NUMBERS, "r2"
    images = ImageClassifier(versioned_module, image_size=SIZE, trainable_layers="all", **QUICK)
    return images, *colored_images(), "balanced_accuracy"


def classifier(encoder, **params):
    return TextClassifier(encoder, max_length=16, **QUICK | params)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["classifier", "regressor", "similarity", "images"])
def test_the_score_is_that_of_the_scorer(kind, encoder):
    estimator, X, y, name = make(kind, encoder)
    X_val, y_val = X[2:12], y[2:12]
    estimator.set_params(scoring=name).fit(X, y, X_val=X_val, y_val=y_val)
    best = estimator.history_["validation_score"][estimator.best_epoch_ - 1]
    assert best == max(estimator.history_["validation_score"])
    assert best == pytest.approx(get_scorer(name)(estimator, X_val, y_val), abs=1e-6)
    losses = clone(estimator).set_params(scoring=None).fit(X, y, X_val=X_val, y_val=y_val).history_
    assert estimator.history_["validation_loss"][0] == losses["validation_loss"][0]


def test_a_scorer_gets_the_rows_as_they_were_given(encoder):
    frame = pd.DataFrame({"text": TEXTS, "more": TEXTS[::-1]}, index=range(100, 120))
    seen = []

    def scorer(estimator, X, y):
        seen.append((X, y))
        assert estimator.predict(X).shape == (len(X),)
        return balanced_accuracy_score(y, estimator.predict(X))

    clf = classifier(encoder, scoring=scorer, validation_fraction=6)
    clf.fit(frame, pd.Series(LABELS, index=frame.index))
    for X, y in seen:
        assert isinstance(X, pd.DataFrame)
        assert X.index.equals(y.index)
        assert len(X) == 6
        assert X.equals(frame.loc[X.index])
    assert len(seen) == 2


def test_rows_that_cannot_be_read_are_not_scored(encoder):
    seen = []

    def scorer(estimator, X, y, sample_weight):
        seen.append((list(X), list(y), list(sample_weight)))
        return 1.0

    clf = classifier(encoder, scoring=scorer, on_error="nan")
    X_val, y_val = [TEXTS[0], None, TEXTS[12], TEXTS[13]], ["yes", "no", "no", "no"]
    with pytest.warns(UserWarning, match="1 of 3 rows of X_val"):
        clf.fit(TEXTS, LABELS, X_val=X_val, y_val=y_val, sample_weight_val=[1, 2, 0, 3])
    assert seen[0] == ([TEXTS[0], TEXTS[13]], ["yes", "no"], [1, 3])


def test_the_best_epoch_is_that_of_the_scorer(encoder):
    scores = iter([0.5, 2.0, 1.0])
    clf = classifier(encoder, scoring=lambda *args: next(scores), max_epochs=3)
    clf.fit(TEXTS, LABELS)
    assert clf.best_epoch_ == 2
    assert clf.history_["validation_score"] == [0.5, 2.0, 1.0]


@pytest.mark.parametrize("score", [np.nan, np.inf, "good", None], ids=repr)
def test_a_score_that_is_not_a_number(encoder, score):
    clf = classifier(encoder, scoring=lambda *args: score)
    with pytest.raises(ValueError, match=f"returned {score!r} for the validation rows"):
        clf.fit(TEXTS, LABELS)
    assert not hasattr(clf, "classes_")


def test_an_unknown_name(encoder):
    with pytest.raises(ValueError, match="'scoring' parameter"):
        classifier(encoder, scoring="no such score").fit(TEXTS, LABELS)


def test_a_scorer_is_part_of_what_a_checkpoint_belongs_to(encoder, tmp_path, monkeypatch):
    from sklearn_dl.training import _training_loop

    monkeypatch.setattr(_training_loop, "SECONDS_BETWEEN_CHECKPOINTS", -1)
    absolute = make_scorer(mean_absolute_error, greater_is_better=False)
    squared = make_scorer(mean_absolute_error)
    assert joblib.hash(absolute) != joblib.hash(squared)
    regressor = TextRegressor(encoder, max_length=16, checkpoint_dir=tmp_path, **QUICK)
    save = _training_loop._Run.save

    def save_and_stop(run):
        save(run)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(_training_loop._Run, "save", save_and_stop)
        with pytest.raises(KeyboardInterrupt):
            clone(regressor).set_params(scoring=absolute).fit(TEXTS, NUMBERS)
    with pytest.raises(ValueError, match="different scoring"):
        clone(regressor).set_params(scoring=squared).fit(TEXTS, NUMBERS)
    again = make_scorer(mean_absolute_error, greater_is_better=False)
    clone(regressor).set_params(scoring=again).fit(TEXTS, NUMBERS)
