"""A fit that continues from the fit before."""

import pickle

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from tests.text.three_classes import X, Y


def tensors(clf):
    return {name: t.clone() for name, t in clf._predictor.network.live.state_dict().items()}


def test_warm_start_goes_on_from_the_weights(clf):
    clf.set_params(warm_start=True).fit(X, Y)
    before, loss = tensors(clf), clf.history_["train_loss"][-1]
    predicted = clf.predict_proba(X)
    clf.set_params(max_epochs=3, learning_rate=1e-8).fit(X, Y)
    assert clf.history_["epoch"] == [1, 2, 3, 4, 5]
    assert clf.best_epoch_ == 5
    assert clf.history_["train_loss"][2] < clf.history_["train_loss"][0]
    assert_allclose(clf.history_["train_loss"][2], loss, rtol=1)
    assert_allclose(clf.predict_proba(X), predicted, atol=1e-4)
    for name, tensor in tensors(clf).items():
        assert_allclose(tensor, before[name], atol=1e-5)


def test_warm_start_goes_on_from_a_frozen_fit(clf):
    clf.set_params(warm_start=True, trainable_layers=0).fit(X, Y)
    clf.set_params(trainable_layers="all").fit(X, Y)
    assert clf.history_["epoch"] == [1, 2]
    assert clf.score(X, Y) == 1


def test_a_frozen_fit_after_training_keeps_the_trained_encoder(clf):
    embeddings = clf.set_params(warm_start=True).fit(X, Y).embed(X)
    clf.set_params(trainable_layers=0).fit(X, Y)
    assert_array_equal(clf.embed(X), embeddings)
    assert clf.score(X, Y) == 1


def test_without_warm_start_a_fit_starts_anew(clf):
    first = clf.fit(X, Y).predict_proba(X)
    assert_array_equal(clf.fit(X, Y).predict_proba(X), first)
    assert clf.history_["epoch"] == [1, 2]


@pytest.mark.parametrize("layers", [1, "all"])
@pytest.mark.parametrize("pickled", [False, True], ids=["live", "pickled"])
def test_warm_start_of_a_trained_network_learns_from_rows_of_some_classes(clf, layers, pickled):
    clf.set_params(warm_start=True, trainable_layers=layers).fit(X, Y)
    before = clf.predict_proba(X)
    clf = pickle.loads(pickle.dumps(clf)) if pickled else clf
    clf.set_params(class_weight="balanced").fit(X[:2], ["yes", "yes"], [1, 2])
    assert clf.classes_.tolist() == ["no", "red", "yes"]
    after = clf.predict_proba(X)
    assert after.shape == before.shape
    assert (after[:, 2] > before[:, 2]).all()
    assert clf.history_["epoch"] == [1, 2, 3, 4]


def test_warm_start_of_a_frozen_head_refuses_rows_that_lack_a_class(frozen):
    frozen.set_params(warm_start=True).fit(X, Y)
    expected = frozen.predict_proba(X)
    # a new head is fitted in each of these
    for layers in (0, 1):
        frozen.set_params(trainable_layers=layers)
        with pytest.raises(ValueError, match="Here a new head is fitted to these rows alone"):
            frozen.fit(X[:2], ["yes", "yes"])
    assert_array_equal(frozen.set_params(trainable_layers=0).predict_proba(X), expected)


def test_warm_start_refuses_other_classes_and_models(clf, other_encoder):
    clf.set_params(warm_start=True).fit(X, Y)
    expected = clf.predict_proba(X)
    for y in (np.where(Y == "yes", "oui", Y), np.where(Y == "yes", "oui", "no")):
        with pytest.raises(
            ValueError, match=r"warm_start=True cannot change the classes: the estimator was fitted"
        ):
            clf.fit(X, y)
    clf.set_params(model=other_encoder)
    with pytest.raises(ValueError, match="warm_start=True cannot continue with model="):
        clf.fit(X, Y)
    assert_array_equal(clf.predict_proba(X), expected)
    assert clf.history_["epoch"] == [1, 2]


@pytest.mark.parametrize("embed", [True, False], ids=["model embedded", "model named"])
@pytest.mark.parametrize("layers", [("all", 1), ("all", 1, 0), ("all", 0, 1), (1, "all", 1)])
def test_pickles_carry_what_any_of_the_fits_has_trained(clf, layers, embed):
    clf.set_params(warm_start=True, embed_model=embed, learning_rate=1e-2)
    for n_layers in layers:
        clf.set_params(trainable_layers=n_layers).fit(X, Y)
    loaded = pickle.loads(pickle.dumps(clf))
    assert_array_equal(loaded.predict_proba(X), clf.predict_proba(X))
    loaded.set_params(trainable_layers="all").fit(X, Y)
    again = pickle.loads(pickle.dumps(loaded))
    assert_array_equal(again.predict_proba(X), loaded.predict_proba(X))


def test_what_was_computed_in_bfloat16_is_not_older_than_the_weights(clf):
    clf.set_params(precision="bfloat16", warm_start=True, learning_rate=1e-2).fit(X, Y)
    before = clf.embed(X)
    assert_allclose(clf.fit(X, Y).embed(X), clf.set_params(precision="float32").embed(X), atol=0.1)
    assert abs(clf.set_params(precision="bfloat16").embed(X) - before).max() > 0.2


def test_a_fit_that_goes_on_cannot_read_more_tokens_than_the_encoder(clf):
    clf.set_params(warm_start=True).fit(X, Y)
    with pytest.raises(ValueError, match=r"^max_length=5000: the encoder .* reads at most"):
        clf.set_params(max_length=5000).fit(X, Y)
