"""The fit of the text estimators: rows, validation, network, history."""

import math
import os
from hashlib import sha256
from numbers import Integral
from typing import NamedTuple

import numpy as np
from sklearn.callback import with_callbacks
from sklearn.utils.validation import check_consistent_length, check_is_fitted

from sklearn_dl.text._content import find_encoder
from sklearn_dl.text._fitted import FittedNetwork
from sklearn_dl.text._frozen import LinearHead, pair_features
from sklearn_dl.text._scoring import CHUNK, check_max_length, score_texts
from sklearn_dl.text._texts import text_columns
from sklearn_dl.text._tokens import warn_of_truncation
from sklearn_dl.training._batches import split_rows
from sklearn_dl.training._estimator import (
    TrainedEstimator,
    history_columns,
    history_records,
    positive_weights,
    unchanged_on_error,
)
from sklearn_dl.utils._sklearn import Interval

# more rows would make the head hardly better, and training starts with it only
_MAX_ROWS_OF_FIRST_HEAD = 4096
# in place of -inf, which a loss cannot hold
_LEAST_LOGIT = -10.0


class Rows(NamedTuple):
    """Texts with their targets and weights.

    Attributes
    ----------
    columns : list of object ndarray of shape (n_rows,)
    targets : ndarray of shape (n_rows,)
        Numbers of classes, or float64.
    weights : float64 ndarray of shape (n_rows,)
    """

    columns: list
    targets: np.ndarray
    weights: np.ndarray

    def take(self, rows):
        columns = [column[rows] for column in self.columns]
        return Rows(columns, self.targets[rows], self.weights[rows])


class TextEstimator(TrainedEstimator):
    """Base of `TextClassifier` and `SentenceSimilarityRegressor`."""

    _allowed_columns: set[int]
    _network: FittedNetwork
    _head: LinearHead | None
    history_: dict[str, list]
    best_epoch_: int

    _parameter_constraints: dict = {
        "model": [str, os.PathLike],
        "max_length": [Interval(Integral, 1, None, closed="left")],
        **TrainedEstimator._training_constraints,
    }

    @with_callbacks
    def fit(self, X, y, sample_weight=None, *, X_val=None, y_val=None, sample_weight_val=None):
        """Fit to texts and their targets.

        Parameters
        ----------
        X : array-like of shape (n_samples,) or (n_samples, n_columns)
            One column of texts, or two for pairs of texts.
        y : array-like of shape (n_samples,)
            The target of each row.
        sample_weight : array-like of shape (n_samples,), default=None
            A weight of 2 counts in the loss as the row twice. Rows of weight 0 are left out.
        X_val, y_val : array-like, default=None
            Rows for early stopping, in place of a `validation_fraction` of X.
        sample_weight_val : array-like of shape (n_val_samples,), default=None
            Their weights.

        Returns
        -------
        self : object

        Raises
        ------
        ValueError
            If a cell is not text, a target is missing, the model is no text encoder, a checkpoint
            belongs to another fit, or the loss is no longer finite. The estimator is left as it
            was.
        FileNotFoundError
            If `model` is neither a folder nor a registered model.
        ImportError
            If torch or transformers is not installed.
        """
        self._validate_params()
        self._check_validation_arguments(X_val, y_val, sample_weight_val)
        n_epochs = self.max_epochs if self._trains() else 0
        context = self._init_callback_context(max_subtasks=n_epochs)
        context.call_on_fit_task_begin(estimator=self, X=X, y=y)
        with unchanged_on_error(self):
            previous = self._previous()
            columns = text_columns(X, self, self._allowed_columns, reset=True)
            check_consistent_length(columns[0], y)
            targets = self._set_targets(y, previous)
            rows = self._rows_that_count(columns, targets, sample_weight, "sample_weight")
            held_out = None
            if X_val is not None:
                held_out = self._validation_rows(X_val, y_val, sample_weight_val)
            self._fit_rows(rows, held_out, previous, context, {"X": X, "y": y})
        context.call_on_fit_task_end(estimator=self, X=X, y=y, reconstruction_attributes=dict)
        return self

    def _fit_rows(self, rows, held_out, previous, context, hook_data):
        self._refuse_equal_targets(rows)
        content = self._content()
        start = previous or FittedNetwork(self.model, content)
        belongs = {"data": _digest(rows, held_out), "model": content.sha256}
        if previous is not None:
            belongs["start"] = sha256(previous.for_pickle(content).trained or b"").hexdigest()
        with self._training(belongs) as place:
            if not self._trains():
                self._fit_pretrained(start, rows)
                self._network, self.history_, self.best_epoch_ = start, {}, 0
                return
            if self.early_stopping and held_out is None:
                train_rows, held_out_rows = split_rows(
                    len(rows.targets), self.validation_fraction, place.seed, self._strata(rows)
                )
                rows, held_out = rows.take(train_rows), rows.take(held_out_rows)
                self._refuse_equal_targets(rows)
            network = start.network_to_train(place.device)
            check_max_length(network, self.max_length, self.model)
            network.train_last(self.trainable_layers)
            past = history_records(self.history_) if previous is not None else []

            def now():
                return FittedNetwork(self.model, content, live=network)

            def fitted(records, best_epoch):
                return {
                    **self._fitted_so_far(),
                    "_network": now(),
                    "history_": history_columns([*past, *records]),
                    "best_epoch_": best_epoch,
                }

            def after_epoch(records):
                sub = context.subcontext("epoch")
                sub.call_on_fit_task_begin(estimator=self, **hook_data)
                return sub.call_on_fit_task_end(
                    estimator=self,
                    **hook_data,
                    reconstruction_attributes=lambda: fitted(records, records[-1]["epoch"]),
                )

            records, best_epoch = self._train(
                self._task(now(), rows, place.seed),
                place,
                evaluate=held_out and (lambda: self._evaluate(now(), held_out)),
                after_epoch=after_epoch,
                first=len(past),
            )
            self.__dict__.update(fitted(records, best_epoch))

    def _previous(self):
        """The fitted network to go on from, if `warm_start` asks for it and there is one."""
        if not self.warm_start or not hasattr(self, "_network"):
            return None
        if self._network.content.sha256 != self._content().sha256:
            raise ValueError(
                f"warm_start=True cannot go on with model={self.model!r}: the fitted network comes "
                f"from {self._network.model!r}. Set warm_start=False to start anew."
            )
        return self._network

    def _validation_rows(self, X_val, y_val, sample_weight_val):
        columns = text_columns(X_val, self, self._allowed_columns, reset=False)
        check_consistent_length(columns[0], y_val)
        targets = self._encode_targets(y_val, "y_val")
        return self._rows_that_count(columns, targets, sample_weight_val, "sample_weight_val")

    def _rows_that_count(self, columns, targets, sample_weight, name):
        """The rows of positive weight, with what the estimator makes of their weights."""
        kept, weights = positive_weights(sample_weight, len(targets), name)
        rows = self._weighted(Rows(columns, targets, weights).take(kept))
        kept = np.flatnonzero(rows.weights > 0)
        if not len(kept):
            raise ValueError(f"class_weight and {name} leave no row with a positive weight.")
        return rows.take(kept)

    def _find_content(self):
        return find_encoder(self.model)

    def _tokens(self, fitted, columns):
        """Tokens of the columns read together; rows that are cut are counted and warned of."""
        import torch

        rows = fitted.tokens(self.max_length).encode(columns, torch.get_num_threads())
        self._warn_of_truncation(rows.n_truncated, len(columns[0]))
        return rows

    def _compute(self, columns, method, fitted):
        """What a method of a network gives for rows of texts, and how many of them were cut."""
        return score_texts(
            fitted,
            columns,
            method=method,
            max_length=self.max_length,
            device=self.device,
            precision=self.precision,
            purpose=type(self).__name__,
        )

    def _scores(self, columns, method, fitted=None, warn=True):
        values, n_truncated = self._compute(columns, method, fitted or self._network)
        if warn:
            self._warn_of_truncation(n_truncated, len(columns[0]))
        return values

    def _in_chunks(self, columns, compute, warn=True):
        """``compute(columns)`` of chunks of rows; it reads the texts of a pair one by one."""
        results, n_truncated = [], 0
        n_rows, n_texts = len(columns[0]), sum(map(len, columns))
        for start in range(0, n_rows, CHUNK):
            values, cut = compute([column[start : start + CHUNK] for column in columns])
            results.append(values)
            n_truncated += cut
        if warn:
            self._warn_of_truncation(n_truncated, n_texts)
        return np.concatenate(results)

    def _features(self, columns, fitted):
        """The features of a head on a frozen encoder, and how many texts were cut."""
        cut = []

        def embed(column):
            values, n_truncated = self._compute([column], "pooled", fitted)
            cut.append(n_truncated)
            return values

        return pair_features([embed(column) for column in columns]), sum(cut)

    def _rows_of_first_head(self, live, rows, seed):
        """Rows that a new head is solved on before training, and their pooled tokens."""
        some = self._some_rows(rows, seed, _MAX_ROWS_OF_FIRST_HEAD)
        return some, self._scores(some.columns, "pooled", live, warn=False).astype(np.float64)

    def _some_rows(self, rows, seed, n_rows):
        chosen = np.random.default_rng([seed, 1]).permutation(len(rows.targets))[:n_rows]
        return rows.take(chosen)

    def _add_head(self, live, head):
        live.live.add_head(head.weights, head.bias.clip(_LEAST_LOGIT))

    def _head_outputs(self, columns, fitted, head, warn=True):
        """float64 outputs of the network's own head, or of `head` on the frozen encoder."""
        if head is None:
            return self._scores(columns, "forward", fitted, warn).astype(np.float64)

        def compute(chunk):
            features, n_truncated = self._features(chunk, fitted)
            return head(features), n_truncated

        return self._in_chunks(columns, compute, warn)

    def _warn_of_truncation(self, n_truncated, n_texts):
        warn_of_truncation(n_truncated, n_texts, self.max_length)

    def _fitted_columns(self, X):
        """The columns of a prediction's X."""
        check_is_fitted(self)
        return text_columns(X, self, {self.n_features_in_}, reset=False)

    def __getstate__(self):
        state = super().__getstate__()
        if "_network" in state:
            fitted, carried = self._network, state["_embedded"].content
            if fitted.content.sha256 != carried.sha256:
                carried = fitted.content.for_pickle(self.embed_model)
            state["_network"] = fitted.for_pickle(carried)
        return state

    def __sklearn_is_fitted__(self):
        return hasattr(self, "_network")

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.string = True
        tags.input_tags.one_d_array = True
        tags.input_tags.two_d_array = False
        return tags


def _digest(rows, held_out):
    digest = sha256()
    for part in (rows, held_out):
        if part is None:
            continue
        for column in part.columns:
            for text in column:
                data = text.encode()
                digest.update(len(data).to_bytes(8, "little") + data)
        digest.update(part.targets.tobytes())
        digest.update(part.weights.tobytes())
    return digest.hexdigest()


def mean_loss(losses, weights):
    return math.fsum(losses * weights) / math.fsum(weights)
