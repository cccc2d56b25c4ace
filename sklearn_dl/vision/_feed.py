"""The Feed that passes images to a network in training. Importing this module imports torch."""

import numpy as np
import torch

from sklearn_dl.images import ImageReadError
from sklearn_dl.training._task import Feed
from sklearn_dl.vision._features import pixel_array


class ImageFeed(Feed):
    """Feed of images, or of random views of them.

    Parameters
    ----------
    rows : ImageRows
    pixels : dict
        Arguments of PixelExtractor.
    """

    def __init__(self, rows, pixels):
        self.rows = rows
        self.pixels = pixels
        # all lengths are equal, so that batches are drawn at random
        self.lengths = np.zeros(len(rows), dtype=np.int64)

    def outputs(self, network, positions, rng):
        rows = self.rows.take(positions)
        if rows.augment is not None:
            rows = rows.view(rng)
        try:
            pixels = pixel_array(rows, self.pixels).compute(torch.get_num_threads())
        except ImageReadError as error:
            message = (
                "the image could be read before the training, but not during the training: "
                f"{error.message}"
            )
            raise ImageReadError(message, error.row, error.source) from error
        return network(torch.from_numpy(pixels).to(next(network.parameters()).device))
