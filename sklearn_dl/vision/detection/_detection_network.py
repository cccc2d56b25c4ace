"""The torch network behind ObjectDetector. Importing this module imports torch."""

import copy
from typing import Any

import torch

from sklearn_dl.vision._image_network import ImageNetwork
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
        """Find out which feature maps the body gives: MapSizes. `features` returns only these.

        Parameters
        ----------
        name : str
            Name of the model in messages.

        Raises
        ------
        ValueError
            As `map_sizes` does.
        """
        if self._sizes is None:
            device = next((p.device for p in self.body.parameters()), torch.device("cpu"))
            with torch.inference_mode():
                maps = self.features(torch.zeros(1, 3, TEST_SIDE, TEST_SIDE, device=device))
            self._sizes = map_sizes([tuple(values.shape) for values in maps], TEST_SIDE, name)
        return self._sizes

    def features(self, pixels):
        """Return the feature maps, a list of float32 tensors of shape (n, C, h, w)."""
        dtype = next((p.dtype for p in self.body.parameters()), pixels.dtype)
        pixels = pixels.to(dtype, memory_format=torch.channels_last)
        made = getattr(self.body, "maps", self.body)(pixels)
        maps = list(made.values()) if isinstance(made, dict) else made
        if isinstance(maps, torch.Tensor):
            maps = [maps]
        used = range(len(maps)) if self._sizes is None else self._sizes.used
        return [maps[i].float() for i in used]

    def forward(self, pixels):
        """Return what the head returns."""
        return self.head(self.features(pixels))

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
