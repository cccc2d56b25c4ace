"""What the training loop trains: a network, with its inputs and the losses of a problem.

Importing this module imports torch.
"""

from abc import ABC, abstractmethod
from typing import Any

import numpy as np
import torch


class Feed(ABC):
    """Rows in the form in which a network is trained on them: each is one part, or several windows.

    Attributes
    ----------
    lengths : int ndarray of shape (n_parts,)
        The length of each part: parts of similar length share a batch.
    cut : bool ndarray or None
        Which inputs were cut because they are too long. None: inputs are never cut.
    row_of_part : int ndarray of shape (n_parts,) or None
        The position of the row that each part belongs to. None: each row is one part.
    shares : float ndarray of shape (n_parts,) or None
        The weight of each part is that of its row times this number. None: 1.
    layout : object or None
        For networks with several outputs per part: which output belongs to which target.
    """

    lengths: np.ndarray
    cut: np.ndarray | None = None
    row_of_part: np.ndarray | None = None
    shares: np.ndarray | None = None
    layout: object = None

    @abstractmethod
    def outputs(self, network, positions: np.ndarray, rng: np.random.Generator) -> Any:
        """The network's outputs for the parts at `positions`; `rng` draws their random views.

        They are a Tensor, or whatever the `losses` of the Problem take.
        """


class Task:
    """The TrainingTask of an estimator: a network, its feed, and the losses of its problem.

    Parameters
    ----------
    network : NetworkWithHead
    feed : Feed
    problem : Problem
    examples : Examples
    """

    def __init__(self, network, feed, problem, examples):
        self.network, self.feed, self.problem = network, feed, problem
        targets, weights = examples.targets, examples.weights
        if feed.row_of_part is not None:
            targets, weights = targets[feed.row_of_part], weights[feed.row_of_part]
        if feed.shares is not None:
            weights = weights * feed.shares
        self.lengths, self.weights = feed.lengths, weights
        goals = problem.goals(targets, feed.layout)
        if isinstance(goals, np.ndarray):
            if goals.dtype.kind == "f":
                goals = goals.astype(np.float32)
            goals = torch.from_numpy(goals).to(next(network.parameters()).device)
        self._goals = goals

    def losses(self, positions, rng):
        outputs = self.feed.outputs(self.network, positions, rng)
        return self.problem.losses(outputs, self._goals[positions])
