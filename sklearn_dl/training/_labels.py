"""The problem of classifiers with several labels for each row."""

from numbers import Real
from typing import Any

import numpy as np
from scipy.special import expit, log_expit
from sklearn.metrics import f1_score
from sklearn.utils.class_weight import compute_class_weight

from sklearn_dl.training._head import label_head
from sklearn_dl.training._problem import Classification, mean
from sklearn_dl.utils._columns import counted
from sklearn_dl.utils._targets import (
    has_several_columns,
    indicator_matrix,
    labels_of,
    target_column,
)

# chosen by experiments on 28 labels of 2,000 texts: with C=1, few logits of a head are positive;
# training overfits if it starts with a head that fits its rows closely
_C_OF_HEAD = 30.0
_C_OF_INITIAL_HEAD = 1.0


class Labels(Classification):
    """Any number of labels for each row: the targets are a bool matrix.

    A row has a label if its logit is positive. Row j of `classes` has the two values of label j.
    scikit-learn's scorers and `cross_val_predict` expect this shape for several labels.

    Attributes
    ----------
    label_weights : float64 ndarray of shape (2, n_labels)
        For each label, the weight of the rows without it, and of the rows with it.
    """

    label_weights: Any = None

    def learn(self, y):
        targets, dtype = indicator_matrix(y, "y")
        self.classes = np.tile(np.array([0, 1], dtype), (targets.shape[1], 1))
        return targets

    def learn_some(self, y, classes):
        self._may_lack_classes = True
        targets = self.learn(y)
        if classes is not None:
            classes = target_column(classes, "classes")
            # scikit-learn's learning_curve passes the unique values of y
            if len(classes) != targets.shape[1] and not np.array_equal(np.unique(classes), [0, 1]):
                raise ValueError(
                    f"y has {targets.shape[1]} columns, which are its labels, but `classes` has "
                    f"length {len(classes)}: do not pass `classes`."
                )
        return targets

    def continue_from(self, earlier, y, how):
        targets = self.learn(y)
        self._may_lack_classes = how.keeps_head
        before = len(earlier.classes) if isinstance(earlier, Labels) else 1
        if before != targets.shape[1]:
            raise how.error(
                f"the number of columns of y: it was {before} and is now {targets.shape[1]}"
            )
        return targets

    def has_outputs_of(self, other):
        return isinstance(other, Labels) and len(self.classes) == len(other.classes)

    def encode(self, y, name):
        n_labels = len(self.classes)
        if not has_several_columns(y):
            raise ValueError(f"{name} has 1 column, but the y of fit has {n_labels} labels.")
        targets, _ = indicator_matrix(y, name)
        if targets.shape[1] != n_labels:
            raise ValueError(
                f"{name} has {counted(targets.shape[1], 'column')}, but the y of fit has "
                f"{n_labels} labels."
            )
        return targets

    def refuse(self, targets):
        if not self._may_lack_classes and (targets == targets[:1]).all():
            raise ValueError(
                f"{self.purpose} needs rows with different labels, but all training rows have "
                f"the same labels ({counted(len(targets), 'row')})."
            )

    def strata(self, targets):
        """The rarest label of each row; rows without labels are a stratum of their own."""
        rare_first = np.argsort(targets.sum(axis=0), kind="stable")
        ranks = np.where(targets.any(axis=1), targets[:, rare_first].argmax(axis=1), -1)
        return ranks + 1

    def _weigh_labels(self, targets, weights):
        """Learn the weights of each label, as LogisticRegression(class_weight=...) would."""
        self.label_weights = np.ones((2, targets.shape[1]))
        if self.class_weight is None:
            return
        for j, column in enumerate(targets.T):
            if self.class_weight == "balanced" and column.min() == column.max():
                continue  # nothing to balance
            self.label_weights[:, j] = compute_class_weight(
                self.class_weight, classes=np.array([0, 1]), y=column, sample_weight=weights
            )
        if not (self.label_weights > 0).any():
            raise ValueError("class_weight leaves no label with a positive weight: change it.")

    def fit_head(self, features, targets, weights, where=None):
        self._weigh_labels(targets, weights)
        C = _C_OF_HEAD if self.C == "auto" else self.C
        if where is None:
            return label_head(features, targets, self.label_weights, weights, C)
        # the bar counts all rows once for each label
        with where.progress(targets.size, "head") as where:
            return label_head(features, targets, self.label_weights, weights, C, where.done)

    def start(self, examples, outputs, seed):
        self._weigh_labels(examples.targets, examples.weights)

    def initial_head(self, features, goals, weights):
        C = _C_OF_INITIAL_HEAD if self.C == "auto" else self.C
        return label_head(features, goals > 0, self.label_weights, weights, C)

    def goals(self, targets, layout=None):
        return targets.astype(np.float64)

    def losses(self, outputs, goals):
        import torch
        from torch.nn import functional

        smoothed = goals * (1 - self.label_smoothing) + self.label_smoothing / 2
        without, with_label = torch.as_tensor(self.label_weights).to(goals)
        return functional.binary_cross_entropy_with_logits(
            outputs.float(),
            smoothed,
            weight=torch.where(goals > 0, with_label, without),
            reduction="none",
        ).mean(1)

    def evaluate(self, outputs, targets, weights):
        """The mean loss, and the F1 score of all labels of all rows together (micro F1)."""
        losses = -log_expit(np.where(targets, outputs, -outputs))
        losses = (losses * np.where(targets, *self.label_weights[::-1])).mean(axis=1)
        score = f1_score(
            targets, outputs > 0, average="micro", sample_weight=weights, zero_division=0.0
        )
        return mean(losses, weights), float(score)

    def predictions(self, outputs):
        return (outputs > 0).astype(self.classes.dtype)

    def predictions_or(self, outputs, missing):
        """As in Classification, but if `missing` is None, NaN is used.

        If `missing` is 0 or 1, the dtype is that of y. If it is another number, the dtype is
        numeric and holds it too.
        """
        is_nan = np.isnan(outputs).any(axis=1)
        classes = self.classes[0]
        if missing is None:
            missing = np.nan
        if isinstance(missing, (Real, np.bool_)):
            fits = missing in (0, 1)
            dtype = classes.dtype if fits else np.result_type(classes, np.asarray(missing))
            classes, missing = classes.astype(dtype), dtype.type(missing)
        return labels_of((outputs > 0).astype(np.intp), classes, is_nan, missing)

    def probabilities(self, outputs):
        # rounding could make probabilities exactly 0 or 1
        return np.clip(expit(outputs), np.finfo(float).tiny, 1 - np.finfo(float).epsneg)

    def log_probabilities(self, outputs):
        return log_expit(outputs)

    def decision_values(self, outputs):
        return outputs
