"""What `search_space` returns, for every estimator that trains a network, and in searches."""

import pickle
from inspect import signature

import numpy as np
import pytest
from sklearn.base import BaseEstimator, clone
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.model_selection import HalvingRandomSearchCV, ParameterSampler, RandomizedSearchCV
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer

import sklearn_dl
from sklearn_dl import (
    EntityRecognizer,
    ImageClassifier,
    ImageRegressor,
    ObjectDetector,
    QuestionAnswerer,
    SentenceSimilarityRegressor,
    TextClassifier,
    TextRegressor,
)
from sklearn_dl.utils._sklearn import InvalidParameterError
from tests.vision.backbones import tiny_module

TRAINABLE = [
    value
    for value in (getattr(sklearn_dl, name) for name in sklearn_dl.__all__)
    if isinstance(value, type)
    and issubclass(value, BaseEstimator)
    and "max_epochs" in signature(value).parameters
]
FROZEN = {"trainable_layers": 0}
TRAINED = {"trainable_layers": "all"}
CASES = [
    *(make(**TRAINED) for make in TRAINABLE),
    # a QuestionAnswerer cannot be frozen
    *(make(**FROZEN) for make in TRAINABLE if make is not QuestionAnswerer),
]
# what "auto" stands for
AUTO = {
    (TextClassifier, "C"): [1.0, 30.0],
    (ImageClassifier, "C"): [1.0, 30.0],
    (SentenceSimilarityRegressor, "learning_rate"): [1e-5],
}
TEXTS = ["a good film", "a bad film", "a fine book", "a poor book"] * 4
LABELS = ["good", "bad", "good", "bad"] * 4
# what would change what is read, where it is computed or what is stored
NEVER = {"model", "max_length", "image_size", "device", "precision", "memory", "n_threads"}

sizes = pytest.mark.parametrize("size", ["small", "large"])
every_estimator = pytest.mark.parametrize("make", TRAINABLE)


def contains(values, value):
    if isinstance(values, list):
        return value in values
    low, high = values.support()
    return low <= value <= high


def samples(space, n=50):
    return list(ParameterSampler({**space, "random_state": [0, 1]}, n, random_state=0))


def test_trainable_estimators_are_found():
    assert len(TRAINABLE) == 8


@sizes
@every_estimator
def test_the_default_parameters_are_in_the_space(make, size):
    space = make().search_space(size)
    for name, values in space.items():
        default = signature(make).parameters[name].default
        known = AUTO[make, name] if default == "auto" else [default]
        assert all(contains(values, value) for value in known), name


@sizes
@pytest.mark.parametrize("estimator", CASES, ids=repr)
@pytest.mark.filterwarnings("ignore:The total space of parameters:UserWarning")
def test_all_candidates_are_valid(estimator, size):
    space = estimator.search_space(size)
    assert not NEVER & set(space)
    for candidate in samples(space):
        clone(estimator).set_params(**candidate)._validate_params()


@every_estimator
def test_the_large_space_has_at_least_the_values_of_the_small_one(make):
    small, large = make().search_space(), make().search_space("large")
    assert set(small) <= set(large)
    for name, values in small.items():
        ends = values if isinstance(values, list) else values.support()
        assert all(contains(large[name], value) for value in ends), name


@sizes
@every_estimator
def test_two_calls_return_the_same_values_in_new_objects(make, size):
    first, second = make(**TRAINED).search_space(size), make(**TRAINED).search_space(size)
    assert samples(first) == samples(second)
    first.pop("learning_rate")
    first["max_epochs"].append(1)
    assert samples(make(**TRAINED).search_space(size)) == samples(second)


@sizes
@every_estimator
def test_a_pickled_space_has_the_same_values(make, size):
    space = make(**TRAINED).search_space(size)
    assert samples(pickle.loads(pickle.dumps(space))) == samples(space)


@every_estimator
def test_the_prefix_is_put_before_each_name(make):
    estimator = make()
    names = estimator.search_space("large", prefix="step__")
    assert list(names) == [f"step__{name}" for name in estimator.search_space("large")]


@pytest.mark.parametrize(
    ("estimator", "small", "large"),
    [
        (TextClassifier(**FROZEN), ["C"], ["C"]),
        (ImageClassifier(), ["C"], ["C", "augment"]),
        (ImageRegressor(), [], ["augment"]),
        # their heads have no parameters to choose
        (TextRegressor(**FROZEN), [], []),
        (EntityRecognizer(**FROZEN), [], []),
        (SentenceSimilarityRegressor(max_epochs=0), [], []),
        (SentenceSimilarityRegressor(architecture="cross-encoder", **FROZEN), [], []),
    ],
    ids=repr,
)
def test_a_frozen_network_leaves_what_matters_for_the_head(estimator, small, large):
    assert sorted(estimator.search_space()) == small
    assert sorted(estimator.search_space("large")) == large


@every_estimator
def test_training_is_searched_first_by_rate_epochs_and_batch_size(make):
    small = make(**TRAINED).search_space()
    assert set(small) == {"learning_rate", "max_epochs", "batch_size"}
    large = set(make(**TRAINED).search_space("large"))
    assert large >= {*small, "trainable_layers", "weight_decay"}


def test_learning_rates_suit_what_is_trained():
    bi_encoder = SentenceSimilarityRegressor().search_space()["learning_rate"]
    cross_encoder = SentenceSimilarityRegressor(architecture="cross-encoder").search_space()
    assert bi_encoder.support() == (2e-6, 5e-5)
    assert cross_encoder["learning_rate"].support() == (2e-5, 5e-4)
    head, network = ObjectDetector(), ObjectDetector(**TRAINED)
    assert contains(head.search_space()["learning_rate"], 3e-3)
    assert contains(network.search_space()["learning_rate"], 1e-4)
    assert not contains(network.search_space()["learning_rate"], 3e-3)


@pytest.mark.parametrize(("argument", "value"), [("size", "medium"), ("prefix", None)])
def test_a_wrong_argument_is_named(argument, value):
    with pytest.raises(InvalidParameterError, match=f"The '{argument}' parameter of search_space"):
        QuestionAnswerer().search_space(**{argument: value})


@pytest.mark.slow
def test_it_can_be_searched_at_random(encoder):
    clf = TextClassifier(encoder, max_length=16, precision="float32", **FROZEN)
    search = RandomizedSearchCV(clf, clf.search_space(), n_iter=4, cv=2, random_state=0)
    tried = search.fit(TEXTS, LABELS).cv_results_["param_C"]
    assert len(set(tried)) == 4
    assert search.best_params_["C"] in tried
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    # the fitted estimator has the same space
    again = search.best_estimator_.search_space()
    assert again["C"].support() == clf.search_space()["C"].support()


def test_a_search_without_parameters_tries_the_estimator_as_it_is(encoder):
    reg = TextRegressor(encoder, max_length=16, precision="float32", **FROZEN)
    search = RandomizedSearchCV(reg, reg.search_space(), cv=2)
    with pytest.warns(UserWarning, match="The total space of parameters 1 is smaller"):
        search.fit(TEXTS, np.arange(16.0))
    assert search.cv_results_["params"] == [{}]


def test_a_step_of_a_pipeline_can_be_searched_by_halving(encoder):
    clf = TextClassifier(encoder, max_length=16, precision="float32", **FROZEN)
    pipe = Pipeline([("same", FunctionTransformer()), ("clf", clf)])
    search = HalvingRandomSearchCV(
        pipe, clf.search_space(prefix="clf__"), n_candidates=4, factor=2, cv=2, random_state=0
    )
    search.fit(np.array(TEXTS, dtype=object).reshape(-1, 1), LABELS)
    assert set(search.best_params_) == {"clf__C"}
    assert search.n_candidates_[0] == 4


@pytest.mark.slow
@pytest.mark.parametrize(
    "estimator",
    [ImageClassifier(tiny_module, image_size=12), ImageRegressor(tiny_module, image_size=12)],
    ids=lambda estimator: type(estimator).__name__,
)
def test_values_of_several_types_can_be_searched(estimator):
    rng = np.random.default_rng(0)
    X = list(rng.integers(0, 256, (12, 16, 16, 3), dtype=np.uint8))
    y = np.tile([0, 1], 6)
    estimator.set_params(precision="float32", random_state=0, **TRAINED)
    space = estimator.search_space("large") | {"max_epochs": [1], "trainable_layers": [1, "all"]}
    search = RandomizedSearchCV(
        estimator, space, n_iter=5, cv=2, random_state=0, error_score="raise"
    )
    search.fit(X, y)
    tried = search.cv_results_
    assert set(tried["param_trainable_layers"]) == {1, "all"}
    assert set(tried["param_augment"]) == {None, "standard"}
    assert np.isfinite(tried["mean_test_score"]).all()
