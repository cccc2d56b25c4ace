"""Texts to classes, by a fine-tuned encoder."""

from numbers import Real

import numpy as np
from scipy.special import log_softmax, softmax
from sklearn.base import ClassifierMixin
from sklearn.utils.class_weight import compute_sample_weight
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import column_or_1d

from sklearn_dl.text._base import TextEstimator, mean_loss
from sklearn_dl.text._frozen import logistic_head
from sklearn_dl.text._targets import refuse_missing_targets
from sklearn_dl.utils._sklearn import Interval, StrOptions


class TextClassifier(ClassifierMixin, TextEstimator):
    _parameter_constraints: dict = {
        **TextEstimator._parameter_constraints,
        "label_smoothing": [Interval(Real, 0, 1, closed="left")],
        "class_weight": [dict, StrOptions({"balanced"}), None],
    }
    _allowed_columns = {1, 2}

    def __init__(
        self,
        model="all-minilm-l6-v2",
        *,
        max_length=128,
        trainable_layers="all",
        max_epochs=3,
        batch_size=16,
        learning_rate=1e-4,
        weight_decay=0.01,
        warmup_ratio=0.06,
        max_grad_norm=1.0,
        label_smoothing=0.0,
        class_weight=None,
        early_stopping=False,
        validation_fraction=0.1,
        n_iter_no_change=3,
        tol=1e-4,
        precision="auto",
        device="auto",
        checkpoint_dir=None,
        warm_start=False,
        embed_model=True,
        random_state=None,
        verbose=0,
    ):
        self.model = model
        self.max_length = max_length
        self.trainable_layers = trainable_layers
        self.max_epochs = max_epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.warmup_ratio = warmup_ratio
        self.max_grad_norm = max_grad_norm
        self.label_smoothing = label_smoothing
        self.class_weight = class_weight
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.tol = tol
        self.precision = precision
        self.device = device
        self.checkpoint_dir = checkpoint_dir
        self.warm_start = warm_start
        self.embed_model = embed_model
        self.random_state = random_state
        self.verbose = verbose

    def predict(self, X):
        """The most probable class of each text.

        Parameters
        ----------
        X : array-like of shape (n_samples,) or (n_samples, n_columns)
            Texts, as in `fit`.

        Returns
        -------
        labels : ndarray of shape (n_samples,)
            In the dtype of `classes_`.
        """
        return self.classes_[self._logits(X).argmax(axis=1)]

    def predict_proba(self, X):
        """Probability of each class.

        Parameters
        ----------
        X : array-like of shape (n_samples,) or (n_samples, n_columns)
            Texts, as in `fit`.

        Returns
        -------
        probabilities : float64 ndarray of shape (n_samples, n_classes)
            In the order of `classes_`.
        """
        return softmax(self._logits(X), axis=1)

    def predict_log_proba(self, X):
        """Logarithm of the probability of each class.

        Parameters
        ----------
        X : array-like of shape (n_samples,) or (n_samples, n_columns)
            Texts, as in `fit`.

        Returns
        -------
        log_probabilities : float64 ndarray of shape (n_samples, n_classes)
            In the order of `classes_`.
        """
        return log_softmax(self._logits(X), axis=1)

    def decision_function(self, X):
        """Logits.

        Parameters
        ----------
        X : array-like of shape (n_samples,) or (n_samples, n_columns)
            Texts, as in `fit`.

        Returns
        -------
        logits : float64 ndarray of shape (n_samples,) or (n_samples, n_classes)
            In the order of `classes_`; with two classes, what the second one's exceeds the first
            one's by.
        """
        logits = self._logits(X)
        return logits[:, 1] - logits[:, 0] if logits.shape[1] == 2 else logits

    def embed(self, X):
        """Vectors of the fitted encoder, from before the head.

        Parameters
        ----------
        X : array-like of shape (n_samples,) or (n_samples, n_columns)
            Texts, as in `fit`.

        Returns
        -------
        vectors : float32 ndarray of shape (n_samples, hidden_size)
            Of pairs: of both texts read together; with ``trainable_layers=0`` those of the two
            texts, abs(u - v) and u * v beside each other.
        """
        columns = self._fitted_columns(X)
        if self._head is None:
            return self._scores(columns, "embed")
        return self._in_chunks(columns, self._features32)

    def _logits(self, X):
        return self._head_outputs(self._fitted_columns(X), self._network, self._head)

    def _features32(self, columns):
        features, n_truncated = self._features(columns, self._network)
        return features.astype(np.float32), n_truncated

    def _trains(self):
        return self.trainable_layers != 0

    def _set_targets(self, y, previous):
        y = column_or_1d(y, warn=True)
        refuse_missing_targets(y, "y")
        check_classification_targets(y)
        classes, codes = np.unique(y, return_inverse=True)
        if len(classes) < 2:
            raise ValueError(
                f"TextClassifier needs at least two classes, but y holds one class: {classes[0]!r}."
            )
        if previous is not None and not np.array_equal(classes, self.classes_):
            raise ValueError(
                f"warm_start=True cannot change the classes: fitted were {self.classes_.tolist()}, "
                f"y holds {classes.tolist()}. Set warm_start=False to start anew."
            )
        self.classes_ = classes
        return codes.astype(np.int64)

    def _encode_targets(self, y, name):
        y = column_or_1d(y, warn=True)
        refuse_missing_targets(y, name)
        unknown = sorted({str(label) for label in np.setdiff1d(y, self.classes_)})
        if unknown:
            raise ValueError(f"{name} holds classes that y does not: {unknown}.")
        return np.searchsorted(self.classes_, y).astype(np.int64)

    def _loss_weights(self, targets, weights):
        if self.class_weight is None:
            return weights
        return weights * compute_sample_weight(self.class_weight, self.classes_[targets])

    def _strata(self, rows):
        return rows.targets

    def _fit_pretrained(self, start, rows):
        features = self._in_chunks(rows.columns, lambda chunk: self._features(chunk, start))
        self._head = logistic_head(features, rows.targets, len(self.classes_), rows.weights)

    def _n_outputs(self):
        return len(self.classes_)

    def _task(self, live, rows):
        from sklearn_dl.text._tasks import HeadTask

        return HeadTask(
            live.live,
            live.tokens(self.max_length),
            self._tokens(live, rows.columns),
            rows.targets,
            rows.weights,
            self.label_smoothing,
        )

    def _fitted_so_far(self):
        return {"_head": None}

    def _evaluate(self, live, rows):
        logits = self._head_outputs(rows.columns, live, None, warn=False)
        losses = -log_softmax(logits, axis=1)[np.arange(len(logits)), rows.targets]
        right = logits.argmax(axis=1) == rows.targets
        return mean_loss(losses, rows.weights), mean_loss(right, rows.weights)
