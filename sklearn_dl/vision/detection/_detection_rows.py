"""The rows of ObjectDetector: images, their sizes and their canvases."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from sklearn_dl.images import ImageReadError
from sklearn_dl.images._faults import naming
from sklearn_dl.images._resizer import Resize
from sklearn_dl.images._sources import source_name
from sklearn_dl.utils._columns import object_array
from sklearn_dl.utils._threads import for_each_batch, thread_budget
from sklearn_dl.vision._image_rows import ImageRows
from sklearn_dl.vision.detection._maps import StoredMaps
from sklearn_dl.vision.detection._views import BoxView, canvas_of, stretched


@dataclass(frozen=True, eq=False, kw_only=True)
class DetectionRows(ImageRows):
    """Rows with one image each. The network sees each image on a canvas.

    Attributes
    ----------
    sizes : int ndarray of shape (n_rows, 2)
        (width, height) of each image; 0 if it cannot be read.
    canvases : int ndarray of shape (n_rows, 2)
        (width, height) of the network's input for each image.
    moves : float64 ndarray of shape (n_rows, 4)
        How each image is moved onto its canvas, as `stretched` returns it.
    unreadable : object ndarray of shape (n_rows,), or None
        The ImageReadError of each row that is skipped because it cannot be read, else None. If
        there is no such row, the attribute is None.
    maps : StoredMaps or None
        The feature maps of the images, if they are stored.
    seen : tuple of DetectionRows
        Random views of the rows, with stored maps. A fit learns from them and from the rows.
    """

    sizes: np.ndarray
    canvases: np.ndarray
    moves: np.ndarray
    unreadable: Any = None
    maps: StoredMaps | None = None
    seen: tuple = ()

    def take(self, positions):
        def some(values):
            return None if values is None else values[positions]

        return replace(
            super().take(positions),
            sizes=self.sizes[positions],
            canvases=self.canvases[positions],
            moves=self.moves[positions],
            unreadable=some(self.unreadable),
            maps=some(self.maps),
            seen=tuple(view.take(positions) for view in self.seen),
        )

    def with_features(self, values):
        return replace(self, maps=values) if isinstance(values, StoredMaps) else self

    def with_stored_views(self, views):
        return replace(self, seen=tuple(views))

    def is_unreadable(self, position):
        return self.unreadable is not None and self.unreadable[position] is not None

    def on_canvas(self, positions):
        """Return rows with equal canvases as ImageRows that resize images to this canvas."""
        width, height = self.canvases[positions[0]].tolist()
        resize = None  # views have the size of the canvas already
        if self.resize is not None:
            resize = Resize(width, height, "fill", "center", "bilinear", 0)
        return ImageRows(self.images[positions], self.numbers[positions], resize, None, self.skips)

    def on_its_canvas(self, position):
        """Return the image of one row, with the step that resizes it."""
        width, height = self.canvases[position].tolist()
        return self.images[position].with_step(
            Resize(width, height, "fill", "center", "bilinear", 0)
        )

    def view(self, rng):
        """Return the rows with one random view of each image."""
        seeds = rng.integers(2**31, size=len(self)).tolist()
        steps = [
            BoxView(width, height, self.augment, seed)
            for (width, height), seed in zip(self.canvases.tolist(), seeds, strict=True)
        ]
        pairs = list(zip(self.images, steps, self.sizes.tolist(), strict=True))
        return replace(
            self,
            images=object_array([image.with_step(step) for image, step, _ in pairs]),
            moves=np.array([step.move(size) for _, step, size in pairs]).reshape(-1, 4),
            resize=None,
            augment=None,
            maps=None,
            seen=(),
        )


def detection_rows(images, image_size, augment, skips, n_threads=None):
    """Read the sizes of lazy images; return them as DetectionRows.

    Parameters
    ----------
    images : object ndarray of LazyImage
    image_size : int or (width, height)
    augment : tuple of str or None
    skips : bool
        Whether images that cannot be read are skipped.
    n_threads : int or None
    """
    sizes = np.zeros((len(images), 2), dtype=np.int64)
    errors = object_array([None] * len(images))

    def work(start, stop):
        for row in range(start, stop):
            try:
                with naming(f"Row {row}"):
                    sizes[row] = images[row].size_as_read()
            except ImageReadError as error:
                # an image that may not be skipped raises an error when its pixels are read, not
                # here: the pixels of a row of weight 0 are not read
                if images[row].decoding.on_error == "nan":
                    errors[row] = error.at(row, source_name(images[row].source))

    for_each_batch(work, len(images), 64, thread_budget(n_threads))
    canvases = canvas_of(sizes, image_size)
    return DetectionRows(
        images=images,
        numbers=np.arange(len(images)),
        # the step depends on the row: see `on_canvas`
        resize=Resize(1, 1, "fill", "center", "bilinear", 0),
        augment=augment,
        skips=skips,
        sizes=sizes,
        canvases=canvases,
        moves=stretched(sizes, canvases),
        unreadable=errors if any(error is not None for error in errors) else None,
    )
