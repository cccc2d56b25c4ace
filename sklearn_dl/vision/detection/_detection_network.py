"""The torch network behind ObjectDetector. Importing this module imports torch."""

import copy
from collections.abc import Iterable
from typing import Any

import torch

from sklearn_dl.vision._image_network import ImageNetwork, layers_of
from sklearn_dl.vision.detection._map_source import TEST_SIDE, map_sizes


class DetectionNetwork(ImageNetwork):
    """A network from pixels to feature maps, and a DetectionHead on these maps.

    Parameters
    ----------
    body : torch.nn.Module or None
        Maps pixels (n, 3, H, W) to a list of feature maps, by its method `maps` if it has one.
        None: other code computes the maps, and only the head is trained.
    head : DetectionHead or None, default=None
    """

    def __init__(self, body, head=None):
        super().__init__(body)
        self.head: Any = head
        self._sizes = None

    def measure(self, name):
        """Return the MapSizes of the feature maps to use. `features` then returns only these maps.

        Parameters
        ----------
        name : str
            Name of the model in messages.

        Raises
        ------
        ValueError
            As `map_sizes` does, or if the body does not take images of any size, or does not return
            tensors.
        """
        if self._sizes is None:
            try:
                with torch.inference_mode():
                    maps = self._all_maps(self._test_image())
            except (ValueError, RuntimeError, AssertionError) as error:
                raise ValueError(
                    f"{name} cannot process an image of {TEST_SIDE} x {TEST_SIDE} pixels ({error}),"
                    " but a detector needs a network that takes images of any size, such as a "
                    "ResNet, ConvNeXT or MobileNet."
                ) from error
            kinds = {type(values).__name__ for values in maps if not torch.is_tensor(values)}
            if kinds:
                raise ValueError(
                    f"{name} returns {', '.join(sorted(kinds))}, but it must return a list of "
                    "tensors, the feature maps."
                )
            self._sizes = map_sizes([tuple(values.shape) for values in maps], TEST_SIDE, name)
        return self._sizes

    def features(self, pixels):
        """Return the feature maps, a list of float32 tensors of shape (n, C, h, w)."""
        maps = self._all_maps(pixels)
        used = range(len(maps)) if self._sizes is None else self._sizes.used
        return [maps[i].float() for i in used]

    def _test_image(self):
        device = next((p.device for p in self.body.parameters()), torch.device("cpu"))
        return torch.zeros(1, 3, TEST_SIDE, TEST_SIDE, device=device)

    def _all_maps(self, pixels):
        """Return the output of the body as a list."""
        dtype = next((p.dtype for p in self.body.parameters()), pixels.dtype)
        pixels = pixels.to(dtype, memory_format=torch.channels_last)
        made = getattr(self.body, "maps", self.body)(pixels)
        maps = made.values() if isinstance(made, dict) else made
        return list(maps) if isinstance(maps, Iterable) and not torch.is_tensor(maps) else [maps]

    def forward(self, pixels):
        """Return the outputs of the head."""
        return self.head(self.features(pixels))

    def layers(self):
        """Return the layers that the maps depend on, without the layers after the last map."""
        parameters = list(self.body.parameters())
        if not parameters:
            return []
        with torch.enable_grad():
            maps = self.features(self._test_image())
            total = torch.stack([values.sum() for values in maps]).sum()
        gradients = torch.autograd.grad(total, parameters, allow_unused=True)
        used = {id(p) for p, g in zip(parameters, gradients, strict=True) if g is not None}
        return [
            layer
            for layer in layers_of(self.body)
            if any(id(p) in used for module in layer for p in module.parameters())
        ]

    def train_last(self, n_layers):
        if self.body is not None and n_layers != 0:
            super().train_last(n_layers)
        else:
            self.requires_grad_(True)
            if self.body is not None:
                self.body.requires_grad_(False)

    def in_bfloat16(self):
        if self.body is None:
            return copy.deepcopy(self).requires_grad_(False)
        return super().in_bfloat16()
