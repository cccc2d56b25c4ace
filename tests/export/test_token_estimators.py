"""Exported EntityRecognizer and QuestionAnswerer: the logits of tokens, and how to read them."""

import json

import numpy as np
import onnxruntime
import pandas as pd
import pytest
import tokenizers
import torch
import transformers
from numpy.testing import assert_allclose
from scipy.special import softmax
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from sklearn_dl import EntityRecognizer, LabelKeyMapper
from sklearn_dl.export import save_tokenizer, to_onnx
from sklearn_dl.export._token_predictors import _own_outputs
from sklearn_dl.text.entities._words import Shape, find_words, word_shape
from tests.text.answers.questions import PAIRS, X, Y, quick, small
from tests.text.entities.colors import ENTITIES, TAGS, TEXTS, WORDS, spans
from tests.text.tiny_encoders import KINDS, tiny_bert, tiny_encoder

pytestmark = pytest.mark.slow

TAG_NAMES = ["O", "B-colour", "I-colour", "B-pet", "I-pet"]
QUICK_KINDS = {"mpnet"}  # it takes word shapes without token types
FAMILIES = [k if k in QUICK_KINDS else pytest.param(k, marks=pytest.mark.slow) for k in KINDS]


def recognizer(folder, **params):
    """An unfitted EntityRecognizer that learns the rows of `colors` by heart."""
    settings = {"max_epochs": 8, "learning_rate": 3e-3, "precision": "float32", "random_state": 0}
    return EntityRecognizer(folder, max_length=32, window_overlap=8, **settings | params)


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    return str(tiny_bert(tmp_path_factory.mktemp("encoders") / "bert"))


@pytest.fixture(scope="module")
def fitted(encoder):
    return recognizer(encoder).fit(TEXTS, ENTITIES)


@pytest.fixture(scope="module")
def model(fitted):
    return to_onnx(fitted, TEXTS, text="token_ids")


@pytest.fixture(scope="module")
def answerer(encoder):
    return small(encoder).fit(X, Y)


@pytest.fixture(scope="module")
def answers_model(answerer):
    return to_onnx(answerer, X, text="token_ids")


def run(model, feeds):
    session = onnxruntime.InferenceSession(model.SerializeToString())
    names = [output.name for output in session.get_outputs()]
    taken = [given.name for given in session.get_inputs()]
    return dict(zip(names, session.run(names, {n: feeds[n] for n in taken}), strict=True))


def inputs_of(model):
    return {
        value.name: [d.dim_param or d.dim_value for d in value.type.tensor_type.shape.dim]
        for value in model.graph.input
    }


def properties_of(model):
    return {entry.key: entry.value for entry in model.metadata_props}


def feeds_of(encodings):
    """The inputs for encodings of the package tokenizers, which pads them."""
    return {
        "input_ids": np.array([row.ids for row in encodings]),
        "attention_mask": np.array([row.attention_mask for row in encodings]),
        "token_type_ids": np.array([row.type_ids for row in encodings]),
    }


def saved_tokenizer(estimator, folder):
    save_tokenizer(estimator, folder)
    return tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))


def shapes_of(encodings, texts):
    """The number of the shape of each token's word; 0 for tokens without one."""
    made = np.zeros((len(texts), len(encodings[0].ids)), dtype=np.int64)
    for row, (encoding, text) in enumerate(zip(encodings, texts, strict=True)):
        for a, b in find_words(text).tolist():
            for place, (start, end) in enumerate(encoding.offsets):
                if start < end and a < end <= b:
                    made[row, place] = word_shape(text[a:b])
    return made


@pytest.mark.parametrize("kind", FAMILIES)
def test_every_family_finds_entities(tmp_path, kind):
    recognizer_ = recognizer(str(tiny_encoder(tmp_path / kind, kind)), max_epochs=1)
    recognizer_.fit(TEXTS, ENTITIES)
    network = recognizer_._predictor.network.live
    if network.word_shapes is not None:  # zero at the start, and hardly trained
        torch.nn.init.normal_(network.word_shapes.weight, generator=torch.Generator())
    # to_onnx compares the logits of the rows, of which all but one are padded
    made = to_onnx(recognizer_, [*TEXTS, "Red CAT 12 b4 red"], text="token_ids")
    assert ("word_shape" in inputs_of(made)) == (network.word_shapes is not None)
    assert ("word_shapes" in properties_of(made)) == (network.word_shapes is not None)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_every_family_finds_answers(tmp_path, kind):
    answerer = quick(str(tiny_encoder(tmp_path / kind, kind))).fit(X, Y)
    made = to_onnx(answerer, X, text="token_ids")
    assert [output.name for output in made.graph.output] == ["start_logits", "end_logits"]


def test_a_frozen_encoder_takes_no_word_shapes(encoder):
    frozen = recognizer(encoder, trainable_layers=0).fit(WORDS, TAGS)
    made = to_onnx(frozen, WORDS, text="token_ids")
    assert list(inputs_of(made)) == ["input_ids", "attention_mask", "token_type_ids"]
    assert "word_shapes" not in properties_of(made)


def test_inputs_outputs_and_what_the_file_says(model, fitted):
    length = inputs_of(model)["input_ids"]
    assert inputs_of(model) == dict.fromkeys(
        ["input_ids", "attention_mask", "token_type_ids", "word_shape"], length
    )
    assert not any(isinstance(size, int) for size in length)
    (output,) = model.graph.output
    shape = [d.dim_param or d.dim_value for d in output.type.tensor_type.shape.dim]
    assert (output.name, shape) == ("logits", [*length, 5])
    properties = properties_of(model)
    assert json.loads(properties["tags"]) == TAG_NAMES
    assert json.loads(properties["classes"]) == fitted.classes_.tolist() == ["colour", "pet"]
    assert json.loads(properties["word_shapes"]) == [shape.name for shape in Shape]
    assert properties["max_length"] == "32"
    data = model.SerializeToString()
    for secret in (b"site-packages", b"sklearn_dl/", b"/tmp", b"/home", b"/root", b'File "'):
        assert secret not in data


def test_entities_from_the_logits(model, fitted, tmp_path):
    tokenizer = saved_tokenizer(fitted, tmp_path)
    texts = [*TEXTS[:5], "A Green dog", "the tree and the RED cat with one old blue dog."]
    encodings = tokenizer.encode_batch(texts)
    feeds = feeds_of(encodings) | {"word_shape": shapes_of(encodings, texts)}
    logits = run(model, feeds)["logits"]
    assert logits.dtype == np.float32
    for row, (text, entities) in enumerate(zip(texts, fitted.predict(texts), strict=True)):
        found: list = []
        for a, b in find_words(text).tolist():
            token = next(i for i, (s, e) in enumerate(encodings[row].offsets) if s == a < e)
            tag = TAG_NAMES[logits[row, token].argmax()]
            if tag.startswith("B-"):
                found.append((a, b, tag[2:]))
            elif tag.startswith("I-"):
                found[-1] = (found[-1][0], b, tag[2:])
        assert found == spans(entities)
    # the number of rows and of tokens is free, and the padding changes nothing
    n_tokens = sum(encodings[1].attention_mask)
    alone = run(model, {name: array[1:2, :n_tokens] for name, array in feeds.items()})["logits"]
    assert_allclose(alone[0], logits[1, :n_tokens], atol=1e-4)


def test_answers_from_the_logits(answers_model, answerer, tmp_path):
    names = ["input_ids", "attention_mask", "token_type_ids"]
    assert list(inputs_of(answers_model)) == names
    encodings = saved_tokenizer(answerer, tmp_path).encode_batch([tuple(pair) for pair in PAIRS])
    made = run(answers_model, feeds_of(encodings))
    assert made["start_logits"].shape == made["end_logits"].shape == (4, len(encodings[0].ids))
    answers = answerer.predict(PAIRS)
    for row, encoding in enumerate(encodings):
        in_context = np.array([sequence == 1 for sequence in encoding.sequence_ids])
        start, end = (made[name][row] for name in ("start_logits", "end_logits"))
        n_tokens = len(start)
        is_span = np.triu(np.tril(np.ones((n_tokens, n_tokens)), answerer.max_answer_length - 1))
        is_span *= in_context[:, None] * in_context
        scores = np.where(is_span, start[:, None] + end, -np.inf)
        first, last = np.unravel_index(scores.argmax(), scores.shape)
        found = encoding.offsets[first][0], encoding.offsets[last][1]
        assert found == (answers["start"][row], answers["end"][row])
        assert_allclose(softmax(scores).max(), answers["score"][row], atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("weights", ["float16", "int8"])
def test_weights_in_fewer_bytes_for_rows_that_are_made_up(
    model, answers_model, fitted, answerer, weights
):
    for estimator, whole in ((fitted, model), (answerer, answers_model)):
        made = to_onnx(estimator, text="token_ids", weights=weights)
        assert made.ByteSize() < whole.ByteSize()


def test_only_the_context_of_a_question_is_cut(answerer, tmp_path):
    tokenizer = saved_tokenizer(answerer, tmp_path)
    question, context = "where is the cat", "a cat in the red house " * 20
    encoding = tokenizer.encode(question, context)
    assert len(encoding.ids) == 60
    n_question = encoding.sequence_ids.count(0)
    assert encoding.ids[: n_question + 2] == tokenizer.encode(question, "").ids[: n_question + 2]
    with pytest.raises(Exception, match="Truncation error"):
        tokenizer.encode("the cat " * 40, context)
    loaded = transformers.AutoTokenizer.from_pretrained(tmp_path)
    again = loaded([question], [context], padding=True, truncation="only_second")
    assert again["input_ids"] == [encoding.ids]


def test_tags_are_saved_with_the_tokenizer(fitted, tmp_path):
    tokenizer = saved_tokenizer(make_pipeline(fitted), tmp_path)
    settings = json.loads((tmp_path / "tokenizer_config.json").read_text())
    assert settings["tags"] == TAG_NAMES
    assert settings["word_shapes"] == [shape.name for shape in Shape]
    assert settings["model_max_length"] == 32
    loaded = transformers.AutoTokenizer.from_pretrained(tmp_path)
    text = "the red cat " * 20
    assert loaded(text, truncation=True)["input_ids"] == tokenizer.encode(text).ids


@pytest.mark.parametrize("text", ["string", "utf8"])
def test_texts_are_refused(fitted, answerer, text):
    for estimator, rows in ((fitted, TEXTS), (answerer, X)):
        name = type(estimator).__name__
        with pytest.raises(ValueError, match=rf'{name} cannot .* Set text="token_ids"'):
            to_onnx(estimator, rows, text=text)


def test_other_refusals(fitted, encoder):
    with pytest.raises(ValueError, match="row 1 of column 'text' is"):
        to_onnx(fitted, [["red"], ["blue", None]], text="token_ids")
    keys = LabelKeyMapper().fit(pd.DataFrame({"text": TEXTS[:2]}))
    steps = make_pipeline(keys, FunctionTransformer(keys.inverse_transform), fitted)
    with pytest.raises(ValueError, match="the steps before it compute its texts"):
        to_onnx(steps, pd.DataFrame({"text": TEXTS[:2]}), text="token_ids")
    masked = recognizer(encoder, max_epochs=1, on_error="nan").fit(TEXTS, ENTITIES)
    with pytest.raises(ValueError, match='on_error="nan" is not possible'):
        to_onnx(masked, TEXTS, text="token_ids")


def test_a_wrong_model_is_noticed(monkeypatch, fitted):
    def wrong(*arguments):
        (rows,) = _own_outputs(*arguments).values()
        return {"logits": [*rows[:-1], rows[-1] + np.eye(5)[0] / 100]}

    monkeypatch.setattr("sklearn_dl.export._token_predictors._own_outputs", wrong)
    with pytest.raises(ValueError, match="row 1 of 'logits' differs"):
        to_onnx(fitted, TEXTS[:2], text="token_ids")
