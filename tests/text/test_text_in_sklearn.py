import pickle

import joblib
import numpy as np
import pandas as pd
import polars as pl
import pytest
import sklearn
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import StackingClassifier, VotingClassifier
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.inspection import permutation_importance
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import (
    GridSearchCV,
    HalvingGridSearchCV,
    StratifiedKFold,
    cross_val_predict,
    cross_validate,
    learning_curve,
)
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils import get_tags

from sklearn_dl import (
    EntityRecognizer,
    QuestionAnswerer,
    SentenceSimilarityRegressor,
    TextClassifier,
    TextEncoder,
    TextRegressor,
    clear_sessions,
)
from sklearn_dl.models._folder import _from_folder
from sklearn_dl.text import _text_network
from tests.text.tiny_encoders import tiny_bert

rng = np.random.default_rng(0)
WORDS = ["film", "book", "plot", "music", "cat", "dog", "house", "tree"]
X = np.array([f"the {rng.choice(WORDS)} is {['bad', 'good'][i % 2]}" for i in range(40)])
Y = np.array(["no", "yes"] * 20)
FRAME = pd.DataFrame({"title": X, "noise": rng.permutation(X), "size": range(40)})


@pytest.fixture
def frozen(encoder):
    return TextClassifier(encoder, trainable_layers=0, max_length=32, precision="float32")


@pytest.fixture
def trained(encoder):
    return TextClassifier(
        encoder,
        max_epochs=1,
        learning_rate=1e-3,
        max_length=32,
        precision="float32",
        random_state=0,
    )


def lower(texts):
    return np.char.lower(texts)


def test_at_the_end_of_a_pipeline(trained):
    pipe = make_pipeline(FunctionTransformer(lower), trained)
    assert pipe.fit(np.char.upper(X), Y).score(np.char.upper(X), Y) > 0.9
    assert_array_equal(pipe.classes_, ["no", "yes"])
    scored = pipe.fit(X, Y, textclassifier__sample_weight=np.ones(40)).predict_proba(X)
    assert_array_equal(scored, pipe.fit(X, Y).predict_proba(X))


@pytest.mark.parametrize("columns", [["title"], ["title", "noise"]], ids=["one", "two"])
@pytest.mark.parametrize("container", ["default", "pandas", "polars"])
def test_after_a_column_transformer(frozen, columns, container):
    chosen = ColumnTransformer([("texts", "passthrough", columns)]).set_output(transform=container)
    frame = pl.DataFrame(FRAME.to_dict("list")) if container == "polars" else FRAME
    pipe = make_pipeline(chosen, frozen).fit(frame, Y)
    assert pipe.score(frame, Y) == 1
    assert pipe[-1].n_features_in_ == len(columns)
    expected = frozen.fit(FRAME[columns].to_numpy(), Y).predict_proba(FRAME[columns].to_numpy())
    assert_array_equal(pipe.fit(frame, Y).predict_proba(frame), expected)


@pytest.mark.parametrize("container", ["pandas", "polars"])
def test_embeddings_beside_numbers(encoder, container):
    text_encoder = TextEncoder(encoder, max_length=32, precision="float32")
    transformer = ColumnTransformer(
        [("text", text_encoder, "title"), ("rest", "passthrough", ["size"])]
    ).set_output(transform=container)
    odd = FRAME.set_axis(range(5, 45), axis=0)
    frame = pl.DataFrame(FRAME.to_dict("list")) if container == "polars" else odd
    made = transformer.fit_transform(frame)
    assert type(made).__module__.split(".")[0] == container
    names = [*(f"text__textencoder{i}" for i in range(32)), "rest__size"]
    assert list(made.columns) == names == transformer.get_feature_names_out().tolist()
    if container == "pandas":
        assert made.index.equals(odd.index)
    assert_array_equal(made.to_numpy()[:, -1], np.arange(40))
    assert (
        make_pipeline(transformer, LogisticRegression(max_iter=5000)).fit(frame, Y).score(frame, Y)
        > 0.9
    )


@pytest.mark.parametrize("kind", ["frozen", "trained"])
def test_cross_validate_with_several_scorers(kind, request):
    scoring = ["accuracy", "roc_auc", "neg_log_loss", "f1_macro"]
    clf = request.getfixturevalue(kind)
    found = cross_validate(clf, FRAME["title"], Y, cv=3, scoring=scoring, error_score="raise")
    assert found["test_accuracy"].mean() > 0.7
    assert found["test_roc_auc"].mean() > 0.7
    assert (found["test_neg_log_loss"] < 0).all()


def test_cross_val_predict_of_pairs_and_similarities(encoder):
    rows = FRAME[["title", "noise"]]
    model = SentenceSimilarityRegressor(encoder, max_epochs=0, max_length=32, precision="float32")
    y = np.arange(40.0)
    assert cross_val_predict(model, rows, y, cv=4).shape == (40,)


@pytest.fixture
def search(frozen, encoder, other_encoder):
    """A search over two models and two lengths of text."""
    grid = {"model": [encoder, other_encoder], "max_length": [8, 32]}
    return GridSearchCV(frozen, grid, cv=2, error_score="raise")


@pytest.mark.slow  # two processes import torch
def test_a_grid_of_models_over_two_processes(search):
    serial = clone(search).fit(X, Y)
    parallel = search.set_params(n_jobs=2).fit(X, Y)
    assert_array_equal(
        parallel.cv_results_["mean_test_score"], serial.cv_results_["mean_test_score"]
    )
    assert parallel.best_params_ == serial.best_params_
    assert_allclose(parallel.predict_proba(X), serial.predict_proba(X), atol=1e-6)


def as_from_another_process(made):
    """A pickled copy, where nothing of the package is in memory."""
    data = pickle.dumps(made)
    clear_sessions()
    _from_folder.cache_clear()
    return pickle.loads(data)


@pytest.mark.slow
def test_a_grid_of_models_whose_candidates_are_pickled(search):
    """Do what a search with processes does, in this process."""
    search.fit(X, Y)
    scores = []
    for params in search.cv_results_["params"]:
        candidate = as_from_another_process(clone(search.estimator).set_params(**params))
        folds = StratifiedKFold(2).split(X, Y)
        scores.append([candidate.fit(X[a], Y[a]).score(X[b], Y[b]) for a, b in folds])
    assert_array_equal(np.mean(scores, axis=1), search.cv_results_["mean_test_score"])
    best = search.cv_results_["params"][np.argmax(np.mean(scores, axis=1))]
    assert search.best_params_ == best
    candidate = as_from_another_process(clone(search.estimator).set_params(**best))
    expected = search.predict_proba(X)
    assert_allclose(candidate.fit(X, Y).predict_proba(X), expected, atol=1e-6)
    assert_allclose(as_from_another_process(search).predict_proba(X), expected, atol=1e-6)


@pytest.mark.slow
def test_a_grid_of_models_over_two_threads(search):
    serial = clone(search).fit(X, Y)
    with joblib.parallel_backend("threading"):
        parallel = search.set_params(n_jobs=2).fit(X, Y)
    assert_array_equal(
        parallel.cv_results_["mean_test_score"], serial.cv_results_["mean_test_score"]
    )
    assert parallel.best_params_ == serial.best_params_
    assert_allclose(parallel.predict_proba(X), serial.predict_proba(X), atol=1e-6)


@pytest.mark.slow
def test_a_halving_search(trained):
    grid = {"learning_rate": [1e-6, 1e-3], "trainable_layers": [0, "all"]}
    search = HalvingGridSearchCV(
        trained, grid, cv=2, min_resources=16, factor=2, random_state=0, error_score="raise"
    )
    assert search.fit(X, Y).best_score_ > 0.9


@pytest.mark.parametrize("method", ["sigmoid", "isotonic"])
def test_calibration(frozen, method):
    calibrated = CalibratedClassifierCV(frozen, method=method, cv=2).fit(X, Y)
    assert calibrated.score(X, Y) > 0.9
    assert_allclose(calibrated.predict_proba(X).sum(1), 1)


def test_a_vote_with_a_bag_of_words(frozen, trained):
    words = make_pipeline(TfidfVectorizer(), LogisticRegression())
    vote = VotingClassifier([("t", trained), ("f", frozen), ("w", words)], voting="soft").fit(X, Y)
    mean = np.mean([made.predict_proba(X) for made in vote.estimators_], axis=0)
    assert_allclose(vote.predict_proba(X), mean)
    assert vote.score(X, Y) == 1


def test_stacking(frozen):
    words = make_pipeline(TfidfVectorizer(), LogisticRegression())
    stack = StackingClassifier([("f", frozen), ("w", words)], cv=2).fit(X, Y)
    assert stack.score(X, Y) == 1
    assert stack.transform(X).shape == (40, 2)


def test_importance_of_two_text_columns(frozen):
    rows = FRAME[["title", "noise"]]
    frozen.fit(rows, Y)
    found = permutation_importance(frozen, rows, Y, n_repeats=3, random_state=0)
    assert found.importances_mean[0] > 0.2 > found.importances_mean[1]


def test_a_learning_curve(frozen):
    sizes, _, scores = learning_curve(
        frozen, X, Y, train_sizes=[4, 20], cv=2, shuffle=True, random_state=0, error_score="raise"
    )
    assert sizes.tolist() == [4, 20]
    assert scores[-1].mean() > 0.9


def test_sample_weights_are_routed(frozen):
    weights = np.where(Y == "yes", 1, 0)
    weights[0] = 1
    with sklearn.config_context(enable_metadata_routing=True):
        clf = frozen.set_fit_request(sample_weight=True).set_score_request(sample_weight=True)
        pipe = Pipeline([("clf", clf)]).fit(X, Y, sample_weight=weights)
        expected = clf.fit(X, Y, sample_weight=weights).predict_proba(X)
        assert_array_equal(pipe.predict_proba(X), expected)
        found = cross_validate(
            pipe, X, Y, cv=2, params={"sample_weight": np.ones(40)}, error_score="raise"
        )
        assert found["test_score"].mean() > 0.9
    assert not np.allclose(expected, frozen.fit(X, Y).predict_proba(X))


@pytest.mark.slow
def test_a_grid_over_models_and_lengths_loads_each_once(frozen, tmp_path, monkeypatch):
    folders = [str(tiny_bert(tmp_path / f"bert-{seed}", seed=seed)) for seed in range(4)]
    loaded = []
    for name in ("load_network", "load_tokenizer"):
        original = getattr(_text_network, name)
        monkeypatch.setattr(
            _text_network, name, lambda content, *args, load=original, name=name: (
                loaded.append((name, content.sha256, *args)) or load(content, *args)
            ),
        )  # fmt: skip
    clear_sessions()
    grid = {"model": folders, "max_length": [16, 32]}
    search = GridSearchCV(frozen, grid, cv=2).fit(X, Y)
    assert len(search.cv_results_["params"]) == 8
    assert sorted(set(loaded)) == sorted(loaded)
    assert len(loaded) == 4 + 8


def test_a_network_beyond_the_limit_does_not_push_its_tokenizer_out(frozen, monkeypatch):
    monkeypatch.setenv("SKLEARN_DL_CACHE_BYTES", "0")
    clear_sessions()
    loaded, load_network = [], _text_network.load_network
    monkeypatch.setattr(
        _text_network, "load_network", lambda *args: loaded.append(args) or load_network(*args)
    )
    frozen.fit(X, Y)
    for _ in range(3):
        frozen.predict(X[:1])
    assert len(loaded) == 1


@pytest.mark.parametrize(
    "kind",
    [
        EntityRecognizer,
        QuestionAnswerer,
        SentenceSimilarityRegressor,
        TextClassifier,
        TextRegressor,
    ],
)
def test_scikit_learn_knows_that_y_is_required(kind):
    assert get_tags(kind()).target_tags.required
