import pickle

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.linear_model import Ridge
from sklearn.neighbors import NearestNeighbors

from sklearn_dl import SentenceSimilarityRegressor, TextEncoder

rng = np.random.default_rng(0)
WORDS = np.array(
    ["film", "book", "plot", "music", "cat", "dog", "house", "tree", "red", "green", "old", "new"]
)
BASE = [" ".join(rng.choice(WORDS, 4)) for _ in range(40)]
OTHER = [" ".join(rng.choice(WORDS, 4)) if i % 2 else text for i, text in enumerate(BASE)]
X = np.column_stack([BASE, OTHER])
# half of the pairs are the same text twice: their cosine is 1
Y = np.where(np.arange(40) % 2, 0.0, 5.0) + rng.normal(scale=0.2, size=40)


def small_model(encoder):
    return SentenceSimilarityRegressor(
        encoder,
        max_epochs=2,
        learning_rate=1e-3,
        max_length=32,
        precision="float32",
        random_state=0,
    )


@pytest.fixture
def model(encoder):
    return small_model(encoder)


def cosines(folder, rows):
    encoder = TextEncoder(folder, max_length=32, precision="float32")
    first, second = (encoder.transform(column).astype(float) for column in rows.T)
    lengths = np.linalg.norm(first, axis=1) * np.linalg.norm(second, axis=1)
    return (first * second).sum(1) / lengths


SCALES = {"as given": (1, 0), "negative": (1, -10), "tiny": (1e-3, 2e-3), "huge": (1e6, -3e6)}


@pytest.mark.parametrize("params", [{"max_epochs": 0}, {"trainable_layers": 0}], ids=str)
@pytest.mark.parametrize("scale", [*SCALES.values(), (-1, 5)], ids=str)
def test_without_training_the_cosine_is_scaled_by_least_squares(model, encoder, params, scale):
    y = scale[0] * Y + scale[1]
    model.set_params(**params).fit(X, y)
    raw = cosines(encoder, X)
    slope, intercept = np.polyfit(raw, y, 1)
    assert_allclose([model.slope_, model.intercept_], [slope, intercept], rtol=1e-4)
    assert_allclose(model.predict(X), slope * raw + intercept, rtol=1e-4, atol=1e-4 * np.ptp(y))
    assert model.history_ == {}
    assert model.best_epoch_ == 0
    assert isinstance(model.slope_, float)


def test_least_squares_count_the_weights(model, encoder):
    weights = rng.integers(0, 3, 40)
    model.set_params(max_epochs=0).fit(X, Y, sample_weight=weights)
    raw = cosines(encoder, X)
    expected = np.polyfit(raw.repeat(weights), Y.repeat(weights), 1)
    assert_allclose([model.slope_, model.intercept_], expected, rtol=1e-4)


@pytest.fixture(scope="module", params=["bi-encoder", "cross-encoder"])
def long_fit(encoder, request):
    """A regressor and its predictions after a fit to Y; tests clone it."""
    model = small_model(encoder).set_params(architecture=request.param, max_epochs=8)
    return model, model.fit(X, Y).predict(X)


@pytest.mark.slow
@pytest.mark.parametrize("scale", SCALES.values(), ids=SCALES)
def test_predictions_have_the_units_of_y(long_fit, scale):
    y = scale[0] * Y + scale[1]
    model, expected = long_fit
    predicted = clone(model).fit(X, y).predict(X)
    assert predicted.shape == (40,)
    assert predicted.dtype == np.float64
    assert_allclose(predicted, scale[0] * expected + scale[1], atol=1e-3 * np.ptp(y))
    assert np.corrcoef(predicted, y)[0, 1] > 0.3


@pytest.mark.slow
@pytest.mark.parametrize(
    "params", [{"max_epochs": 0}, {"max_epochs": 2}, {"max_epochs": 8}], ids=str
)
def test_distances_work_as_similarities_do(model, params):
    similar = clone(model).set_params(**params).fit(X, Y)
    distance = clone(model).set_params(**params).fit(X, -Y)
    assert similar.slope_ > 0 > distance.slope_
    assert_allclose(distance.predict(X), -similar.predict(X), atol=1e-3)
    assert np.corrcoef(distance.predict(X), -Y)[0, 1] > 0.75


def test_a_cross_encoder_on_a_frozen_encoder_is_ridge(model, encoder):
    model.set_params(architecture="cross-encoder", trainable_layers=0).fit(X, Y)
    text_encoder = TextEncoder(encoder, max_length=32, precision="float32")
    first, second = (text_encoder.transform(column).astype(float) for column in X.T)
    features = np.hstack([first, second, abs(first - second), first * second])
    expected = Ridge().fit(features, Y).predict(features)
    assert_allclose(model.predict(X), expected, atol=1e-4)
    assert_array_equal(clone(model).set_params(max_epochs=0).fit(X, Y).predict(X), model.predict(X))


def test_a_cross_encoder_needs_epochs(model):
    model.set_params(architecture="cross-encoder", max_epochs=0)
    with pytest.raises(ValueError, match=r"a cross-encoder has no cosine to scale: set max_epochs"):
        model.fit(X, Y)


@pytest.mark.parametrize("epochs", [0, 2])
def test_dot_products_of_embeddings_are_what_predict_scales(model, epochs):
    model.set_params(max_epochs=epochs).fit(X, Y)
    first, second = model.embed(X[:, 0]), model.embed(X[:, 1].tolist())
    assert first.shape == (40, 32)
    assert first.dtype == np.float32
    assert_allclose(np.linalg.norm(first, axis=1), 1, rtol=1e-6)
    raw = (first * second).sum(1)
    assert_allclose(model.slope_ * raw + model.intercept_, model.predict(X), atol=1e-4)
    found = NearestNeighbors(n_neighbors=1).fit(first).kneighbors(second[::2])[1][:, 0]
    assert np.mean(found == np.arange(0, 40, 2)) > 0.8


def test_embed_reads_one_column_of_any_name(model):
    frame = pd.DataFrame(X, columns=["left", "right"])
    model.set_params(max_epochs=0).fit(frame, Y)
    assert model.feature_names_in_.tolist() == ["left", "right"]
    expected = model.embed(X[:, 0])
    for column in (
        frame[["left"]],
        frame["left"],
        X[:, :1],
        frame[["left"]].set_axis(["a"], axis=1),
    ):
        assert_array_equal(model.embed(column), expected)
    with pytest.raises(ValueError, match="expects one column of texts, got 2 columns"):
        model.embed(X)
    with pytest.raises(ValueError, match=r"expects two columns of texts .*, got 1 column[.]"):
        model.predict(X[:, 0])


def test_a_cross_encoder_has_no_embeddings(model):
    assert hasattr(model, "embed")
    model.set_params(architecture="cross-encoder")
    assert not hasattr(model, "embed")
    model.fit(X, Y)
    assert not hasattr(model, "embed")
    with pytest.raises(AttributeError, match="embed"):
        model.embed(X[:, 0])
    # what is fitted counts
    assert not hasattr(model.set_params(architecture="bi-encoder"), "embed")
    assert hasattr(model.fit(X, Y), "embed")


@pytest.mark.parametrize("architecture", ["bi-encoder", "cross-encoder"])
def test_equal_similarities_are_an_error(model, architecture):
    model.set_params(architecture=architecture)
    with pytest.raises(ValueError, match=r"All 40 similarities are equal \(2\): there is nothing"):
        model.fit(X, np.full(40, 2.0))
    with pytest.raises(ValueError, match=r"All 39 similarities are equal \(0\)"):
        model.fit(X, np.arange(40) == 3, sample_weight=np.arange(40) != 3)
    assert not hasattr(model, "slope_")


def test_pairs_of_equal_texts_only(model):
    rows = np.column_stack([BASE, BASE])
    model.set_params(max_epochs=0).fit(rows, Y)
    assert_allclose(model.predict(X), Y.mean(), atol=0.5)
    assert np.isfinite(model.set_params(max_epochs=1).fit(rows, Y).predict(X)).all()


@pytest.mark.parametrize("architecture", ["bi-encoder", "cross-encoder"])
def test_rows_of_weight_zero_change_nothing(model, architecture):
    model.set_params(architecture=architecture)
    expected = clone(model).fit(X, Y).predict(X)
    more, y = np.vstack([X, X[:3]]), np.concatenate([Y, [100, -100, 7]])
    weights = np.repeat([1, 0], [40, 3])
    assert_array_equal(clone(model).fit(more, y, sample_weight=weights).predict(X), expected)


@pytest.mark.slow
@pytest.mark.parametrize("architecture", ["bi-encoder", "cross-encoder"])
def test_early_stopping_scores_r2(model, architecture):
    model.set_params(architecture=architecture, early_stopping=True, max_epochs=4)
    model.fit(X, Y, X_val=X, y_val=Y)
    scores = model.history_["validation_score"]
    assert_allclose(model.score(X, Y), scores[model.best_epoch_ - 1], rtol=1e-6)
    assert max(scores) == scores[model.best_epoch_ - 1]
    model.fit(X, Y)
    assert np.isfinite(model.history_["validation_loss"]).all()


@pytest.mark.parametrize("architecture", ["bi-encoder", "cross-encoder"])
def test_validation_rows_of_one_similarity(model, architecture):
    model.set_params(architecture=architecture, early_stopping=True)
    model.fit(X, Y, X_val=X[:1], y_val=Y[:1])
    assert np.isfinite(model.history_["validation_score"]).all()


@pytest.mark.parametrize("architecture", ["bi-encoder", "cross-encoder"])
def test_warm_start_keeps_the_scaling(model, architecture):
    model.set_params(architecture=architecture, warm_start=True).fit(X, Y)
    scaling, expected = (model.slope_, model.intercept_), model.predict(X)
    model.set_params(learning_rate=1e-9).fit(X[:20], Y[:20])
    assert (model.slope_, model.intercept_) == scaling
    assert_allclose(model.predict(X), expected, atol=1e-3)
    assert model.history_["epoch"] == [1, 2, 3, 4]


def test_warm_start_goes_on_from_a_scaled_cosine(model):
    model.set_params(max_epochs=0, warm_start=True).fit(X, Y)
    expected = model.predict(X)
    model.set_params(max_epochs=1, learning_rate=1e-9).fit(X, Y)
    assert_allclose(model.predict(X), expected, atol=1e-3)
    assert model.history_["epoch"] == [1]
    # without a relation, there is no line to start from
    rows = np.column_stack([BASE, BASE])
    model.set_params(max_epochs=0, warm_start=False).fit(rows, Y)
    model.set_params(max_epochs=2, warm_start=True).fit(X, Y)
    assert np.isfinite(model.predict(X)).all()


def test_a_cross_encoder_that_was_frozen_is_trained_on_standard_scores(model):
    model.set_params(architecture="cross-encoder", warm_start=True, trainable_layers=0).fit(X, Y)
    assert (model.slope_, model.intercept_) == (1.0, 0.0)
    model.set_params(trainable_layers="all").fit(X, Y * 100 + 5000)
    assert model.slope_ == pytest.approx(Y.std() * 100)
    assert model.intercept_ == pytest.approx(Y.mean() * 100 + 5000)
    assert model.history_["train_loss"][-1] < 2  # of standard scores


def test_a_cross_encoder_that_was_trained_then_frozen_is_trained_on_standard_scores(model):
    model.set_params(architecture="cross-encoder", warm_start=True).fit(X, Y)
    model.set_params(trainable_layers=0).fit(X, Y * 1000)
    model.set_params(trainable_layers="all", max_epochs=1).fit(X, Y * 1000)
    assert model.slope_ == pytest.approx(Y.std() * 1000)
    assert model.history_["train_loss"][-1] < 3


def test_predictions_follow_the_scale_that_is_shown(model):
    model.set_params(max_epochs=0).fit(X, Y)
    raw = (model.predict(X) - model.intercept_) / model.slope_
    model.slope_, model.intercept_ = 2.0, 1.0
    assert_allclose(model.predict(X), 2 * raw + 1)


def test_warm_start_refuses_another_architecture(model):
    model.set_params(warm_start=True).fit(X, Y)
    expected = model.predict(X)
    with pytest.raises(
        ValueError, match=r"warm_start=True cannot change the architecture\. Set warm_start=False"
    ):
        model.set_params(architecture="cross-encoder").fit(X, Y)
    assert_array_equal(model.predict(X), expected)


@pytest.mark.slow
@pytest.mark.parametrize("architecture", ["bi-encoder", "cross-encoder"])
def test_integers_bools_and_lists_of_similarities(model, architecture):
    model.set_params(architecture=architecture, max_epochs=1)
    whole = (Y > 2).astype(int)
    expected = model.fit(X, whole.astype(float)).predict(X)
    for y in (whole, whole.tolist(), whole.astype(bool), pd.Series(whole), whole.astype(object)):
        assert_array_equal(clone(model).fit(X, y).predict(X), expected)


@pytest.mark.parametrize(
    ("params", "shown"),
    [
        ({"max_epochs": 0}, "2 of 80"),
        ({}, "2 of 80"),
        ({"architecture": "cross-encoder"}, "1 of 40"),
    ],
    ids=str,
)
def test_cut_texts_are_counted_once_per_call(model, params, shown):
    rows = X.copy().astype(object)
    rows[3] = "good " * 50, "bad " * 50
    model.set_params(**params)
    for call in (lambda: model.fit(rows, Y), lambda: model.predict(rows)):
        with pytest.warns(UserWarning, match=f"{shown} texts are longer") as caught:
            call()
        assert len(caught) == 1
        assert caught[0].filename == __file__


@pytest.mark.parametrize(("architecture", "rate"), [("bi-encoder", 1e-5), ("cross-encoder", 2e-4)])
def test_the_automatic_learning_rate(model, architecture, rate):
    model.set_params(architecture=architecture, learning_rate="auto", warmup_ratio=0, max_epochs=1)
    # 40 rows in batches of 16 are 3 steps; the rate falls from `rate` towards 0
    assert model.fit(X, Y).history_["learning_rate"] == pytest.approx([rate / 3])


@pytest.mark.parametrize("params", [{"max_epochs": 0}, {"trainable_layers": 0}], ids=str)
def test_without_targets_the_cosine_is_given_as_it_is(model, params):
    made = model.set_params(**params).fit(X)
    first, second = (made.embed([pair[i] for pair in X]).astype(float) for i in (0, 1))
    assert_allclose(made.predict(X), (first * second).sum(1), atol=1e-6)
    assert (made.slope_, made.intercept_, made.history_, made.best_epoch_) == (1.0, 0.0, {}, 0)
    assert_allclose(pickle.loads(pickle.dumps(made)).predict(X), made.predict(X))


@pytest.mark.parametrize(
    "params", [{}, {"architecture": "cross-encoder"}, {"trainable_layers": 1}], ids=str
)
def test_what_learns_needs_targets(model, params):
    made = model.set_params(**params)
    with pytest.raises(ValueError, match=r"requires y to be passed.*encoder\" and max_epochs=0"):
        made.fit(X)
    assert not hasattr(made, "n_features_in_")


def test_validation_rows_are_of_no_use_without_targets(model):
    with pytest.raises(ValueError, match=r"X_val and y_val are used only with .* and with y"):
        model.set_params(max_epochs=0).fit(X, X_val=X)


def test_a_fit_without_targets_leaves_no_scale(model):
    model.set_params(max_epochs=0, warm_start=True).fit(X)
    model.set_params(max_epochs=2).fit(X, 100 * Y)
    anew = clone(model).fit(X, 100 * Y)
    assert model.slope_ == pytest.approx(anew.slope_, rel=0.2)
    assert model.slope_ > 10
