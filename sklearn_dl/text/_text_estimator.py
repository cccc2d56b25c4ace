"""The base class of the text estimators that learn."""

import os
from numbers import Integral, Real
from typing import Any, cast

from scipy.stats import loguniform, uniform
from sklearn.exceptions import NotFittedError

from sklearn_dl.models._folder import find_folder
from sklearn_dl.text._fitted_text_network import FittedTextNetwork
from sklearn_dl.text._given_head import GivenHead, find_head
from sklearn_dl.text._text_rows import text_rows
from sklearn_dl.training._estimator import TrainedEstimator, fit_method
from sklearn_dl.training._fitted import Fitted
from sklearn_dl.training._predictor import Predictor
from sklearn_dl.training._problem import Problem
from sklearn_dl.training._search_space import Searched
from sklearn_dl.utils._messages import brief
from sklearn_dl.utils._sklearn import Interval

# what NotFittedError asks for, by task
_HEADS = {
    "sequence": "a head that classifies texts (transformers' AutoModelForSequenceClassification)",
    "token": "a head that classifies tokens (transformers' AutoModelForTokenClassification)",
    "answer": "a head that finds answers (transformers' AutoModelForQuestionAnswering)",
}


class GivenAttribute:
    """An attribute that `fit` sets. Before `fit`, the head in the folder of `model` determines it.

    Without such a head, it is missing before `fit`.
    """

    # there is no __set__: Python prefers the attribute that fit has set

    def __set_name__(self, owner, name):
        self.name = name

    def __get__(self, estimator, owner=None):
        if estimator is None:
            return self
        return estimator._given().attributes()[self.name]


class TextEstimator(TrainedEstimator):
    """Base of the text estimators that learn."""

    # how many columns of texts X may have
    _allowed_columns: set[int]
    # the task (see GivenHead) of the heads in model folders that this estimator can use, or None
    _head_task: str | None = None
    _predictor: Any = GivenAttribute()
    _problem: Any = GivenAttribute()
    history_: Any = GivenAttribute()
    best_epoch_: Any = GivenAttribute()
    _extra = "text"
    max_length: int
    n_features_in_: int

    _parameter_constraints: dict = {
        "model": [str, os.PathLike],
        "max_length": [Interval(Integral, 1, None, closed="left")],
        "warmup_ratio": [Interval(Real, 0, 1, closed="both")],
        "max_grad_norm": [Interval(Real, 0, None, closed="neither"), None],
        **TrainedEstimator._training_constraints,
    }
    _searched_if_trained = {
        "learning_rate": Searched(loguniform(2e-5, 5e-4), loguniform(1e-5, 1e-3)),
        "max_epochs": Searched([2, 3, 4], [2, 3, 4, 6, 10]),
        "batch_size": Searched([16, 32], [8, 16, 32]),
        "trainable_layers": Searched(None, [1, 2, "all"]),
        "weight_decay": Searched(None, loguniform(1e-3, 1e-1)),
        "warmup_ratio": Searched(None, uniform(0, 0.2)),
    }

    @fit_method
    def fit(self, X, y, sample_weight=None, *, X_val=None, y_val=None, sample_weight_val=None):
        """Fit to texts and their targets.

        Parameters
        ----------
        X : array-like of shape (n_samples,) or (n_samples, n_columns)
            One column of texts, or two for pairs of texts.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            The target of each row. Several columns are numbers for `TextRegressor`, and labels of
            0 and 1 for `TextClassifier` (an array, a data frame or a sparse matrix).
        sample_weight : array-like of shape (n_samples,), default=None
            A row of weight 2 counts in the loss like two rows. Rows of weight 0 are left out.
        X_val, y_val : array-like, default=None
            Rows for early stopping, instead of a `validation_fraction` of X.
        sample_weight_val : array-like of shape (n_val_samples,), default=None
            Weights of the rows of `X_val`.

        Returns
        -------
        self : object

        Raises
        ------
        ValueError
            If a cell is not text, a target is missing, the model is not a text encoder, the texts
            cannot be read in windows (``long_texts="windows"``), a checkpoint belongs to another
            fit, or the loss is no longer finite. The estimator is left as it was.
        FileNotFoundError
            If `model` is neither a folder nor a registered model.
        ImportError
            If torch or transformers is not installed.
        """
        return self._fit(X, y, sample_weight, X_val, y_val, sample_weight_val)

    def _rows(self, X, reset, learns):
        allowed = self._allowed_columns
        if not reset and hasattr(self, "n_features_in_"):
            allowed = {self.n_features_in_}
        return text_rows(X, self, allowed, reset=reset)

    def _network_to_start(self, content, earlier, is_partial=False):
        reading = self._reading()
        if earlier is None:
            return FittedTextNetwork(self.model, content, reading=reading)
        return self._network.with_content(content).with_reading(reading)

    def _read_head(self, head: GivenHead) -> tuple[GivenHead, Problem]:
        """Return the head, with outputs in the order of this estimator, and the problem it solves.

        Only estimators with a `_head_task` need it.

        Raises
        ------
        NoHeadError
            If this estimator cannot use the head.
        """
        raise NotImplementedError

    def _given(self) -> Fitted:
        """The head in the folder of `model` and its network, in the form of the result of a fit.

        Nothing is loaded yet.

        Raises
        ------
        NotFittedError
            If there is no such head.
        """
        name, cause = type(self).__name__, None
        reason = f"This {name} instance is not fitted yet. Call 'fit' before using it"
        if self._head_task is not None and isinstance(self.model, (str, os.PathLike)):
            try:
                content = self._content()
                head, problem = self._read_head(find_head(content, self._head_task))
                network = self._network_to_start(content, None).with_head(head)
                return Fitted(Predictor(network), problem, [])
            except (OSError, ValueError) as error:
                cause = error
                reason += (
                    f", or set `model` to the folder of a model with {_HEADS[self._head_task]}. "
                    f"model={brief(self.model)} cannot be used without 'fit': {error}"
                )
        raise NotFittedError(f"{reason}.") from cause

    def _with_given_head(self, network, problem):
        try:
            given = self._given()
        except NotFittedError:
            return None
        if not problem.has_outputs_of(given.problem):
            return None
        head = cast(FittedTextNetwork, given.predictor.network).given
        return cast(FittedTextNetwork, network).with_head(head)

    def _check_is_fitted(self):
        if not self._was_fitted:
            self._validate_params()
            self._given()

    def __sklearn_is_fitted__(self):
        if self._was_fitted:
            return True
        try:
            self._given()
        except NotFittedError:
            return False
        return True

    def _reading(self):
        """How the network reads a row: the `reading` of FittedTextNetwork."""
        return "together" if self._trains() else "apart"

    @property
    def _network(self) -> FittedTextNetwork:
        return cast(FittedTextNetwork, self._present_predictor().network)

    def _find_content(self):
        return find_folder(self.model)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.string = True
        tags.input_tags.one_d_array = True
        tags.input_tags.two_d_array = False
        tags.input_tags.allow_nan = self.on_error == "nan"
        tags.target_tags.required = True
        return tags
