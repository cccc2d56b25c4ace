"""The head of ObjectDetector: from feature maps to class scores and boxes. It imports torch."""

import math
from itertools import pairwise
from typing import Any

import torch
from torch import nn
from torch.nn import functional
from torch.nn.utils import skip_init

# number of channels inside the head
_WIDTH = 64
# a new head gives each class this probability in each cell
_PRIOR = 0.1


class DetectionHead(nn.Module):
    """An anchor-free head: for each cell, the logits of the classes and the distances to a box.

    Maps are added from coarse to fine, as in a feature pyramid (Lin et al., 2017). A cell is a
    pixel of the finest map. The classes are a heat map of the centers of objects (Zhou et al.,
    CenterNet, 2019). The head has no normalisation layer, so the result for an image never depends
    on the other images of its batch; instead, the maps are standardised with fixed numbers.

    Parameters
    ----------
    channels, strides : list of int
        Number of channels and stride of each map, the finest first.
    n_classes : int
    """

    def __init__(self, channels, strides, n_classes):
        super().__init__()
        self.laterals = nn.ModuleList(_conv(n, _WIDTH, 1) for n in channels)
        self.mix = _conv(_WIDTH, _WIDTH, 3)
        self.class_branch, self.classes = _conv(_WIDTH, _WIDTH, 3), _conv(_WIDTH, n_classes, 1)
        self.box_branch, self.boxes = _conv(_WIDTH, _WIDTH, 3), _conv(_WIDTH, 4, 1)
        self.register_buffer("strides", torch.tensor(strides))
        for level, n in enumerate(channels):
            self.register_buffer(f"mean_{level}", torch.zeros(n))
            self.register_buffer(f"scale_{level}", torch.ones(n))
        self._stride = int(strides[0])
        self._factors = [b // a for a, b in pairwise(strides)]

    @classmethod
    def like(cls, tensors):
        """A head for tensors of this kind, by name, without their values."""
        channels: list[int] = []
        while f"mean_{len(channels)}" in tensors:
            channels.append(len(tensors[f"mean_{len(channels)}"]))
        return cls(channels, tensors["strides"].tolist(), len(tensors["classes.bias"]))

    @property
    def stride(self):
        """Width of a cell in pixels of the canvas."""
        return self._stride

    def initialise(self, seed):
        """Draw the weights, and set the biases."""
        generator = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for lateral in self.laterals:
                weight: Any = lateral.weight
                nn.init.kaiming_uniform_(weight, math.sqrt(5), generator=generator)
            for conv in (self.mix, self.class_branch, self.box_branch):
                nn.init.kaiming_normal_(conv.weight, nonlinearity="relu", generator=generator)
            for conv in (self.classes, self.boxes):
                nn.init.normal_(conv.weight, std=0.01, generator=generator)
            for name, parameter in self.named_parameters():
                if name.endswith("bias"):
                    parameter.zero_()
            self.classes.bias.fill_(math.log(_PRIOR / (1 - _PRIOR)))
            self.boxes.bias.fill_(2.0)

    def standardise(self, maps):
        """Set the numbers that standardise maps, from the pixels (C, n) of the maps of images."""
        for level, values in enumerate(maps):
            spread, mean = torch.std_mean(values, dim=1)
            getattr(self, f"mean_{level}").copy_(mean)
            getattr(self, f"scale_{level}").copy_(1 / (spread + 1e-3))

    def forward(self, maps):
        """Compute logits (n, n_classes, h, w) and distances (n, 4, h, w), both float32.

        The distances, in cells, are those from the center of a cell to the left, upper, right and
        lower edge of a box.
        """
        x: Any = None
        for level in reversed(range(len(self.laterals))):
            mean = getattr(self, f"mean_{level}")[:, None, None]
            scale = getattr(self, f"scale_{level}")[:, None, None]
            lateral = self.laterals[level]((maps[level] - mean) * scale)
            if x is None:
                x = lateral
            else:
                x = lateral + functional.interpolate(x, scale_factor=self._factors[level])
        x = functional.relu(self.mix(functional.relu(x)))
        logits = self.classes(functional.relu(self.class_branch(x)))
        distances = self.boxes(functional.relu(self.box_branch(x)))
        return logits.float(), functional.softplus(distances.float())


def _conv(n_inputs, n_outputs, size):
    return skip_init(nn.Conv2d, n_inputs, n_outputs, size, padding=size // 2)
