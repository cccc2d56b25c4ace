"""Parameters of the estimators: one word means one thing in all of them."""

from inspect import signature

import pytest
from sklearn.base import BaseEstimator

import sklearn_dl

ESTIMATORS = [
    value
    for value in (getattr(sklearn_dl, name) for name in sklearn_dl.__all__)
    if isinstance(value, type) and issubclass(value, BaseEstimator)
]
PARAMETERS = {estimator: set(signature(estimator).parameters) for estimator in ESTIMATORS}


def test_estimators_are_found():
    assert len(ESTIMATORS) >= 13


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_an_attribute_named_like_a_parameter_of_others_is_a_parameter(estimator):
    known = set().union(*PARAMETERS.values())
    assert [name for name in known - PARAMETERS[estimator] if hasattr(estimator, name)] == []
