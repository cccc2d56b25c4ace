"""The problem of classifiers with one class for each row."""

import numpy as np
from scipy.special import log_softmax
from sklearn.utils.class_weight import compute_sample_weight
from sklearn.utils.multiclass import check_classification_targets

from sklearn_dl.training._head import logistic_head
from sklearn_dl.training._problem import Problem, mean
from sklearn_dl.utils._targets import target_column

# in the initial head, the bias of a class without rows is the least finite bias minus this number,
# not -inf, so that losses stay finite
_RARELY = 10.0


class Classes(Problem):
    """One class for each row: the targets are codes, which are indices into `classes`.

    Parameters
    ----------
    purpose : str
        Name of the estimator in messages.
    class_weight : dict, "balanced" or None
    label_smoothing : float, default=0.0
    C : float, default=1.0
        As in `logistic_head`.
    scale : bool, default=False
        As in `logistic_head`.
    """

    classes: np.ndarray
    _keeps_head = False

    def __init__(self, purpose, class_weight, label_smoothing=0.0, C=1.0, scale=False):
        self.purpose = purpose
        self.class_weight = class_weight
        self.label_smoothing = label_smoothing
        self.C = C
        self.scale = scale

    def learn(self, y):
        y = target_column(y, "y")
        check_classification_targets(y)
        self.classes, codes = np.unique(y, return_inverse=True)
        return codes.astype(np.int64)

    def continue_from(self, earlier, y, keeps_head):
        """As in Problem. If the head is kept, y may lack classes of the earlier fit."""
        codes = self.learn(y)
        # a kept head also knows the classes that y lacks; a new head would not
        self._keeps_head = keeps_head
        if np.array_equal(self.classes, earlier.classes):
            return codes
        known = np.isin(self.classes, earlier.classes).all()
        if not (keeps_head and known):
            hint = "Set warm_start=False to start anew."
            if known:
                hint = (
                    "Classes may be absent from y only if the earlier fit and this one both train "
                    "the network. Here a new head is fitted to these rows alone: pass rows of each "
                    "class, or set warm_start=False to start anew."
                )
            raise ValueError(
                "warm_start=True cannot change the classes: the estimator was fitted with "
                f"{earlier.classes.tolist()}, but y has {self.classes.tolist()}. {hint}"
            )
        known_codes = np.searchsorted(earlier.classes, self.classes)
        self.classes = earlier.classes
        return known_codes[codes].astype(np.int64)

    def encode(self, y, name):
        y = target_column(y, name)
        unknown = sorted({str(label) for label in np.setdiff1d(y, self.classes)})
        if unknown:
            raise ValueError(f"{name} has classes that y does not have: {unknown}.")
        return np.searchsorted(self.classes, y).astype(np.int64)

    def attributes(self):
        return {"classes_": self.classes}

    def weights(self, targets, weights):
        if self.class_weight is None:
            return weights
        return weights * compute_sample_weight(self.class_weight, self.classes[targets])

    def refuse(self, targets):
        if not self._keeps_head and np.ptp(targets) == 0:
            label = self.classes[targets[:1]].tolist()[0]
            raise ValueError(
                f"{self.purpose} needs at least two classes, but the rows to learn from are all of "
                f"one class: {label!r}."
            )

    def strata(self, targets):
        return targets

    def fit_head(self, features, targets, weights):
        n_classes = len(self.classes)
        return logistic_head(features, targets, n_classes, weights, self.C, self.scale)

    def initial_head(self, features, goals, weights):
        head = self.fit_head(features, goals, weights)
        present = np.isfinite(head.bias)
        return head._replace(bias=np.where(present, head.bias, head.bias[present].min() - _RARELY))

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
