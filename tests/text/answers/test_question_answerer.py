"""What QuestionAnswerer learns and predicts, on tiny encoders."""

import numpy as np
import pytest
import torch
import transformers
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.exceptions import NotFittedError

from sklearn_dl import QuestionAnswerer
from sklearn_dl.metrics import answer_f1_score
from sklearn_dl.utils._sklearn import InvalidParameterError
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
from tests.text.tiny_encoders import KINDS, tiny_encoder

LEARNED = [("house", 17, 22), ("big tree", 20, 28), ("very é good", 9, 20), ("slow", 12, 16)]


@pytest.fixture(scope="module")
def answerer(encoder):
    """A fitted estimator, which no test changes."""
    return small(encoder).fit(X, Y)


@pytest.fixture(scope="module")
def with_no_answers(encoder):
    """The same, fitted also to rows without an answer."""
    rows = [*X.tolist(), *[UNANSWERABLE] * 4]
    return small(encoder).fit(rows, [*Y, None, "", [], {"text": [], "answer_start": []}])


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_each_family_learns_and_aligns_its_answers(tmp_path, kind, capfd):
    answerer = small(str(tiny_encoder(tmp_path / kind, kind))).fit(X, Y)
    answers = answerer.predict(PAIRS)
    assert listed(answers) == LEARNED
    assert answerer.score(X, Y) == 1.0
    for (_, context), some in zip(PAIRS, answerer.top_k(PAIRS, 8), strict=True):
        assert len({span[1:3] for span in some.tolist()}) == 8
        assert_aligned(some, context)
    assert capfd.readouterr() == ("", "")


def test_the_result_of_predict(answerer):
    answers = answerer.predict(PAIRS)
    assert answers.dtype.names == ("answer", "start", "end", "score")
    assert answers.shape == (4,)
    assert [answers[name].dtype.kind for name in answers.dtype.names] == ["O", "i", "i", "f"]
    assert all(type(answer) is str for answer in answers["answer"])


def test_logits_are_those_of_transformers_own_head(answerer, encoder):
    network = answerer._predictor.network.live
    config = transformers.AutoConfig.from_pretrained(encoder)
    theirs = transformers.BertForQuestionAnswering(config).eval()
    state = {f"bert.{name}": t for name, t in network.encoder.state_dict().items()}
    state |= {
        f"qa_outputs.{name}": getattr(network.head, name).detach() for name in ("weight", "bias")
    }
    assert theirs.load_state_dict(state, strict=False).missing_keys == []
    tokenizer = transformers.AutoTokenizer.from_pretrained(encoder)
    for question, context in PAIRS:
        batch = tokenizer(question, context, return_tensors="pt", return_offsets_mapping=True)
        offsets = batch.pop("offset_mapping")[0].tolist()
        is_context = np.array(batch.sequence_ids(0)) == 1
        with torch.no_grad():
            expected = theirs(**batch)
        starts, ends = expected.start_logits[0].numpy(), expected.end_logits[0].numpy()
        places = np.flatnonzero(is_context)
        scores = {
            (offsets[i][0], offsets[j][1]): float(starts[i]) + float(ends[j])
            for i in places
            for j in places
            if i <= j
        }
        total = np.exp(list(scores.values())).sum()
        (found,) = answerer.top_k([[question, context]], 1000)
        assert len(found) == len(scores)
        for _, start, end, score in found.tolist():
            assert_allclose(score, np.exp(scores[start, end]) / total, rtol=1e-4)


@pytest.mark.slow
def test_the_scores_of_all_spans_add_up_to_one(answerer, with_no_answers):
    for fitted in (answerer, with_no_answers):
        for answers in fitted.top_k(PAIRS, 10_000):
            assert_allclose(answers["score"].sum(), 1)
            assert (np.diff(answers["score"]) <= 0).all()


def test_top_k_begins_with_what_predict_finds(answerer):
    best = answerer.predict(PAIRS)
    for k in (1, 3):
        found = answerer.top_k(PAIRS, k)
        assert found.dtype == object
        assert [len(answers) for answers in found] == [k] * 4
        assert_array_equal(np.concatenate([answers[:1] for answers in found]), best)


@pytest.mark.parametrize("k", [0, -1, 1.5, "3"])
def test_k_must_be_a_positive_integer(answerer, k):
    with pytest.raises(InvalidParameterError, match="'k' parameter of top_k"):
        answerer.top_k(PAIRS, k)


def test_rows_are_never_mixed(answerer):
    """ML.NET fills up a row of few answers with those of the row before."""
    pairs = [*PAIRS, ["what", "plot"], ["what", ""], *PAIRS, ["what", "a b"]]
    together = answerer.top_k(pairs, 5)
    assert [len(answers) for answers in together] == [5, 5, 5, 5, 1, 1, 5, 5, 5, 5, 3]
    for pair, answers in zip(pairs, together, strict=True):
        (alone,) = answerer.top_k([pair], 5)
        assert listed(answers) == listed(alone)
        assert_allclose(answers["score"], alone["score"], atol=1e-6)
        assert_aligned(answers, pair[1])


def test_no_answer_is_learned(with_no_answers):
    answers = with_no_answers.predict([*PAIRS, UNANSWERABLE])
    assert listed(answers) == [*LEARNED, ("", -1, -1)]
    assert with_no_answers.score([UNANSWERABLE], [None]) == 1.0
    assert with_no_answers.score([UNANSWERABLE], ["dog"]) == 0.0


def test_no_answer_needs_permission(answerer, with_no_answers):
    # a window without its answer has taught it what such a window looks like
    assert answerer.predict([UNANSWERABLE])["answer"] != [""]
    spans = answerer.top_k(PAIRS, 10_000)
    assert not any((answers["start"] < 0).any() for answers in spans)
    with_it = small(answerer.model, allow_no_answer=True).fit(X, Y).top_k(PAIRS, 10_000)
    assert [len(answers) for answers in with_it] == [len(answers) + 1 for answers in spans]
    assert all((answers["start"] == -1).sum() == 1 for answers in with_it)
    assert all((a["start"] == -1).sum() == 1 for a in with_no_answers.top_k(PAIRS, 10_000))


def test_limits_are_those_of_the_estimator_when_it_predicts(encoder):
    answerer = quick(encoder).fit(X, Y)
    answerer.set_params(max_answer_length=1, allow_no_answer=True)
    for (_, context), answers in zip(PAIRS, answerer.top_k(PAIRS, 10_000), strict=True):
        assert sorted(answers["answer"]) == sorted(["", *context.split()])


def test_score_is_the_f1_score_of_the_metric(encoder):
    answerer = quick(encoder).fit(X, Y)
    answers = answerer.predict(PAIRS)
    golds = ["red house", "the big tree", GOLDS[2], "the plot"]
    expected = answer_f1_score(golds, answers)
    assert 0 < expected < 1
    assert answerer.score(PAIRS, golds) == pytest.approx(expected)
    weights = [1, 2, 0, 3]
    each = [answer_f1_score(golds[row : row + 1], answers[row : row + 1]) for row in range(4)]
    assert answerer.score(PAIRS, golds, weights) == pytest.approx(np.average(each, weights=weights))


def test_the_best_of_several_true_answers_counts(answerer):
    assert answerer.score(PAIRS[1:2], [{"text": ["dog", "big tree"]}]) == 1.0


def test_what_predict_returns_can_be_learned(answerer, encoder):
    answers = answerer.predict(X)
    assert_array_equal(small(encoder).fit(X, answers).predict(PAIRS), answerer.predict(PAIRS))


def test_the_last_layers_alone_can_learn(encoder):
    answerer = small(encoder, trainable_layers=1).fit(X, Y)
    network = answerer._predictor.network.live
    trained = {name for name, p in network.named_parameters() if p.requires_grad}
    assert {"head.weight", "head.bias"} < trained
    assert not any("embeddings" in name or ".0." in name for name in trained)
    assert answerer.score(X, Y) > 0.8


def test_a_frozen_encoder_is_refused(encoder):
    with pytest.raises(InvalidParameterError, match=r"trainable_layers.*\[1, inf\)"):
        quick(encoder, trainable_layers=0).fit(X, Y)
    assert not hasattr(QuestionAnswerer, "partial_fit")


def test_an_unfitted_estimator(encoder):
    answerer = quick(encoder)
    for call in (lambda: answerer.predict(PAIRS), lambda: answerer.top_k(PAIRS, 1)):
        with pytest.raises(NotFittedError):
            call()


def test_the_first_head_is_drawn_with_the_seed(encoder):
    def head(seed):
        # a learning rate that changes nothing
        fitted = quick(encoder, random_state=seed, learning_rate=1e-12, max_epochs=1).fit(X, Y)
        return fitted._predictor.network.live.head.weight.detach().numpy()

    first = head(0)
    assert first.shape == (2, 32)
    assert 0.01 < first.std() < 0.03
    assert_array_equal(head(0), first)
    assert not np.allclose(head(1), first)
