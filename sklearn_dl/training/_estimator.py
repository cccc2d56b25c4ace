"""The base class of the estimators that train a network, on texts or on images."""

import os
from abc import abstractmethod
from numbers import Integral, Real
from typing import Any

import numpy as np
from sklearn.callback import CallbackSupportMixin, with_callbacks
from sklearn.metrics import get_scorer_names
from sklearn.utils.validation import check_is_fitted

from sklearn_dl.models._estimator import EMBED_MODEL, ModelEstimator, embeds
from sklearn_dl.runtimes.torch._device import Where
from sklearn_dl.training._feature_store import memory_location
from sklearn_dl.training._fit import fit
from sklearn_dl.training._fitted import Data, Fitted
from sklearn_dl.training._fitted_network import FittedNetwork
from sklearn_dl.training._predictor import Predictor
from sklearn_dl.training._problem import PARTIAL_FIT, WARM_START, Problem
from sklearn_dl.training._rows import Rows
from sklearn_dl.training._search_space import SearchSpaceMixin
from sklearn_dl.utils._base import all_or_nothing
from sklearn_dl.utils._optional import needed_by
from sklearn_dl.utils._sklearn import HasMethods, Interval, RealNotInt, StrOptions


def fit_method(fit):
    """Decorate a `fit`: callbacks are called, and an error leaves the estimator unchanged."""
    return all_or_nothing(with_callbacks(fit))


class TrainedEstimator(SearchSpaceMixin, CallbackSupportMixin, ModelEstimator):
    """Base of the estimators whose network `sklearn_dl.training` fits.

    A subclass has the parameters below. Its `fit` is decorated with `fit_method` and calls `_fit`.
    """

    # the extra of sklearn-dl that installs torch for this estimator
    _extra: str
    # parameters that are not compared when a fit is resumed: the result does not depend on them, or
    # the value that they determine is compared instead (the precision on the device, the seed, ...)
    _not_compared = frozenset(
        {
            "checkpoint_dir",
            "device",
            "embed_model",
            "memory",
            "missing",
            "model",
            "n_threads",
            "on_error",
            "random_state",
            "verbose",
        }
    )
    trainable_layers: Any
    max_epochs: int
    batch_size: int
    learning_rate: Any
    weight_decay: float
    early_stopping: bool
    scoring: Any
    validation_fraction: Any
    n_iter_no_change: int
    tol: float
    precision: str
    device: str
    n_threads: int | None
    on_error: str
    checkpoint_dir: Any
    warm_start: bool
    random_state: Any
    verbose: int
    _predictor: Predictor
    _problem: Problem
    history_: dict[str, list]
    best_epoch_: int

    _training_constraints: dict = {
        "trainable_layers": [StrOptions({"all"}), Interval(Integral, 0, None, closed="left")],
        "max_epochs": [Interval(Integral, 1, None, closed="left")],
        "batch_size": [Interval(Integral, 1, None, closed="left")],
        "learning_rate": [Interval(Real, 0, None, closed="neither")],
        "weight_decay": [Interval(Real, 0, None, closed="left")],
        "early_stopping": ["boolean"],
        "scoring": [StrOptions(set(get_scorer_names())), callable, None],
        "validation_fraction": [
            Interval(RealNotInt, 0, 1, closed="neither"),
            Interval(Integral, 1, None, closed="left"),
        ],
        "n_iter_no_change": [Interval(Integral, 1, None, closed="left")],
        "tol": [Interval(Real, 0, None, closed="left")],
        "precision": [StrOptions({"auto", "float32", "bfloat16"})],
        "device": [str],
        "n_threads": [Interval(Integral, 1, None, closed="left"), None],
        "memory": [str, os.PathLike, HasMethods("cache"), None],
        "checkpoint_dir": [str, os.PathLike, None],
        "warm_start": ["boolean"],
        "embed_model": EMBED_MODEL,
        "on_error": [StrOptions({"raise", "nan"})],
        "random_state": ["random_state"],
        "verbose": ["verbose"],
    }

    def _store(self, arguments):
        """Store the arguments of `__init__` as attributes; `arguments` is its ``locals()``."""
        self.__dict__.update({k: v for k, v in arguments.items() if k not in ("self", "__class__")})

    @property
    def device_(self):
        """Name of the torch device that computes predictions on this machine."""
        check_is_fitted(self)
        return str(self._where().resolved().device)

    def __copy__(self):
        # callbacks copy the estimator in each epoch; __getstate__ would read files each time
        copied = type(self).__new__(type(self))
        copied.__dict__.update(self.__dict__)
        return copied

    def _fit(self, X, y, sample_weight, X_val, y_val, sample_weight_val):
        """Fit the estimator; the `fit` of a subclass calls this."""
        self._validate_params()
        if y is None:
            raise ValueError(
                f"{type(self).__name__} requires y to be passed, but the target y is None."
            )
        self._check_validation_arguments(X_val, y_val, sample_weight_val)
        context = self._init_callback_context(max_subtasks=self.max_epochs * self._trains())
        context.call_on_fit_task_begin(estimator=self, X=X, y=y)
        held_out = None if X_val is None else Data(X_val, y_val, sample_weight_val)
        self._note_content()
        fitted = fit(self, Data(X, y, sample_weight), held_out, context)
        self.__dict__.update(fitted.attributes())
        context.call_on_fit_task_end(estimator=self, X=X, y=y, reconstruction_attributes=dict)
        return self

    def _partial_fit(self, X, y, sample_weight, classes=None):
        """Train with one pass over the rows; the `partial_fit` of a subclass calls this."""
        self._validate_params()
        if y is None:
            raise ValueError(f"{type(self).__name__}.partial_fit requires y, which is None.")
        self._check_partial_fit()
        self._note_content()
        fitted = fit(self, Data(X, y, sample_weight), None, None, classes, is_partial=True)
        self.__dict__.update(fitted.attributes())
        return self

    def _check_partial_fit(self):
        """Raise a ValueError if the parameters, or an earlier fit, do not allow `partial_fit`."""
        if not self._trains():
            raise ValueError(
                "partial_fit trains the network, but trainable_layers=0 or max_epochs=0 forbids "
                'training: set trainable_layers="all" or a number of layers, and max_epochs=1.'
            )
        if self.early_stopping:
            raise ValueError(
                "partial_fit does not support early_stopping=True: it makes one pass over the rows."
            )
        if getattr(self, "class_weight", None) == "balanced":
            raise ValueError(
                'partial_fit does not support class_weight="balanced", because it does not know '
                "the rows of later calls: pass a dict of weights."
            )
        if self._was_fitted and self._predictor.head is not None:
            raise ValueError(
                "partial_fit continues only from a network that was trained, but the last fit had "
                "trainable_layers=0: call fit first."
            )

    @abstractmethod
    def _rows(self, X, reset: bool, learns: bool) -> Rows:
        """Check X and return its rows.

        Parameters
        ----------
        X : array-like
        reset : bool
            As in scikit-learn's `validate_data`. In later calls of `partial_fit`, it is False.
        learns : bool
            Whether a fit learns from these rows. Only such rows get random views.
        """

    def _with_targets(self, rows: Rows, y, name: str, problem: Problem) -> tuple[Rows, Any]:
        """Check y against the content of the rows; return both in the form that a Problem expects.

        Parameters
        ----------
        rows : Rows
        y : array-like
        name : str
            Name of `y` in messages.
        problem : Problem
            If this y belongs to the validation rows, the problem has learned from the y of `fit`.
        """
        return rows, y

    @abstractmethod
    def _new_problem(self, y) -> Problem:
        """A new Problem, which has not learned anything yet. `y` has not been checked."""

    @abstractmethod
    def _network_to_start(self, content, earlier: Fitted | None, is_partial=False) -> FittedNetwork:
        """The network of the `earlier` fit; without one, the pretrained network of `content`."""

    def _with_given_head(self, network: FittedNetwork, problem: Problem) -> FittedNetwork | None:
        """The pretrained network with the head of `model`, from which training starts.

        None: `model` has no head for the targets that `problem` has learned from y.
        """
        return None

    def _trains(self):
        """Whether `fit` trains the network; if not, it only fits a head to its features."""
        return self.trainable_layers != 0

    def _where(self):
        """The device, precision and threads with which this estimator computes."""
        return Where(
            self.device,
            self.precision,
            type(self).__name__,
            self._extra,
            memory=memory_location(getattr(self, "memory", None)),
            n_threads=self.n_threads,
            verbose=self.verbose,
        )

    def _check_is_fitted(self):
        """Raise a NotFittedError if this estimator cannot predict."""
        check_is_fitted(self)

    def _rows_to_predict(self, X):
        self._check_is_fitted()
        return self._rows(X, reset=False, learns=False)

    def _outputs(self, rows):
        """The outputs of the fitted network, as float64; NaN for rows that cannot be read."""
        if not len(rows):
            return np.empty((0, self._problem.n_columns))
        predictor = self._present_predictor()
        with needed_by(self), self._where().progress(len(rows), "predictions") as where:
            read = predictor.outputs(rows, where)
        rows.warn(read)
        return read.values

    def _present_predictor(self):
        """The predictor. If the path of its network no longer exists, `model` replaces the path."""
        predictor = self._predictor
        network = predictor.network
        is_path = isinstance(self.model, (str, os.PathLike))
        if network.is_trained or not is_path or not network.is_gone():
            return predictor
        return predictor._replace(network=network.at(self.model))

    def _earlier(self, content, is_partial=False):
        """The fit to continue from. None: this fit starts anew, or there was no fit yet."""
        if not (self.warm_start or is_partial) or not self._was_fitted:
            return None
        how = PARTIAL_FIT if is_partial else WARM_START
        network = self._predictor.network
        if network.content.sha256 != content.sha256:
            raise ValueError(
                f"{how.call} cannot continue with model={self.model!r}: it is not the model "
                f"that was fitted, {network.model!r} (sha256 {content.sha256[:12]} instead of "
                f"{network.content.sha256[:12]}). {how.to_start_anew}"
            )
        return Fitted.of(self)

    def _parameters_of_the_fit(self):
        """The parameters that must be equal for a fit to be resumed."""
        params = self.get_params(deep=False)
        return {k: v for k, v in params.items() if k not in self._not_compared}

    def _check_validation_arguments(self, X_val, y_val, sample_weight_val):
        if (X_val is None) != (y_val is None):
            raise ValueError("X_val and y_val must be passed together: one of them is None.")
        if X_val is None and sample_weight_val is not None:
            raise ValueError("sample_weight_val is used only with X_val and y_val, which are None.")
        if X_val is not None and not self.early_stopping:
            raise ValueError("X_val and y_val are used only with early_stopping=True.")

    def _content_for_pickle(self):
        if not self._was_fitted:
            return super()._content_for_pickle()
        network, embedded = self._predictor.network, embeds(self.embed_model, self.model)
        if self.embed_model == "auto" and network.has_own_body:
            # only the hash of the model that the network was trained from
            embedded = False
        if self._is_model_of_the_fit(network.content.sha256):
            # without the model's bytes, this works even if the model is gone
            return super()._content_for_pickle() if embedded else network.content.for_pickle(False)
        content = self._content()
        is_other = content.sha256 != network.content.sha256
        return content.for_pickle(embeds(self.embed_model, self.model) if is_other else embedded)

    def _is_model_of_the_fit(self, sha256):
        """Whether `model` is still the model of the last fit, whose content has this hash."""
        path, _ = self._fitted_with or (None, "")
        carried = self._valid_carried()
        return self._is_at(path) or (carried is not None and carried.content.sha256 == sha256)

    def __getstate__(self):
        state = super().__getstate__()
        if "_predictor" in state:
            state["_predictor"] = state["_predictor"].for_pickle(self.embed_model)
            data, carried = state["_predictor"].network.content.data, state.get("_carried")
            if data is not None and carried is not None and carried.content.data is data:
                # skops would store them twice
                state["_carried"] = carried._replace(content=None)
        return state

    def __setstate__(self, state):
        carried = state.get("_carried")
        if carried is not None and carried.content is None:
            content = state["_predictor"].network.content
            state = {**state, "_carried": carried._replace(content=content)}
        super().__setstate__(state)

    @property
    def _was_fitted(self):
        """Whether `fit` or `partial_fit` was called."""
        return "_predictor" in vars(self)

    def __sklearn_is_fitted__(self):
        return self._was_fitted
