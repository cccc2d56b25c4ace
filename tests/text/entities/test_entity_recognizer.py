import pickle

import numpy as np
import pandas as pd
import polars as pl
import pytest
from sklearn.base import clone
from sklearn.metrics import make_scorer
from sklearn.model_selection import GridSearchCV, cross_validate
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from sklearn_dl import EntityRecognizer
from sklearn_dl.metrics import entity_f1_score
from sklearn_dl.text.entities._word_tokens import read_words
from sklearn_dl.utils._columns import object_array
from tests.text.entities.colors import ENTITIES, TAGS, TEXTS, WEIGHTS, WORDS, spans
from tests.text.tiny_encoders import KINDS, tiny_encoder


def test_entities_of_texts(recognizer):
    recognizer.fit(TEXTS, ENTITIES)
    found = recognizer.predict(TEXTS)
    assert found.dtype == object
    assert [spans(row) for row in found] == ENTITIES
    assert all(((row["score"] > 0.3) & (row["score"] <= 1)).all() for row in found)
    assert recognizer.classes_.tolist() == ["colour", "pet"]
    assert recognizer.score(TEXTS, ENTITIES) == 1
    assert recognizer.history_["epoch"] == list(range(1, 9))


def test_entities_share_the_strings_of_their_labels(recognizer):
    found = np.concatenate(recognizer.fit(TEXTS, ENTITIES).predict(TEXTS))
    assert len({id(label) for label in found["label"]}) == 2


def test_tags_of_words(recognizer):
    recognizer.fit(WORDS, TAGS)
    assert recognizer.predict_tags(WORDS).tolist() == TAGS
    first, second = recognizer.predict(WORDS)[[0, 1]]
    assert spans(first) == [(1, 2, "colour"), (2, 3, "pet")]
    assert spans(second) == [(1, 2, "colour"), (2, 3, "pet"), (5, 6, "colour")]


@pytest.mark.slow
def test_words_and_texts_lead_to_the_same_entities(recognizer):
    of_words, of_texts = clone(recognizer).fit(WORDS, TAGS), recognizer.fit(TEXTS, ENTITIES)
    for fitted in (of_words, of_texts):
        assert [spans(row) for row in fitted.predict(TEXTS)] == ENTITIES
        assert fitted.predict_tags(WORDS).tolist() == TAGS
        assert fitted.score(TEXTS, ENTITIES) == fitted.score(WORDS, TAGS) == 1


def test_tags_of_a_text_belong_to_the_words_of_split(recognizer):
    tags = [
        [tag for tag, word in zip(*row, strict=True) if word != "."]
        for row in zip(TAGS, WORDS, strict=True)
    ]
    recognizer.fit(TEXTS, tags)
    assert recognizer.predict_tags(TEXTS).tolist() == tags
    # the full stop belongs to the last word
    assert spans(recognizer.predict(["old red dog."])[0]) == [(4, 7, "colour"), (8, 12, "pet")]
    assert recognizer.score(TEXTS, tags) == 1


def test_score_takes_tags_of_texts_after_a_fit_to_entities(recognizer):
    recognizer.fit(TEXTS, ENTITIES)
    # "dog." is one word of split, but the entity is "dog"
    assert recognizer.score(["old red dog."], [["O", "B-colour", "B-pet"]]) == 1
    assert recognizer.score(["old red dog."], [["O", "O", "B-pet"]]) == pytest.approx(2 / 3)


def test_a_word_of_split_takes_the_tag_of_its_entity(recognizer):
    X, y = ["the (red) cat/dog"] * 16, [[(5, 8, "colour"), (10, 13, "pet"), (14, 17, "pet")]] * 16
    assert [spans(row) for row in recognizer.fit(X, y).predict(X)] == y
    assert recognizer.predict_tags(X)[0] == ["O", "B-colour", "B-pet"]


SCHEMES = {
    "IO": ["O", "I-colour", "I-colour", "I-pet"],
    "BIO": ["O", "B-colour", "I-colour", "B-pet"],
    "IOB1": ["O", "I-colour", "I-colour", "I-pet"],
    "BILOU": ["O", "B-colour", "L-colour", "U-pet"],
    "BIOES": ["O", "B-colour", "E-colour", "S-pet"],
}


@pytest.mark.parametrize("scheme", SCHEMES)
def test_tags_come_back_in_the_scheme_of_fit(recognizer, scheme):
    X = [["the", "red", "green", "cat"], ["a", "blue", "red", "dog"]] * 6
    y = [SCHEMES[scheme]] * 12
    recognizer.set_params(scheme=scheme).fit(X, y)
    expected = SCHEMES["BIO" if scheme == "IO" else scheme]
    assert recognizer.predict_tags(X[:2]).tolist() == [expected] * 2
    assert spans(recognizer.predict(X[:1])[0]) == [(1, 3, "colour"), (3, 4, "pet")]


def test_auto_asks_for_a_scheme_that_it_cannot_tell(recognizer):
    with pytest.raises(ValueError, match="scheme"):
        recognizer.fit([["red", "cat"]], [["U-colour", "O"]])


def test_what_predict_gives_can_be_learned(recognizer):
    found = recognizer.fit(TEXTS, ENTITIES).predict(TEXTS)
    again = clone(recognizer).fit(TEXTS, found)
    assert [spans(row) for row in again.predict(TEXTS)] == ENTITIES
    assert entity_f1_score(ENTITIES, found) == 1


@pytest.mark.parametrize("kind", KINDS)
def test_each_family_finds_entities(tmp_path, recognizer, kind):
    recognizer.set_params(model=str(tiny_encoder(tmp_path, kind))).fit(TEXTS, ENTITIES)
    found = recognizer.predict(TEXTS)
    assert [spans(row) for row in found] == ENTITIES
    alone = [recognizer.predict([text])[0] for text in TEXTS[:5]]
    for one, other in zip(found, alone, strict=False):
        np.testing.assert_allclose(one["score"], other["score"], atol=1e-5)


CASED = [("deberta-v2", False), ("bert", True)]


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "ignores_case"), CASED)
def test_only_encoders_that_ignore_case_learn_word_shapes(tmp_path, recognizer, kind, ignores_case):
    # only the capital letter tells the entities from the other words
    X = ["the Red cat and the red dog", "a Blue dog and a blue cat"] * 10
    y = [[(4, 7, "name")], [(2, 6, "name")]] * 10
    recognizer.set_params(model=str(tiny_encoder(tmp_path, kind)), max_epochs=15).fit(X, y)
    network = recognizer._predictor.network.live
    assert (network.word_shapes is not None) == ignores_case
    if ignores_case:
        assert recognizer.score(X, y) == 1
        loaded = pickle.loads(pickle.dumps(recognizer))
        assert [row.tolist() for row in loaded.predict(X)] == [
            row.tolist() for row in recognizer.predict(X)
        ]
        before, after = recognizer.predict_tags(["the Red cat and the red dog"] * 2)
        assert before == after == ["O", "B-name", "O", "O", "O", "O", "O"]


@pytest.mark.slow
def test_long_texts_are_read_in_windows(recognizer):
    X = ["the old red cat and music " * n for n in (1, 5, 11)] * 4
    y = [[(26 * i + 8, 26 * i + 11, "colour") for i in range(n)] for n in (1, 5, 11)] * 4
    recognizer.set_params(max_epochs=15).fit(X, y)
    assert recognizer.score(X, y) == 1
    text = X[0] * 60
    (tags,) = recognizer.predict_tags([text])
    assert tags == ["O", "O", "B-colour", "O", "O", "O"] * 60
    (found,) = recognizer.predict([text])
    assert {text[a:b] for a, b, _ in spans(found)} == {"red"}


def test_fit_learns_from_every_window(recognizer):
    # the entities stand after what a window of 32 tokens holds
    X = ["the music of the old house " * 8 + text for text in TEXTS]
    y = [[(a + 216, b + 216, label) for a, b, label in row] for row in ENTITIES]
    recognizer.fit(X, y)
    assert recognizer.score(X, y) == 1


@pytest.mark.parametrize("overlap", [0, 8, 20])
def test_each_word_is_tagged_once_whatever_the_overlap(recognizer, overlap):
    recognizer.set_params(trainable_layers=0, window_overlap=overlap).fit(TEXTS, ENTITIES)
    rows = recognizer._rows(["the red cat " * 60], reset=False, learns=False)
    tokens = read_words(recognizer._network.tokenizer(32), rows, 1, with_shapes=False)
    assert sorted(tokens.words.tolist()) == list(range(180))
    windows = tokens.windows
    # each word is one token: the place in its window gives the word
    expected = windows.firsts[tokens.of_window] + tokens.places - windows.leads[tokens.of_window]
    assert tokens.words.tolist() == expected.tolist()
    from_edge = np.minimum(tokens.places - 1, 29 - (tokens.places - 1))
    inner = (tokens.words >= 30) & (tokens.words < 150)
    assert from_edge[inner].min() >= overlap // 2


def test_a_table_of_entities(recognizer):
    recognizer.fit(TEXTS, ENTITIES)
    frame = recognizer.predict_frame(pd.Series(TEXTS[:2], index=["x", "y"]))
    assert list(frame) == ["row", "text", "start", "end", "label", "score"]
    assert frame["row"].tolist() == ["x", "x", "y", "y", "y"]
    assert frame["text"].tolist() == ["red", "cat", "blue", "dog", "green"]
    of_words = recognizer.predict_frame([["a"], ["the", "red", "cat"]])
    assert of_words["row"].tolist() == [1, 1]
    assert of_words["text"].tolist() == ["red", "cat"]
    assert recognizer.predict_frame(["fast"]).shape == (0, 6)


CONTAINERS = {
    "tuples": lambda rows: tuple(map(tuple, rows)),
    "arrays": lambda rows: object_array([np.array(row, dtype=str) for row in rows]),
    "an array of one column": lambda rows: object_array(rows).reshape(-1, 1),
    "a Series": pd.Series,
    "a frame": lambda rows: pd.DataFrame({"words": rows}),
    "a polars Series": pl.Series,
    "a polars frame": lambda rows: pl.DataFrame({"words": rows}),
}


@pytest.mark.parametrize("container", CONTAINERS)
def test_lists_of_words_in_any_container(recognizer, container):
    expected = recognizer.set_params(trainable_layers=0).fit(WORDS, TAGS).predict_tags(WORDS)
    X = CONTAINERS[container](WORDS)
    fitted = clone(recognizer).fit(X, TAGS)
    assert fitted.predict_tags(X).tolist() == expected.tolist()
    assert fitted.n_features_in_ == 1


def test_lists_of_equal_length_are_words_and_not_columns(recognizer):
    X = [["red", "cat"], ["blue", "dog"]] * 5
    recognizer.fit(X, [["B-colour", "B-pet"]] * 10)
    assert recognizer.predict_tags(X[:1])[0] == ["B-colour", "B-pet"]
    assert recognizer.predict_tags([["a red cat"]])[0] in (["O"], ["B-colour"], ["B-pet"])


@pytest.mark.slow
def test_cross_validation_and_grid_search(recognizer):
    assert cross_validate(recognizer, WORDS, TAGS, cv=2)["test_score"].tolist() == [1, 1]
    for X, y in ((TEXTS, ENTITIES), (WORDS, TAGS)):
        scorer = make_scorer(entity_f1_score)
        assert cross_validate(recognizer, X, y, cv=2, scoring=scorer)["test_score"].min() == 1
    search = GridSearchCV(recognizer, {"learning_rate": [1e-12, 3e-3]}, cv=2)
    best = search.fit(["fine music", *TEXTS], [[], *ENTITIES])
    assert best.best_score_ == 1
    pipeline = make_pipeline(FunctionTransformer(), recognizer).fit(TEXTS, ENTITIES)
    assert pipeline.score(TEXTS, ENTITIES) == 1


def test_score_counts_weights_and_labels_that_fit_did_not_see(recognizer):
    recognizer.fit(TEXTS, ENTITIES)
    X, y = TEXTS[:2], [[(4, 7, "colour"), (8, 11, "pet")], [(2, 6, "size")]]
    # of 5 entities that are found, 2 are right; y has 3
    assert recognizer.score(X, y) == pytest.approx(2 * 2 / (5 + 3))
    weighted = recognizer.score(X, y, sample_weight=[3, 1])
    assert weighted == pytest.approx(2 * 6 / (3 * 2 + 3 + 3 * 2 + 1))
    assert recognizer.score(["fast"], [[]]) == 0


def test_rows_of_weight_0_are_left_out(recognizer):
    kept = np.flatnonzero(WEIGHTS)
    weighted = clone(recognizer).fit(TEXTS, ENTITIES, sample_weight=WEIGHTS)
    without = recognizer.fit(
        [TEXTS[i] for i in kept], [ENTITIES[i] for i in kept], sample_weight=WEIGHTS[kept]
    )
    for one, other in zip(weighted.predict(TEXTS), without.predict(TEXTS), strict=True):
        np.testing.assert_array_equal(one, other)


def test_early_stopping(recognizer):
    recognizer.set_params(early_stopping=True, validation_fraction=4, n_iter_no_change=2)
    recognizer.fit(TEXTS, ENTITIES)
    assert recognizer.history_["validation_score"][recognizer.best_epoch_ - 1] == 1
    held_out = {"X_val": TEXTS[:5], "y_val": ENTITIES[:5]}
    clone(recognizer).fit(TEXTS, ENTITIES, **held_out)
    with pytest.raises(ValueError, match="label 'size' in row 0"):
        clone(recognizer).fit(TEXTS, ENTITIES, X_val=["red"], y_val=[[(0, 3, "size")]])
    with pytest.raises(ValueError, match=r"y_val, row 0: the entity \(0, 2, 'colour'\)"):
        clone(recognizer).fit(TEXTS, ENTITIES, X_val=["red"], y_val=[[(0, 2, "colour")]])


def test_validation_rows_may_have_tags_where_the_others_have_entities(recognizer):
    recognizer.set_params(early_stopping=True)
    X, y = ["the red cat.", "fast"], [["O", "B-colour", "B-pet"], ["O"]]
    recognizer.fit(TEXTS, ENTITIES, X_val=X, y_val=y)
    # "cat." is a word of text.split(), but two words for predict
    score = recognizer.score(X, y)
    assert 0 < score < 1
    assert max(recognizer.history_["validation_score"]) == score


def test_validation_scores_are_those_of_score(recognizer):
    def scoring(estimator, X, y):
        scores.append(estimator.score(X, y))
        return scores[-1]

    scores: list = []
    recognizer.set_params(early_stopping=True, validation_fraction=6, max_epochs=3)
    own = clone(recognizer).fit(TEXTS, ENTITIES).history_["validation_score"]
    assert recognizer.set_params(scoring=scoring).fit(TEXTS, ENTITIES).history_[
        "validation_score"
    ] == pytest.approx(own)
    assert len(scores) == 3


def test_warm_start(recognizer):
    recognizer.set_params(warm_start=True, max_epochs=2).fit(TEXTS, ENTITIES)
    recognizer.fit(TEXTS[:1], [ENTITIES[0][:1]])  # a label of the earlier fit is absent
    assert recognizer.classes_.tolist() == ["colour", "pet"]
    assert recognizer.history_["epoch"] == [1, 2, 3, 4]
    with pytest.raises(ValueError, match="warm_start=True cannot change the labels"):
        recognizer.fit(TEXTS[:1], [[(4, 7, "size")]])


def test_a_frozen_fit_learns_the_words(recognizer):
    recognizer.set_params(trainable_layers=0).fit(TEXTS, ENTITIES)
    assert recognizer.score(TEXTS, ENTITIES) == 1
    assert recognizer.history_ == {}
    pickled = pickle.loads(pickle.dumps(recognizer))
    assert [spans(row) for row in pickled.predict(TEXTS)] == ENTITIES


def test_the_last_layer_alone_is_trained(recognizer):
    recognizer.set_params(trainable_layers=1, max_epochs=15).fit(TEXTS, ENTITIES)
    assert recognizer.score(TEXTS, ENTITIES) == 1
    changed = recognizer._predictor.network.live.changed_tensors()
    assert not any("layer.0" in name for name in changed)


def test_a_new_estimator_predicts_nothing(recognizer):
    with pytest.raises(ValueError, match="not fitted"):
        recognizer.predict(TEXTS)
    assert isinstance(recognizer, EntityRecognizer)
