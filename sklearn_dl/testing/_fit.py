"""Checks of `fit` and of copies: what it sets, keeps, and gives when it is called again."""

import copy
import pickle
import re
from contextlib import suppress
from importlib import import_module
from io import BytesIO
from unittest import SkipTest

import joblib
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

from sklearn_dl.testing._data import (
    as_array,
    assert_refused,
    assert_same,
    assert_same_results,
    fresh,
    methods,
    needs_fit,
    results,
)


def check_estimators_fit_returns_self(estimator, data):
    """`fit` returns the estimator."""
    unfitted = fresh(estimator)
    assert unfitted.fit(data.X, data.targets(estimator)) is unfitted


def check_estimators_overwrite_params(estimator, data):
    """`fit` leaves every parameter as it was."""
    unfitted = fresh(estimator)
    before = unfitted.get_params(deep=False)
    unfitted.fit(data.X, data.targets(estimator))
    after = unfitted.get_params(deep=False)
    changed = [name for name, value in before.items() if not _is_same(after[name], value)]
    assert not changed, f"fit changed the parameters {changed}"


def check_dont_overwrite_parameters(estimator, data):
    """Public attributes that `fit` adds end with an underscore."""
    unfitted = fresh(estimator)
    before = set(vars(unfitted))
    unfitted.fit(data.X, data.targets(estimator))
    added = set(vars(unfitted)) - before
    wrong = sorted(n for n in added if not (n.startswith("_") or n.endswith("_")))
    assert not wrong, f"fit added the attributes {wrong}, whose names do not end with '_'"


def check_fit_idempotent(estimator, data):
    """A second `fit` on the same rows gives the same results."""
    refitted = data.fit(estimator).fit(data.X, data.targets(estimator))
    assert_same_results(results(refitted, data.X), results(data.fitted(estimator), data.X))


def check_fit_forgets_earlier_rows(estimator, data):
    """`fit` on other rows gives what a new estimator gives that is fitted on them alone."""
    half = range(len(data) // 2 + 1)
    X, y = data.take(half), data.targets(estimator)[list(half)]
    refitted = data.fit(estimator).fit(X, y)
    assert_same_results(results(refitted, X), results(fresh(estimator).fit(X, y), X))


def check_transformer_general(estimator, data):
    """`fit_transform` gives what `fit` and then `transform` give."""
    unfitted = fresh(estimator)
    transformed = as_array(unfitted.fit_transform(data.X, data.targets(estimator)))
    expected = as_array(data.fitted(estimator).transform(data.X))
    assert_same(transformed, expected, where="fit_transform")


def check_estimators_unfitted(estimator, data):
    """Before `fit`, methods raise NotFittedError; with the tag ``requires_fit=False`` they work."""
    for name in methods(estimator):
        method = getattr(fresh(estimator), name)
        if needs_fit(estimator):
            assert_refused(f"{name} before fit", method, data.X, errors=NotFittedError)
        else:
            expected = getattr(data.fitted(estimator), name)(data.X)
            assert_same(as_array(method(data.X)), as_array(expected), where=name)


def check_estimators_pickle(estimator, data):
    """Copies by pickle, joblib, cloudpickle and deepcopy give the same results, and fit again."""
    fitted = data.fitted(estimator)
    expected = results(fitted, data.X)
    for how, copied in copies(fitted).items():
        actual = results(copied, data.X)
        for name, array in expected.items():
            assert_same(actual[name], array, where=f"{how}: {name}")
    refitted = copied.fit(data.X, data.targets(estimator))
    assert_same_results(results(refitted, data.X), expected)


def check_unfitted_estimators_pickle(estimator, data):
    """Copies that are made before `fit` can be fitted, and give the same results."""
    expected = results(data.fitted(estimator), data.X)
    unfitted = fresh(estimator)
    for copied in (pickle.loads(pickle.dumps(unfitted)), copy.deepcopy(unfitted)):
        fitted = copied.fit(data.X, data.targets(estimator))
        assert_same_results(results(fitted, data.X), expected)


def copies(estimator):
    """Copies of an estimator, by the name of how each is made."""
    made = {f"pickle protocol {p}": pickle.loads(pickle.dumps(estimator, p)) for p in range(2, 6)}
    with suppress(ImportError):
        made["cloudpickle"] = pickle.loads(import_module("cloudpickle").dumps(estimator))
    buffer = BytesIO()
    joblib.dump(estimator, buffer)
    buffer.seek(0)
    made["joblib"] = joblib.load(buffer)
    made["deepcopy"] = copy.deepcopy(estimator)
    return made


def check_fitted_estimators_clone(estimator, data):
    """A clone of a fitted estimator is not fitted, and gives the same results once it is."""
    cloned = clone(data.fitted(estimator))
    assert not hasattr(cloned, "n_features_in_")
    cloned.fit(data.X, data.targets(estimator))
    assert_same_results(results(cloned, data.X), results(data.fitted(estimator), data.X))


def check_fit_one_sample(estimator, data):
    """`fit` on one row works, or raises a ValueError that speaks of one sample or one class."""
    try:
        fresh(estimator).fit(data.take([0]), data.targets(estimator)[:1])
    except ValueError as error:
        said = r"(?i)\b(1|one) (sample|row|class|text|image)|n_samples ?= ?1\b"
        if not re.search(said, str(error)):
            raise AssertionError("the error does not say that X has one row") from error


def check_estimators_empty_data_messages(estimator, data):
    """`fit` on no row raises a ValueError, unless nothing is learned in `fit`."""
    if not needs_fit(estimator):
        raise SkipTest("the estimator learns nothing in fit")
    y = data.targets(estimator)[:0]
    assert_refused("X without rows", fresh(estimator).fit, data.take([]), y)


def check_dict_unchanged(estimator, data):
    """Methods other than `fit` leave the estimator's attributes the objects that they were."""
    fitted = data.fit(estimator)
    before = dict(vars(fitted))
    for name in methods(fitted):
        getattr(fitted, name)(data.X)
        after = vars(fitted)
        assert after.keys() == before.keys(), f"{name} added or removed attributes"
        changed = [key for key, value in before.items() if not _is_same(after[key], value)]
        assert not changed, f"{name} changed {changed}"


def _is_same(value, other):
    return value is other or joblib.hash(value) == joblib.hash(other)
