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
# a channel with a smaller standard deviation is not scaled
_CONSTANT = 1e-3
_RELU_GAIN = math.sqrt(2 / (1 - 1 / math.pi))


class DetectionHead(nn.Module):
    """An anchor-free head: for each cell, the logits of the classes and the distances to a box.

    Maps are added from coarse to fine, as in a feature pyramid (Lin et al., 2017). A cell is a
    pixel of the finest map. The classes are a heat map of the centers of objects (Zhou et al.,
    CenterNet, 2019). The head has no batch normalisation, so the result for an image never depends
    on the other images of its batch. Instead, the maps are standardised with fixed numbers, and
    the weights are standardised (Brock et al., Characterizing Signal Propagation, 2021).

    Parameters
    ----------
    channels, strides : list of int
        Number of channels and stride of each map, the finest first.
    n_classes : int
    """

    def __init__(self, channels, strides, n_classes):
        super().__init__()
        self.laterals = nn.ModuleList(_standardised(n, 1) for n in channels)
        self.mix = _standardised(_WIDTH, 3)
        self.class_branch, self.box_branch = _standardised(_WIDTH, 3), _standardised(_WIDTH, 3)
        self.classes = skip_init(nn.Conv2d, _WIDTH, n_classes, 1)
        self.boxes = skip_init(nn.Conv2d, _WIDTH, 4, 1)
        self.register_buffer("strides", torch.tensor(strides))
        for level, n in enumerate(channels):
            self.register_buffer(f"mean_{level}", torch.zeros(n))
            self.register_buffer(f"scale_{level}", torch.ones(n))
        self._stride = int(strides[0])
        self._factors = [b // a for a, b in pairwise(strides)]

    @classmethod
    def like(cls, tensors):
        """Make a head whose tensors have the names and shapes of these, but not their values."""
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
            for name, parameter in self.named_parameters():
                if name.endswith("gain"):
                    parameter.fill_(1.0)
                elif name.endswith("bias"):
                    parameter.zero_()
                else:
                    nn.init.normal_(parameter, std=0.05, generator=generator)
            for conv in (self.classes, self.boxes):
                conv.weight.mul_(0.2)
            self.classes.bias.fill_(math.log(_PRIOR / (1 - _PRIOR)))
            self.boxes.bias.fill_(2.0)

    def standardise(self, means, spreads):
        """Set the numbers that standardise maps: mean and standard deviation of each channel.

        Parameters
        ----------
        means, spreads : list of Tensor of shape (n_channels,)
            For each map.
        """
        for level, (mean, spread) in enumerate(zip(means, spreads, strict=True)):
            getattr(self, f"mean_{level}").copy_(mean)
            # a channel that is constant in these images may vary in others
            scale = torch.where(spread > _CONSTANT, 1 / spread, 1.0)
            getattr(self, f"scale_{level}").copy_(scale)

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
        x = _relu(self.mix(_relu(x / math.sqrt(len(self.laterals)))))
        logits = self.classes(_relu(self.class_branch(x)))
        distances = self.boxes(_relu(self.box_branch(x)))
        return logits.float(), functional.softplus(distances.float())


class _StandardisedConv(nn.Conv2d):
    """A convolution whose filters have the mean 0 and a variance of `gain` / number of inputs.

    So its outputs have about the same mean and variance as its inputs.
    """

    def __init__(self, n_inputs, n_outputs, size):
        super().__init__(n_inputs, n_outputs, size, padding=size // 2)
        self.gain = nn.Parameter(torch.empty(n_outputs, 1, 1, 1))

    def forward(self, x):
        """Compute the convolution with the standardised filters."""
        weight = self.weight
        variance, mean = torch.var_mean(weight, (1, 2, 3), keepdim=True)
        scale = torch.rsqrt((variance * weight[0].numel()).clamp(min=1e-8)) * self.gain
        return self._conv_forward(x, (weight - mean) * scale, self.bias)


def _standardised(n_inputs, size):
    with torch.device("meta"):
        conv = _StandardisedConv(n_inputs, _WIDTH, size)
    return conv.to_empty(device="cpu")


def _relu(x):
    """A ReLU whose output has the variance 1 if its input is standard normal."""
    return functional.relu(x) * _RELU_GAIN
