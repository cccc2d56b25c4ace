"""The base class of the package's estimators."""

import sys
import warnings
from functools import wraps
from operator import is_
from weakref import WeakKeyDictionary

from sklearn.base import BaseEstimator
from sklearn.exceptions import InconsistentVersionWarning

from sklearn_dl._version import __version__
from sklearn_dl.utils._messages import MAX_MESSAGE, brief, shown_bytes
from sklearn_dl.utils._optional import needed_by
from sklearn_dl.utils._sklearn import InvalidParameterError, validate_parameter_constraints

# estimator -> the parameter values that were found valid
_validated: WeakKeyDictionary = WeakKeyDictionary()


def all_or_nothing(fit):
    """Decorate a `fit` so that an error in it leaves the estimator's attributes as they were."""

    @wraps(fit)
    def fit_or_leave(estimator, *args, **kwargs):
        before = dict(vars(estimator))
        try:
            with needed_by(estimator):
                return fit(estimator, *args, **kwargs)
        except BaseException:  # Ctrl-C included
            vars(estimator).clear()
            vars(estimator).update(before)
            raise

    return fit_or_leave


class DeepEstimator(BaseEstimator):
    """A BaseEstimator whose pickles store the package's version, and whose repr shortens models.

    Loading a pickle made by another version warns with
    `sklearn.exceptions.InconsistentVersionWarning`, as it does for scikit-learn's own estimators.
    """

    _parameter_constraints: dict
    # where scikit-learn's HTML repr links to
    _doc_link_module = "sklearn_dl"
    _doc_link_template = (
        "https://sklearn-dl.readthedocs.io/en/stable/generated/sklearn_dl.{estimator_name}.html"
    )

    def get_params(self, deep=True):
        """Return the parameters of this estimator.

        Parameters
        ----------
        deep : bool, default=True
            Whether to include the parameters of estimators that are parameters themselves.

        Returns
        -------
        params : dict
        """
        params = super().get_params(deep)
        # scikit-learn's printer has no hook, and the repr of 18 MB of bytes takes seconds
        if sys._getframe(1).f_globals.get("__name__") == "sklearn.utils._pprint":
            params = {name: shown(value) for name, value in params.items()}
        return params

    def _validate_params(self):
        """Raise an InvalidParameterError if a parameter is not valid."""
        # stateless steps validate at every call, so values that are known to be valid are skipped
        params = {name: getattr(self, name) for name in self._parameter_constraints}
        known = _validated.get(self, ())
        if len(known) == len(params) and all(map(is_, known, params.values())):
            return
        try:
            validate_parameter_constraints(
                self._parameter_constraints, params, caller_name=type(self).__name__
            )
        except InvalidParameterError as error:
            # scikit-learn shows the whole value, which may be a model
            name = next(name for name in params if f"The {name!r} parameter of" in str(error))
            allowed = str(error).partition(". Got ")[0][: MAX_MESSAGE // 2 - 100]
            message = f"{allowed}. Got {brief(params[name])} instead."
            raise InvalidParameterError(message) from None
        _validated[self] = tuple(params.values())

    def _get_params_html(self, *args, **kwargs):
        params = super()._get_params_html(*args, **kwargs)
        params.data = {name: shown(value) for name, value in params.data.items()}
        return params

    def __getstate__(self):
        return {**super().__getstate__(), "_sklearn_dl_version": __version__}

    def __setstate__(self, state):
        state = dict(state)
        pickled = state.pop("_sklearn_dl_version", "unknown")
        if pickled != __version__:
            warnings.warn(
                InconsistentVersionWarning(
                    estimator_name=type(self).__name__,
                    current_sklearn_version=f"(sklearn_dl) {__version__}",
                    original_sklearn_version=f"(sklearn_dl) {pickled}",
                ),
                stacklevel=2,
            )
        super().__setstate__(state)


class _Shown:
    """An object whose repr is a given text."""

    def __init__(self, text):
        self.text = text

    def __repr__(self):
        return self.text


def shown(value):
    """Replace a value with a long or secret repr by an object with a short one.

    The repr of a model in memory shows its size and hash. The repr of the options of a filesystem
    shows only the protocol, because they may contain credentials. Other values are returned as they
    are.
    """
    if isinstance(value, dict) and "protocol" in value:
        return _Shown(f"{{'protocol': {value['protocol']!r}, ...}}") if len(value) > 1 else value
    if hasattr(value, "SerializeToString"):
        value = value.SerializeToString()
    if not isinstance(value, (bytes, bytearray)):
        return value
    return _Shown(shown_bytes(value))
