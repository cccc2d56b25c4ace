"""Fits and predictions with settings of torch and scikit-learn that other code has changed."""

import copy
import pickle
import threading
from contextlib import ExitStack, contextmanager
from itertools import chain

import numpy as np
import pytest
import sklearn
import torch
from numpy.testing import assert_array_equal

from sklearn_dl import (
    ImageClassifier,
    ObjectDetector,
    SentenceSimilarityRegressor,
    TextEncoder,
    clear_sessions,
)
from sklearn_dl.runtimes.torch._device import torch_settings
from tests.training.reviews import LABELS, TEXTS
from tests.vision.detection.drawn_squares import QUICK, drawn_images, small_maps

PAIRS = list(zip(TEXTS, TEXTS[1:] + TEXTS[:1], strict=True))
IMAGES = [np.random.default_rng(i).integers(0, 255, (16, 16, 3), dtype=np.uint8) for i in range(8)]


@contextmanager
def changed(set_it, value, old):
    set_it(value)
    try:
        yield
    finally:
        set_it(old)


def products(value):
    products = torch.backends.mkldnn.matmul
    return changed(
        lambda precision: setattr(products, "fp32_precision", precision),
        value,
        products.fp32_precision,
    )


@contextmanager
def inside_a_step_of_others():
    """Copies of weights that autocast keeps are of no use once the weights have changed."""
    with torch.autocast("cpu", torch.bfloat16), torch.enable_grad():
        torch.nn.Linear(2, 2)(torch.ones(1, 2))
        yield


SETTINGS = {
    "no_grad": torch.no_grad,
    "inference_mode": torch.inference_mode,
    "grad off": lambda: changed(torch.set_grad_enabled, False, True),
    "float64": lambda: changed(torch.set_default_dtype, torch.float64, torch.float32),
    "float16": lambda: changed(torch.set_default_dtype, torch.float16, torch.float32),
    "autocast": inside_a_step_of_others,
    "device": lambda: torch.device("meta"),
    "products": lambda: products("bf16"),
    "polars": lambda: sklearn.config_context(transform_output="polars"),
    "pandas": lambda: sklearn.config_context(transform_output="pandas"),
}

# each group has at most one of those that hide each other: if one of them counts, the bits change
TOGETHER = {
    "no_grad": ["no_grad", "float64", "polars", "device"],
    "inference_mode": ["inference_mode", "float16", "pandas"],
    "autocast": ["autocast", "grad off", "products"],
}


def state():
    return (
        torch.is_grad_enabled(),
        torch.is_inference_mode_enabled(),
        torch.get_default_dtype(),
        torch.get_default_device(),
        torch.is_autocast_enabled("cpu"),
        torch.get_autocast_dtype("cpu"),
        torch.backends.mkldnn.matmul.fp32_precision,
        torch.backends.cuda.matmul.fp32_precision,
        torch.get_num_threads(),
    )


with torch.random.fork_rng([]):
    torch.manual_seed(0)
    NETWORK = torch.nn.Sequential(
        torch.nn.Conv2d(3, 4, 3, stride=2), torch.nn.ReLU(), torch.nn.Conv2d(4, 4, 3)
    )


def made_alike():
    return copy.deepcopy(NETWORK)


def images(**params):
    clf = ImageClassifier(
        made_alike,
        image_size=16,
        max_epochs=2,
        precision="float32",
        random_state=0,
        **params,
    )
    return clf, IMAGES, [0, 1] * 4, "predict_proba"


MAPS = small_maps()


def maps_alike():
    return copy.deepcopy(MAPS)


def objects(**params):
    detector = ObjectDetector(maps_alike, **QUICK | params)
    return detector, *drawn_images(4), "predict"


KINDS = ["trained", "early stopping", "frozen", "bfloat16", "bi-encoder", "cross-encoder"]
KINDS += ["encoder", "frozen images", "trained images", "frozen objects", "trained objects"]


@pytest.fixture
def cases(make_classifier, encoder):
    return cases_of(make_classifier, encoder)


def equal(found, expected):
    """Assert that predictions are equal, bit for bit: of a detector, an array for each row."""
    assert len(found) == len(expected)
    for one, other in zip(found, expected, strict=True):
        assert_array_equal(one, other)


def cases_of(make_classifier, encoder):
    """For each of KINDS: an estimator that is not fitted, X, y and a method to predict with."""
    options = {"max_length": 16, "precision": "float32", "random_state": 0, "max_epochs": 2}
    numbers = np.arange(len(PAIRS)) % 5.0

    def pairs(**params):
        model = SentenceSimilarityRegressor(encoder, **options | params)
        return model, PAIRS, numbers, "predict"

    return {
        "trained": lambda: (make_classifier(), TEXTS, LABELS, "predict_proba"),
        "early stopping": lambda: (
            make_classifier(trainable_layers=1, early_stopping=True),
            TEXTS,
            LABELS,
            "predict_proba",
        ),
        "frozen": lambda: (make_classifier(trainable_layers=0), TEXTS, LABELS, "predict_proba"),
        "bfloat16": lambda: (make_classifier(precision="bfloat16"), TEXTS, LABELS, "predict_proba"),
        "bi-encoder": pairs,
        "cross-encoder": lambda: pairs(architecture="cross-encoder"),
        "encoder": lambda: (
            TextEncoder(encoder, max_length=16, precision="float32").set_output(
                transform="default"
            ),
            TEXTS,
            LABELS,
            "transform",
        ),
        "frozen images": images,
        "trained images": lambda: images(trainable_layers="all"),
        "frozen objects": objects,
        "trained objects": lambda: objects(trainable_layers=1),
    }


@pytest.fixture(scope="module")
def expected_of(make_classifier, encoder):
    """For each case what it predicts without others' settings, and its pickle."""
    cases, made = cases_of(make_classifier, encoder), {}

    def expected(kind):
        if kind not in made:
            model, X, y, method = cases[kind]()
            made[kind] = getattr(model.fit(X, y), method)(X), pickle.dumps(model)
        return made[kind]

    return expected


def check_settings(case, expected_and_pickle, names):
    """A fit and predictions inside these settings give the same and leave them as they were."""
    expected, data = expected_and_pickle
    clear_sessions()
    with ExitStack() as settings:
        for name in names:
            settings.enter_context(SETTINGS[name]())
        before = state()
        inside, X, y, method = case()
        made = getattr(inside.fit(X, y), method)(X)
        assert state() == before
        loaded = getattr(pickle.loads(data), method)(X)
        assert state() == before
    equal(made, expected)
    equal(loaded, expected)
    # what was fitted inside learns and predicts outside, and is as exact
    equal(getattr(inside, method)(X), expected)
    again, *_ = case()
    equal(getattr(again.fit(X, y), method)(X), expected)


@pytest.mark.slow
@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize("together", TOGETHER)
@pytest.mark.parametrize("kind", KINDS)
def test_settings_together_change_nothing_and_stay(cases, expected_of, kind, together):
    check_settings(cases[kind], expected_of(kind), TOGETHER[together])


def test_every_setting_is_in_one_group():
    assert sorted(chain(*TOGETHER.values())) == sorted(SETTINGS)


@pytest.mark.slow
@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize("setting", SETTINGS)
@pytest.mark.parametrize("kind", KINDS)
def test_each_setting_changes_nothing_and_stays(cases, expected_of, kind, setting):
    check_settings(cases[kind], expected_of(kind), [setting])


@pytest.mark.usefixtures("one_thread")
def test_a_network_loaded_in_inference_mode_can_be_trained_later(make_classifier):
    expected = make_classifier().fit(TEXTS, LABELS).predict_proba(TEXTS)
    clf = pickle.loads(pickle.dumps(make_classifier(warm_start=True).fit(TEXTS, LABELS)))
    with torch.inference_mode():
        assert_array_equal(clf.predict_proba(TEXTS), expected)
    assert len(clf.fit(TEXTS, LABELS).history_["epoch"]) == 4


def test_settings_come_back_when_the_last_of_two_threads_ends():
    entered, left = threading.Event(), threading.Event()
    seen = []

    def other():
        with torch_settings():
            entered.set()
            left.wait(60)
            seen.append(torch.get_default_dtype())

    thread = threading.Thread(target=other)
    with SETTINGS["float64"]():
        with torch_settings():
            thread.start()
            entered.wait(60)
        left.set()
        thread.join()
        assert seen == [torch.float32]
        assert torch.get_default_dtype() == torch.float64
