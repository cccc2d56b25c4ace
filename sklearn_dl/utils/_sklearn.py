"""The private names of scikit-learn that the package uses. They are imported only here."""

from sklearn.base import _clone_parametrized as clone_parametrized

# not from sklearn.experimental, which would add them to sklearn.model_selection
from sklearn.model_selection._search_successive_halving import (
    HalvingGridSearchCV,
    HalvingRandomSearchCV,
)
from sklearn.utils import _safe_indexing as safe_indexing
from sklearn.utils._indexing import _get_column_indices as column_indices
from sklearn.utils._param_validation import (
    HasMethods,
    Interval,
    InvalidParameterError,
    RealNotInt,
    StrOptions,
    validate_parameter_constraints,
)
from sklearn.utils._set_output import ADAPTERS_MANAGER, _get_output_config
from sklearn.utils.validation import _check_sample_weight as check_sample_weight

__all__ = [
    "HalvingGridSearchCV",
    "HalvingRandomSearchCV",
    "HasMethods",
    "Interval",
    "InvalidParameterError",
    "RealNotInt",
    "StrOptions",
    "check_sample_weight",
    "clone_parametrized",
    "column_indices",
    "output_container",
    "safe_indexing",
    "tuned_pos_label",
    "validate_parameter_constraints",
    "wrap_output",
]


def output_container(estimator):
    """Name of the container that `set_output` (or the global config) sets for `transform`.

    Returns
    -------
    container : {"default", "pandas", "polars"}
    """
    return _get_output_config("transform", estimator)["dense"]


def wrap_output(estimator, data, original_input, columns=None, index=None):
    """Wrap 2-D `data` in the configured container.

    It is for steps whose output is not always a table. They cannot use scikit-learn's automatic
    wrapping.

    Parameters
    ----------
    estimator : estimator with `get_feature_names_out`
    data : ndarray of shape (n_samples, n_features)
    original_input : object
        The X of `transform`; a pandas frame's index is kept.
    columns : ndarray of str or None
        Column names. None: the names from the estimator's `get_feature_names_out`, which is called
        only if a container is set.
    index : pandas.Index or None
        Index of the frame. None: the index of `original_input`.
    """
    container = output_container(estimator)
    if container == "default":
        return data
    frame = ADAPTERS_MANAGER.adapters[container].create_container(
        data,
        original_input,
        columns=estimator.get_feature_names_out if columns is None else columns,
    )
    if container == "pandas" and index is not None:
        frame.index = index
    return frame


def tuned_pos_label(classifier):
    """The label of the positive class of a fitted TunedThresholdClassifierCV, or None."""
    return classifier._curve_scorer._get_pos_label()
