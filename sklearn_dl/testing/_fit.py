"""Checks of `fit`, of repeated fits, and of copies of an estimator."""

import copy
import pickle
from contextlib import suppress
from importlib import import_module
from io import BytesIO

import joblib
import numpy as np
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.utils.validation import check_is_fitted

from sklearn_dl.testing._compare import (
    as_rows,
    assert_refused,
    assert_same,
    assert_same_results,
    assert_says,
    methods,
    result,
    results,
)
from sklearn_dl.testing._data import fresh, needs_fit
from sklearn_dl.utils._columns import counted


def check_estimators_fit_returns_self(estimator, data):
    """`fit` returns the estimator."""
    unfitted = fresh(estimator)
    returned = unfitted.fit(data.X, data.targets(estimator))
    assert returned is unfitted, f"fit returns {returned!r:.200}, not the estimator"


def check_estimators_overwrite_params(estimator, data):
    """`fit` leaves every parameter as it was, including the contents of lists and dicts."""
    unfitted = fresh(estimator)
    before = _hashes_of_params(unfitted)
    unfitted.fit(data.X, data.targets(estimator))
    after = _hashes_of_params(unfitted)
    changed = [name for name in before if after[name] != before[name]]
    assert not changed, f"fit changes the parameters {changed}"


def _hashes_of_params(estimator):
    # hashes of clones, which are not fitted: a Pipeline fits its steps
    params = estimator.get_params(deep=False).items()
    return {name: joblib.hash(clone(value, safe=False)) for name, value in params}


def check_dont_overwrite_parameters(estimator, data):
    """Public attributes that `fit` adds end with an underscore."""
    unfitted = fresh(estimator)
    before = set(vars(unfitted))
    unfitted.fit(data.X, data.targets(estimator))
    added = set(vars(unfitted)) - before
    wrong = sorted(n for n in added if not (n.startswith("_") or n.endswith("_")))
    assert not wrong, f"fit adds the attributes {wrong}, whose names do not end with '_'"


def check_fit_idempotent(estimator, data):
    """A second `fit` on the same rows gives the same results."""
    refitted = data.fit(estimator)
    refitted.fit(data.X, data.targets(estimator))
    expected = results(data.fitted(estimator), data.X)
    assert_same_results(results(refitted, data.X), expected, data.atol, "after a second fit: ")


def check_fit_forgets_earlier_rows(estimator, data):
    """`fit` on other rows gives the same results as a new estimator that saw only these rows."""
    half = range(len(data) // 2 + 1)
    X, y = data.take(half), data.targets(estimator)[list(half)]
    refitted, alone = data.fit(estimator), fresh(estimator)
    refitted.fit(X, y)
    alone.fit(X, y)
    where = "after a fit on other rows: "
    assert_same_results(results(refitted, X), results(alone, X), data.atol, where)


def check_transformer_general(estimator, data):
    """`fit_transform` returns the same as `fit` and then `transform`."""
    transformed = as_rows(fresh(estimator).fit_transform(data.X, data.targets(estimator)))
    expected = as_rows(data.fitted(estimator).transform(data.X))
    assert_same(transformed, expected, data.atol, "fit_transform(X)")


def check_estimators_unfitted(estimator, data):
    """Before `fit`, methods raise NotFittedError; with the tag ``requires_fit=False`` they work."""
    if needs_fit(estimator):
        assert_refused(
            "check_is_fitted before fit", check_is_fitted, fresh(estimator), errors=NotFittedError
        )
    for name in methods(estimator):
        unfitted = fresh(estimator)
        if needs_fit(estimator):
            what = f"{name} before fit"
            assert_refused(what, getattr(unfitted, name), data.X, errors=NotFittedError)
        else:
            expected = result(data.fitted(estimator), name, data.X)
            found = result(unfitted, name, data.X)
            assert_same(found, expected, data.atol, f"before fit: {name}(X)")


def check_estimators_pickle(estimator, data):
    """Copies (pickle, joblib, cloudpickle, deepcopy) return the same results and can be refit."""
    fitted = data.fitted(estimator)
    expected = results(fitted, data.X)
    for how, copied in _copies(fitted).items():
        where = f"a copy by {how}: "
        assert_same_results(results(copied, data.X), expected, data.atol, where)
        if how in ("pickle protocol 5", "deepcopy"):
            copied.fit(data.X, data.targets(estimator))
            where = f"a copy by {how}, fitted again: "
            assert_same_results(results(copied, data.X), expected, data.atol, where)


def check_unfitted_estimators_pickle(estimator, data):
    """Copies by pickle and deepcopy of an unfitted estimator can be fitted."""
    expected = results(data.fitted(estimator), data.X)
    unfitted = fresh(estimator)
    for copied in (pickle.loads(pickle.dumps(unfitted)), copy.deepcopy(unfitted)):
        copied.fit(data.X, data.targets(estimator))
        where = "a copy from before fit: "
        assert_same_results(results(copied, data.X), expected, data.atol, where)


def _copies(estimator):
    """Copies of an estimator, by the name of the method that makes each copy."""
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
    """A clone of a fitted estimator is not fitted; after `fit`, it returns the same results."""
    cloned = clone(data.fitted(estimator))
    if needs_fit(estimator):
        what = "check_is_fitted of a clone of a fitted estimator"
        assert_refused(what, check_is_fitted, cloned, errors=NotFittedError)
    cloned.fit(data.X, data.targets(estimator))
    expected = results(data.fitted(estimator), data.X)
    assert_same_results(results(cloned, data.X), expected, data.atol, "a fitted clone: ")


def check_fit_one_sample(estimator, data):
    """`fit` on one row works, or raises a ValueError about one sample or one class."""
    try:
        fresh(estimator).fit(data.take([0]), data.targets(estimator)[:1])
    except ValueError as error:
        says = "1 sample|1 row|1 class|one sample|one row|one class|n_samples"
        assert_says(error, says, "fit on one row")


def check_estimators_empty_data_messages(estimator, data):
    """If X has no rows, `fit` raises a ValueError; other methods do so, or return no rows."""
    if needs_fit(estimator):
        y = data.targets(estimator)[:0]
        assert_refused("fit without rows", fresh(estimator).fit, data.take([]), y)
    for name in methods(estimator):
        try:
            n_rows = len(result(data.fitted(estimator), name, data.take([])))
        except Exception as error:
            if not isinstance(error, ValueError):
                what = f"{name} without rows raises {type(error).__name__}: {error}"
                raise AssertionError(what) from error
        else:
            assert not n_rows, f"{name} without rows returns {counted(n_rows, 'row')}"


def check_dict_unchanged(estimator, data):
    """Methods other than `fit` leave the estimator's attributes as they were."""
    fitted = data.fit(estimator)
    before = {name: (value, _hash(value)) for name, value in vars(fitted).items()}
    for name in methods(fitted):
        result(fitted, name, data.X)
        after = vars(fitted)
        different = sorted(after.keys() ^ before.keys())
        assert not different, f"{name} adds or removes the attributes {different}"
        changed = [key for key, known in before.items() if not _is_known(after[key], *known)]
        assert not changed, f"{name} changes the attributes {changed}"


def _hash(value):
    """The hash of a plain value, which may change in place or be replaced; None for an object."""
    plain = (list, dict, set, np.ndarray, int, float, str, type(None))
    return joblib.hash(value) if isinstance(value, plain) else None


def _is_known(value, known, hashed):
    return value is known if hashed is None else joblib.hash(value) == hashed
