"""Problems: how y is checked and encoded, and how predictions are made and scored."""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from hashlib import sha256
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.special import log_softmax
from sklearn.utils.class_weight import compute_sample_weight
from sklearn.utils.multiclass import check_classification_targets

from sklearn_dl.training._head import LinearHead, logistic_head, ridge_head
from sklearn_dl.training._targets import as_numbers
from sklearn_dl.utils._columns import counted
from sklearn_dl.utils._targets import target_column

if TYPE_CHECKING:
    import torch

    from sklearn_dl.training._rows import Examples, Rows

    Outputs = Callable[[Rows], np.ndarray]

# in the initial head, the bias of a class without rows is the least finite bias minus this number,
# not -inf, so that losses stay finite
_RARELY = 10.0


class Problem(ABC):
    """What the targets of a fit mean. A fitted estimator keeps its Problem to make predictions.

    A fit calls these methods:

    - `learn` or `continue_from`, and `encode` for the y of validation rows;
    - `weights` and `refuse`;
    - if the network is not trained: `fit_head`;
    - if the network is trained: `strata` if some rows are to be held out, `start`, `initial_head`
      if the network has no head yet, `goals`, `losses` for each batch, and `evaluate` for the
      validation rows.

    Only `losses` needs torch.

    In this module, targets are the values of y as `learn` and `encode` return them, and goals are
    what `losses` compares the outputs of the network with.
    """

    # what learning_rate="auto" stands for
    learning_rate: float

    @abstractmethod
    def learn(self, y) -> np.ndarray:
        """Check y, learn how to encode it, and return the targets.

        Raises
        ------
        ValueError
            If this problem cannot learn from y.
        """

    @abstractmethod
    def continue_from(self, earlier: "Problem", y, keeps_head: bool) -> np.ndarray:
        """Do what `learn` does, for a fit that continues from an earlier fit.

        Parameters
        ----------
        earlier : Problem
            The problem of the earlier fit.
        y : array-like
        keeps_head : bool
            Whether training starts with the head of the earlier fit; if not, a new head is fitted.

        Raises
        ------
        ValueError
            If this problem cannot learn from y, or y does not match what was learned earlier.
        """

    @abstractmethod
    def encode(self, y, name: str) -> np.ndarray:
        """Check y and encode it with what `learn` has learned.

        Parameters
        ----------
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
        name : str
            Name of `y` in messages.

        Returns
        -------
        targets : ndarray of shape (n_samples,) or (n_samples, n_outputs)

        Raises
        ------
        ValueError
            If a target is missing or does not match what was learned.
        """

    @abstractmethod
    def refuse(self, targets: np.ndarray) -> None:
        """Raise a ValueError if there is nothing to learn from these targets."""

    @abstractmethod
    def fit_head(self, features, targets, weights) -> LinearHead | None:
        """The head that predicts the targets best from the features of a network.

        Parameters
        ----------
        features : float64 ndarray of shape (n_rows, n_features)
        targets : ndarray of n_rows rows
        weights : float64 ndarray of shape (n_rows,)

        Returns
        -------
        head : LinearHead or None
            None: the network takes no head.
        """

    @abstractmethod
    def initial_head(self, features, goals, weights) -> LinearHead:
        """The head that training starts with.

        Parameters
        ----------
        features : float64 ndarray of shape (n_rows, n_features)
            The features of the network as it is before this fit trains it.
        goals : ndarray of n_rows rows
            What `goals` returns.
        weights : float64 ndarray of shape (n_rows,)

        Returns
        -------
        head : LinearHead
            Its weights and bias are finite.
        """

    @abstractmethod
    def losses(self, outputs: "torch.Tensor", goals: "torch.Tensor") -> "torch.Tensor":
        """The unweighted loss of each row of a batch.

        Parameters
        ----------
        outputs : Tensor of shape (n_rows, n_outputs)
        goals : Tensor of n_rows rows

        Returns
        -------
        losses : Tensor of shape (n_rows,)
        """

    @abstractmethod
    def evaluate(self, outputs, targets, weights) -> tuple[float, float]:
        """The loss and the score of the validation rows.

        Parameters
        ----------
        outputs : float64 ndarray of shape (n_rows, n_outputs)
        targets : ndarray of n_rows rows
        weights : float64 ndarray of shape (n_rows,)
        """

    @abstractmethod
    def predictions(self, outputs: np.ndarray) -> np.ndarray:
        """What `predict` returns for these outputs."""

    def attributes(self) -> dict[str, Any]:
        """Attributes of the fitted estimator, by name."""
        return {}

    def weights(self, targets: np.ndarray, weights: np.ndarray) -> np.ndarray:
        """The sample weights, multiplied by the class weights if there are any."""
        return weights

    def strata(self, targets: np.ndarray) -> np.ndarray | None:
        """The stratum of each row, as in `split_rows`. None: rows are held out at random."""
        return None

    def start(self, examples: "Examples", outputs: "Outputs", seed: int) -> None:  # noqa: B027
        """Prepare for training with these examples.

        Parameters
        ----------
        examples : Examples
        outputs : callable(Rows) -> float64 ndarray
            Computes outputs of the network as it is before this fit trains it. Call it only if the
            network takes no head.
        seed : int
        """

    def goals(self, targets: np.ndarray, layout: object = None) -> np.ndarray:
        """The goals of targets: what `losses` compares the outputs of the network with.

        Parameters
        ----------
        targets : ndarray of n_rows rows
        layout : object, default=None
            The `layout` of the Feed: which output belongs to which target. None: all outputs of a
            row belong to its one target.

        Returns
        -------
        goals : float64 or int64 ndarray of n_rows rows
        """
        return targets

    def digest(self, targets: np.ndarray) -> bytes:
        """A hash of targets."""
        return sha256(f"{targets.dtype} {targets.shape}".encode() + targets.tobytes()).digest()


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


class Numbers(Problem):
    """One or several numbers for each row; predictions are ``slope * output + intercept``.

    If the network is trained, the numbers are scaled to mean 0 and standard deviation 1. If only
    a head is fitted, they are not scaled.

    Parameters
    ----------
    what : str
        Name of the numbers in messages, in the plural.
    several : bool, default=False
        Whether a row may have more than one number.
    tune : bool, default=False
        As in `ridge_head`, if only a head is fitted. The initial head is never tuned.
    each : bool, default=True
        As in `ridge_head`.
    """

    slope: Any = 1.0
    intercept: Any = 0.0
    _is_scaled = False
    _n_outputs: int | None = None  # None: y has one dimension

    def __init__(self, what, several=False, tune=False, each=True):
        self.what = what
        self.several = several
        self.tune = tune
        self.each = each

    def learn(self, y):
        y = as_numbers(y, "y", self.several)
        self._n_outputs = _width(y)
        return y

    def continue_from(self, earlier, y, keeps_head):
        y = self.learn(y)
        if keeps_head:
            if self._n_outputs != earlier._n_outputs:
                raise ValueError(
                    f"warm_start=True cannot change the number of columns of y: it had "
                    f"{earlier._n_outputs or 1} and has {self._n_outputs or 1}. Set "
                    "warm_start=False to start anew."
                )
            self.slope, self.intercept, self._is_scaled = earlier.slope, earlier.intercept, True
        return y

    def encode(self, y, name):
        y = as_numbers(y, name, self.several)
        if _width(y) != self._n_outputs:
            raise ValueError(
                f"{name} has {counted(_width(y) or 1, 'column')}, but y has {self._n_outputs or 1}."
            )
        return y

    def refuse(self, targets):
        if not np.ptp(targets, axis=0).any():
            n, values = len(targets), np.ravel(targets[0])
            if n == 1:
                raise ValueError(
                    "There is nothing to learn from 1 sample: at least two rows with different "
                    f"{self.what} are needed."
                )
            seen = (
                f"All {n} {self.what} are equal ({values[0]:g})"
                if len(values) == 1
                else f"In each column, all {n} {self.what} are equal"
            )
            raise ValueError(f"{seen}: there is nothing to learn.")

    def start(self, examples, outputs, seed):
        if self._is_scaled:
            return
        targets, weights = examples.targets, examples.weights
        self.intercept = np.average(targets, axis=0, weights=weights)
        spread = np.average((targets - self.intercept) ** 2, axis=0, weights=weights) ** 0.5
        # because of rounding, the spread of equal numbers can differ from 0
        self.slope = np.where(np.ptp(targets, axis=0) > 0, spread, 1.0)
        if targets.ndim == 1:
            self.slope, self.intercept = float(self.slope), float(self.intercept)

    def goals(self, targets, layout=None):
        return (targets - self.intercept) / self.slope

    def fit_head(self, features, targets, weights):
        return ridge_head(features, targets, weights, self.tune, self.each)

    def initial_head(self, features, goals, weights):
        return ridge_head(features, goals, weights)

    def losses(self, outputs, goals):
        if goals.ndim == 1:
            return (outputs[:, 0] - goals) ** 2
        return ((outputs - goals) ** 2).mean(1)

    def evaluate(self, outputs, targets, weights):
        errors = (self.predictions(outputs) - targets) ** 2
        center = np.average(targets, axis=0, weights=weights)
        variance = np.average((targets - center) ** 2, axis=0, weights=weights)
        if errors.ndim == 1:
            error = mean(errors, weights)
            # R² is undefined for equal targets; the score is then minus the error
            return error / self.slope**2, float(1 - error / variance if variance else -error)
        error = np.array([mean(column, weights) for column in errors.T])
        varies = np.ptp(targets, axis=0) > 0
        r2 = np.where(varies, 1 - error / np.where(varies, variance, 1.0), error == 0)
        return float(np.mean(error / self.slope**2)), float(np.mean(r2))

    def predictions(self, outputs):
        if self._n_outputs is None:
            return self.slope * outputs[:, 0] + self.intercept
        return self.slope * outputs + self.intercept


def _width(y):
    """Number of columns of an array; None if the array is 1-D."""
    return y.shape[1] if y.ndim == 2 else None


def mean(values, weights):
    """The weighted mean. It does not depend on the order of the rows."""
    return math.fsum(values * weights) / math.fsum(weights)
