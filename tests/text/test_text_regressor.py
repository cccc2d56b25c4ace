"""TextRegressor: one number or several from a text or a pair, trained or with a frozen encoder."""

import pickle

import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.metrics import r2_score
from sklearn.model_selection import GridSearchCV, cross_val_score

from sklearn_dl import SentenceSimilarityRegressor, TextRegressor
from sklearn_dl.training import _training_loop
from sklearn_dl.training._numbers import Numbers

ADJECTIVES = {"bad": 1.0, "dull": 2.0, "good": 4.0, "fine": 4.5, "great": 5.0}
NOUNS = ["film", "book", "song", "play", "meal", "day", "cat", "car"]
X = np.array([f"a {adjective} {noun}" for noun in NOUNS for adjective in ADJECTIVES], dtype=object)
Y = np.array([number for _ in NOUNS for number in ADJECTIVES.values()])
BOTH = np.column_stack([Y, 100 - 10 * Y])
PAIRS = np.column_stack([X, np.roll(X, 5)])


@pytest.fixture
def model(encoder):
    return TextRegressor(
        encoder,
        max_length=32,
        max_epochs=12,
        learning_rate=3e-3,
        precision="float32",
        random_state=0,
    )


@pytest.mark.slow
@pytest.mark.parametrize("layers", ["all", 1, 0])
def test_numbers_are_learned(model, layers):
    model.set_params(trainable_layers=layers).fit(X, Y)
    predicted = model.predict(X)
    assert predicted.shape == Y.shape
    assert predicted.dtype == np.float64
    assert model.score(X, Y) == pytest.approx(r2_score(Y, predicted))
    assert model.score(X, Y) > 0.8
    assert len(model.history_.get("epoch", [])) == (12 if layers else 0)


@pytest.mark.slow
@pytest.mark.parametrize("layers", ["all", 0])
def test_several_numbers_of_a_row_are_learned(model, layers):
    model.set_params(trainable_layers=layers).fit(X, BOTH)
    predicted = model.predict(X)
    assert predicted.shape == BOTH.shape
    assert model.score(X, BOTH) > 0.8
    # the second is a line through the first, and so is what is predicted
    assert_allclose(predicted[:, 1], 100 - 10 * predicted[:, 0], atol=4)


@pytest.mark.slow
@pytest.mark.parametrize("layers", ["all", 0])
def test_predictions_have_the_units_of_y(model, layers):
    model.set_params(trainable_layers=layers)
    first = clone(model).fit(X, Y).predict(X)
    if layers:
        second = clone(model).fit(X, Y * 1000 - 5e6).predict(X)
        assert_allclose(second, first * 1000 - 5e6, atol=20)
    else:
        assert_allclose(clone(model).fit(X, Y + 7).predict(X), first + 7, atol=1e-8)


def test_pairs_are_read_as_a_cross_encoder_reads_them(model, encoder):
    options = {k: v for k, v in model.get_params().items() if k in ("max_length", "precision")}
    options |= {"learning_rate": 3e-3, "max_epochs": 2, "random_state": 0}
    cross = SentenceSimilarityRegressor(encoder, architecture="cross-encoder", **options)
    expected = cross.fit(PAIRS, Y).predict(PAIRS)
    model.set_params(**options).fit(PAIRS, Y)
    assert model.n_features_in_ == 2
    assert_array_equal(model.predict(PAIRS), expected)
    with pytest.raises(ValueError, match="column"):
        model.predict(X)


@pytest.mark.parametrize("layers", ["all", 0])
@pytest.mark.parametrize(
    "container",
    [
        lambda y: y.tolist(),
        lambda y: pd.DataFrame(y, columns=["a", "b"], index=np.arange(len(y))[::-1]),
        lambda y: pl.DataFrame(y, schema=["a", "b"]),
        lambda y: y.astype(np.float32),
        lambda y: [tuple(row) for row in y],
        list,
        torch.from_numpy,
    ],
    ids=["lists", "pandas", "polars", "float32", "tuples", "list of arrays", "torch"],
)
def test_containers_of_several_numbers_mean_the_same(model, layers, container):
    model.set_params(trainable_layers=layers, max_epochs=1)
    expected = clone(model).fit(X, BOTH).predict(X)
    assert_array_equal(clone(model).fit(X, container(BOTH)).predict(X), expected)


def test_a_single_column_of_targets_is_one_number_with_a_warning(model):
    from sklearn.exceptions import DataConversionWarning

    model.set_params(trainable_layers=0)
    expected = clone(model).fit(X, Y).predict(X)
    with pytest.warns(DataConversionWarning, match="column-vector y") as caught:
        model.fit(X, Y[:, None])
    assert len(caught) == 1
    assert_array_equal(model.predict(X), expected)


@pytest.mark.parametrize("y", [Y, BOTH], ids=["one", "several"])
def test_early_stopping_keeps_the_epoch_with_the_best_r2(model, y):
    model.set_params(early_stopping=True, max_epochs=3).fit(X, y, X_val=X, y_val=y)
    scores = model.history_["validation_score"]
    assert model.score(X, y) == pytest.approx(max(scores), rel=1e-6)
    assert model.best_epoch_ == 1 + int(np.argmax(scores))
    model.fit(X, y)
    assert np.isfinite(model.history_["validation_loss"]).all()


@pytest.mark.parametrize("layers", ["all", 0])
def test_rows_of_weight_zero_change_nothing(model, layers):
    model.set_params(trainable_layers=layers, max_epochs=1)
    expected = clone(model).fit(X, BOTH).predict(X)
    more, y = np.concatenate([X, X[:2]]), np.vstack([BOTH, [[1e6, 0], [0, -1e6]]])
    weights = np.repeat([1, 0], [len(X), 2])
    assert_array_equal(clone(model).fit(more, y, sample_weight=weights).predict(X), expected)


@pytest.mark.parametrize("layers", ["all", 0])
def test_pickles_carry_the_scale(model, layers):
    model.set_params(trainable_layers=layers, max_epochs=1).fit(X, BOTH)
    assert_array_equal(pickle.loads(pickle.dumps(model)).predict(X), model.predict(X))


def test_warm_start_keeps_the_scale_and_goes_on(model):
    model.set_params(warm_start=True, max_epochs=2).fit(X, BOTH)
    expected = model.predict(X)
    model.set_params(learning_rate=1e-9).fit(X[:20], BOTH[:20])
    assert_allclose(model.predict(X), expected, atol=1e-3)
    assert model.history_["epoch"] == [1, 2, 3, 4]
    with pytest.raises(ValueError, match="cannot change the number of columns of y"):
        model.fit(X, Y)
    assert_allclose(model.predict(X), expected, atol=1e-3)


@pytest.mark.parametrize("first", [Y, BOTH], ids=["one", "several"])
@pytest.mark.parametrize("then", [Y, BOTH], ids=["one", "several"])
def test_a_network_that_was_trained_then_frozen_is_trained_with_a_new_head(model, first, then):
    model.set_params(warm_start=True, max_epochs=1).fit(X, first)
    model.set_params(trainable_layers=0).fit(X, then * 1000)
    frozen = model.predict(X)
    model.set_params(trainable_layers="all", learning_rate=1e-9).fit(X, then * 1000)
    assert model.predict(X).shape == then.shape
    assert model.score(X, then * 1000) > 0
    assert_allclose(model.predict(X).mean(axis=0), frozen.mean(axis=0), rtol=0.3)


def test_r2_in_training_is_that_of_score_also_where_a_column_is_constant(model):
    y = np.column_stack([Y, np.full(40, 0.1)])
    model.set_params(early_stopping=True, max_epochs=2).fit(X, y, X_val=X, y_val=y)
    assert max(model.history_["validation_score"]) == pytest.approx(model.score(X, y), rel=1e-6)
    assert np.isfinite(model.history_["validation_loss"]).all()


@pytest.mark.parametrize(
    ("y", "message"),
    [
        (None, "TextRegressor requires y to be passed"),
        (np.full(40, 2.0), r"All 40 targets are equal \(2\): there is nothing to learn"),
        (
            np.full((40, 2), 2.0),
            "In each column, all 40 targets are equal: there is nothing",
        ),
        (np.where(np.arange(40) == 3, np.nan, Y), r"y is missing \(NaN or None\) in row\(s\) 3"),
        (["a"] * 40, "y must contain numbers"),
        (Y[:-1], "inconsistent numbers of samples"),
        (BOTH[:-1], "inconsistent numbers of samples"),
        (np.zeros((40, 2, 2)), "1d array|y"),
    ],
    ids=[
        "None",
        "equal",
        "equal rows",
        "missing",
        "strings",
        "short",
        "short table",
        "three dimensions",
    ],
)
def test_targets_that_cannot_be_learned_are_refused(model, y, message):
    with pytest.raises(ValueError, match=message):
        model.fit(X, y)
    assert not hasattr(model, "n_features_in_")


def test_in_cross_validation_and_grid_search(model):
    model.set_params(trainable_layers=0)
    assert cross_val_score(model, X, Y, cv=2).mean() > 0
    search = GridSearchCV(model, {"max_length": [32, 48]}, cv=2).fit(X, BOTH)
    assert search.predict(X).shape == BOTH.shape


def test_a_killed_fit_goes_on(model, tmp_path, monkeypatch):

    model.set_params(max_epochs=2)
    expected = clone(model).fit(X, BOTH).predict(X)
    model.set_params(checkpoint_dir=tmp_path)
    save = _training_loop._Run.save

    def save_and_stop(run):
        save(run)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(_training_loop._Run, "save", save_and_stop)
        with pytest.raises(KeyboardInterrupt):
            clone(model).fit(X, BOTH)
    assert list(tmp_path.glob("checkpoint-*"))
    assert_array_equal(clone(model).fit(X, BOTH).predict(X), expected)
    assert not list(tmp_path.iterdir())


def test_one_row_to_train_on_is_nothing_to_learn_from(model):
    model.set_params(early_stopping=True, validation_fraction=39)
    with pytest.raises(ValueError, match="There is nothing to learn from 1 sample"):
        model.fit(X, Y)


def test_the_rows_held_out_follow_the_seed(model, monkeypatch):
    held_out, evaluate = [], Numbers.evaluate

    def recorded(self, outputs, targets, weights):
        held_out.append(sorted(targets))
        return evaluate(self, outputs, targets, weights)

    monkeypatch.setattr(Numbers, "evaluate", recorded)
    model.set_params(early_stopping=True, max_epochs=1)
    for seed in (0, 0, 1):
        model.set_params(random_state=seed).fit(X, np.arange(40.0))
    first, same, other = held_out
    assert first == same != other
