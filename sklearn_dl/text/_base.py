"""What the text estimators share: columns of texts through a network and its head."""

import os
from functools import partial
from hashlib import sha256
from numbers import Integral, Real
from typing import Any

import numpy as np
from sklearn.utils.validation import check_is_fitted

from sklearn_dl.models._folder import find_folder
from sklearn_dl.text._fitted import FittedTextNetwork
from sklearn_dl.text._frozen import pair_features
from sklearn_dl.text._scoring import CHUNK, TextScoring, check_max_length
from sklearn_dl.text._texts import text_columns
from sklearn_dl.text._tokens import warn_of_truncation
from sklearn_dl.training._batches import some_places
from sklearn_dl.training._device import autocast, resolve_precision
from sklearn_dl.training._estimator import TrainedEstimator, fit_method
from sklearn_dl.utils._sklearn import Interval

# more rows would make the head hardly better, and training starts with it only
_MAX_ROWS_OF_FIRST_HEAD = 4096


class TextEstimator(TrainedEstimator):
    """Base of the text estimators that learn: by default a head on what is read together."""

    _allowed_columns: set[int]
    _extra = "text"
    _around_the_fit = TrainedEstimator._around_the_fit | {"model"}
    model: Any
    max_length: int

    _parameter_constraints: dict = {
        "model": [str, os.PathLike],
        "max_length": [Interval(Integral, 1, None, closed="left")],
        "warmup_ratio": [Interval(Real, 0, 1, closed="both")],
        "max_grad_norm": [Interval(Real, 0, None, closed="neither"), None],
        **TrainedEstimator._training_constraints,
    }

    @fit_method
    def fit(self, X, y, sample_weight=None, *, X_val=None, y_val=None, sample_weight_val=None):
        """Fit to texts and their targets.

        Parameters
        ----------
        X : array-like of shape (n_samples,) or (n_samples, n_columns)
            One column of texts, or two for pairs of texts.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            The target of each row. Several columns are for estimators that predict several numbers.
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
        return self._fit(X, y, sample_weight, X_val, y_val, sample_weight_val)

    def _columns(self, X, reset):
        return text_columns(X, self, self._allowed_columns, reset=reset)

    def _pretrained(self, content):
        return FittedTextNetwork(self.model, content)

    def _check_network(self, network):
        check_max_length(network, self.max_length, self.model)

    def _digest(self, rows, held_out):
        digest = sha256()
        for part in (rows, held_out):
            if part is None:
                continue
            for column in part.columns:
                for text in column:
                    data = text.encode()
                    digest.update(len(data).to_bytes(8, "little") + data)
            digest.update(repr(part.targets.shape).encode() + part.targets.tobytes())
            digest.update(part.weights.tobytes())
        return digest.hexdigest()

    def _find_content(self):
        return find_folder(self.model)

    def _tokens(self, fitted, columns):
        """Tokens of the columns read together; rows that are cut are counted and warned of."""
        import torch

        rows = fitted.tokens(self.max_length).encode(columns, torch.get_num_threads())
        self._warn_of_truncation(rows.n_truncated, len(columns[0]))
        return rows

    def _scoring(self, fitted, device=None, precision=None):
        """How one call computes with a network; `device` is that of a network in training."""
        return TextScoring(
            fitted,
            max_length=self.max_length,
            device=device or self.device,
            precision=precision or self.precision,
            purpose=type(self).__name__,
        )

    def _scores(self, scoring, columns, method, numbers=None, warn=True):
        values, n_truncated = scoring.compute(columns, method, numbers)
        if warn:
            self._warn_of_truncation(n_truncated, len(values))
        return values

    def _in_chunks(self, columns, compute, numbers=None, warn=True):
        """``compute(columns, numbers)`` of chunks of rows; it reads the texts of a pair one by one.

        `numbers` are those of the rows, for messages; None: from 0.
        """
        results, n_truncated = [], 0
        n_rows, n_texts = len(columns[0]), sum(map(len, columns))
        numbers = np.arange(n_rows) if numbers is None else numbers
        for start in range(0, n_rows, CHUNK):
            chunk = slice(start, start + CHUNK)
            values, cut = compute([column[chunk] for column in columns], numbers[chunk])
            results.append(values)
            n_truncated += cut
        if warn:
            self._warn_of_truncation(n_truncated, n_texts)
        return np.concatenate(results)

    def _features(self, scoring, columns, numbers):
        """The features of a head on a frozen encoder, and how many texts were cut."""
        cut = []

        def embed(column):
            values, n_truncated = scoring.compute([column], "pooled", numbers)
            cut.append(n_truncated)
            return values

        return pair_features([embed(column) for column in columns]), sum(cut)

    def _task(self, problem, live, rows, seed):
        """The training of a network with a head on what it reads together."""
        from sklearn_dl.text._tasks import HeadTask

        problem.start(rows.targets, rows.weights, seed=seed)
        network = live.live
        if network.head is None:
            network.add_head(self._first_head(problem, live, rows, seed))
        tokens = live.tokens(self.max_length)
        read = self._tokens(live, rows.columns)
        return HeadTask(problem, network, tokens, read, rows.targets, rows.weights)

    def _first_head(self, problem, live, rows, seed):
        """A head that is solved on some rows before training."""
        some = rows.take(some_places(len(rows.targets), seed, _MAX_ROWS_OF_FIRST_HEAD))
        # as in training; for few rows a copy of the network in bfloat16 would cost more
        with autocast(resolve_precision(self.precision, live.device), live.device):
            scoring = self._scoring(live, live.device, "float32")
            features, _ = scoring.compute(some.columns, "pooled", some.numbers)
        return problem.solve(features.astype(np.float64), problem.goals(some.targets), some.weights)

    def _solve_head(self, problem, start, rows):
        """The head on the embeddings of a frozen encoder."""
        problem.start(rows.targets, rows.weights)
        compute = partial(self._features, self._scoring(start))
        features = self._in_chunks(rows.columns, compute, rows.numbers)
        return problem.solve(features, problem.goals(rows.targets), rows.weights)

    def _head_outputs(self, scoring, columns, head, numbers=None, warn=True):
        """float64 outputs of the network's own head, or of `head` on the frozen encoder."""
        if head is None:
            return self._scores(scoring, columns, "forward", numbers, warn).astype(np.float64)

        def compute(chunk, numbers):
            features, n_truncated = self._features(scoring, chunk, numbers)
            return head(features), n_truncated

        return self._in_chunks(columns, compute, numbers, warn)

    def _held_out_outputs(self, problem, live, rows):
        scoring = self._scoring(live, live.device)
        return self._head_outputs(scoring, rows.columns, None, rows.numbers, warn=False)

    def _predicted_outputs(self, X):
        """Outputs of the fitted head for the rows of a prediction."""
        columns = self._fitted_columns(X)
        return self._head_outputs(self._scoring(self._network), columns, self._head)

    def _warn_of_truncation(self, n_truncated, n_texts):
        warn_of_truncation(n_truncated, n_texts, self.max_length)

    def _fitted_columns(self, X):
        """The columns of a prediction's X."""
        check_is_fitted(self)
        return text_columns(X, self, {self.n_features_in_}, reset=False)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.string = True
        tags.input_tags.one_d_array = True
        tags.input_tags.two_d_array = False
        return tags
