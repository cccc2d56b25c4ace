"""What a fit reports about its epochs: history_, verbose, callbacks."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.callback import ProgressBar, ScoringMonitor
from sklearn.model_selection import GridSearchCV

from sklearn_dl.training._network_with_head import NetworkWithHead
from tests.text.three_classes import X, Y


def test_history_has_a_column_per_fact_and_an_entry_per_epoch(clf):
    columns = ["epoch", "train_loss", "learning_rate", "seconds", "examples_per_second"]
    assert list(clf.fit(X, Y).history_) == columns
    assert clf.history_["epoch"] == [1, 2]
    assert clf.best_epoch_ == 2
    assert clf.history_["learning_rate"][0] > clf.history_["learning_rate"][1] > 0
    assert all(len(column) == 2 for column in clf.history_.values())
    clf.set_params(early_stopping=True).fit(X, Y)
    assert list(clf.history_) == [*columns, "validation_loss", "validation_score"]
    clf.set_params(trainable_layers=0).fit(X, Y)
    assert clf.history_ == {}
    assert clf.best_epoch_ == 0


def test_verbose_prints_a_line_per_epoch(clf, capsys):
    clf.fit(X, Y)
    assert capsys.readouterr() == ("", "")
    clf.set_params(verbose=1).fit(X, Y)
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(",")[0] for line in lines] == [
        "TextClassifier: epoch 1",
        "TextClassifier: epoch 2",
    ]


class Stop:
    """Stops after an epoch; notes what it was called with."""

    def __init__(self, after):
        self.after, self.scores = after, []

    def setup(self, estimator, context):
        pass

    def teardown(self, estimator, context):
        pass

    def on_fit_task_begin(self, estimator, context):
        pass

    def on_fit_task_end(
        self, estimator, context, *, X=None, y=None, fitted_estimator=None, **other
    ):
        if context.task_name == "epoch":
            self.scores.append(fitted_estimator.score(X, y))
            return len(self.scores) >= self.after
        return False


def test_a_callback_stops_training(clf):
    stop = Stop(after=2)
    clf.set_params(max_epochs=5).set_callbacks(stop).fit(X, Y)
    assert clf.history_["epoch"] == [1, 2]
    assert clf.best_epoch_ == 2
    assert len(stop.scores) == 2
    assert stop.scores[1] == clf.score(X, Y) > 0.9


def test_scoring_monitor_sees_each_epoch(clf):
    monitor = ScoringMonitor(scoring="neg_log_loss")
    clf.set_callbacks(monitor).fit(X, Y)
    log = monitor.get_logs().data_as_pandas
    epochs = log[log.task_name == "epoch"]
    assert len(epochs) == 2
    scores = epochs.neg_log_loss.to_numpy()
    assert scores[1] != scores[0]
    chosen = np.searchsorted(clf.classes_, Y)
    last = clf.predict_log_proba(X)[np.arange(24), chosen].mean()
    assert_allclose(scores[1], last, rtol=1e-6)


@pytest.mark.slow
def test_callbacks_reach_the_epochs_of_a_grid_search(clf, capsys):
    pytest.importorskip("rich")
    monitor, bar = ScoringMonitor(scoring="accuracy"), ProgressBar()
    clf.set_callbacks(monitor)
    search = GridSearchCV(clf, {"learning_rate": [1e-4, 1e-3]}, cv=2).set_callbacks(bar)
    search.fit(X, Y)
    log = monitor.get_logs().data_as_pandas
    epochs = log[log.task_name == "epoch"]
    # 2 candidates x 2 folds and the refit, 2 epochs each
    assert len(epochs) == 10
    assert epochs.accuracy.between(0, 1).all()
    out = capsys.readouterr().out
    assert "GridSearchCV" in out
    assert "TextClassifier - fit" in out


def test_progress_bar_on_the_estimator(clf, capsys):
    pytest.importorskip("rich")
    clf.set_callbacks(ProgressBar()).fit(X, Y)
    assert "TextClassifier - fit" in capsys.readouterr().out


class Fails(Stop):
    """Raises in one of its hooks."""

    def __init__(self, hook):
        super().__init__(after=99)
        self.hook = hook

    def setup(self, estimator, context):
        self._raise("setup")

    def teardown(self, estimator, context):
        self._raise("teardown")

    def on_fit_task_end(self, estimator, context, **options):
        if context.task_name == "fit":
            self._raise("end")

    def _raise(self, hook):
        if hook == self.hook:
            raise RuntimeError(f"in {hook}")


@pytest.mark.parametrize("hook", ["setup", "end", "teardown"])
@pytest.mark.parametrize("layers", [0, 1])
def test_a_callback_that_raises_at_the_very_end_leaves_the_estimator_as_it_was(clf, hook, layers):
    clf.set_params(trainable_layers=layers).fit(X, Y)
    expected = clf.predict_proba(X)
    clf.set_callbacks(Fails(hook))
    before = dict(vars(clf))
    with pytest.raises(RuntimeError, match=f"in {hook}"):
        clf.fit(X[::-1], Y)
    assert vars(clf) == before
    assert_array_equal(clf.predict_proba(X), expected)


def test_callbacks_see_the_weights_of_their_epoch_in_bfloat16(clf):
    monitor = ScoringMonitor(scoring="neg_log_loss")
    clf.set_params(precision="bfloat16", max_epochs=3, learning_rate=1e-2)
    clf.set_callbacks(monitor).fit(X, Y)
    log = monitor.get_logs().data_as_pandas
    scores = log[log.task_name == "epoch"].neg_log_loss.to_numpy()
    last = clf.predict_log_proba(X)[np.arange(24), np.searchsorted(clf.classes_, Y)].mean()
    assert_allclose(scores[-1], last, rtol=1e-6)


def test_validation_and_callbacks_share_a_copy_in_bfloat16(clf, monkeypatch):
    copies, in_bfloat16 = [], NetworkWithHead.in_bfloat16

    def counted(self):
        copies.append(self)
        return in_bfloat16(self)

    monkeypatch.setattr(NetworkWithHead, "in_bfloat16", counted)
    clf.set_params(precision="bfloat16", early_stopping=True)
    clf.set_callbacks(Stop(after=99)).fit(X, Y, X_val=X, y_val=Y)
    assert len(copies) == len(clf.history_["epoch"]) == 2
