"""Base class of the networks that are trained. Importing this module imports torch."""

import copy
from abc import ABC, abstractmethod
from typing import Any

import numpy as np
import torch
from torch.nn.utils import skip_init

from sklearn_dl.training._head import LinearHead


class NetworkWithHead(torch.nn.Module, ABC):
    """A torch module: a pretrained body, and a linear head on its features.

    Parameters
    ----------
    n_features : int
        Number of features that the head takes.
    n_outputs : int, default=0
        Number of outputs of the head. 0: there is no head.
    """

    head: torch.nn.Linear | None
    body: Any

    def __init__(self, n_features, n_outputs=0):
        super().__init__()
        self.head = None
        # names of the tensors that earlier fits have trained
        self.changed: set[str] = set()
        if n_outputs:
            self.make_head(n_features, n_outputs)

    @abstractmethod
    def move_to(self, device):
        """Move the network to a torch device, in the memory layout that is fastest there."""

    @abstractmethod
    def train_last(self, n_layers):
        """Make the head and the last `n_layers` layers of the body (or "all") trainable."""

    def changed_tensors(self):
        """The tensors that an earlier fit has changed or this fit can change, by name."""
        frozen = {name for name, p in self.named_parameters() if not p.requires_grad}
        frozen -= self.changed
        return {name: t for name, t in self.state_dict().items() if name not in frozen}

    def make_head(self, n_features, n_outputs):
        """Make a head whose weights are not set yet, and return it."""
        self.head = skip_init(torch.nn.Linear, n_features, n_outputs)
        return self.head

    def in_bfloat16(self):
        """A copy for scoring. Its body computes in bfloat16, its head in float32."""
        memo = {
            id(p): torch.nn.Parameter(p.detach().to(torch.bfloat16), requires_grad=False)
            for p in self.body.parameters()
        }  # with this memo, deepcopy does not copy the float32 tensors first
        copied = copy.deepcopy(self, memo)
        copied.body.to(torch.bfloat16)
        return copied.requires_grad_(False)

    def add_head(self, fitted):
        """Add a head with the weights of the LinearHead `fitted`."""
        device = next(self.parameters()).device
        head = self.make_head(*fitted.weights.shape[::-1])
        with torch.no_grad():
            head.weight.copy_(torch.from_numpy(fitted.weights))
            head.bias.copy_(torch.from_numpy(fitted.bias))
        head.to(device)

    def linear_head(self):
        """The head as a LinearHead."""
        assert self.head is not None
        weight, bias = (p.detach().cpu().numpy().astype(np.float64) for p in self.head.parameters())
        return LinearHead(weight, bias)
