"""Parameters of the estimators: one word means one thing, and its docstrings say the same."""

import ast
import inspect
import re
from inspect import signature

import pytest
from sklearn.base import BaseEstimator

import sklearn_dl

ESTIMATORS = [
    value
    for value in (getattr(sklearn_dl, name) for name in sklearn_dl.__all__)
    if isinstance(value, type) and issubclass(value, BaseEstimator)
]
PARAMETERS = {estimator: list(signature(estimator).parameters) for estimator in ESTIMATORS}


def sections(estimator):
    """The names, type and text of each entry among the parameters of a docstring."""
    section = inspect.getdoc(estimator).split("Parameters\n----------\n")[1]
    section = re.split(r"\n\w[\w ]*\n-{3,}\n", section)[0]
    parts = re.split(r"^(\w[\w, ]*) : (.*)$", section, flags=re.M)[1:]
    return zip(parts[::3], parts[1::3], parts[2::3], strict=True)


def descriptions(estimator):
    """The text of each parameter in a docstring, as one line."""
    return {
        name: " ".join(text.split())
        for names, _, text in sections(estimator)
        for name in names.split(", ")
    }


def stated_defaults(estimator):
    """The default of each parameter that has one, as the docstring states it: a str."""
    stated = {}
    for names, kind, _ in sections(estimator):
        if "default=" in kind:
            names, defaults = names.split(", "), kind.split("default=")[1].split(" and ")
            stated |= dict(zip(names, defaults * (len(names) // len(defaults)), strict=True))
    return stated


TEXTS = {estimator: descriptions(estimator) for estimator in ESTIMATORS}
TRAINED = [estimator for estimator in ESTIMATORS if "max_epochs" in PARAMETERS[estimator]]
# what follows the first sentence is for each estimator alone
OWN_DETAILS = {
    "C",
    "augment",
    "batch_size",
    "class_weight",
    "image_size",
    "model",
    "precision",
    "trainable_layers",
}
SHARED = sorted(
    name
    for name in set().union(*PARAMETERS.values())
    if sum(name in names for names in PARAMETERS.values()) > 1
)


def test_estimators_and_shared_parameters_are_found():
    assert len(ESTIMATORS) >= 13
    assert {"batch_size", "classes", "memory", "model", "on_error", "verbose"} <= set(SHARED)


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_an_attribute_named_like_a_parameter_of_others_is_a_parameter(estimator):
    known = set().union(*PARAMETERS.values())
    assert [name for name in known - {*PARAMETERS[estimator]} if hasattr(estimator, name)] == []


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_every_parameter_is_described_in_its_order(estimator):
    assert list(TEXTS[estimator]) == PARAMETERS[estimator]


@pytest.mark.parametrize("name", SHARED)
def test_a_shared_parameter_means_the_same_everywhere(name):
    """All descriptions begin with the same sentence, and then say what is special."""
    first = {re.split(r"(?<=\.)\s", texts[name])[0] for texts in TEXTS.values() if name in texts}
    assert len(first) == 1


@pytest.mark.parametrize("name", [name for name in SHARED if name not in OWN_DETAILS])
def test_estimators_that_train_describe_it_in_the_same_words_and_may_go_on(name):
    texts = [TEXTS[estimator][name] for estimator in TRAINED if name in TEXTS[estimator]]
    if texts:
        shortest = min(texts, key=len)
        assert [text for text in texts if not text.startswith(shortest)] == []


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_defaults_are_stated_as_they_are(estimator):
    parameters = signature(estimator).parameters
    defaults = {n: p.default for n, p in parameters.items() if p.default is not p.empty}
    stated = {name: ast.literal_eval(text) for name, text in stated_defaults(estimator).items()}
    assert stated == defaults
