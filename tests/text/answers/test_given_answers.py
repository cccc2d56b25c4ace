"""QuestionAnswerer with folders that already have a head for answers."""

import pickle
import shutil

import numpy as np
import pytest
import transformers
from numpy.testing import assert_allclose
from scipy.special import softmax
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

from sklearn_dl import clear_sessions
from tests.text.answers.questions import GOLDS, PAIRS, X, Y, assert_aligned, listed, quick, small
from tests.text.tiny_encoders import KINDS
from tests.text.tiny_heads import own_outputs, tiny_head


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A BERT with a head for answers, which no test changes."""
    return str(tiny_head(tmp_path_factory.mktemp("heads") / "bert", "bert", "answer"))


def own_answer(folder, question, context, max_length):
    """The best answer by transformers' own logits, and its score among all spans."""
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    batch = tokenizer(question, context, return_offsets_mapping=True)
    outputs = own_outputs(folder, [question], [context])
    starts, ends = outputs.start_logits.numpy()[0], outputs.end_logits.numpy()[0]
    offsets = batch["offset_mapping"]
    tokens = [t for t, part in enumerate(batch.sequence_ids()) if part == 1]
    # an answer neither starts nor ends with a token of white space
    words = {t for t in tokens if context[slice(*offsets[t])].strip()}
    spans: dict = {}
    for i, first in enumerate(tokens):
        for last in tokens[i : i + max_length]:
            if {first, last} <= words:
                answer = context[offsets[first][0] : offsets[last][1]].strip()
                start = context.index(answer, offsets[first][0])
                key = answer, start, start + len(answer)
                spans[key] = max(spans.get(key, -np.inf), float(starts[first] + ends[last]))
    scores = softmax(list(spans.values()))
    return list(spans)[scores.argmax()], scores.max()


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_answers_are_those_of_transformers(tmp_path, kind):
    folder = str(tiny_head(tmp_path / kind, kind, "answer"))
    answerer = small(folder, max_answer_length=5)
    # one emoji is several tokens of some tokenizers
    pairs = [pair for pair in PAIRS if pair[1].isascii()]
    for pair, found in zip(pairs, answerer.predict(pairs), strict=True):
        expected, score = own_answer(folder, *pair, 5)
        assert found.tolist()[:3] == expected
        assert found["score"] == pytest.approx(score, abs=1e-5)


def test_without_fit_everything_works(folder):
    answerer = quick(folder)
    before = dict(vars(answerer))
    answers = answerer.predict(PAIRS)
    for (_, context), some in zip(PAIRS, answerer.top_k(PAIRS, 3), strict=True):
        assert_aligned(some, context)
        assert len(some) == 3
    assert answerer.score(PAIRS, list(answers["answer"])) == 1.0
    assert vars(answerer) == before
    assert (answers["start"] >= 0).all()
    every = answerer.set_params(allow_no_answer=True).top_k(PAIRS, 10_000)
    assert all((-1 in some["start"]) for some in every)


@pytest.mark.slow
def test_training_starts_from_the_head(folder):
    answerer = quick(folder, learning_rate=1e-12, max_epochs=1)
    expected = answerer.predict(PAIRS)
    fitted = clone(answerer).fit(X, Y)
    assert listed(fitted.predict(PAIRS)) == listed(expected)
    assert_allclose(fitted.predict(PAIRS)["score"], expected["score"], atol=1e-5)
    assert small(folder).fit(X, Y).score(PAIRS, GOLDS) == 1.0
    clear_sessions()
    loaded = pickle.loads(pickle.dumps(fitted))
    assert listed(loaded.predict(PAIRS)) == listed(expected)


def test_a_pickle_carries_the_head(folder, tmp_path):
    copied = shutil.copytree(folder, tmp_path / "copied")
    answerer = quick(str(copied))
    expected = answerer.predict(PAIRS)
    saved = pickle.dumps(answerer)
    shutil.rmtree(copied)
    clear_sessions()
    assert listed(pickle.loads(saved).predict(PAIRS)) == listed(expected)


def test_without_a_head_an_error_says_what_is_missing(encoder):
    with pytest.raises(NotFittedError, match=r"a head that finds answers .*AutoModelForQuestion"):
        quick(encoder).predict(PAIRS)
