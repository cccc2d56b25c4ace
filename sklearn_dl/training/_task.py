"""What the loop trains: a network that is fed, towards the goals of a problem.

Importing this module imports torch.
"""

from abc import ABC, abstractmethod

import numpy as np
import torch


class Feed(ABC):
    """What a network is fed for some rows, ready for training.

    Attributes
    ----------
    lengths : int ndarray of shape (n_rows,)
        Rows of similar length share a batch.
    cut : bool ndarray or None
        Which of the inputs were longer than what is read of them.
    layout : object or None
        Where in the outputs for a row its targets belong, for networks that give several.
    """

    lengths: np.ndarray
    cut: np.ndarray | None = None
    layout: object = None

    @abstractmethod
    def outputs(self, network, positions: np.ndarray, rng: np.random.Generator) -> torch.Tensor:
        """The network's outputs for the rows at `positions`; `rng` is for augmentation."""


class Task:
    """The training of a live network: a TrainingTask of the loop.

    Parameters
    ----------
    network : NetworkWithHead
    feed : Feed
    problem : Problem
    examples : Examples
    """

    def __init__(self, network, feed, problem, examples):
        self.network, self.feed, self.problem = network, feed, problem
        self.lengths, self.weights = feed.lengths, examples.weights
        goals = problem.goals(examples.targets, feed.layout)
        if goals.dtype.kind == "f":
            goals = goals.astype(np.float32)
        self._goals = torch.from_numpy(goals).to(next(network.parameters()).device)

    def losses(self, rows, rng):
        outputs = self.feed.outputs(self.network, rows, rng)
        return self.problem.losses(outputs, self._goals[rows])
