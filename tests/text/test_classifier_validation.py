"""Validation rows, and the epoch that they select."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from sklearn_dl.training._classes import Classes
from tests.text.three_classes import TWO, X, Y


def test_validation_rows_may_lack_a_class(clf):
    clf.set_params(early_stopping=True).fit(X, Y, X_val=X[TWO], y_val=Y[TWO])
    assert clf.history_["validation_score"] == [1.0] * len(clf.history_["epoch"])
    assert clf.classes_.tolist() == ["no", "red", "yes"]


def test_a_label_of_the_validation_rows_that_y_lacks(clf):
    clf.set_params(early_stopping=True)
    with pytest.raises(
        ValueError, match=r"y_val has classes that y does not have: \['new', 'red'\]"
    ):
        clf.fit(X[TWO], Y[TWO], X_val=["x", "y", "z"], y_val=["yes", "red", "new"])
    with pytest.raises(ValueError, match=r"y_val is missing \(NaN or None\) in row\(s\) 1: drop"):
        clf.fit(X, Y, X_val=["x", "y"], y_val=["yes", None])


def test_validation_rows_need_early_stopping(clf):
    with pytest.raises(ValueError, match="used only with early_stopping=True"):
        clf.fit(X, Y, X_val=X, y_val=Y)
    with pytest.raises(ValueError, match="passed together"):
        clf.set_params(early_stopping=True).fit(X, Y, X_val=X)
    with pytest.raises(ValueError, match="sample_weight_val is used only with X_val and y_val"):
        clf.fit(X, Y, sample_weight_val=np.ones(24))


def test_validation_rows_of_weight_zero_do_not_count(clf):
    clf.set_params(early_stopping=True)
    wrong = np.where(Y == "yes", "no", "yes")
    weights = np.repeat([1, 0], 24)
    clf.fit(
        X,
        Y,
        X_val=np.concatenate([X, X]),
        y_val=np.concatenate([Y, wrong]),
        sample_weight_val=weights,
    )
    assert clf.history_["validation_score"][-1] == 1


def test_a_class_of_one_row_is_trained_on_not_held_out(clf):
    y = Y.copy()
    y[0] = "one"
    clf.set_params(early_stopping=True, validation_fraction=0.5).fit(X, y)
    assert "one" in clf.classes_
    assert np.isfinite(clf.predict_proba(X)).all()


def test_early_stopping_keeps_the_best_epoch(clf):
    clf.set_params(early_stopping=True, max_epochs=6, learning_rate=0.05, n_iter_no_change=2)
    clf.fit(X, Y, X_val=X, y_val=Y)
    scores, losses = clf.history_["validation_score"], clf.history_["validation_loss"]
    best = max(range(len(scores)), key=lambda i: (scores[i], -losses[i]))
    assert clf.best_epoch_ == best + 1
    assert clf.score(X, Y) == scores[best]
    chosen = np.searchsorted(clf.classes_, Y)
    log_proba = clf.predict_log_proba(X)[np.arange(24), chosen]
    assert_allclose(-log_proba.mean(), losses[best], rtol=1e-5)


def test_the_only_row_of_a_class_is_never_held_out(clf, monkeypatch):
    held_out, evaluate = [], Classes.evaluate

    def recorded(self, outputs, targets, weights):
        held_out.append(self.classes[targets].tolist())
        return evaluate(self, outputs, targets, weights)

    monkeypatch.setattr(Classes, "evaluate", recorded)
    clf.set_params(early_stopping=True, validation_fraction=3, max_epochs=1)
    clf.fit(X[:8], [*"aaaa", *"bcde"])
    assert held_out == [["a", "a", "a"]]


def test_validation_rows_of_another_number_than_their_labels(clf):
    clf.set_params(early_stopping=True)
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        clf.fit(X, Y, X_val=X[:4], y_val=Y[:5])
    assert not hasattr(clf, "classes_")
