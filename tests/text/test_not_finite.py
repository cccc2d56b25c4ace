"""Networks whose outputs are NaN or infinite."""

import json

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from sklearn_dl import SentenceSimilarityRegressor, TextClassifier, TextEncoder
from tests.text.tiny_encoders import VOCABULARY, tiny_bert

X = ["a good film", "the bad book", "fine music", "poor plot"] * 3
Y = ["p", "n"] * 6
PAIRS = list(zip(X, X[1:] + X[:1], strict=True))
TARGETS = np.arange(12.0)
QUICK = {"max_epochs": 1, "max_length": 32, "precision": "float32", "random_state": 0}
ODD = [*X[:4], "xyz film", "film", "xyz"]
MADE = r"gives NaN or infinity for each of rows 4, 6 \('xyz film'\): its weights are damaged"


@pytest.fixture(params=[np.nan, np.inf, 1e38], ids=str)
def damaged(tmp_path, request):
    """An encoder that computes nothing finite for texts with an x."""
    folder = tiny_bert(tmp_path / "bert")
    state = load_file(folder / "model.safetensors")
    state["embeddings.word_embeddings.weight"][VOCABULARY.index("x")] = request.param
    save_file(state, folder / "model.safetensors")
    return str(folder)


def check(call, message=MADE):
    with pytest.raises(ValueError, match=message):
        call()


def test_the_encoder_names_the_rows(damaged):
    check(lambda: TextEncoder(damaged, max_length=32, precision="float32").transform(ODD))
    assert TextEncoder(damaged, max_length=32).transform(X).shape == (12, 32)
    bfloat16 = TextEncoder(damaged, max_length=32, precision="bfloat16")
    check(lambda: bfloat16.transform(ODD), r"TextEncoder: the .* You can set precision='float32'")


@pytest.mark.parametrize("layers", [0, "all"])
def test_the_classifier_names_the_rows(damaged, layers):
    clf = TextClassifier(damaged, trainable_layers=layers, **QUICK).fit(X, Y)
    for method in (clf.predict, clf.predict_proba, clf.decision_function, clf.embed):
        check(lambda method=method: method(ODD))
    assert np.isfinite(clf.predict_proba(X)).all()


@pytest.mark.parametrize("column", [0, 1])
@pytest.mark.parametrize(
    "params", [{"max_epochs": 0}, {}, {"architecture": "cross-encoder"}], ids=str
)
def test_pairs_have_one_number_for_both_texts(damaged, params, column):
    model = SentenceSimilarityRegressor(damaged, **QUICK | params).fit(PAIRS, TARGETS)
    pairs = [("fine", "film"), *[(odd, "film")[:: -1 if column else 1] for odd in ODD[3:]]]
    check(lambda: model.predict(pairs), "gives NaN or infinity for each of rows 2, 4 ")


@pytest.mark.parametrize("layers", [0, "all"])
def test_fits_name_the_rows_that_they_were_given(damaged, layers):
    clf = TextClassifier(damaged, trainable_layers=layers, **QUICK)
    weights = [0, 1, 1, 1] * 3 + [1, 0, 1]
    texts, labels = [*X, "xyz", "xyz", "xyz good"], [*Y, "p", "n", "p"]
    check(lambda: clf.fit(texts, labels, weights), r"infinity for each of rows 12, 14 \('xyz")
    assert not hasattr(clf, "classes_")


def test_rows_to_validate_with_are_named(damaged):
    clf = TextClassifier(damaged, early_stopping=True, **QUICK)
    check(
        lambda: clf.fit(X, Y, X_val=ODD, y_val=["p"] * 7),
        r"infinity for each of rows 4, 6 \('xyz film'\)",
    )


@pytest.mark.parametrize("size", [2, 5])
def test_rows_are_counted_over_all_chunks(damaged, size, monkeypatch):
    from sklearn_dl.text import _windows
    from sklearn_dl.training import _rows

    clf = TextClassifier(damaged, trainable_layers=0, **QUICK).fit(X, Y)
    monkeypatch.setattr(_rows, "CHUNK", size)
    monkeypatch.setattr(_windows, "ROWS_AT_ONCE", size)
    check(lambda: clf.predict(ODD), "gives NaN or infinity for (row 4|each of rows 4, 6)")


def test_embeddings_too_long_for_their_length_to_be_counted(tmp_path):
    folder = tiny_bert(tmp_path / "bert")
    state = load_file(folder / "model.safetensors")
    state["encoder.layer.1.output.LayerNorm.weight"] *= 1e25
    save_file(state, folder / "model.safetensors")
    kinds = [("Transformer", ""), ("Normalize", "1_Normalize")]
    modules = [{"type": f"sentence_transformers.models.{k}", "path": p} for k, p in kinds]
    (folder / "modules.json").write_text(json.dumps(modules))
    check(lambda: TextEncoder(folder, max_length=32).transform(X), "infinity for each of rows 0, 1")
    cosine = SentenceSimilarityRegressor(folder, **QUICK | {"max_epochs": 0}).fit(PAIRS)
    assert cosine.predict([(X[0], X[0])]) == pytest.approx([1.0])


@pytest.mark.parametrize("layers", [0, 1])
def test_a_class_without_weighted_rows_is_no_error(damaged, layers):
    labels = [*Y[:-1], "z"]
    weights = [1] * 11 + [0]
    clf = TextClassifier(damaged, trainable_layers=layers, **QUICK).fit(X, labels, weights)
    assert clf.classes_.tolist() == ["n", "p", "z"]
    assert (clf.predict_proba(X)[:, 2] < 1e-3).all()
    if layers == 0:
        assert (clf.decision_function(X)[:, 2] == -np.inf).all()


def test_a_fit_whose_weights_are_no_longer_finite_says_so(tmp_path, monkeypatch):
    clf = TextClassifier(str(tiny_bert(tmp_path / "bert")), **QUICK)
    step = torch.optim.AdamW.step

    def overflow(self, *args):
        step(self, *args)
        self.param_groups[0]["params"][0].data.fill_(np.inf)

    monkeypatch.setattr(torch.optim.AdamW, "step", overflow)
    check(lambda: clf.fit(X, Y), "Weights are infinite or NaN in epoch 1, batch 1: lower learning")
    assert not hasattr(clf, "classes_")


def test_equal_texts_are_all_named(damaged):
    texts = [*ODD[:5], ODD[4], *ODD[:2]]
    check(lambda: TextEncoder(damaged, max_length=32).transform(texts), "each of rows 4, 5 ")


def test_the_text_shown_is_that_of_the_first_row(damaged):
    model = SentenceSimilarityRegressor(damaged, **QUICK | {"max_epochs": 0}).fit(PAIRS)
    pairs = [("fine", "film"), ("fine", "film"), ("fine", "xyz"), ("xyz film", "film")]
    with pytest.raises(ValueError, match=r"each of rows 2, 3 \('xyz'\)") as error:
        model.predict(pairs)
    assert "precision" not in str(error.value)  # it is float32
