"""What a network that is trained here has. Importing this module imports torch."""

import copy
from abc import ABC, abstractmethod
from typing import Any

import numpy as np
import torch
from torch.nn.utils import skip_init

from sklearn_dl.training._head import LinearHead


class NetworkWithHead(torch.nn.Module, ABC):
    """A pretrained body, and a linear head on its features.

    Parameters
    ----------
    n_features : int
    n_outputs : int
        Of the head; 0: there is none.
    """

    head: torch.nn.Linear | None
    body: Any

    def __init__(self, n_features, n_outputs=0):
        super().__init__()
        self.head = None
        # names of tensors that earlier fits have trained
        self.changed: set[str] = set()
        if n_outputs:
            self.make_head(n_features, n_outputs)

    @abstractmethod
    def move_to(self, device):
        """Move to a torch device, and compute there in the way that is fastest."""

    @abstractmethod
    def train_last(self, n_layers):
        """Train the last `n_layers` layers of the body and the head; "all": all of it."""

    def changed_tensors(self):
        """The tensors that a fit has changed, or may change: by name."""
        frozen = {name for name, p in self.named_parameters() if not p.requires_grad}
        frozen -= self.changed
        return {name: t for name, t in self.state_dict().items() if name not in frozen}

    def make_head(self, n_features, n_outputs):
        """A head whose weights are not set."""
        self.head = skip_init(torch.nn.Linear, n_features, n_outputs)
        return self.head

    def in_bfloat16(self):
        """A copy for scoring, whose body computes in bfloat16; the head does not."""
        memo = {
            id(p): torch.nn.Parameter(p.detach().to(torch.bfloat16), requires_grad=False)
            for p in self.body.parameters()
        }  # so that the float32 tensors are not copied first
        copied = copy.deepcopy(self, memo)
        copied.body.to(torch.bfloat16)
        return copied.requires_grad_(False)

    def add_head(self, solved):
        """A head on the body's device that computes what the LinearHead `solved` does."""
        device = next(self.parameters()).device
        head = self.make_head(*solved.weights.shape[::-1])
        with torch.no_grad():
            head.weight.copy_(torch.from_numpy(solved.weights))
            head.bias.copy_(torch.from_numpy(solved.bias))
        head.to(device)

    def linear_head(self):
        """The head as a LinearHead."""
        assert self.head is not None
        weight, bias = (p.detach().cpu().numpy().astype(np.float64) for p in self.head.parameters())
        return LinearHead(weight, bias)
