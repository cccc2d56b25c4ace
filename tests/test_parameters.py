"""Parameters of the estimators: one word means one thing, and its docstrings say the same."""

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


def descriptions(estimator):
    """The text of each parameter in a docstring, as one line."""
    section = inspect.getdoc(estimator).split("Parameters\n----------\n")[1]
    section = re.split(r"\n\w[\w ]*\n-{3,}\n", section)[0]
    parts = re.split(r"^(\w[\w, ]*) : .*$", section, flags=re.M)[1:]
    return {
        name: " ".join(text.split())
        for names, text in zip(parts[::2], parts[1::2], strict=True)
        for name in names.split(", ")
    }


TEXTS = {estimator: descriptions(estimator) for estimator in ESTIMATORS}
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
