"""Geometry: how an image was placed on a network's input."""

from typing import NamedTuple

import numpy as np


class Geometry(NamedTuple):
    """How an image was placed on the network's input.

    Attributes
    ----------
    input_size : tuple of int
        (width, height) of the network's input, in pixels.
    image_size : tuple of int
        (width, height) of the image, after its EXIF rotation. If the image is read in tiles, those
        of the tile.
    source, target : tuple of float
        Two boxes x0, y0, x1, y1. The box `source` of the image fills the box `target` of the input.
    """

    input_size: tuple
    image_size: tuple
    source: tuple
    target: tuple

    def to_image(self, boxes):
        """Convert boxes from pixels of the input to pixels of the image, and clip them to it."""
        source, target = np.array(self.source), np.array(self.target)
        scale = (source[2:] - source[:2]) / (target[2:] - target[:2])
        moved = (np.reshape(boxes, (-1, 2, 2)) - target[:2]) * scale + source[:2]
        return moved.clip(0, self.image_size).reshape(-1, 4)
