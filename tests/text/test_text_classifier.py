import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.special import expit
from sklearn.base import clone

from sklearn_dl import TextEncoder
from sklearn_dl.text._fitted_text_network import FittedTextNetwork
from sklearn_dl.text._text_network import load_network
from sklearn_dl.training import _rows
from sklearn_dl.training._classes import Classes
from tests.text.three_classes import PAIRS, TWO, X, Y

LABELS = {
    "str": np.array(["yes", "no"]),
    "object": np.array(["yes", "no"], dtype=object),
    "int": np.array([3, 7]),
    "negative": np.array([1, -1]),
    "bool": np.array([True, False]),
    "float": np.array([0.0, 1.0]),
}


@pytest.mark.parametrize("layers", [0, "all"])
@pytest.mark.parametrize("kind", LABELS)
def test_labels_of_any_kind_come_back(clf, kind, layers):
    y = LABELS[kind][(Y[TWO] == "no").astype(int)]
    clf.set_params(trainable_layers=layers).fit(X[TWO], y)
    assert_array_equal(clf.classes_, np.unique(y))
    predicted = clf.predict(X[TWO])
    assert predicted.dtype == y.dtype
    assert_array_equal(predicted, y)
    assert clf.score(X[TWO], y) == 1


def test_a_list_and_a_series_of_labels(frozen):
    expected = frozen.fit(X, Y).predict_proba(X)
    for y in (Y.tolist(), pd.Series(Y), pd.Series(Y, dtype="category"), pd.Series(Y, dtype=object)):
        assert_array_equal(clone(frozen).fit(X, y).predict_proba(X), expected)


@pytest.mark.parametrize("layers", [0, 1])
@pytest.mark.parametrize("rows", [X, PAIRS], ids=["one", "pair"])
def test_what_the_methods_give_agrees(clf, layers, rows):
    clf.set_params(trainable_layers=layers).fit(rows, Y)
    logits, probabilities = clf.decision_function(rows), clf.predict_proba(rows)
    assert logits.shape == probabilities.shape == (24, 3)
    assert probabilities.dtype == np.float64
    assert_allclose(probabilities.sum(1), 1, rtol=1e-12)
    assert_allclose(np.log(probabilities), clf.predict_log_proba(rows), rtol=1e-9)
    assert_array_equal(clf.predict(rows), clf.classes_[probabilities.argmax(1)])
    assert_array_equal(logits.argmax(1), probabilities.argmax(1))


@pytest.mark.parametrize("layers", [0, 1])
def test_the_decision_function_of_two_classes_is_one_number_per_row(clf, layers):
    clf.set_params(trainable_layers=layers).fit(X[TWO], Y[TWO])
    decision = clf.decision_function(X)
    assert decision.shape == (24,)
    assert_allclose(expit(decision), clf.predict_proba(X)[:, 1], rtol=1e-9)
    assert_array_equal(clf.predict(X), clf.classes_[(decision > 0).astype(int)])


@pytest.mark.parametrize("layers", [0, "all"])
def test_one_class_is_an_error(clf, layers):
    with pytest.raises(ValueError, match=r"at least two classes, .* all of one class: 'a'\."):
        clf.set_params(trainable_layers=layers).fit(X, ["a"] * 24)
    assert not hasattr(clf, "classes_")


def test_targets_that_are_not_classes(clf):
    for y in (
        np.random.default_rng(0).normal(size=24),
        np.eye(24, dtype=int) * 2,
        np.full((24, 2), "a"),
    ):
        with pytest.raises(ValueError):  # noqa: PT011
            clf.fit(X, y)


@pytest.mark.parametrize("layers", [0, 1])
def test_embed_gives_the_embeddings_before_the_head(clf, encoder, layers):
    clf.set_params(trainable_layers=layers).fit(X, Y)
    embeddings = clf.embed(X[:5])
    assert embeddings.shape == (5, 32)
    assert embeddings.dtype == np.float32
    pretrained = TextEncoder(encoder, max_length=32, precision="float32").transform(X[:5])
    assert np.allclose(embeddings, pretrained, atol=1e-6) == (layers == 0)
    shape = clf.fit(PAIRS, Y).embed(PAIRS).shape
    assert shape == ((24, 128) if layers == 0 else (24, 32))


def test_the_head_of_frozen_pairs_reads_both_embeddings(frozen, encoder):
    embeddings = frozen.fit(PAIRS, Y).embed(PAIRS)
    first, second = (
        TextEncoder(encoder, max_length=32, precision="float32").transform(column)
        for column in PAIRS.T
    )
    expected = np.hstack([first, second, abs(first - second), first * second])
    assert_allclose(embeddings, expected, atol=1e-5)


def test_pairs_want_two_columns_again(clf):
    clf.fit(PAIRS, Y)
    assert clf.n_features_in_ == 2
    with pytest.raises(ValueError, match=r"expects two columns of texts .* got 1 column[.]"):
        clf.predict(X)
    swapped = clf.predict_proba(PAIRS[:, ::-1])
    assert not np.allclose(swapped, clf.predict_proba(PAIRS))


def test_columns_of_pairs_keep_their_order(frozen):
    frame = pd.DataFrame(PAIRS, columns=["title", "body"])
    expected = frozen.fit(frame, Y).predict_proba(frame)
    assert frozen.feature_names_in_.tolist() == ["title", "body"]
    with pytest.raises(ValueError, match="same order"):
        frozen.predict(frame[["body", "title"]])
    with pytest.warns(UserWarning, match="does not have valid feature names"):
        assert_array_equal(frozen.predict_proba(PAIRS), expected)


@pytest.mark.parametrize("smoothing", [0.0, 0.5])
def test_label_smoothing_makes_probabilities_less_sure(clf, smoothing):
    clf.set_params(max_epochs=10, learning_rate=1e-2, label_smoothing=smoothing).fit(X, Y)
    assert (clf.predict_proba(X).max(1).mean() < 0.9) == (smoothing > 0)


@pytest.mark.slow
def test_random_state(clf):
    def fitted(random_state):
        return clone(clf).set_params(random_state=random_state).fit(X, Y).predict_proba(X)

    np.random.seed(3)  # noqa: NPY002
    state = np.random.get_state()[1].copy()  # noqa: NPY002
    assert_array_equal(fitted(1), fitted(1))
    assert not np.array_equal(fitted(1), fitted(2))
    assert not np.array_equal(fitted(None), fitted(None))
    assert_array_equal(fitted(np.random.RandomState(5)), fitted(np.random.RandomState(5)))
    assert_array_equal(np.random.get_state()[1], state)  # noqa: NPY002


def test_a_loss_that_is_not_finite_leaves_the_estimator_as_it_was(clf):
    clf.fit(X, Y)
    expected, before = clf.predict_proba(X), dict(vars(clf))
    clf.set_params(learning_rate=1e30, max_grad_norm=None, max_epochs=5)
    with pytest.raises(ValueError, match=r"The loss is (nan|inf) .*in epoch \d, batch \d: lower"):
        clf.fit(X, Y)
    params = clf.get_params()
    assert {k: v for k, v in vars(clf).items() if k not in params} == {
        k: v for k, v in before.items() if k not in params
    }
    assert_array_equal(clf.predict_proba(X), expected)


def test_a_text_that_is_cut_is_counted_once(clf):
    long = np.array(["good " * 50, *X[1:]])
    with pytest.warns(UserWarning, match="1 of 24 texts are longer than max_length=32") as caught:
        clf.fit(long, Y)
    assert len(caught) == 1
    assert caught[0].filename == __file__
    for method in ("predict", "predict_proba", "decision_function", "predict_log_proba", "embed"):
        with pytest.warns(UserWarning, match="1 of 24 texts") as caught:
            getattr(clf, method)(long)
        assert len(caught) == 1
        assert caught[0].filename == __file__


def test_a_text_that_is_cut_is_counted_once_in_a_frozen_fit(frozen):
    with pytest.warns(UserWarning, match="1 of 24 texts are longer than max_length=32") as caught:
        frozen.fit(["good " * 50, *X[1:]], Y)
    assert len(caught) == 1
    assert caught[0].filename == __file__


def test_texts_that_are_cut_are_counted_over_all_chunks(frozen, monkeypatch):
    frozen.fit(X, Y)
    monkeypatch.setattr(_rows, "CHUNK", 5)
    long = X.astype(object)
    long[[3, 8, 23]] = ["good " * 50, "bad " * 50, "red " * 50]
    with pytest.warns(UserWarning, match="3 of 24 texts are longer") as caught:
        frozen.predict(long)
    assert len(caught) == 1


def test_the_first_head_is_fitted_on_some_rows_if_there_are_many(clf, monkeypatch):
    fitted_on, initial_head = [], Classes.initial_head

    def recorded(self, features, goals, weights):
        fitted_on.append((len(features), len(goals), len(weights)))
        return initial_head(self, features, goals, weights)

    monkeypatch.setattr(Classes, "initial_head", recorded)
    monkeypatch.setattr(FittedTextNetwork, "rows_of_initial_head", 10)
    clf.set_params(max_epochs=1).fit(X, Y)
    assert fitted_on == [(10, 10, 10)]


def tensors(clf):
    return {name: t.clone() for name, t in clf._predictor.network.live.state_dict().items()}


@pytest.mark.parametrize("layers", [1, 2, "all"])
def test_only_the_last_layers_and_the_head_change(clf, layers):
    clf.set_params(trainable_layers=layers, learning_rate=1e-2).fit(X, Y)
    before, after = load_network(clf._predictor.network.content).state_dict(), tensors(clf)
    changed = {name for name, t in before.items() if not t.equal(after[name])}
    unchanged = set(before) - changed
    assert set(after) - set(before) == {"head.weight", "head.bias"}
    if layers == "all":
        # positions that no text reaches stay, and keys' biases have no gradient
        assert not any("layer" in name and "weight" in name for name in unchanged)
        assert "encoder.embeddings.word_embeddings.weight" in changed
        return
    frozen = tuple(f"encoder.encoder.layer.{i}." for i in range(2 - layers))
    assert not any(name.startswith(("encoder.embeddings", *frozen)) for name in changed)
    assert all(
        any(name.startswith(f"encoder.encoder.layer.{i}.") for name in changed)
        for i in range(2 - layers, 2)
    )


def test_more_layers_than_there_are(clf):
    with pytest.raises(ValueError, match="trainable_layers=3, but the encoder has 2 layers"):
        clf.set_params(trainable_layers=3).fit(X, Y)
    assert not hasattr(clf, "history_")
