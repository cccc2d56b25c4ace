"""The problem of classifiers with one class for each row."""

import numpy as np
from scipy.special import log_softmax, softmax
from sklearn.utils.class_weight import compute_class_weight, compute_sample_weight
from sklearn.utils.multiclass import check_classification_targets

from sklearn_dl.training._head import logistic_head
from sklearn_dl.training._problem import Classification, mean
from sklearn_dl.utils._targets import labels_of, target_column

# in the initial head, the bias of a class without rows is the smallest finite bias minus this
# number; -inf would make losses infinite. In partial_fit, it is the smallest finite bias itself:
# later calls may have rows of that class, which the network could hardly learn from a lower bias
_BIAS_MARGIN = 10.0
# a message names at most this number of classes
_SHOWN = 10


class Classes(Classification):
    """One class for each row: the targets are codes, which are indices into `classes`."""

    def learn(self, y):
        y = target_column(y, "y")
        check_classification_targets(y)
        self.classes, codes = np.unique(y, return_inverse=True)
        return codes.astype(np.int64)

    def learn_some(self, y, classes):
        """As in Problem. The rows may lack some of the classes.

        Raises
        ------
        ValueError
            If `classes` is None or has fractions, or y has classes that are not in `classes`.
        """
        self._may_lack_classes = True
        if classes is None:
            raise ValueError("classes must be passed in the first call of partial_fit.")
        classes = target_column(classes, "classes")
        check_classification_targets(classes)
        self.classes = np.unique(classes)
        return self.encode(y, "y", "`classes`")

    def continue_from(self, earlier, y, how):
        """As in Problem. If the head is kept, y may lack classes of the earlier fit."""
        if not isinstance(earlier, Classes):
            raise how.error(
                "the number of labels for each row: the estimator was fitted with a y of several "
                "columns"
            )
        codes = self.learn(y)
        # a kept head also knows the classes that y lacks; a new head would not
        self._may_lack_classes = how.keeps_head
        if np.array_equal(self.classes, earlier.classes):
            return codes
        known = np.isin(self.classes, earlier.classes).all()
        if not (how.keeps_head and known):
            hint = ""
            if known:
                hint = (
                    "Classes may be absent from y only if the earlier fit and this one both train "
                    "the network. Here a new head is fitted to these rows alone: pass rows of each "
                    "class, or set warm_start=False to start anew."
                )
            raise how.error(
                f"the classes: the estimator was fitted with {earlier.classes.tolist()}, but y has "
                f"{self.classes.tolist()}",
                hint,
            )
        known_codes = np.searchsorted(earlier.classes, self.classes)
        self.classes = earlier.classes
        return known_codes[codes].astype(np.int64)

    def has_outputs_of(self, other):
        return isinstance(other, Classes) and self.classes.tolist() == other.classes.tolist()

    def encode(self, y, name, of="y"):
        y = target_column(y, name)
        unknown = sorted({str(label) for label in np.setdiff1d(y, self.classes)})
        if unknown:
            more = f" and {len(unknown) - _SHOWN} more" if len(unknown) > _SHOWN else ""
            raise ValueError(
                f"{name} has classes that {of} does not have: {unknown[:_SHOWN]}{more}."
            )
        return np.searchsorted(self.classes, y).astype(np.int64)

    def weights(self, targets, weights):
        if self.class_weight is None:
            return weights
        labels = self.classes[targets]
        if self.class_weight == "balanced":
            return weights * compute_sample_weight("balanced", labels)
        # class_weight may have classes that no row has
        of_classes = compute_class_weight(self.class_weight, classes=self.classes, y=labels)
        return weights * of_classes[targets]

    def refuse(self, targets):
        if not self._may_lack_classes and np.ptp(targets) == 0:
            label = self.classes[targets[:1]].tolist()[0]
            raise ValueError(
                f"{self.purpose} needs at least two classes, but the training rows are all of "
                f"one class: {label!r}."
            )

    def strata(self, targets):
        return targets

    def fit_head(self, features, targets, weights, where=None):
        C = 1.0 if self.C == "auto" else self.C
        return logistic_head(features, targets, len(self.classes), weights, C, self.scale)

    def initial_head(self, features, goals, weights):
        head = self.fit_head(features, goals, weights)
        present = np.isfinite(head.bias)
        absent = head.bias[present].min() - (0.0 if self._may_lack_classes else _BIAS_MARGIN)
        return head._replace(bias=np.where(present, head.bias, absent))

    def losses(self, outputs, goals):
        from torch.nn import functional

        return functional.cross_entropy(
            outputs, goals, label_smoothing=self.label_smoothing, reduction="none"
        )

    def evaluate(self, outputs, targets, weights):
        losses = -log_softmax(outputs, axis=1)[np.arange(len(outputs)), targets]
        right = outputs.argmax(axis=1) == targets
        return mean(losses, weights), mean(right, weights)

    def predictions(self, outputs):
        return self.classes[outputs.argmax(axis=1)]

    def predictions_or(self, outputs, missing):
        is_nan = np.isnan(outputs).any(axis=1)
        best = np.where(is_nan, 0, outputs.argmax(axis=1))
        return labels_of(best, self.classes, is_nan, missing)

    def probabilities(self, outputs):
        return softmax(outputs, axis=1)

    def log_probabilities(self, outputs):
        return log_softmax(outputs, axis=1)

    def decision_values(self, outputs):
        return outputs[:, 1] - outputs[:, 0] if outputs.shape[1] == 2 else outputs
