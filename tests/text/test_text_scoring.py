import enum
import gc
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import psutil
import pytest
import torch
from numpy.testing import assert_allclose

from sklearn_dl import SentenceSimilarityRegressor, TextClassifier, TextEncoder
from sklearn_dl.text import _scoring, _windows
from sklearn_dl.text._tokenizer import Tokenizer
from sklearn_dl.training import _rows

pytestmark = pytest.mark.slow

rng = np.random.default_rng(0)
WORDS = ["good", "bad", "film", "book", "plot", "music", "cat", "dog", "house", "tree"]
# of 0 to 29 words, so that sorting by length moves every row
X = np.array([" ".join(rng.choice(WORDS, n % 30)) for n in rng.permutation(90)], dtype=object)
PAIRS = np.column_stack([X, np.roll(X, 7)])
Y = np.arange(90) % 3


@pytest.fixture(scope="session")
def estimators(encoder):
    params = {"max_length": 60, "precision": "float32"}
    fits = {**params, "max_epochs": 1, "random_state": 0}
    regressor = SentenceSimilarityRegressor(encoder, **fits).fit(PAIRS, Y)
    cross = SentenceSimilarityRegressor(encoder, architecture="cross-encoder", **fits)
    clf = TextClassifier(encoder, **fits).fit(X, Y)
    frozen = TextClassifier(encoder, trainable_layers=0, **fits).fit(PAIRS, Y)
    return {
        "classifier": (clf.decision_function, X),
        "frozen pairs": (frozen.decision_function, PAIRS),
        "bi-encoder": (regressor.predict, PAIRS),
        "cross-encoder": (cross.fit(PAIRS, Y).predict, PAIRS),
        "encoder": (TextEncoder(encoder, **params).transform, X),
    }


@pytest.fixture(params=["classifier", "frozen pairs", "bi-encoder", "cross-encoder", "encoder"])
def case(estimators, request):
    return estimators[request.param]


def test_rows_come_back_in_their_order(case):
    compute, rows = case
    whole = compute(rows)
    for i in (0, 1, 17, 44, 89):
        assert_allclose(compute(rows[[i]])[0], whole[i], atol=1e-5)
    order = rng.permutation(len(rows))
    assert_allclose(compute(rows[order]), whole[order], atol=1e-5)


@pytest.mark.parametrize("size", [1, 7, 89, 90])
def test_chunks_are_the_same_as_one(case, size, monkeypatch):
    compute, rows = case
    expected = compute(rows)
    monkeypatch.setattr(_windows, "ROWS_AT_ONCE", size)
    monkeypatch.setattr(_rows, "CHUNK", size)
    assert_allclose(compute(rows), expected, atol=1e-5)


def test_repeated_texts_have_equal_results(case):
    compute, rows = case
    made = compute(np.repeat(rows[:1], 64, axis=0))
    # not to the bit: the last rows of a batch may take another path through a matrix product
    assert_allclose(made, np.repeat(made[:1], 64, axis=0), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("n_columns", [1, 2])
def test_equal_texts_are_computed_once(encoder, monkeypatch, n_columns):
    clf = TextClassifier(encoder, trainable_layers=0, max_length=32, precision="float32")
    rows = X if n_columns == 1 else np.column_stack([X, X[::-1]])
    clf.fit(rows, Y)
    expected, seen = clf.predict_proba(rows[:8]), []
    encode = Tokenizer.encode

    def counted(self, columns, n_threads):
        seen.extend(columns[0])
        return encode(self, columns, n_threads)

    monkeypatch.setattr(Tokenizer, "encode", counted)
    repeated = clf.predict_proba(np.repeat(rows[:8], 10, axis=0))
    assert len(seen) == len(set(seen)) == len(set(np.ravel(rows[:8])))
    assert_allclose(repeated, np.repeat(expected, 10, axis=0), atol=1e-6)


def test_probabilities_do_not_depend_on_their_neighbours(encoder):
    clf = TextClassifier(encoder, max_epochs=1, max_length=60, precision="float32", random_state=0)
    clf.fit(X, Y)
    whole = clf.predict_proba(X)
    alone = np.vstack([clf.predict_proba(X[[i]]) for i in range(30)])
    assert_allclose(alone, whole[:30], atol=1e-6)
    clf.set_params(precision="bfloat16")
    assert_allclose(clf.predict_proba(X), whole, atol=0.05)
    alone = np.vstack([clf.predict_proba(X[[i]]) for i in range(30)])
    assert_allclose(alone, clf.predict_proba(X)[:30], atol=1e-2)


def test_bfloat16_scores_follow_the_training(encoder):
    """What is copied for scoring in bfloat16 is never older than the weights."""
    clf = TextClassifier(
        encoder,
        max_epochs=4,
        learning_rate=1e-3,
        max_length=60,
        precision="bfloat16",
        early_stopping=True,
        n_iter_no_change=9,
        random_state=0,
    )
    clf.fit(X, Y, X_val=X, y_val=Y)
    losses = clf.history_["validation_loss"]
    assert len(set(losses)) == 4
    log_proba = clf.predict_log_proba(X)[np.arange(90), Y]
    assert_allclose(-log_proba.mean(), losses[clf.best_epoch_ - 1], rtol=1e-6)
    before = clf.predict_proba(X)
    clf.set_params(warm_start=True, early_stopping=False).fit(X, Y)
    assert abs(clf.predict_proba(X) - before).max() > 1e-3


def test_threads_predict_at_once(case):
    compute, rows = case
    expected = compute(rows)
    with ThreadPoolExecutor(8) as pool:
        for made in pool.map(compute, [rows] * 16):
            assert_allclose(made, expected, atol=1e-6)


def test_threads_load_an_unpickled_network_once(encoder):
    import pickle

    clf = TextClassifier(encoder, max_epochs=1, max_length=60, precision="float32", random_state=0)
    expected = clf.fit(X, Y).predict_proba(X)
    loaded = pickle.loads(pickle.dumps(clf))
    with ThreadPoolExecutor(8) as pool:
        for made in pool.map(loaded.predict_proba, [X] * 8):
            assert_allclose(made, expected, atol=1e-6)


def growth_of_threads_and_files(compute, n_calls):
    """How many more threads and open files there are after `n_calls` more calls of `compute`."""
    process, threads, found = psutil.Process(), torch.get_num_threads(), []
    for calls in (1, n_calls):
        for _ in range(calls):
            compute()
        gc.collect()
        found.append((process.num_threads(), process.num_fds()))
    assert torch.get_num_threads() == threads
    return np.subtract(found[1], found[0])


# other runtimes in this process have threads that come and go; a leak would be one per call
def test_no_threads_or_open_files_are_left_behind(estimators):
    def compute_all():
        for compute, rows in estimators.values():
            compute(rows[:10])

    assert max(growth_of_threads_and_files(compute_all, 8)) < 5


@pytest.mark.slow
def test_no_threads_or_open_files_are_left_behind_by_many_calls(case):
    compute, rows = case
    assert max(growth_of_threads_and_files(lambda: compute(rows[:10]), 50)) < 5


class Tag(str, enum.Enum):  # noqa: UP042 - StrEnum is read as its value
    """Equal to its value, but not as text."""

    RED = "red"


def test_texts_are_equal_if_they_are_read_as_the_same(encoder):
    embeddings = TextEncoder(encoder, max_length=32, precision="float32").transform(
        [Tag.RED, "red", str(Tag.RED)]
    )
    assert_allclose(embeddings[0], embeddings[2], atol=1e-6)
    assert np.abs(embeddings[0] - embeddings[1]).max() > 1e-3


@pytest.mark.parametrize("fit", [True, False], ids=["fit", "predict"])
def test_the_embeddings_of_a_chunk_only_are_in_memory(encoder, monkeypatch, fit):
    pairs, numbers = np.column_stack([X, X[::-1]]), np.arange(len(X))
    model = SentenceSimilarityRegressor(encoder, max_epochs=0, max_length=32).fit(pairs, numbers)
    monkeypatch.setattr(_rows, "CHUNK", 5)
    score_texts, sizes = _scoring.score_texts, []

    def counted(fitted, columns, *args):
        sizes.append(len(columns[0]))
        return score_texts(fitted, columns, *args)

    monkeypatch.setattr("sklearn_dl.text._fitted_text_network.score_texts", counted)
    model.fit(pairs, numbers) if fit else model.predict(pairs)
    assert max(sizes) <= 10
