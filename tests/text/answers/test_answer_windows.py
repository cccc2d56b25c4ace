"""Contexts that are longer than a window, and rows that cannot be read."""

import pickle
import warnings

import numpy as np
import pytest
from numpy.testing import assert_allclose

from sklearn_dl import QuestionAnswerer
from sklearn_dl.text._tokenizer import Tokenizer
from sklearn_dl.utils._messages import NotFiniteError, RowError
from tests.text.answers.questions import (
    GOLDS,
    PAIRS,
    UNANSWERABLE,
    X,
    Y,
    assert_aligned,
    listed,
    quick,
    small,
)
from tests.text.tiny_encoders import tiny_bert, tiny_encoder

FILLER = "the old dog is in a big tree and the plot is slow "
LONG = [
    [PAIRS[0][0], FILLER * 3 + PAIRS[0][1]],
    [PAIRS[0][0], PAIRS[0][1] + " " + FILLER * 4],
    [PAIRS[0][0], FILLER * 2 + PAIRS[0][1] + " " + FILLER * 3],
]


@pytest.fixture(scope="module")
def answerer(encoder):
    """Fitted to contexts of several windows, which no test changes."""
    return small(encoder, max_length=32).fit(LONG * 4, ["house"] * 12)


@pytest.mark.slow
def test_answers_are_found_in_any_window(answerer):
    answers = answerer.predict(LONG)
    assert answers["answer"].tolist() == ["house"] * 3
    assert answers["start"].tolist() == [context.index("house") for _, context in LONG]
    network = answerer._predictor.network
    feed = network.feed(answerer._rows_to_predict(LONG), network.live)
    assert np.bincount(feed.row_of_part).tolist() == [3, 4, 5]
    assert feed.lengths.max() == 32


def test_short_windows_find_what_one_window_finds(encoder):
    """All spans are compared, so that windows change the logits but not the spans."""
    whole = quick(encoder, max_answer_length=3).fit(X, Y)
    spans = {tuple(span) for span in whole.top_k(LONG[:1], 10_000)[0][["start", "end"]].tolist()}
    whole.set_params(max_length=20, window_overlap=6)
    cut = whole.top_k(LONG[:1], 10_000)[0][["start", "end"]].tolist()
    assert len(cut) == len(set(map(tuple, cut)))
    assert set(map(tuple, cut)) == spans


def goals_of(answerer, pairs, y):
    """For each window of a fit, the tokens of its goal; None for "no answer"."""
    rows, problem = answerer._rows_to_predict(pairs), answerer._problem
    rows, targets = answerer._with_targets(rows, y, "y", problem)
    network = answerer._predictor.network
    feed = network.feed(rows, network.live)
    goals = problem.goals(targets[feed.row_of_part], feed.layout)
    tokens = [ids[a : b + 1].tolist() for ids, (a, b) in zip(feed._tokens.ids, goals, strict=True)]
    decode = network.tokenizer(rows.max_length).backend.decode
    is_none = (goals == 0).all(axis=1)
    return [None if none else decode(ids) for ids, none in zip(tokens, is_none, strict=True)]


def test_a_window_without_the_whole_answer_has_the_goal_no_answer(encoder):
    answerer = quick(encoder, max_length=20, window_overlap=4).fit(PAIRS, GOLDS)
    answer = "in the red house"
    assert goals_of(answerer, LONG[:2], [answer] * 2) == [*[None] * 8, answer, answer, *[None] * 10]


def test_an_answer_that_no_window_has_as_a_whole_is_counted(encoder):
    answerer = quick(encoder, max_length=20, window_overlap=0).fit(PAIRS, GOLDS)
    y = ["the plot is slow a cat", "cat"]
    with pytest.warns(UserWarning, match="No window contains all tokens of 1 of 2 training"):
        assert "cat" in goals_of(answerer, LONG[:2], y)


def test_answers_of_too_many_tokens_are_counted(encoder):
    answerer = quick(encoder, max_answer_length=2)
    with pytest.warns(UserWarning, match="4 of 16 training answers have more than max_answer"):
        answerer.fit(X, Y)
    assert all(len(answer.split()) <= 2 for answer in answerer.predict(PAIRS)["answer"])


@pytest.mark.parametrize("kind", ["bert", "roberta", "xlm-roberta", "deberta-v2"])
@pytest.mark.parametrize(
    "context",
    [
        "👩\u200d👩\u200d👧 is 😀😀",
        "e\u0301a\u0308\u0301 o\u0302",
        "ﬁlm Å \u212b ½ ﷺ",
        " \u00a0a\u2003dog\n\n",
        "x" * 5000 + " cat",
        "A DOG, the \x00\x01cat\u200b.",
    ],
    ids=["emoji", "combining marks", "normalized", "white space", "long word", "controls"],
)
def test_answers_to_unusual_contexts_are_aligned(tmp_path, kind, context):
    answerer = quick(str(tiny_encoder(tmp_path, kind)), max_epochs=1).fit(PAIRS, GOLDS)
    (answers,) = answerer.top_k([["what is it", context]], 50)
    assert len(answers) > 1
    assert_aligned(answers, context)
    assert_aligned(answerer.predict([["", context]]), context)


@pytest.mark.parametrize("context", ["", " ", "\n\t\u2003 "])
def test_there_is_no_answer_where_there_is_nothing(answerer, context):
    (answers,) = answerer.top_k([["where", context]], 3)
    assert answers.tolist() == [("", -1, -1, 1.0)]
    assert answerer.predict([["where", context]]).tolist() == [("", -1, -1, 1.0)]


@pytest.mark.slow
def test_a_context_of_a_megabyte(answerer):
    context = FILLER * 20_000 + "a cat in the red house"
    (answer,) = answerer.predict([["where is the cat", context]])
    assert len(context) > 1_000_000
    assert listed(answer.reshape(1)) == [("house", len(context) - 5, len(context))]


def test_a_question_that_leaves_no_room_is_an_error(encoder, answerer):
    rows = [*PAIRS, ["a " * 40, "a cat"]]
    message = "Row 4: the question has 40 tokens, which leaves no room.*max_length=32"
    with pytest.raises(RowError, match=message) as caught:
        answerer.predict(rows)
    assert caught.value.row == 4
    with pytest.raises(RowError, match=message):
        quick(encoder, max_length=32).fit(rows, [*GOLDS, "cat"])


def test_rows_that_cannot_be_read(encoder):
    rows = [*PAIRS, ["a " * 60, "a cat"], [None, "a cat"], ["where", np.nan]]
    y = [*GOLDS, "cat", "cat", "not here"]
    answerer = quick(encoder, on_error="nan")
    with pytest.warns(UserWarning, match="3 of 7 rows could not be read and were left out"):
        answerer.fit(rows, y)
    alone = quick(encoder).fit(PAIRS, GOLDS)
    with pytest.warns(UserWarning, match="3 of 7 rows could not be read; their rows are missing"):
        answers = answerer.predict(rows)
    assert listed(answers) == [*listed(alone.predict(PAIRS)), *[(None, -1, -1)] * 3]
    assert_allclose(answers["score"], [*alone.predict(PAIRS)["score"], *[np.nan] * 3])
    with pytest.warns(UserWarning, match="3 of 7"):
        assert [found is None for found in answerer.top_k(rows, 2)] == [False] * 4 + [True] * 3
    with pytest.warns(UserWarning, match="3 of 7"):
        assert answerer.score(rows, y) == pytest.approx(alone.score(PAIRS, GOLDS) * 4 / 7)
    with pytest.raises(RowError, match="row 5"):
        alone.predict(rows)


def test_a_network_that_gives_nan(encoder):
    answerer = quick(encoder).fit(X, Y)
    answerer._predictor.network.live.head.weight.data[:] = np.nan
    with pytest.raises(NotFiniteError, match="Row 0: the network gives outputs with NaN"):
        answerer.predict(PAIRS)
    answerer.set_params(on_error="nan")
    with pytest.warns(UserWarning, match="4 of 4 rows could not be read or scored"):
        assert listed(answerer.predict(PAIRS)) == [(None, -1, -1)] * 4


def test_a_network_that_gives_nan_for_some_windows_of_a_row(tmp_path):
    folder = str(tiny_bert(tmp_path / "bert"))
    answerer = quick(folder, on_error="nan", max_length=24).fit(X, Y)
    vectors = answerer._predictor.network.live.token_embeddings.weight.data
    house = answerer._predictor.network.tokenizer(24).backend.encode("slow").ids[1]
    vectors[house] = np.nan
    rows = [["is it", FILLER * 3], *PAIRS[:3]]
    with pytest.warns(UserWarning, match="1 of 4 rows"):
        answers = answerer.predict(rows)
    assert [answer is None for answer in answers["answer"]] == [True, False, False, False]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (["where", "here"], "two columns of texts.*got 1 column"),
        ([["a", "b", "c"]] * 2, "got 3 columns"),
        ([["where", "here"], ["where", None]], "row 1 of column 1 is not text"),
    ],
)
def test_rows_that_are_not_two_texts(encoder, rows, message):
    with pytest.raises(ValueError, match=message):
        quick(encoder).fit(rows, ["here"] * 2)


def test_rows_without_any_answer_are_refused(encoder):
    with pytest.raises(ValueError, match=r"needs rows with answers, but .* \(4 rows\)"):
        quick(encoder).fit([UNANSWERABLE] * 4, [None] * 4)
    answerer = quick(encoder).fit(X, Y)
    with pytest.raises(ValueError, match=r"needs rows with answers, but .* \(16 rows\)"):
        # only rows without an answer have a weight
        answerer.fit(
            [*X.tolist(), *[UNANSWERABLE] * 16], [*Y, *[None] * 16], [0.0] * 16 + [1.0] * 16
        )
    assert answerer.score(X, Y) > 0


def test_an_overlap_of_a_whole_window_is_refused(encoder):
    with pytest.raises(ValueError, match="window_overlap=40 must be smaller"):
        quick(encoder, max_length=32, window_overlap=40).fit(X, Y)


def test_more_tokens_than_the_encoder_reads_are_refused(encoder):
    with pytest.raises(ValueError, match=r"max_length=384: the encoder .* reads at most 64 tokens"):
        QuestionAnswerer(encoder).fit(X, Y)


def test_a_static_embedding_is_refused(encoder, monkeypatch):
    made = Tokenizer.__init__

    def without_special_tokens(self, tokenizer, max_length, prompt="", special=True):
        made(self, tokenizer, max_length, prompt, special=False)

    monkeypatch.setattr(Tokenizer, "__init__", without_special_tokens)
    with pytest.raises(ValueError, match="static embedding, which cannot read two texts together"):
        quick(encoder, max_length=59).fit(X, Y)


def test_a_pickle_of_a_fit_to_windows(answerer):
    loaded = pickle.loads(pickle.dumps(answerer))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert loaded.predict(LONG).tolist() == answerer.predict(LONG).tolist()
