"""Problems: how y is checked and encoded, and how predictions are made and scored."""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from hashlib import sha256
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from sklearn_dl.training._head import LinearHead

if TYPE_CHECKING:
    import torch

    from sklearn_dl.training._rows import Examples, Rows

    Outputs = Callable[[Rows], np.ndarray]


class Continuation(NamedTuple):
    """How a fit continues from an earlier one, and what error messages say about it.

    Attributes
    ----------
    keeps_head : bool
        Whether training starts with the head of the earlier fit; if not, a new head is fitted.
    call : str
        What the user asked for: the subject of the message.
    to_start_anew : str
        The last sentence of the message: how to start a new fit instead.
    """

    keeps_head: bool
    call: str = "warm_start=True"
    to_start_anew: str = "Set warm_start=False to start anew."

    def error(self, what, hint=""):
        """Return a ValueError that says what cannot change."""
        return ValueError(f"{self.call} cannot change {what}. {hint or self.to_start_anew}")


WARM_START = Continuation(True)
PARTIAL_FIT = Continuation(True, "partial_fit", "Call fit to start anew.")


class Problem(ABC):
    """What the targets of a fit mean. A fitted estimator keeps its Problem to make predictions.

    A fit calls these methods:

    - `learn`, `learn_some` or `continue_from`, and `encode` for the y of validation rows. They get
      y as the estimator's `_with_targets` returns it;
    - `weights` and `refuse`;
    - if the network is not trained: `fit_head`;
    - if the network is trained: `has_outputs_of` and `scaled_head` if the model's folder contains a
      head, `strata` if some rows are to be held out, `start`, `initial_head` if the network has no
      head yet, `goals`, `losses` for each batch, and `evaluate` for the validation rows.

    Only `losses` needs torch.

    In this module, targets are the values of y as `learn` and `encode` return them, and goals are
    what `losses` compares the outputs of the network with. Where a row has several targets, such as
    a tag for each word, targets, features and outputs are a Ragged.
    """

    # what learning_rate="auto" stands for
    learning_rate: float
    # whether `evaluate` can compute the loss; if not, it is the mean of `losses`
    outputs_tell_loss = True

    @abstractmethod
    def learn(self, y) -> np.ndarray:
        """Check y, learn how to encode it, and return the targets.

        Raises
        ------
        ValueError
            If this problem cannot learn from y.
        """

    @abstractmethod
    def continue_from(self, earlier: "Problem", y, how: Continuation) -> np.ndarray:
        """Do what `learn` does, for a fit that continues from an earlier fit.

        Parameters
        ----------
        earlier : Problem
            The problem of the earlier fit.
        y : array-like
        how : Continuation

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

    def refuse_held_out(self, targets: np.ndarray) -> None:  # noqa: B027 - optional
        """Raise a ValueError if the score of validation rows with these targets is not defined."""

    @abstractmethod
    def fit_head(self, features, targets, weights, where=None) -> LinearHead | None:
        """The head that predicts the targets best from the features of a network.

        Parameters
        ----------
        features : float64 ndarray of shape (n_rows, n_features)
        targets : ndarray of n_rows rows
        weights : float64 ndarray of shape (n_rows,)
        where : Where or None, default=None
            Shows a bar if the head is fitted in several steps. None: no bar.

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
    def losses(self, outputs: Any, goals: Any) -> "torch.Tensor":
        """The unweighted loss of each row of a batch.

        Parameters
        ----------
        outputs : Tensor of shape (n_rows, n_outputs), or whatever the Feed returns
        goals : Tensor or Ragged of n_rows rows

        Returns
        -------
        losses : Tensor of shape (n_rows,)
        """

    @abstractmethod
    def evaluate(self, outputs, targets, weights) -> tuple[float | None, float]:
        """The loss and the score of the validation rows.

        Parameters
        ----------
        outputs : float64 ndarray of shape (n_rows, n_outputs), or Ragged
        targets : ndarray of n_rows rows
        weights : float64 ndarray of shape (n_rows,)

        Returns
        -------
        loss : float or None
            None: the loss cannot be computed from the outputs, and is the mean of `losses`.
        score : float
        """

    @abstractmethod
    def predictions(self, outputs: np.ndarray) -> np.ndarray:
        """What `predict` returns for these outputs."""

    @property
    def n_columns(self) -> int:
        """Number of columns of the outputs. Only problems whose outputs are an ndarray have it."""
        raise NotImplementedError

    def attributes(self) -> dict[str, Any]:
        """Attributes of the fitted estimator, by name."""
        return {}

    def learn_some(self, y, classes) -> np.ndarray:
        """Do what `learn` does, for the first call of `partial_fit`. Later calls bring more rows.

        Parameters
        ----------
        y : array-like
        classes : array-like or None
            All classes, also those that only later rows have. For regressors: None.
        """
        return self.learn(y)

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
        targets : ndarray or Ragged of n_rows rows
            If the Feed splits rows into parts: for each part, the targets of its row.
        layout : object, default=None
            The `layout` of the Feed: which output belongs to which target. None: all outputs of a
            row belong to its one target.

        Returns
        -------
        goals : float64 or int64 ndarray of n_rows rows, or Ragged
            `losses` gets an ndarray as a Tensor, and a Ragged unchanged.
        """
        return targets

    def has_outputs_of(self, other: "Problem") -> bool:
        """Whether a network for the problem `other` has the outputs that this problem needs."""
        return False

    def scaled_head(self, head: LinearHead) -> LinearHead:
        """Scale a head so that `losses` can compare its outputs with goals.

        Parameters
        ----------
        head : LinearHead
            Its outputs are in the units of y.
        """
        return head

    def digest(self, targets: np.ndarray) -> bytes:
        """A hash of targets."""
        return sha256(f"{targets.dtype} {targets.shape}".encode() + targets.tobytes()).digest()


class Classification(Problem):
    """A problem of a classifier: one class, or several labels, for each row.

    Parameters
    ----------
    purpose : str
        Name of the estimator in messages.
    class_weight : dict, "balanced" or None
    label_smoothing : float, default=0.0
    C : float or "auto", default="auto"
        As in the estimators.
    scale : bool, default=False
        As in `logistic_head`. It has no effect with several labels.
    """

    # classes_ of the estimator
    classes: np.ndarray
    # whether y may lack some of the classes; with several labels, whether all rows may have the
    # same labels
    _may_lack_classes = False

    def __init__(self, purpose, class_weight, label_smoothing=0.0, C="auto", scale=False):
        self.purpose = purpose
        self.class_weight = class_weight
        self.label_smoothing = label_smoothing
        self.C = C
        self.scale = scale

    def attributes(self):
        return {"classes_": self.classes}

    @property
    def n_columns(self):
        return len(self.classes)

    @abstractmethod
    def predictions_or(self, outputs: np.ndarray, missing) -> np.ndarray:
        """What `predict` returns with ``on_error="nan"``: `missing` for outputs that are NaN."""

    @abstractmethod
    def probabilities(self, outputs: np.ndarray) -> np.ndarray:
        """What `predict_proba` returns for these outputs."""

    @abstractmethod
    def log_probabilities(self, outputs: np.ndarray) -> np.ndarray:
        """What `predict_log_proba` returns for these outputs."""

    @abstractmethod
    def decision_values(self, outputs: np.ndarray) -> np.ndarray:
        """What `decision_function` returns for these outputs."""


def mean(values, weights):
    """The weighted mean. It does not depend on the order of the rows."""
    return math.fsum(values * weights) / math.fsum(weights)
