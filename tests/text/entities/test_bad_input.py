import numpy as np
import pytest

from sklearn_dl.text._windows import read_windows
from sklearn_dl.text.entities import _entity_network
from sklearn_dl.text.entities._word_tokens import first_tokens
from tests.text.entities.colors import ENTITIES, TAGS, TEXTS, WORDS, spans

BAD_X = {
    "a missing text": (["red", None], r"Row 1: .* the row is missing"),
    "a number": (["red", 3], "Row 1: .* the row is 3"),
    "a list that has a number": ([["red"], ["cat", 3]], "Row 1: .* has a word 1 that is 3"),
    "half a surrogate pair": (["red", "\ud800"], "Row 1: .* surrogate"),
    "texts and lists": (["red", ["cat"]], "Row 1: the row is a list of words, but row 0 is a text"),
    "two columns": (np.array([["red", "cat"]] * 2), "one column .* got 2 columns"),
    "a text": ("red", "wrap it in a list"),
    "a list of no rows": ([], "0 sample"),
}


@pytest.mark.parametrize("case", BAD_X)
def test_what_is_not_text(recognizer, case):
    X, message = BAD_X[case]
    with pytest.raises(ValueError, match=message):
        recognizer.fit(X, [[(0, 3, "colour")]] * len(X))


BAD_SPANS = {
    "that starts in a word": ([(5, 7, "colour")], r"starts inside the word 'red' \(characters 4"),
    "that ends in a word": ([(4, 6, "colour")], r"'re'\) ends inside the word 'red'"),
    "that starts at a space": ([(3, 7, "colour")], "starts at a space"),
    "that ends at a space": ([(4, 8, "colour")], "ends at a space"),
    "after the end": ([(4, 20, "colour")], "ends after the end of the text, which has 11"),
    "that starts at the end": ([(11, 14, "colour")], "ends after the end of the text"),
    "that overlaps": ([(4, 7, "colour"), (4, 11, "pet")], "overlap"),
    "without characters": ([(4, 4, "colour")], "0 <= start < end"),
}


@pytest.mark.parametrize("case", BAD_SPANS)
def test_entities_that_do_not_fit_a_text(recognizer, case):
    wrong, message = BAD_SPANS[case]
    with pytest.raises(ValueError, match=f"y, row 5: .*{message}") as caught:
        recognizer.fit(TEXTS, [*ENTITIES[:5], wrong, *ENTITIES[6:]])
    assert caught.value.row == 5
    assert not hasattr(recognizer, "classes_")


def test_tags_that_do_not_fit_the_words(recognizer):
    with pytest.raises(ValueError, match="y, row 0: there are 2 tags for 3 words"):
        recognizer.fit(WORDS, [TAGS[0][:2], *TAGS[1:]])
    with pytest.raises(ValueError, match="y, row 0: there are 4 tags for 3 words"):
        recognizer.fit(TEXTS, [[*TAGS[0], "O"], *TAGS[1:]])
    with pytest.raises(ValueError, match=r"y, row 0: the entity \(1, 4, 'pet'\) ends after"):
        recognizer.fit(WORDS, [[(1, 4, "pet")], *TAGS[1:]])
    with pytest.raises(ValueError, match=r"row 0.*I-pet"):
        recognizer.set_params(scheme="BIO").fit(WORDS, [["O", "O", "I-pet"], *TAGS[1:]])


def test_score_refuses_what_does_not_fit_the_rows(recognizer):
    recognizer.set_params(trainable_layers=0).fit(TEXTS, ENTITIES)
    for X in (TEXTS, WORDS):
        with pytest.raises(ValueError, match="y, row 0: there are 2 tags for 3 words") as caught:
            recognizer.score(X, [TAGS[0][:2], *TAGS[1:]])
        assert caught.value.row == 0
        with pytest.raises(ValueError, match="y, row 0: there are 4 tags for 3 words"):
            recognizer.score(X, [[*TAGS[0], "B-pet"], *TAGS[1:]])
        for rows in (X[:3], [*X, *X]):
            with pytest.raises(ValueError, match="inconsistent numbers of samples"):
                recognizer.score(rows, ENTITIES)
    with pytest.raises(ValueError, match=r"y, row 2: .* ends after the last of 0 words"):
        recognizer.score(WORDS[:3], [[], [], [(0, 1, "pet")]])
    with pytest.raises(ValueError, match=r"y, row 1: .* ends after the end of the text"):
        recognizer.score(TEXTS[:2], [[], [(20, 40, "pet")]])


def test_no_entities_at_all(recognizer):
    with pytest.raises(ValueError, match=r"needs rows with entities, but .* \(20 rows\)"):
        recognizer.fit(TEXTS, [[]] * 20)
    with pytest.raises(ValueError, match="needs rows with entities"):
        recognizer.set_params(trainable_layers=0).fit(WORDS, [["O"] * len(row) for row in WORDS])
    with pytest.raises(ValueError, match=r"y, row 1.*missing"):
        recognizer.fit(["red", "cat"], [[(0, 3, "colour")], None])


def test_words_without_tokens(recognizer):
    X, y = ["\u200b", "\u200b \u200b"], [[(0, 1, "pet")], []]
    with pytest.raises(ValueError, match="tokenizer leaves out all characters"):
        recognizer.fit(X, y)
    recognizer.fit([*X, *TEXTS], [*y, *ENTITIES])
    assert [len(tags) for tags in recognizer.predict_tags(X)] == [1, 2]


def test_validation_rows_without_words(recognizer):
    recognizer.set_params(early_stopping=True, max_epochs=2)
    recognizer.fit(TEXTS, ENTITIES, X_val=["", " "], y_val=[[], []])
    assert recognizer.history_["validation_loss"] == [0, 0]
    assert recognizer.history_["validation_score"] == [0, 0]


def test_a_label_that_occurs_once(recognizer):
    y = [[*ENTITIES[0][:1], (8, 11, "rare")], *ENTITIES[1:]]
    recognizer.set_params(early_stopping=True, max_epochs=2).fit(TEXTS, y)
    assert recognizer.classes_.tolist() == ["colour", "pet", "rare"]


@pytest.mark.parametrize("layers", [0, "all"])
def test_rows_that_cannot_be_read_are_left_out(recognizer, layers):
    X, y = [None, *TEXTS, 3], [[(0, 3, "colour")], *ENTITIES, []]
    recognizer.set_params(on_error="nan", trainable_layers=layers)
    with pytest.warns(UserWarning, match="2 of 22 rows"):
        recognizer.fit(X, y)
    with pytest.warns(UserWarning, match="2 of 22 rows"):
        found = recognizer.predict(X)
    assert found[0] is None
    assert found[-1] is None
    assert [spans(row) for row in found[1:-1]] == ENTITIES
    with pytest.warns(UserWarning, match="2 of 22 rows"):
        assert recognizer.predict_tags(X)[0] is None
    with pytest.warns(UserWarning, match="2 of 22 rows"):
        assert recognizer.predict_frame(X)["row"].min() == 1
    with pytest.warns(UserWarning, match="2 of 22 rows"):
        assert recognizer.score(X, y) == pytest.approx(2 * 28 / (28 + 29))
    with pytest.raises(ValueError, match="needs rows with entities"):
        recognizer.fit([None, "red"], [[(0, 3, "colour")], []])


def test_a_network_that_gives_nan(recognizer, monkeypatch):
    def compute(*args):
        values, n_words = computed(*args)
        values[0] = np.nan
        return values, n_words

    recognizer.fit(TEXTS, ENTITIES)
    computed = _entity_network._compute
    monkeypatch.setattr(_entity_network, "_compute", compute)
    with pytest.raises(ValueError, match="Row 0: the network gives outputs with NaN"):
        recognizer.predict(TEXTS)
    recognizer.set_params(on_error="nan")
    with pytest.warns(UserWarning, match="1 of 20 rows"):
        found = recognizer.predict(TEXTS)
    assert found[0] is None
    assert spans(found[1]) == ENTITIES[1]


UNUSUAL = [
    "",
    "   ",
    "👍 red",
    "re\u0301d cat",
    "red\u200bcat",
    "red " * 3000,
    "x" * 5000,
    "\x00 red",
]


@pytest.mark.slow
@pytest.mark.parametrize("text", UNUSUAL, ids=range(len(UNUSUAL)))
def test_unusual_texts(recognizer, text):
    recognizer.fit(TEXTS, ENTITIES)
    (tags,), (words,) = recognizer.predict_tags([text]), recognizer.predict_tags([text.split()])
    assert len(tags) == len(words) == len(text.split())
    for start, end, _ in spans(recognizer.predict([text])[0]):
        assert 0 <= start < end <= len(text)
        assert not text[start:end].isspace()


def test_words_that_are_empty_or_have_spaces(recognizer):
    recognizer.fit(WORDS, TAGS)
    (tags,) = recognizer.predict_tags([["the", "", "red", " ", "the cat", "\u200b"]])
    assert len(tags) == 6
    assert tags[2] == "B-colour"


@pytest.mark.slow
def test_a_text_of_a_megabyte(recognizer):
    recognizer.set_params(trainable_layers=0).fit(TEXTS, ENTITIES)
    text = "the red cat " * 90_000
    assert len(recognizer.predict_tags([text])[0]) == 270_000


def test_parameters_that_leave_no_room(recognizer):
    with pytest.raises(ValueError, match=r"window_overlap=30 must be smaller than 30: with"):
        recognizer.set_params(window_overlap=30).fit(TEXTS, ENTITIES)
    with pytest.raises(ValueError, match="max_length=2 leaves no room"):
        recognizer.set_params(max_length=2).fit(TEXTS, ENTITIES)
    with pytest.raises(ValueError, match="reads at most 64 tokens"):
        recognizer.set_params(max_length=100, window_overlap=8).fit(TEXTS, ENTITIES)


def test_tokenizers_written_in_python_are_refused(recognizer, monkeypatch):
    tokenizer = recognizer.fit(TEXTS, ENTITIES)._network.tokenizer(32)
    monkeypatch.setattr(tokenizer, "backend", None)
    with pytest.raises(ValueError, match="is a tokenizer that is written in Python"):
        read_windows(tokenizer, [np.array(["red"], dtype=object)], 8, 1)


def test_tokens_of_words():
    words = np.array([[0, 3], [4, 4], [4, 9], [9, 10]])
    # " the", two tokens of one word, nothing for the last word
    offsets = np.array([[0, 3], [3, 7], [7, 9]])
    assert first_tokens(words, offsets).tolist() == [0, -1, 1, -1]
    assert first_tokens(words, offsets[:0]).tolist() == [-1] * 4
