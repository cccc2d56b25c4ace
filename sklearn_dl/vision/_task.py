"""The training task of ImageClassifier: rows of photographs to losses."""

import numpy as np
import torch

from sklearn_dl.images import ImageReadError
from sklearn_dl.training._network import goals_on
from sklearn_dl.vision._augment import views
from sklearn_dl.vision._features import pixel_array


class ImageTask:
    """Photographs, as they are or as random views, to losses.

    Parameters
    ----------
    problem : Problem
    network : ImageNetwork
    images : object ndarray of LazyImage
    targets : ndarray of n_images rows
    weights : float ndarray
    augment : tuple of str, callable or None
    resize : Resize
    pixels : dict
        Arguments of PixelExtractor.
    """

    def __init__(self, problem, network, images, targets, weights, augment, resize, pixels):
        self.problem = problem
        self.network = network
        self.images = images
        self.weights = weights
        self.lengths = np.zeros(len(images), dtype=np.int64)  # batches are drawn at random
        self.augment, self.resize, self.pixels = augment, resize, pixels
        self._device = next(network.parameters()).device
        self._goals = goals_on(self._device, problem, targets)

    def losses(self, rows, rng):
        images, resize = self.images[rows], self.resize
        if self.augment is not None:
            images = views(images, self.augment, resize, rng.integers(2**31, size=len(rows)))
            resize = None
        try:
            pixels = np.asarray(pixel_array(images, np.arange(len(rows)), resize, self.pixels))
        except ImageReadError as error:  # the row that it names is one of the batch
            message = str(error).partition(": ")[2]
            raise ImageReadError(f"In training, after it had been read: {message}") from error
        outputs = self.network(torch.from_numpy(pixels).to(self._device))
        return self.problem.losses(outputs, self._goals[rows])
