"""Cut large images into overlapping tiles, and read the tiles."""

from contextlib import contextmanager
from dataclasses import dataclass, replace
from threading import Lock

import numpy as np

from sklearn_dl.images import ImageReadError
from sklearn_dl.images._faults import naming
from sklearn_dl.images._lazy import LazyImage
from sklearn_dl.images._sources import source_name
from sklearn_dl.scoring._input_casts import cast, check_row_shape
from sklearn_dl.utils._columns import object_array
from sklearn_dl.vision.detection._merge_tiles import merge


@dataclass(frozen=True, slots=True)
class Crop:
    """A step of a LazyImage that keeps one box of it: x0, y0, x1, y1 in whole pixels."""

    box: tuple

    def __str__(self):
        return f"crop {self.box}"

    @property
    def width(self):
        return self.box[2] - self.box[0]

    @property
    def height(self):
        return self.box[3] - self.box[1]

    def needed_size(self, size):
        """Return None: the image must be decoded at its full size."""

    def apply(self, image, reduced=None):
        return image.crop(self.box)


class Tiles:
    """The tiles of all images, in one sequence.

    Parameters
    ----------
    images : sequence of LazyImage
    size : tuple of int
        Largest (width, height) of a tile.
    overlap : float
        Smallest share of a tile's side that the next tile shows too.

    Attributes
    ----------
    images : ndarray of LazyImage, of shape (n_tiles,)
        The tiles as lazy images. An image no larger than a tile is its own tile.
    rows : int ndarray of shape (n_tiles,)
        Row of the image that each tile is a part of.
    boxes : int ndarray of shape (n_tiles, 4)
        x0, y0, x1, y1 of each tile, in pixels of its image.
    sizes : dict of int to tuple
        (width, height) of the image of each row that can be read.
    errors : dict of int to ImageReadError
        Errors of images that have no tiles because they cannot be read, by row.
    """

    def __init__(self, images, size, overlap):
        self.n_images = len(images)
        self.errors: dict = {}
        self.sizes: dict = {}
        tiles, rows, boxes = [], [], []
        for row, image in enumerate(images):
            with _errors_of(image, row, self.errors, row):
                self.sizes[row] = image.size_as_read()
            if row in self.errors:
                continue
            cut = tile_boxes(self.sizes[row], size, overlap)
            rows += [row] * len(cut)
            boxes += cut
            tiles += [image] if len(cut) == 1 else [image.with_step(Crop(box)) for box in cut]
        self.images = object_array(tiles)
        self.rows = np.array(rows, dtype=np.intp)
        self.boxes = np.array(boxes, dtype=np.intp).reshape(-1, 4)

    def per_image(self, done):
        """Return a function that takes the number of tiles that were just scored, or None.

        It calls `done` with the number of images that are now complete.
        """
        if done is None:
            return None
        # number of tiles up to the end of each image
        ends = np.searchsorted(self.rows, np.arange(self.n_images), side="right")
        n_tiles = 0

        def tiles_done(n):
            nonlocal n_tiles
            before, n_tiles = n_tiles, n_tiles + n
            done(int(((ends > before) & (ends <= n_tiles)).sum()))

        return tiles_done

    def merged(self, found, failed, settings):
        """Return the detections and the errors of the images.

        Parameters
        ----------
        found : list of structured ndarray or None, of length n_tiles
            The detections in each tile, in pixels of the tile. None: the tile has failed.
        failed : dict of int to RowError
            The errors by tile.
        settings : DetectionScorer
            Its `iou_threshold`, `class_agnostic` and `max_detections` are used.

        Returns
        -------
        detections : list of structured ndarray or None, of length n_images
        errors : dict of int to RowError
            By row.
        """
        errors = dict(self.errors)
        for tile in sorted(failed):
            errors.setdefault(int(self.rows[tile]), failed[tile])
        detections: list = [None] * self.n_images
        starts = np.searchsorted(self.rows, np.arange(self.n_images + 1))
        for row, size in self.sizes.items():
            if row in errors:
                continue
            tiles = slice(starts[row], starts[row + 1])
            detections[row] = merge(found[tiles], self.boxes[tiles], size, settings)
        return detections, errors


class TileSource:
    """Source of the pixels of tiles. If tiles are read in order, an image is decoded only once.

    Parameters
    ----------
    tiles : Tiles
    pixels : PixelArray
        The whole images, resized to the network's input.
    step : Resize
        How `pixels` resizes an image.
    spec : TensorSpec
    n_kept : int
        Number of decoded images that are kept for the next tiles.
    """

    shapes = None

    def __init__(self, tiles, pixels, step, spec, n_kept):
        self.tiles, self.pixels, self.step, self.spec = tiles, pixels, step, spec
        check_row_shape(pixels.row_shape, spec)
        self.n_kept = n_kept
        self._decoded: dict[int, _Decoded] = {}
        self._lock = Lock()

    def read(self, numbers):
        """Return the pixels of the tiles that can be read, and the errors of the others."""
        read: list = []
        errors: dict = {}
        for number in numbers:
            image, row = self.tiles.images[number], int(self.tiles.rows[number])
            with _errors_of(image, row, errors, number):
                read.append(LazyImage(self._resized(number), _as_it_is(image)))
        values, _ = replace(self.pixels, images=object_array(read)).read(range(len(read)))
        rows = [self.tiles.rows[number] for number in numbers if number not in errors]
        return cast(values, self.spec, rows), errors

    def _resized(self, number):
        """Return one tile as a PIL image of the size of the network's input."""
        row, steps = self.tiles.rows[number], self.tiles.images[number].steps
        if not steps or not isinstance(steps[-1], Crop):
            return self.pixels.images[row].to_pil()
        whole, size = self._whole(number), self.tiles.sizes[row]
        if whole.size != size:
            raise ImageReadError(
                f"its pixels are {whole.size[0]} x {whole.size[1]}, but its header says "
                f"{size[0]} x {size[1]}"
            )
        return self.step.apply(steps[-1].apply(whole))

    def _whole(self, number):
        """Return the decoded image of a tile, as a PIL image."""
        row = self.tiles.rows[number]
        with self._lock:
            decoded = self._decoded.pop(row, None) or _Decoded(self.tiles.images[number])
            self._decoded[row] = decoded  # at the end: the first images are dropped first
            while len(self._decoded) > self.n_kept:
                del self._decoded[next(iter(self._decoded))]
        return decoded.image()


class _Decoded:
    """The image that a tile is cut from. It is decoded when it is first needed."""

    def __init__(self, tile):
        self._lazy, self._image = replace(tile, steps=tile.steps[:-1]), None
        self._lock = Lock()

    def image(self):
        with self._lock:  # several threads may wait for the same image
            if self._image is None:
                self._image = self._lazy.to_pil()
            return self._image


def _as_it_is(image):
    """Return decoding settings that do not change a PIL image made from this lazy image."""
    return image.decoding._replace(exif_transpose=False, max_pixels=None)


@contextmanager
def _errors_of(image, row, errors, key):
    """Catch an ImageReadError of this image as ``errors[key]``, or raise it; both name its row."""
    try:
        with naming(f"Row {row}"):
            yield
    except ImageReadError as error:
        named = error.at(row, source_name(image.source))
        if image.decoding.on_error == "raise":
            raise named from error
        errors[key] = named


def tile_boxes(image_size, tile_size, overlap):
    """Return the boxes of the tiles of an image, row by row: list of (x0, y0, x1, y1).

    All tiles of an image have the same size. Neighbours overlap by at least the share `overlap`.
    """
    width, height = map(min, image_size, tile_size)
    columns, rows = (_starts(*sides, overlap) for sides in zip(image_size, tile_size, strict=True))
    return [(x, y, x + width, y + height) for y in rows for x in columns]


def _starts(side, tile, overlap):
    """Return where tiles start along one side of an image, at equal distances."""
    distance = max(1, tile * (1 - overlap))  # at least 1, so that tiles start at different pixels
    n_more = max(0, int(np.ceil((side - tile) / distance)))
    return [0] if not n_more else [round(i * (side - tile) / n_more) for i in range(n_more + 1)]
