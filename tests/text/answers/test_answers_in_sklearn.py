"""QuestionAnswerer with scikit-learn's tools, and the parts of a fit that all estimators share."""

import pickle

import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from scipy.special import log_softmax
from sklearn.base import clone
from sklearn.callback import ScoringMonitor
from sklearn.exceptions import FitFailedWarning
from sklearn.model_selection import (
    GridSearchCV,
    GroupKFold,
    KFold,
    cross_val_predict,
    cross_validate,
)

from sklearn_dl.metrics import answer_f1_score
from sklearn_dl.training import _training_loop
from sklearn_dl.training._ragged import Ragged
from tests.text.answers.questions import PAIRS, UNANSWERABLE, X, Y, listed, quick, small
from tests.training.linear_task import same_bits, tensors_of


@pytest.fixture(scope="module")
def answerer(encoder):
    """A fitted estimator, which no test changes."""
    return quick(encoder).fit(X, Y)


FORMS = {
    "list": list(Y),
    "tuple": tuple(Y),
    "pairs": [
        (gold, context.index(gold)) if isinstance(gold, str) else (gold["text"][0], 20)
        for gold, (_, context) in zip(Y, X, strict=True)
    ],
    "dicts": [
        {"text": [gold], "answer_start": [context.index(gold)]} if isinstance(gold, str) else gold
        for gold, (_, context) in zip(Y, X, strict=True)
    ],
    "Series": pd.Series(Y, index=np.arange(16)[::-1], dtype=object),
    "some without": [*Y[:-4], None, "", [], *Y[-1:]],
}


@pytest.mark.slow
@pytest.mark.parametrize("form", FORMS)
def test_cross_validation_of_each_form_of_y(encoder, form):
    y = FORMS[form]
    cv = KFold(4)
    found = cross_validate(quick(encoder), X, y, cv=cv, error_score="raise", return_estimator=True)
    assert found["test_score"].shape == (4,)
    for (_, test), fitted, score in zip(
        cv.split(X), found["estimator"], found["test_score"], strict=True
    ):
        golds = [list(y)[row] for row in test]
        assert score == pytest.approx(answer_f1_score(golds, fitted.predict(X[test])))


@pytest.mark.slow
def test_all_forms_of_the_same_answers_give_the_same_fit(encoder):
    expected = quick(encoder).fit(X, Y).predict(PAIRS)
    for form in ("tuple", "pairs", "dicts", "Series"):
        assert_array_equal(quick(encoder).fit(X, FORMS[form]).predict(PAIRS), expected)


def test_a_fold_without_an_answer(encoder):
    rows, y = [*X.tolist(), *[UNANSWERABLE] * 16], [*Y, *[None] * 16]
    groups = np.repeat([0, 1], 16)
    with pytest.warns(FitFailedWarning, match="needs rows with answers"):
        found = cross_validate(quick(encoder), rows, y, groups=groups, cv=GroupKFold(2))
    # the fold that learns only answers finds one everywhere
    assert np.isnan(found["test_score"]).sum() == 1
    assert np.nanmax(found["test_score"]) == 0


@pytest.mark.slow
def test_grid_search_and_predictions_of_folds(encoder):
    search = GridSearchCV(quick(encoder), {"learning_rate": [1e-9, 3e-3]}, cv=2)
    search.fit(X, Y)
    assert search.best_params_ == {"learning_rate": 3e-3}
    answers = cross_val_predict(quick(encoder), X, Y, cv=2)
    assert answers.shape == (16,)
    assert answers.dtype.names == ("answer", "start", "end", "score")


@pytest.mark.parametrize("frame", [pd.DataFrame, pl.DataFrame], ids=["pandas", "polars"])
def test_frames(encoder, answerer, frame):
    table = frame({"question": X[:, 0].tolist(), "context": X[:, 1].tolist()})
    fitted = quick(encoder).fit(table, Y)
    assert fitted.feature_names_in_.tolist() == ["question", "context"]
    assert fitted.n_features_in_ == 2
    assert_array_equal(fitted.predict(table), answerer.predict(X))
    with pytest.raises(ValueError, match="feature names"):
        fitted.predict(table[["context", "question"]])


@pytest.mark.slow
def test_clones_and_pickles(encoder, answerer):
    assert clone(answerer).get_params() == answerer.get_params()
    assert_array_equal(clone(answerer).fit(X, Y).predict(X), answerer.predict(X))
    assert clone(pickle.loads(pickle.dumps(quick(encoder)))).get_params()["max_epochs"] == 2
    for embed in (True, False):
        answerer = clone(answerer).set_params(embed_model=embed).fit(X, Y)
        loaded = pickle.loads(pickle.dumps(answerer))
        assert_array_equal(loaded.predict(X), answerer.predict(X))
        assert_array_equal(loaded.top_k(X, 2)[0], answerer.top_k(X, 2)[0])


def test_results_do_not_depend_on_the_other_rows(answerer):
    together = answerer.predict(X[::-1])[::-1]
    assert listed(together) == listed(answerer.predict(X))
    assert_allclose(together["score"], answerer.predict(X)["score"], atol=1e-6)


@pytest.mark.slow
def test_a_row_of_weight_0_is_left_out(encoder):
    others = np.array([UNANSWERABLE] * 4, dtype=object)
    both, y = np.vstack([X, others]), [*Y, *["dog"] * 4]
    weighted = quick(encoder).fit(both, y, [1.0] * 16 + [0.0] * 4)
    alone = quick(encoder).fit(X, Y)
    assert_array_equal(weighted.predict(X), alone.predict(X))
    assert not np.array_equal(quick(encoder).fit(both, y).predict(X), alone.predict(X))


@pytest.mark.slow
def test_weights_count_in_the_loss(encoder):
    """Two contradicting answers to one question: the heavier one is learned."""
    pairs, y = [PAIRS[0]] * 8, ["house", "cat"] * 4
    for weights, expected in (([5, 1] * 4, "house"), ([1, 5] * 4, "cat")):
        assert small(encoder).fit(pairs, y, weights).predict(PAIRS[:1])["answer"] == [expected]


@pytest.mark.parametrize("max_length", [60, 14])
def test_early_stopping_compares_loss_and_score_of_the_validation_rows(encoder, max_length):
    answerer = quick(encoder, early_stopping=True, max_length=max_length, window_overlap=3)
    answerer.set_params(max_epochs=1)
    pairs, y = [*PAIRS, UNANSWERABLE], [*Y[:4], None]
    answerer.fit([*X.tolist(), UNANSWERABLE], [*Y, None], X_val=pairs, y_val=y)
    assert answerer.history_["validation_score"] == [pytest.approx(answerer.score(pairs, y))]
    # the loss is that of training, with the weights at the end
    problem, network = answerer._problem, answerer._predictor.network
    rows, targets = answerer._with_targets(answerer._rows_to_predict(pairs), y, "y", problem)
    feed = network.feed(rows, network.live)
    goals = problem.goals(targets[feed.row_of_part], feed.layout)
    assert len(goals) > 5 or max_length == 60
    with torch.inference_mode():
        everything = np.arange(len(feed.lengths))
        outputs = feed.outputs(network.live, everything, np.random.default_rng(0))
        losses = problem.losses(outputs, torch.from_numpy(goals)).numpy()
    assert answerer.history_["validation_loss"] == [pytest.approx(losses.mean(), rel=1e-5)]
    for place, loss, logits in zip(goals, losses, outputs.numpy(), strict=True):
        start, end = log_softmax(logits[:, 0]), log_softmax(logits[:, 1])
        assert loss == pytest.approx(-(start[place[0]] + end[place[1]]) / 2, rel=1e-5)


def test_held_out_rows_are_stratified_by_whether_they_have_an_answer(encoder):
    held_out = []

    def scorer(estimator, X, y):
        held_out.extend(y)
        return 0.0

    answerer = quick(encoder, early_stopping=True, scoring=scorer, max_epochs=1)
    answerer.set_params(validation_fraction=0.25)
    answerer.fit([*X.tolist(), *[UNANSWERABLE] * 8], [*Y, *[None] * 8])
    assert len(held_out) == 6
    assert held_out.count(None) == 2


def test_a_scorer_of_early_stopping_gets_rows_as_they_were_given(encoder):
    seen = []

    def scorer(estimator, X, y):
        seen.append((X, y))
        return answer_f1_score(y, estimator.predict(X))

    answerer = quick(encoder, early_stopping=True, scoring=scorer, validation_fraction=4)
    answerer.fit(X, Y)
    assert len(seen) == 2
    assert all(len(some) == len(golds) == 4 for some, golds in seen)
    pairs = [(tuple(row), str(gold)) for row, gold in zip(X.tolist(), Y, strict=True)]
    assert all((tuple(row), str(gold)) in pairs for row, gold in zip(*seen[0], strict=True))


def test_callbacks_reach_the_epochs(encoder):
    def f1(estimator, X, y):
        return estimator.score(X, y)

    monitor = ScoringMonitor(scoring={"f1": f1})
    answerer = small(encoder, max_epochs=10).set_callbacks(monitor).fit(X, Y)
    log = monitor.get_logs().data_as_pandas
    scores = log[log.task_name == "epoch"].f1.tolist()
    assert len(scores) == 10
    assert scores[0] < scores[-1] == pytest.approx(answerer.score(X, Y))


def test_warm_start_goes_on_with_the_same_head(encoder):
    answerer = quick(encoder, warm_start=True).fit([*X.tolist(), UNANSWERABLE], [*Y, None])
    before = tensors_of(answerer._predictor.network.live)
    answerer.set_params(learning_rate=1e-12).fit(X, Y)
    after = tensors_of(answerer._predictor.network.live)
    for name, tensor in before.items():
        assert_allclose(after[name], tensor, atol=1e-6)
    assert answerer.history_["epoch"] == [1, 2, 3, 4]
    # the head still knows "no answer"
    assert all((answers["start"] == -1).any() for answers in answerer.top_k(PAIRS, 10_000))


@pytest.mark.slow
def test_a_stopped_fit_goes_on_from_its_checkpoint(encoder, tmp_path, monkeypatch):
    whole = quick(encoder, checkpoint_dir=tmp_path / "whole").fit(X, Y)
    answerer = quick(encoder, checkpoint_dir=tmp_path / "stopped")
    step, n_steps = _training_loop._Run.step, []

    def stops(self, *args, **kwargs):
        n_steps.append(1)
        if len(n_steps) == 6:
            raise KeyboardInterrupt
        return step(self, *args, **kwargs)

    with monkeypatch.context() as patched:
        patched.setattr(_training_loop._Run, "step", stops)
        with pytest.raises(KeyboardInterrupt):
            answerer.fit(X, Y)
    assert list((tmp_path / "stopped").iterdir())
    other = [("slow", 12), *Y[1:]]
    with pytest.raises(ValueError, match="data"):
        clone(answerer).fit([PAIRS[3], *X[1:].tolist()], other)
    answerer.fit(X, Y)
    expected, found = (tensors_of(e._predictor.network.live) for e in (whole, answerer))
    assert same_bits(found, expected)
    assert not list((tmp_path / "stopped").iterdir())


def test_the_digest_of_targets_depends_on_all_answers(answerer):
    problem = answerer._problem
    rows = answerer._rows_to_predict(PAIRS[1:2])
    digests = set()
    for y in (
        ("tree", 24),
        ("big tree", 20),
        {"text": ["tree", "dog"], "answer_start": [24, 8]},
        None,
    ):
        _, targets = answerer._with_targets(rows, [y], "y", problem)
        digests.add(problem.digest(targets))
    assert len(digests) == 4


def test_outputs_are_rows_of_tokens(answerer):
    read = answerer._predictor.outputs(answerer._rows_to_predict(PAIRS), answerer._where())
    assert isinstance(read.values, Ragged)
    assert len(read.values) == 4
    assert answerer._problem.predictions(read.values)["start"].tolist() == (
        answerer.predict(PAIRS)["start"].tolist()
    )
