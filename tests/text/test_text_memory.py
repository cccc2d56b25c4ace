"""``memory=``: features of texts are computed once for the calls of all estimators."""

import warnings

import joblib
import numpy as np
import pytest
from sklearn.base import clone
from sklearn.model_selection import cross_val_predict

from sklearn_dl import SentenceSimilarityRegressor, TextClassifier, TextEncoder, TextRegressor
from sklearn_dl.text import _fitted_text_network
from tests.text.small_estimators import PAIRS, TARGETS, TEXTS, outputs

SMALL = {"max_length": 32, "precision": "float32"}
FROZEN = {
    "encoder": (TextEncoder, {}, TEXTS),
    "classifier": (TextClassifier, {"trainable_layers": 0}, TEXTS),
    "regressor": (TextRegressor, {"trainable_layers": 0}, TEXTS),
    "pairs": (TextClassifier, {"trainable_layers": 0}, PAIRS),
    "scaled cosine": (SentenceSimilarityRegressor, {"max_epochs": 0}, PAIRS),
}


@pytest.fixture
def computed(monkeypatch):
    """How many texts each call of the network computed."""
    counts, score_texts = [], _fitted_text_network.score_texts

    def counted(fitted, columns, *args):
        counts.append(len(columns[0]))
        return score_texts(fitted, columns, *args)

    monkeypatch.setattr(_fitted_text_network, "score_texts", counted)
    return counts


@pytest.fixture(params=FROZEN)
def frozen(request, encoder):
    kind, params, X = FROZEN[request.param]
    y = TARGETS.astype(int) if kind is TextClassifier else TARGETS
    return kind(encoder, **params, **SMALL), X, y


def test_features_are_computed_once(frozen, computed, tmp_path):
    estimator, X, y = frozen
    expected = outputs(clone(estimator).fit(X, y), X)
    estimator.set_params(memory=tmp_path)
    np.testing.assert_array_equal(outputs(estimator.fit(X, y), X), expected)
    computed.clear()
    np.testing.assert_array_equal(outputs(clone(estimator).fit(X, y), X), expected)
    assert computed == []


def test_the_folds_of_a_cross_validation_share_them(encoder, computed, tmp_path):
    clf = TextClassifier(encoder, trainable_layers=0, memory=joblib.Memory(tmp_path), **SMALL)
    X = [f"{text} {row}" for row, text in enumerate(TEXTS)]
    cross_val_predict(clf, X, TARGETS.astype(int), cv=3)
    assert sum(computed) == len(X)


@pytest.mark.parametrize(
    "params", [{"max_length": 4}, {"precision": "bfloat16"}, {"model": None}], ids=str
)
def test_other_settings_compute_anew(encoder, other_encoder, computed, tmp_path, params):
    first = TextEncoder(encoder, memory=tmp_path, **SMALL)
    first.transform(TEXTS)
    params = {name: other_encoder if value is None else value for name, value in params.items()}
    other = clone(first).set_params(**params)
    computed.clear()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*tokens: only their beginning")
        result = other.transform(TEXTS)
        assert computed == [4]
        expected = clone(other).set_params(memory=None).transform(TEXTS)
    np.testing.assert_allclose(result, expected, atol=1e-2)


def test_texts_that_are_cut_are_counted_each_time(encoder, computed, tmp_path):
    long = TextEncoder(encoder, memory=tmp_path, max_length=6, precision="float32")
    X = [" ".join(["film"] * 20), "film", " ".join(["book"] * 20)]
    for _ in range(2):
        with pytest.warns(UserWarning, match="2 of 3 texts are longer than max_length=6 tokens"):
            long.transform(X)
    assert computed == [3]


def test_what_is_trained_is_not_kept(encoder, computed, tmp_path):
    clf = TextClassifier(encoder, max_epochs=1, memory=tmp_path, random_state=0, **SMALL)
    clf.fit(TEXTS, TARGETS.astype(int))
    computed.clear()
    clf.predict(TEXTS)
    clf.predict(TEXTS)
    assert computed == [4, 4]


def test_a_pair_is_not_its_texts_beside_each_other(encoder, computed, tmp_path):
    network = TextClassifier(encoder, memory=tmp_path, trainable_layers=0, **SMALL)
    network.fit([("a b", "c"), ("a", "b c")], [0, 1])
    # four texts, none of them read as another
    assert computed == [4]


@pytest.mark.parametrize("memory", [3, "a\0b"], ids=repr)
def test_what_is_not_a_folder_is_refused(encoder, memory):
    with pytest.raises(ValueError, match="memory"):
        TextEncoder(encoder, memory=memory).transform(TEXTS)
