"""The pytest decorators, and the choice of the checks for an estimator."""

import re
from functools import partial
from numbers import Real

import numpy as np
from sklearn.base import is_classifier, is_regressor
from sklearn.utils import get_tags
from sklearn.utils.validation import has_fit_parameter

from sklearn_dl.testing import _fit, _rows, _targets
from sklearn_dl.testing._data import CheckData, image_data, needs_fit, text_data
from sklearn_dl.utils._columns import counted

# scikit-learn's own checks that do not need X, in `sklearn.utils.estimator_checks`
WITHOUT_ROWS = (
    "check_estimator_cloneable",
    "check_estimator_tags_renamed",
    "check_valid_tag_types",
    "check_estimator_repr",
    "check_no_attributes_set_in_init",
    "check_do_not_raise_errors_in_init_or_set_params",
    "check_mixin_order",
    "check_parameters_default_constructible",
    "check_get_params_invariance",
    "check_set_params",
    "check_param_validation",
)
WITH_ROWS = {
    name: check
    for module in (_fit, _rows, _targets)
    for name, check in vars(module).items()
    if name.startswith("check_") and check.__module__ == module.__name__
}


def parametrize_with_text_checks(
    estimators, *, n_columns=None, atol=1e-5, expected_failed_checks=None
):
    """Pytest decorator that runs the checks on estimators that take texts.

    scikit-learn's `parametrize_with_checks` passes numbers, so it runs only one check on an
    estimator that takes texts. This decorator runs the same kinds of checks on texts. X has eight
    short texts, of which one is empty and one is not ASCII. y has three classes of strings, or
    positive floats for a regressor.

    Parameters
    ----------
    estimators : list of estimators, or dict of str to estimator
        Estimators that are not fitted. The tests are named by the keys of a dict, or by the reprs
        of the estimators in a list.
    n_columns : int or None, default=None
        None: X is a list of str, as for `sklearn.feature_extraction.text.TfidfVectorizer`. A
        number: X is an object array of shape (n_samples, n_columns), for example with 2 columns
        for pairs of sentences. Data frames with the same rows must give the same results. With
        ``n_columns=1`` and the tag ``input_tags.one_d_array``, so must lists.
    atol : float, default=1e-5
        Largest difference between numbers that should be the same, because the rounding of a
        network depends on the batch. A relative difference of 1e-6 is allowed in addition. 0:
        numbers must be equal.
    expected_failed_checks : callable(estimator) -> dict of str to str, default=None
        Returns the names of the checks that are expected to fail for an estimator, and the reason
        for each. These tests are marked as xfail.

    Returns
    -------
    decorator : pytest.MarkDecorator
        Parametrizes `estimator` and `check`.

    Raises
    ------
    TypeError
        If `estimators` is one estimator, or contains a class.
    ValueError
        If a parameter has a wrong value, or `expected_failed_checks` returns a name that is not a
        check.
    ImportError
        If pytest is not installed.

    See Also
    --------
    parametrize_with_image_checks : The same on images.
    parametrize_with_row_checks : The same on rows that you pass.
    sklearn.utils.estimator_checks.parametrize_with_checks : The same on 2-D arrays of numbers.

    Examples
    --------
    >>> from sklearn.feature_extraction.text import TfidfVectorizer
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn_dl.testing import parametrize_with_text_checks

    >>> @parametrize_with_text_checks([make_pipeline(TfidfVectorizer(), LogisticRegression())])
    ... def test_texts(estimator, check):
    ...     check(estimator)
    """
    is_number = isinstance(n_columns, (int, np.integer)) and not isinstance(n_columns, bool)
    if n_columns is not None and not (is_number and n_columns >= 1):
        raise ValueError(f"n_columns={n_columns!r} must be None or an integer of at least 1.")
    return _parametrize(estimators, text_data(n_columns, atol), expected_failed_checks)


def parametrize_with_image_checks(
    estimators, *, n_columns=None, atol=1e-5, expected_failed_checks=None
):
    """Pytest decorator that runs the checks on estimators that take images.

    X has eight images, which are uint8 arrays of shape (24, 32, 3); y is the same as for
    :func:`parametrize_with_text_checks`.

    Parameters
    ----------
    estimators : list of estimators, or dict of str to estimator
        Estimators that are not fitted. The tests are named by the keys of a dict, or by the reprs
        of the estimators in a list.
    n_columns : {None, 1}, default=None
        None: X is a list of images, and one array of shape (8, 24, 32, 3) must give the same
        results. 1: X is an object array of shape (n_samples, 1). Data frames with the same rows
        must give the same results. With the tag ``input_tags.one_d_array``, so must lists.
    atol, expected_failed_checks
        As for :func:`parametrize_with_text_checks`.

    Returns
    -------
    decorator : pytest.MarkDecorator
        Parametrizes `estimator` and `check`.

    Raises
    ------
    TypeError, ValueError, ImportError
        As :func:`parametrize_with_text_checks` does.

    See Also
    --------
    parametrize_with_row_checks : The same on images that you pass.

    Examples
    --------
    >>> from sklearn_dl import ImageLoader
    >>> from sklearn_dl.testing import parametrize_with_image_checks

    >>> @parametrize_with_image_checks([ImageLoader()], n_columns=1)
    ... def test_images(estimator, check):
    ...     check(estimator)
    """
    if n_columns is not None and (isinstance(n_columns, bool) or n_columns != 1):
        raise ValueError(f"n_columns={n_columns!r} must be None or 1.")
    return _parametrize(estimators, image_data(n_columns, atol), expected_failed_checks)


def parametrize_with_row_checks(estimators, X, y=None, *, atol=1e-5, expected_failed_checks=None):
    """Pytest decorator that runs the checks on estimators with rows of your own.

    Use it for long documents, large images, PIL images, paths, sound, numbers, or frames with
    columns of several kinds.

    Parameters
    ----------
    estimators : list of estimators, or dict of str to estimator
        Estimators that are not fitted. The tests are named by the keys of a dict, or by the reprs
        of the estimators in a list.
    X : list, ndarray, pandas Series or DataFrame
        At least three rows. The same rows in other containers must give the same results: a list
        is also passed as other sequences, a 2-D array as data frames, and pandas as polars.
    y : array-like of shape (n_samples,) or (n_samples, n_outputs), default=None
        Several columns are labels (0 and 1) for a classifier, and targets for a regressor. None:
        three classes of strings, or positive floats for a regressor.
    atol, expected_failed_checks
        As for :func:`parametrize_with_text_checks`.

    Returns
    -------
    decorator : pytest.MarkDecorator
        Parametrizes `estimator` and `check`.

    Raises
    ------
    TypeError, ValueError, ImportError
        As :func:`parametrize_with_text_checks` does. Also if X has none of the types above or fewer
        than three rows, or if the lengths of X and y differ.

    See Also
    --------
    parametrize_with_text_checks : The same on short texts.
    parametrize_with_image_checks : The same on small images.

    Examples
    --------
    >>> from sklearn.feature_extraction.text import TfidfVectorizer
    >>> from sklearn_dl.testing import parametrize_with_row_checks

    >>> documents = ["a long document", "another document", "and a third one"]
    >>> @parametrize_with_row_checks([TfidfVectorizer()], documents)
    ... def test_documents(estimator, check):
    ...     check(estimator)
    """
    if not isinstance(X, (list, np.ndarray)) and not hasattr(X, "iloc"):
        raise TypeError(
            f"X is a {type(X).__name__}; pass a list, an ndarray, or a pandas Series or DataFrame."
        )
    if len(X) < 3:
        raise ValueError(f"X has {counted(len(X), 'row')}; the checks need at least 3.")
    if y is not None and (np.ndim(y) not in (1, 2) or len(y) != len(X)):
        raise ValueError(f"y has shape {np.shape(y)}, but X has {counted(len(X), 'row')}.")
    return _parametrize(estimators, CheckData(X, y, atol), expected_failed_checks)


def _parametrize(estimators, data, expected_failed_checks):
    """The pytest decorator with each estimator and each of its checks."""
    import pytest  # the package does not depend on it

    if not isinstance(data.atol, Real) or data.atol < 0:
        raise ValueError(f"atol={data.atol!r} must be a number of at least 0.")
    if hasattr(estimators, "get_params"):
        raise TypeError(
            f"`estimators` is one {type(estimators).__name__}; pass a list that contains it."
        )
    if expected_failed_checks is not None and not callable(expected_failed_checks):
        raise TypeError("expected_failed_checks must be a function of an estimator, or None.")
    if not isinstance(estimators, dict):
        estimators = _named(estimators)
    if not estimators:
        raise ValueError("`estimators` is empty: nothing would be checked.")
    cases, seen = [], set()
    for name, estimator in estimators.items():
        if isinstance(estimator, type):
            raise TypeError(f"{estimator.__name__} is a class; pass an instance of it.")
        checks = [partial(check, data=data) for check in _checks(estimator, data)]
        if type(estimator) not in seen:
            checks = [*_checks_without_rows(estimator, data), *checks]
        seen.add(type(estimator))
        expected = (expected_failed_checks and expected_failed_checks(estimator)) or {}
        for unknown in expected.keys() - WITH_ROWS.keys() - set(WITHOUT_ROWS):
            raise ValueError(f"expected_failed_checks names {unknown!r}, which is not a check.")
        for check in checks:
            what = check.func.__name__
            marks = [pytest.mark.xfail(reason=expected[what])] if what in expected else []
            cases.append(pytest.param(estimator, check, marks=marks, id=f"{name}-{what}"))
    return pytest.mark.parametrize(("estimator", "check"), cases)


def _named(estimators):
    """Estimators by their reprs without spaces and addresses, as addresses differ by process."""
    named: dict = {}
    for estimator in estimators:
        name = re.sub(r" at 0x[0-9a-f]+|\s", "", str(estimator))
        alike = [known for known in named if known.split("#")[0] == name]
        named[f"{name}#{len(alike) + 1}" if alike else name] = estimator
    return named


def _checks_without_rows(estimator, data):
    """Yield scikit-learn's checks that need no X; its own suite runs them for 2-D numbers."""
    numbers = data.is_table and data.X.dtype != object
    if numbers and get_tags(estimator).input_tags.two_d_array:
        return
    from sklearn.utils import estimator_checks  # it imports half of scikit-learn, and pytest

    for name in WITHOUT_ROWS:
        # only an estimator whose parameters are validated by scikit-learn can pass this check
        if name != "check_param_validation" or hasattr(estimator, "_parameter_constraints"):
            yield partial(getattr(estimator_checks, name), type(estimator).__name__)


def _checks(estimator, data):
    """The checks that an estimator's tags and methods call for."""
    tags = get_tags(estimator)
    yield _fit.check_estimators_fit_returns_self
    yield _fit.check_estimators_overwrite_params
    yield _fit.check_dont_overwrite_parameters
    yield _fit.check_fit_one_sample
    yield _fit.check_estimators_empty_data_messages
    yield _fit.check_dict_unchanged
    yield _rows.check_readonly_input
    yield _rows.check_what_is_not_rows
    if data.may_miss_cells and not tags.input_tags.allow_nan:
        yield _rows.check_missing_cells
    if data.may_miss_cells and data.n_columns is not None:
        yield _rows.check_errors_name_the_index
    if needs_fit(estimator) or not tags.non_deterministic:
        yield _fit.check_estimators_unfitted
    if not tags.non_deterministic:
        yield from _comparing_checks(estimator)
    if data.is_table:
        yield _rows.check_n_features_in
    if data.n_columns is not None:
        yield _rows.check_dataframe_column_names_consistency
    if hasattr(estimator, "transform") and hasattr(estimator, "get_feature_names_out"):
        yield _rows.check_transformer_get_feature_names_out
    if is_classifier(estimator):
        yield _targets.check_classifiers_train
        yield _targets.check_classifiers_classes
        yield _targets.check_classifiers_one_label
        yield _targets.check_classifiers_regression_target
        if hasattr(estimator, "decision_function") and hasattr(estimator, "predict_proba"):
            yield _targets.check_decision_proba_consistency
        if tags.classifier_tags.multi_label:
            yield _targets.check_classifiers_multilabel
        if not tags.target_tags.multi_output:
            yield _targets.check_classifiers_multioutput_refused
    if is_regressor(estimator):
        yield _targets.check_regressors_train
        if tags.target_tags.multi_output:
            yield _targets.check_regressors_multioutput
    if hasattr(estimator, "partial_fit") and (is_classifier(estimator) or is_regressor(estimator)):
        yield _targets.check_partial_fit
    if tags.target_tags.required:
        yield _targets.check_requires_y_none
        yield _targets.check_supervised_y_no_nan
        yield _targets.check_consistent_length
    if has_fit_parameter(estimator, "sample_weight"):
        yield _targets.check_sample_weights_shape
        yield _targets.check_all_zero_sample_weights_error


def _comparing_checks(estimator):
    """The checks that compare two fits or calls; they need deterministic results."""
    yield _fit.check_fit_idempotent
    yield _fit.check_fit_forgets_earlier_rows
    yield _fit.check_estimators_pickle
    yield _fit.check_unfitted_estimators_pickle
    yield _fit.check_fitted_estimators_clone
    yield _rows.check_methods_sample_order_invariance
    yield _rows.check_methods_subset_invariance
    yield _rows.check_methods_on_no_rows
    yield _rows.check_containers_mean_the_same
    if hasattr(estimator, "transform"):
        if hasattr(estimator, "fit_transform"):
            yield _fit.check_transformer_general
        if hasattr(estimator, "set_output"):
            yield _rows.check_set_output_pandas
            yield _rows.check_set_output_polars
    if is_regressor(estimator):
        yield _targets.check_regressors_int
    if is_classifier(estimator) and get_tags(estimator).classifier_tags.multi_label:
        yield _targets.check_classifiers_multilabel_representation_invariance
    if get_tags(estimator).target_tags.required:
        yield _targets.check_target_containers_mean_the_same
    if has_fit_parameter(estimator, "sample_weight"):
        yield _targets.check_sample_weights
        yield _targets.check_sample_weight_zero
