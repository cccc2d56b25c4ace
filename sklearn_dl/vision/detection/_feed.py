"""The Feed that passes images, or their stored maps, to a network. It imports torch."""

import numpy as np
import torch

from sklearn_dl.images import ImageReadError
from sklearn_dl.training._task import Feed
from sklearn_dl.vision._features import pixel_array
from sklearn_dl.vision.detection._losses import Output
from sklearn_dl.vision.detection._maps import groups_of


class DetectionFeed(Feed):
    """Feed of images with random views, or of their stored maps.

    Parameters
    ----------
    rows : DetectionRows
    pixels : dict
        Arguments of PixelExtractor.
    """

    def __init__(self, rows, pixels):
        self.rows, self.pixels = rows, pixels
        # all lengths are equal, so that batches are drawn at random
        self.lengths = np.zeros(len(rows), dtype=np.int64)

    def outputs(self, network, positions, rng):
        """Return the outputs of the head: a list of Output, one for each canvas size."""
        rows = self.rows.take(positions)
        if rows.maps is not None:
            return list(_of_maps(network, rows, rng))
        if rows.is_augmented:
            rows = rows.view(rng)
        return list(self._of_pixels(network, rows))

    def _of_pixels(self, network, rows):
        for group in groups_of(rows.canvases):
            try:
                array = pixel_array(rows.on_canvas(group), self.pixels)
                pixels = array.compute(torch.get_num_threads())
            except ImageReadError as error:
                message = (
                    "the image could be read before the training, but not during the training: "
                    f"{error.message}"
                )
                raise ImageReadError(message, error.row, error.source) from error
            logits, distances = network(torch.from_numpy(pixels).to(_device_of(network)))
            yield Output(group, logits, distances, rows.moves[group], network.head.stride)


def _of_maps(network, rows, rng):
    """Yield the outputs for stored maps: for each row, those of its image or of a random view."""
    versions = [rows, *rows.seen]
    chosen = rng.integers(len(versions), size=len(rows))
    for group in groups_of(rows.canvases):
        parts = [versions[chosen[p]].maps.read(np.array([p])) for p in group.tolist()]
        moves = np.stack([versions[chosen[p]].moves[p] for p in group.tolist()])
        maps = [
            torch.from_numpy(np.concatenate(level)).to(_device_of(network))
            for level in zip(*parts, strict=True)
        ]
        logits, distances = network.head(maps)
        yield Output(group, logits, distances, moves, network.head.stride)


def _device_of(network):
    return next(network.parameters()).device
