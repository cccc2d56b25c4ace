"""The pytest decorators, and which check is for which estimator."""

import re
from functools import partial

import numpy as np
from sklearn.base import is_classifier, is_regressor
from sklearn.utils import get_tags
from sklearn.utils.validation import has_fit_parameter

from sklearn_dl.testing import _fit, _rows, _targets
from sklearn_dl.testing._data import CheckData, image_data, text_data
from sklearn_dl.utils._columns import counted
from sklearn_dl.utils._messages import brief

# scikit-learn's own checks that need no X, in `sklearn.utils.estimator_checks`
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
NAMES = {
    name for module in (_fit, _rows, _targets) for name in vars(module) if name.startswith("check_")
} | set(WITHOUT_ROWS)


def parametrize_with_text_checks(
    estimators, *, n_columns=None, atol=1e-5, expected_failed_checks=None
):
    """Pytest decorator that runs the checks of an estimator of texts.

    scikit-learn's `parametrize_with_checks` passes numbers, so it leaves out all but one check
    of an estimator that takes texts. Here are twins of its checks on eight short texts, one of
    them empty and one not ASCII.

    Parameters
    ----------
    estimators : list of estimators, or dict of str to estimator
        Not fitted. The keys of a dict name the tests; of a list the reprs do.
    n_columns : int or None, default=None
        None: X is a list of str, as for `sklearn.feature_extraction.text.TfidfVectorizer`. A
        number: X is an object array of shape (n_samples, n_columns), 2 columns for pairs of
        sentences, and frames must mean the same; so must lists, if it is 1 and the tag
        ``input_tags.one_d_array`` is set.
    atol : float, default=1e-5
        How far a row's numbers may differ when the other rows are others: a network's rounding
        depends on the batch.
    expected_failed_checks : callable(estimator) -> dict of str to str, default=None
        Gives the checks that fail for an estimator: their names, and why. These tests are marked
        as xfail.

    Returns
    -------
    decorator : pytest.MarkDecorator
        Parametrizes `estimator` and `check`.

    Raises
    ------
    TypeError
        If a class is given instead of an estimator.
    ValueError
        If `n_columns` is not a positive integer, or an expected failure is not a check.

    See Also
    --------
    parametrize_with_image_checks : The same on images.
    parametrize_with_row_checks : The same on rows that you give.
    sklearn.utils.estimator_checks.parametrize_with_checks : For estimators of 2-D numbers.

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
    if n_columns is not None and not (isinstance(n_columns, (int, np.integer)) and n_columns >= 1):
        raise ValueError(f"n_columns={n_columns!r} must be None or an integer of at least 1.")
    data = text_data(n_columns, atol)
    return _parametrize(estimators, data, expected_failed_checks)


def parametrize_with_image_checks(
    estimators, *, n_columns=None, atol=1e-5, expected_failed_checks=None
):
    """Pytest decorator that runs the checks of an estimator of images.

    Parameters
    ----------
    estimators : list of estimators, or dict of str to estimator
        Not fitted. The keys of a dict name the tests; of a list the reprs do.
    n_columns : {None, 1}, default=None
        None: X is a list of eight images, uint8 arrays of shape (24, 32, 3), which
        `numpy.asarray` makes an array of four dimensions of. 1: X is an object array of shape
        (n_samples, 1), and frames must mean the same; so must lists, if the tag
        ``input_tags.one_d_array`` is set.
    atol, expected_failed_checks
        As for :func:`parametrize_with_text_checks`.

    Returns
    -------
    decorator : pytest.MarkDecorator
        Parametrizes `estimator` and `check`.

    Raises
    ------
    TypeError
        If a class is given instead of an estimator.
    ValueError
        If `n_columns` is neither None nor 1, or an expected failure is not a check.

    See Also
    --------
    parametrize_with_row_checks : The same on images that you give.

    Examples
    --------
    >>> from sklearn_dl import ImageLoader
    >>> from sklearn_dl.testing import parametrize_with_image_checks

    >>> @parametrize_with_image_checks([ImageLoader()], n_columns=1)
    ... def test_images(estimator, check):
    ...     check(estimator)
    """
    if n_columns not in (None, 1):
        raise ValueError(f"n_columns={n_columns!r} must be None or 1.")
    data = image_data(n_columns, atol)
    return _parametrize(estimators, data, expected_failed_checks)


def parametrize_with_row_checks(estimators, X, y=None, *, atol=1e-5, expected_failed_checks=None):
    """Pytest decorator that runs the checks of an estimator on rows that you give.

    For what neither eight short texts nor eight small images are good for: long documents, large
    images, sound, or numbers of a given number of columns.

    Parameters
    ----------
    estimators : list of estimators, or dict of str to estimator
        Not fitted. The keys of a dict name the tests; of a list the reprs do.
    X : list, pandas Series, or ndarray of shape (n_samples, n_columns)
        At least three rows. A list or Series has one item per row; a Series is for estimators
        that take nothing else. An array is given to the estimators as it is, and as data frames.
    y : array-like of shape (n_samples,), default=None
        None: three classes of strings, or floats for a regressor.
    atol, expected_failed_checks
        As for :func:`parametrize_with_text_checks`.

    Returns
    -------
    decorator : pytest.MarkDecorator
        Parametrizes `estimator` and `check`.

    Raises
    ------
    TypeError
        If a class is given instead of an estimator, or X is neither a list nor an array.
    ValueError
        If X has fewer than three rows, y another length, or an expected failure is not a check.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.feature_extraction.text import TfidfVectorizer
    >>> from sklearn_dl.testing import parametrize_with_row_checks

    >>> documents = ["a long document", "another document", "and a third one"]
    >>> @parametrize_with_row_checks([TfidfVectorizer()], documents)
    ... def test_documents(estimator, check):
    ...     check(estimator)
    """
    is_pandas_series = hasattr(X, "iloc") and X.ndim == 1
    if not (isinstance(X, list) or is_pandas_series or (isinstance(X, np.ndarray) and X.ndim == 2)):
        raise TypeError(
            f"X is {brief(X)}; give a list, a pandas Series, or an array of two dimensions."
        )
    if len(X) < 3:
        raise ValueError(f"X has {counted(len(X), 'row')}; the checks need at least 3.")
    if y is not None and len(y) != len(X):
        raise ValueError(f"y has {len(y)} values for {counted(len(X), 'row')} of X.")
    return _parametrize(estimators, CheckData(X, y, atol), expected_failed_checks)


def _parametrize(estimators, data, expected_failed_checks):
    import pytest  # the package does not depend on it

    named = (
        estimators.items() if isinstance(estimators, dict) else [(_id(e), e) for e in estimators]
    )
    cases, seen = [], set()
    for name, estimator in named:
        if isinstance(estimator, type):
            raise TypeError(f"{estimator.__name__} is a class; give an estimator.")
        checks = list(_checks(estimator, data))
        if type(estimator) not in seen:
            checks = [*_checks_without_rows(estimator), *checks]
        seen.add(type(estimator))
        expected = expected_failed_checks(estimator) if expected_failed_checks else {}
        for unknown in expected.keys() - NAMES:
            raise ValueError(f"expected_failed_checks names {unknown!r}, which is not a check.")
        for check in checks:
            what = check.func.__name__
            marks = [pytest.mark.xfail(reason=expected[what])] if what in expected else []
            cases.append(pytest.param(estimator, check, marks=marks, id=f"{name}-{what}"))
    return pytest.mark.parametrize(("estimator", "check"), cases)


def _id(estimator):
    """The repr without spaces, and without what differs between processes."""
    return re.sub(r" at 0x[0-9a-f]+|\s", "", str(estimator))


def _checks_without_rows(estimator):
    """scikit-learn's checks that need no X; its own suite runs them where X is 2-D numbers."""
    if get_tags(estimator).input_tags.two_d_array:
        return
    from sklearn.utils import estimator_checks  # half of scikit-learn, and pytest

    for name in WITHOUT_ROWS:
        # these constraints are how scikit-learn's own estimators check their parameters
        if name != "check_param_validation" or hasattr(estimator, "_parameter_constraints"):
            yield partial(getattr(estimator_checks, name), type(estimator).__name__)


def _checks(estimator, data):
    for check in _functions(estimator, data):
        yield partial(check, data=data)


def _functions(estimator, data):
    tags = get_tags(estimator)
    yield _fit.check_estimators_fit_returns_self
    yield _fit.check_estimators_overwrite_params
    yield _fit.check_dont_overwrite_parameters
    yield _fit.check_fit_idempotent
    yield _fit.check_fit_forgets_earlier_rows
    yield _fit.check_fit_one_sample
    yield _fit.check_estimators_empty_data_messages
    yield _fit.check_estimators_unfitted
    yield _fit.check_estimators_pickle
    yield _fit.check_unfitted_estimators_pickle
    yield _fit.check_fitted_estimators_clone
    yield _fit.check_dict_unchanged
    if not tags.non_deterministic:
        yield _rows.check_methods_sample_order_invariance
        yield _rows.check_methods_subset_invariance
    yield _rows.check_readonly_input
    yield _rows.check_containers_mean_the_same
    yield _rows.check_what_is_not_rows
    if data.n_columns is not None:
        yield _rows.check_n_features_in
        yield _rows.check_dataframe_column_names_consistency
    if hasattr(estimator, "transform"):
        if hasattr(estimator, "fit_transform"):
            yield _fit.check_transformer_general
        if hasattr(estimator, "get_feature_names_out"):
            yield _rows.check_transformer_get_feature_names_out
        if hasattr(estimator, "set_output"):
            yield _rows.check_set_output_pandas
            yield _rows.check_set_output_polars
    if is_classifier(estimator):
        yield _targets.check_classifiers_train
        yield _targets.check_classifiers_classes
        yield _targets.check_classifiers_one_label
        yield _targets.check_classifiers_regression_target
    if is_regressor(estimator):
        yield _targets.check_regressors_train
        yield _targets.check_regressors_int
    if tags.target_tags.required:
        yield _targets.check_requires_y_none
        yield _targets.check_supervised_y_no_nan
        yield _targets.check_consistent_length
    if has_fit_parameter(estimator, "sample_weight"):
        yield _targets.check_sample_weights
        yield _targets.check_sample_weights_shape
        yield _targets.check_all_zero_sample_weights_error
