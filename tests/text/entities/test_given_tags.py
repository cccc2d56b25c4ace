"""EntityRecognizer with folders that already have a head for tags."""

import pickle
import shutil

import numpy as np
import pytest
import transformers
from numpy.testing import assert_allclose
from scipy.special import softmax
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import cross_validate

from sklearn_dl import EntityRecognizer, clear_sessions
from sklearn_dl.metrics import entity_f1_score
from sklearn_dl.text._given_head import NoHeadError
from sklearn_dl.text.entities._given_tags import GivenTags
from sklearn_dl.training._ragged import Ragged
from tests.text.entities.colors import ENTITIES, TEXTS, WORDS, spans
from tests.text.tiny_encoders import KINDS
from tests.text.tiny_heads import own_outputs, tiny_head

BIO = ["B-pet", "I-colour", "O", "B-colour", "I-pet"]
QUICK = {
    "max_length": 60,
    "window_overlap": 8,
    "max_epochs": 1,
    "precision": "float32",
    "random_state": 0,
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A BERT with a head for colours and pets, which no test changes."""
    return str(tiny_head(tmp_path_factory.mktemp("heads") / "bert", "bert", "token", BIO))


def decoded(labels, logits):
    """The codes that the outputs of one row of words stand for."""
    problem = GivenTags("me", labels)
    rows = np.asarray(logits, dtype=float)[:, problem.order]
    rows -= np.log(np.bincount(problem.order)[problem.order])
    outputs = Ragged(rows, [len(rows)])
    codes = problem.predictions(outputs)
    return codes.values.tolist(), problem.probabilities(outputs, codes.values)


def test_bio():
    labels = ["O", "B-x", "I-x", "B-y", "I-y"]
    logits = np.eye(5)[[0, 2, 2, 1, 2, 4, 4, 0, 4, 3]] * 9
    # I- starts an entity where the label changes, as in IOB1
    assert decoded(labels, logits)[0] == [0, 1, 2, 1, 2, 3, 4, 0, 3, 3]


def test_the_label_is_chosen_before_its_prefix():
    codes, probabilities = decoded(["O", "B-x", "I-x"], np.log([[0.4, 0.3, 0.3], [0.6, 0.3, 0.1]]))
    assert codes == [1, 0]
    assert_allclose(probabilities, [0.6, 0.6])


def test_io():
    logits = np.log([[0.1, 0.9, 0.0001], [0.2, 0.8, 0.0001], [0.6, 0.4, 0.0001], [0.1, 0.1, 0.8]])
    codes, probabilities = decoded(["O", "I-x", "I-y"], logits)
    assert codes == [1, 2, 0, 3]
    assert_allclose(probabilities, [0.9, 0.8, 0.6, 0.8], atol=1e-3)


def test_a_label_without_inner_tags():
    assert decoded(["B-x", "O"], np.eye(2)[[0, 0, 1]] * 9)[0] == [1, 1, 0]


def test_words_without_tokens_are_not_entities():
    problem = GivenTags("me", ["O", "I-x"])
    assert problem.predictions(Ragged(np.zeros((2, 3)), [2])).values.tolist() == [0, 0]


def test_entities_do_not_cross_rows():
    problem = GivenTags("me", ["O", "I-x"])
    outputs = Ragged(np.tile([0.0, 5.0, 5.0], (4, 1)), [2, 0, 1, 1])
    assert problem.predictions(outputs).values.tolist() == [1, 2, 1, 1]


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (["O", "B-x", "U-x"], "has the label 'U-x', but only the tags O, B- and I-"),
        (["LABEL_0", "LABEL_1"], "has the label 'LABEL_0'"),
        (["O", "B-"], "has the label 'B-'"),
        (["B-x", "I-x"], "must have the tag O"),
        (["O"], "and tags of entities"),
    ],
)
def test_other_tags_are_refused_by_name(tmp_path, labels, message):
    with pytest.raises(NoHeadError, match=message):
        GivenTags("me", labels)
    recognizer = EntityRecognizer(tiny_head(tmp_path / "bert", "bert", "token", labels))
    with pytest.raises(NotFittedError, match=message):
        recognizer.predict(["a"])
    assert not hasattr(recognizer, "classes_")


@pytest.mark.parametrize("kind", KINDS)
def test_entities_are_those_of_transformers(tmp_path, kind):
    folder = str(tiny_head(tmp_path / kind, kind, "token", BIO))
    recognizer = EntityRecognizer(folder, **QUICK)
    assert recognizer.classes_.tolist() == ["colour", "pet"]
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    n_found = 0
    for text in ["a good film of the red dog", "two cat and blue", "dog"]:
        own = softmax(own_outputs(folder, [text]).logits.numpy()[0], axis=1)
        offsets = tokenizer(text, return_offsets_mapping=True)["offset_mapping"]
        starts = [0, *(i + 1 for i, letter in enumerate(text) if letter == " ")]
        # the first token of each word
        own = own[[[a <= start < b for a, b in offsets].index(True) for start in starts]]
        of_label = np.column_stack([own[:, 2], own[:, [1, 3]].sum(1), own[:, [0, 4]].sum(1)])
        label = of_label.argmax(1)
        (tags,) = recognizer.predict_tags([text])
        assert [tag[2:] for tag in tags] == np.array(["", "colour", "pet"])[label].tolist()
        for start, end, name, score in recognizer.predict([text])[0].tolist():
            inside = [i for i, word in enumerate(starts) if start <= word < end]
            code = ["", "colour", "pet"].index(name)
            assert score == pytest.approx(of_label[inside, code].mean(), abs=1e-5)
            n_found += 1
    assert n_found


def test_without_fit_everything_works(folder):
    recognizer = EntityRecognizer(folder, **QUICK)
    before = dict(vars(recognizer))
    found = recognizer.predict(TEXTS)
    assert sum(map(len, found)) > 0
    assert recognizer.score(TEXTS, found) == 1.0
    assert entity_f1_score(recognizer.predict_tags(WORDS), recognizer.predict(WORDS)) == 1.0
    assert len(recognizer.predict_frame(TEXTS)) == sum(map(len, found))
    assert vars(recognizer) == before
    for copied in (clone(recognizer), pickle.loads(pickle.dumps(recognizer))):
        assert [spans(row) for row in copied.predict(TEXTS)] == [spans(row) for row in found]


def test_training_starts_from_the_head(folder):
    recognizer = EntityRecognizer(folder, **QUICK, learning_rate=1e-12)
    fitted = clone(recognizer).fit(TEXTS, ENTITIES)
    assert fitted._predictor.network.given.order == (2, 3, 1, 0, 4)
    before, after = (made._outputs(made._rows_to_predict(WORDS)) for made in (recognizer, fitted))
    assert_allclose(after.values, before.values, atol=1e-5)
    copied = pickle.loads(pickle.dumps(fitted))
    clear_sessions()
    assert copied.predict_tags(WORDS).tolist() == fitted.predict_tags(WORDS).tolist()
    learned = clone(recognizer).set_params(learning_rate=3e-3, max_epochs=8).fit(TEXTS, ENTITIES)
    assert learned.score(TEXTS, ENTITIES) == 1.0


def test_other_labels_get_a_new_head(folder):
    other = [[(start, end, "other") for start, end, _ in row] for row in ENTITIES]
    for params, y in (({}, other), ({"trainable_layers": 0}, ENTITIES)):
        fitted = EntityRecognizer(folder, **QUICK, **params).fit(TEXTS, y)
        assert fitted._predictor.network.given is None


def test_cross_validation_starts_from_the_head(folder):
    scores = cross_validate(EntityRecognizer(folder, **QUICK), TEXTS, ENTITIES, cv=2)
    assert np.isfinite(scores["test_score"]).all()


def test_a_pickle_carries_the_head(folder, tmp_path):
    copied = shutil.copytree(folder, tmp_path / "copied")
    recognizer = EntityRecognizer(copied, **QUICK)
    expected = recognizer.predict_tags(WORDS).tolist()
    saved = pickle.dumps(recognizer)
    shutil.rmtree(copied)
    clear_sessions()
    assert pickle.loads(saved).predict_tags(WORDS).tolist() == expected
