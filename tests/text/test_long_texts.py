"""``long_texts="windows"``: long texts are read to their end, and short ones as without windows."""

import json
import pickle

import numpy as np
import pytest
import tokenizers
import torch
import transformers
from numpy.testing import assert_allclose, assert_array_equal
from safetensors.torch import save_file
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV

from sklearn_dl import SentenceSimilarityRegressor, TextClassifier, TextEncoder, TextRegressor
from sklearn_dl.text import _fitted_text_network, _scoring, _windows
from sklearn_dl.text._feeds import WindowFeed
from sklearn_dl.text._text_rows import text_rows
from sklearn_dl.training import _training_loop
from tests.text.test_hostile_folders import phobert
from tests.text.three_classes import X as SHORT
from tests.text.three_classes import Y
from tests.text.tiny_encoders import VOCABULARY, WORDS, tiny_bert

rng = np.random.default_rng(0)
PARAMS = {"max_length": 16, "window_overlap": 4, "precision": "float32"}
WINDOWS = {**PARAMS, "long_texts": "windows"}
FITS = {"max_epochs": 2, "learning_rate": 1e-3, "random_state": 0}
# the end of the text determines the class
X = np.array([f"{'tree house ' * rng.integers(8, 16)}{text}" for text in SHORT], dtype=object)
TEXTS = np.array(
    ["", *(" ".join(rng.choice(WORDS, n)) for n in (1, 13, 14, 15, 24, 25, 60, 200))], dtype=object
)


@pytest.fixture
def normalized(tmp_path):
    """An encoder whose embeddings have length 1."""
    folder = tiny_bert(tmp_path / "normalized")
    kinds = [("Transformer", ""), ("Normalize", "1_Normalize")]
    modules = [{"type": f"sentence_transformers.models.{k}", "path": p} for k, p in kinds]
    (folder / "modules.json").write_text(json.dumps(modules))
    return folder


@pytest.fixture
def static(tmp_path):
    """A static embedding."""
    made = tokenizers.Tokenizer(
        tokenizers.models.WordPiece({t: n for n, t in enumerate(VOCABULARY)}, unk_token="[UNK]")
    )
    made.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    made.save(str(tmp_path / "tokenizer.json"))
    table = torch.from_numpy(rng.normal(size=(len(VOCABULARY), 8)).astype(np.float32))
    save_file({"embedding.weight": table}, tmp_path / "model.safetensors")
    modules = [{"type": "sentence_transformers.models.StaticEmbedding", "path": ""}]
    (tmp_path / "modules.json").write_text(json.dumps(modules))
    return tmp_path


def by_hand(folder, texts, weights_of=len):
    """The weighted means of the embeddings of windows, by transformers and numpy alone."""
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    model = transformers.AutoModel.from_pretrained(folder).eval()
    means = []
    for text in texts:
        options = {"max_length": 16, "stride": 4, "return_overflowing_tokens": True}
        windows = tokenizer(text, truncation=True, **options)["input_ids"]
        with torch.inference_mode():
            vectors = [model(torch.tensor([ids])).last_hidden_state[0].mean(0) for ids in windows]
        means.append(np.average(vectors, axis=0, weights=[weights_of(ids) for ids in windows]))
    return np.array(means)


def test_an_embedding_is_the_weighted_mean_of_those_of_the_windows(encoder):
    expected = by_hand(encoder, TEXTS)
    assert_allclose(TextEncoder(encoder, **WINDOWS).transform(TEXTS), expected, atol=1e-5)
    # the weights matter, and so do the windows
    unweighted = by_hand(encoder, TEXTS, lambda ids: 1)
    assert np.abs(unweighted - expected).max() > 1e-2
    with pytest.warns(UserWarning, match="5 of 9 texts are longer"):
        beginnings = TextEncoder(encoder, **PARAMS).transform(TEXTS)
    assert_allclose(beginnings[:4], expected[:4], atol=1e-5)
    assert (np.abs(beginnings[4:] - expected[4:]).max(axis=1) > 1e-2).all()


def test_embeddings_that_have_length_1_keep_it(encoder, normalized):
    made = TextEncoder(normalized, **WINDOWS).transform(TEXTS)
    assert_allclose(np.linalg.norm(made, axis=1), 1, atol=1e-6)
    expected = TextEncoder(encoder, **WINDOWS).transform(TEXTS)
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    assert_allclose(made, expected, atol=1e-6)
    # a head takes the means as they are
    clf = TextClassifier(normalized, trainable_layers=0, **WINDOWS).fit(X, Y)
    plain = TextClassifier(encoder, trainable_layers=0, **WINDOWS).fit(X, Y)
    assert_allclose(clf.decision_function(X), plain.decision_function(X), atol=1e-5)
    assert_allclose(np.linalg.norm(clf.embed(X), axis=1), 1, atol=1e-6)


def test_a_static_embedding_of_a_long_text_is_the_mean_of_all_its_tokens(static):
    whole = TextEncoder(static, max_length=300, precision="float32").transform(TEXTS)
    windows = TextEncoder(static, **WINDOWS | {"window_overlap": 0})
    assert_allclose(windows.fit(TEXTS).transform(TEXTS), whole, atol=1e-6)
    assert_array_equal(whole[0], 0)  # no tokens at all
    clf = TextClassifier(static, **WINDOWS, **FITS).fit(X, Y)
    assert clf.predict(TEXTS).shape == (9,)


@pytest.mark.parametrize(
    ("layers", "precision"), [(0, "float32"), ("all", "float32"), (1, "bfloat16")]
)
@pytest.mark.parametrize("kind", [TextClassifier, TextRegressor])
def test_short_texts_are_read_as_they_are_without_windows(encoder, kind, layers, precision):
    y = Y if kind is TextClassifier else np.arange(24.0)
    made = []
    for long_texts in ("truncate", "windows"):
        params = {**PARAMS, "precision": precision, "long_texts": long_texts}
        estimator = kind(encoder, trainable_layers=layers, **params, **FITS).fit(SHORT, y)
        predict = getattr(estimator, "decision_function", estimator.predict)
        made.append((predict(SHORT), estimator.embed(SHORT), estimator.history_.get("train_loss")))
    for truncated, windows in zip(*made, strict=True):
        assert_array_equal(truncated, windows)


@pytest.mark.parametrize("folder", ["encoder", "normalized"])
def test_embeddings_of_short_texts_are_the_same_to_the_bit(request, folder):
    truncate = TextEncoder(request.getfixturevalue(folder), **PARAMS)
    windows = clone(truncate).set_params(long_texts="windows")
    texts = [*SHORT, *TEXTS[:4]]
    assert_array_equal(truncate.transform(texts), windows.transform(texts))


@pytest.fixture(scope="module")
def trained(encoder):
    return TextClassifier(encoder, **WINDOWS, **FITS).fit(X, Y)


def test_logits_do_not_depend_on_the_other_texts(trained):
    whole = trained.decision_function(TEXTS)
    for row in range(len(TEXTS)):
        assert_allclose(trained.decision_function(TEXTS[[row]])[0], whole[row], atol=1e-5)
    order = rng.permutation(len(TEXTS))
    assert_allclose(trained.decision_function(TEXTS[order]), whole[order], atol=1e-5)


def test_logits_are_the_weighted_means_of_those_of_the_windows(trained):
    live = trained._predictor.network.live
    weight, bias = (t.detach().numpy() for t in (live.head.weight, live.head.bias))
    expected = trained.embed(TEXTS) @ weight.T + bias
    assert_allclose(trained.decision_function(TEXTS), expected, atol=1e-5)


@pytest.mark.parametrize(("n_rows", "n_characters"), [(2, 2**19), (8192, 1), (8192, 300)])
def test_texts_are_read_in_chunks(trained, monkeypatch, n_rows, n_characters):
    expected = trained.decision_function(TEXTS)
    monkeypatch.setattr(_windows, "ROWS_AT_ONCE", n_rows)
    monkeypatch.setattr(_windows, "CHARACTERS_AT_ONCE", n_characters)
    at_once, read_windows = [], _scoring.read_windows

    def recorded(tokenizer, columns, *args):
        at_once.append(columns[0])
        return read_windows(tokenizer, columns, *args)

    monkeypatch.setattr(_scoring, "read_windows", recorded)
    assert_allclose(trained.decision_function(TEXTS), expected, atol=1e-5)
    assert sum(map(len, at_once)) == len(TEXTS)
    for texts in at_once:
        assert len(texts) == 1 or sum(map(len, texts)) <= n_characters
        assert len(texts) <= n_rows


@pytest.mark.slow
@pytest.mark.parametrize("layers", [0, "all"])
def test_a_fit_learns_from_all_of_a_text(encoder, layers):
    fits = FITS | {"max_epochs": 8, "learning_rate": 3e-3}
    clf = TextClassifier(encoder, trainable_layers=layers, **WINDOWS, **fits)
    assert clf.fit(X, Y).score(X, Y) > 0.9
    clf.set_params(long_texts="truncate")
    with pytest.warns(UserWarning, match="24 of 24 texts are longer"):
        clf.fit(X, Y)
    with pytest.warns(UserWarning, match="24 of 24 texts are longer"):
        assert clf.score(X, Y) < 0.6


@pytest.mark.parametrize("n_rows", [2, 8192])
def test_a_text_counts_like_one_row_in_training(trained, monkeypatch, n_rows):
    monkeypatch.setattr(_windows, "ROWS_AT_ONCE", n_rows)
    feed = WindowFeed(trained._predictor.network.tokenizer(16), [TEXTS], 4)
    assert_allclose(np.bincount(feed.row_of_part, feed.shares), 1)
    n_windows = np.bincount(feed.row_of_part)
    assert n_windows[:5].tolist() == [1, 1, 1, 1, 2]
    assert len(feed.lengths) == n_windows.sum()
    assert feed.lengths.max() == 16
    # 15 tokens: 14 with 2 special tokens, and 5 with 2
    assert_allclose(feed.shares[feed.row_of_part == 4], np.array([16, 7]) / 23)


@pytest.mark.slow
def test_the_validation_score_is_that_of_whole_texts(encoder):
    scores = []

    def scoring(estimator, rows, y):
        scores.append(estimator.score(rows, y))
        return scores[-1]

    params = {"early_stopping": True, "n_iter_no_change": 9}
    own = TextClassifier(encoder, **WINDOWS, **FITS, **params)
    given = clone(own).set_params(scoring=scoring)
    X_val, y_val = X[::3], Y[::3]
    histories = [c.fit(X, Y, X_val=X_val, y_val=y_val).history_ for c in (own, given)]
    assert histories[0]["validation_score"] == histories[1]["validation_score"] == scores


def test_features_are_kept_for_each_overlap(encoder, tmp_path, monkeypatch):
    counts, score_texts = [], _fitted_text_network.score_texts

    def counted(fitted, columns, *args):
        counts.append(len(columns[0]))
        return score_texts(fitted, columns, *args)

    monkeypatch.setattr(_fitted_text_network, "score_texts", counted)
    first = TextEncoder(encoder, memory=tmp_path, **WINDOWS)
    expected = first.transform(TEXTS)
    assert_array_equal(first.transform(TEXTS), expected)
    assert counts == [9]
    other = clone(first).set_params(window_overlap=5)
    assert np.abs(other.transform(TEXTS) - expected).max() > 1e-3
    with pytest.warns(UserWarning, match="5 of 9 texts are longer"):
        clone(first).set_params(long_texts="truncate").transform(TEXTS)
    assert counts == [9, 9, 9]


def test_progress_counts_texts(encoder):
    network = TextEncoder(encoder)._network()
    for long_texts in ("truncate", "windows"):
        model = TextEncoder(encoder, **PARAMS | {"long_texts": long_texts})
        rows = text_rows(TEXTS, model, {1}, reset=None)
        counts = []
        network.embeddings(rows, model._where()._replace(done=counts.append), "embed")
        assert sum(counts) == len(TEXTS)


@pytest.mark.parametrize("layers", [0, "all"])
def test_pickles_read_windows(encoder, layers):
    clf = TextClassifier(encoder, trainable_layers=layers, **WINDOWS, **FITS).fit(X, Y)
    loaded = pickle.loads(pickle.dumps(clf))
    assert_array_equal(loaded.decision_function(TEXTS), clf.decision_function(TEXTS))


def test_a_grid_search_chooses(encoder):
    clf = TextClassifier(encoder, trainable_layers=0, **PARAMS)
    search = GridSearchCV(clf, {"long_texts": ["truncate", "windows"]}, cv=2)
    with pytest.warns(UserWarning, match="texts are longer"):
        search.fit(X, Y)
    assert search.best_params_ == {"long_texts": "windows"}


@pytest.mark.slow
def test_a_killed_fit_goes_on(encoder, tmp_path, monkeypatch):
    clf = TextClassifier(encoder, **WINDOWS, **FITS)
    expected = clone(clf).fit(X, Y).decision_function(X)
    clf.set_params(checkpoint_dir=tmp_path)
    save = _training_loop._Run.save

    def save_and_stop(run):
        save(run)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(_training_loop._Run, "save", save_and_stop)
        with pytest.raises(KeyboardInterrupt):
            clone(clf).fit(X, Y)
    with pytest.raises(ValueError, match="window_overlap"):
        clone(clf).set_params(window_overlap=5).fit(X, Y)
    assert_array_equal(clone(clf).fit(X, Y).decision_function(X), expected)
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_a_fit_goes_on_with_windows(encoder):
    clf = TextClassifier(encoder, warm_start=True, **WINDOWS, **FITS)
    assert clf.fit(X, Y).fit(X, Y).history_["epoch"] == [1, 2, 3, 4]
    stepwise = TextClassifier(encoder, **WINDOWS, **FITS)
    for _ in range(2):
        stepwise.partial_fit(X, Y, classes=np.unique(Y))
    assert stepwise.history_["epoch"] == [1, 2]


def test_a_missing_text_is_masked(trained):
    masked = pickle.loads(pickle.dumps(trained)).set_params(on_error="nan")
    texts = TEXTS.copy()
    expected = np.insert(masked.decision_function(texts), 2, np.nan, axis=0)
    with pytest.warns(UserWarning, match="1 of 10 rows"):
        made = masked.decision_function(np.insert(texts, 2, None))
    assert_allclose(made, expected, atol=1e-5)


KINDS = [TextClassifier, TextRegressor, TextEncoder]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("params", "match"),
    [
        ({"long_texts": "cut"}, "'long_texts' parameter of"),
        ({"long_texts": None}, "'long_texts' parameter of"),
        ({"window_overlap": -1}, "'window_overlap' parameter of"),
        ({"window_overlap": 4.0}, "'window_overlap' parameter of"),
        (
            {"window_overlap": 14},
            "window_overlap=14 must be smaller than 14: with max_length=",
        ),
    ],
    ids=repr,
)
def test_bad_parameters(encoder, kind, params, match):
    estimator = kind(encoder, **WINDOWS | params)
    with pytest.raises(ValueError, match=match):
        estimator.fit(SHORT, np.arange(24) % 2)
    if kind is TextEncoder:
        with pytest.raises(ValueError, match=match):
            estimator.transform(SHORT)


@pytest.mark.parametrize("kind", KINDS)
def test_a_large_overlap_does_no_harm_without_windows(encoder, kind):
    kind(encoder, **PARAMS | {"window_overlap": 99}).fit(SHORT, np.arange(24) % 2)


@pytest.mark.parametrize("kind", KINDS)
def test_tokenizers_written_in_python_are_refused(folder, kind):
    estimator = kind(phobert(tiny_bert(folder.parent / "python")), **WINDOWS)
    with pytest.raises(ValueError, match="PhobertTokenizer is a tokenizer that is written in Py"):
        estimator.fit(SHORT, np.arange(24) % 2)
    if kind is TextEncoder:
        with pytest.raises(ValueError, match="PhobertTokenizer is a tokenizer that is written"):
            estimator.transform(SHORT)


@pytest.mark.parametrize("layers", [0, "all"])
@pytest.mark.parametrize("kind", [TextClassifier, TextRegressor])
def test_pairs_are_refused(encoder, kind, layers):
    pairs = np.column_stack([SHORT, X])
    estimator = kind(encoder, trainable_layers=layers, **WINDOWS, **FITS)
    with pytest.raises(ValueError, match=r'long_texts="windows" is only for single texts.*"trunca'):
        estimator.fit(pairs, np.arange(24) % 2)
    assert not hasattr(estimator, "n_features_in_")


def test_the_warning_of_texts_that_are_cut_names_the_choice_where_there_is_one(encoder):
    choice = 'only their beginning was read. Set long_texts="windows" to read them whole.'
    with pytest.warns(UserWarning, match="24 of 24 texts") as caught:
        TextClassifier(encoder, trainable_layers=0, **PARAMS).fit(X, Y)
    assert str(caught[0].message).endswith(choice)
    pairs = np.column_stack([SHORT, X])
    with pytest.warns(UserWarning, match=r"beginning was read\.$"):
        TextClassifier(encoder, trainable_layers=0, **PARAMS).fit(pairs, Y)
    model = SentenceSimilarityRegressor(encoder, max_epochs=0, max_length=16).fit(
        np.column_stack([SHORT, SHORT])
    )
    with pytest.warns(UserWarning, match=r"beginning was read\.$"):
        model.embed(X)
