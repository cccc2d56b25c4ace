"""Photographs to the features of a network, streamed, and kept for other folds."""

import os
import sqlite3
from contextlib import closing
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import numpy as np
from PIL import Image

from sklearn_dl.images import ImageReadError, PixelExtractor
from sklearn_dl.images._lazy import image_column, open_source
from sklearn_dl.scoring._scorer import score
from sklearn_dl.scoring._sources import PixelSource
from sklearn_dl.training._device import (
    import_torch,
    resolve_device,
    resolve_precision,
    torch_threads,
)
from sklearn_dl.utils._columns import object_array
from sklearn_dl.utils._threads import thread_budget

# photographs at once, by what runs: on a CPU more leave its caches (docs/benchmarks.md)
_BATCH = {"onnx": 4, "cpu": 8, "gpu": 64}


def pixel_array(images, numbers, resize, pixels):
    """PixelArray in which each image stands at its row number, for messages.

    Parameters
    ----------
    images : sequence of LazyImage
    numbers : int ndarray of shape (n_images,)
        Ascending.
    resize : Resize or None
        None: the images have the size wanted.
    pixels : dict
        Arguments of PixelExtractor.
    """
    ready = [image if resize is None else image.with_step(resize) for image in images]
    array = PixelExtractor(**pixels).transform(image_column(object_array(ready)))
    if len(numbers) == numbers[-1] + 1:
        return array
    placed = np.empty(numbers[-1] + 1, dtype=object)
    placed[numbers] = array.images
    return replace(array, images=placed)


def compute_features(fitted, array, rows, *, device, precision, purpose):
    """Features of some rows of a PixelArray.

    Parameters
    ----------
    fitted : FittedImageNetwork
    array : PixelArray
    rows : list of int
    device, precision, purpose
        As the estimator has them; `purpose` is its name.

    Returns
    -------
    features : float32 ndarray of shape (n_rows, n_features)
        NaN where a row could not be read; of width 0 if none could.
    errors : dict of int to str
        Row number and message of these.
    """
    if fitted.runs_onnx():
        budget = thread_budget()
        n_workers = budget if len(rows) >= 2 * budget else 1
        session = fitted.session(budget // n_workers, _providers(device))
        batch = _BATCH["gpu" if session.on_gpu else "onnx"]
        collector = _run(session, array, rows, batch, n_workers)
    else:
        import_torch(purpose)
        from sklearn_dl.vision._network import TorchGraph

        place = resolve_device(device, purpose)
        network = fitted.on(place, resolve_precision(precision, place))
        batch = _BATCH["cpu" if place.type == "cpu" else "gpu"]
        with torch_threads() as n_threads:
            collector = _run(TorchGraph(network, place), array, rows, batch, min(2, n_threads))
    errors = {rows[place]: message for place, message in collector.errors.items()}
    if len(errors) == len(rows):
        return np.empty((len(rows), 0), dtype=np.float32), errors
    (features,) = collector.result()
    if check_rank(features).ndim == 4:
        features = features.mean(axis=(2, 3))
    return features.astype(np.float32, copy=False).reshape(len(rows), -1), errors


def check_rank(features):
    """`features`, if they are one row of numbers, or maps of them, per image; else a ValueError."""
    if features.ndim not in (2, 4):
        raise ValueError(
            f"The backbone's output has shape {tuple(features.shape)}; features have shape "
            "(n, n_features), or (n, n_features, H, W), which is averaged over H and W."
        )
    return features


def _providers(device):
    """ONNX Runtime's providers for a torch device."""
    kind, _, number = device.partition(":")
    if kind in ("auto", "mps"):
        return "auto"
    if kind == "cpu":
        return ["CPUExecutionProvider"]
    if kind == "cuda" and (not number or number.isdigit()):
        return [("CUDAExecutionProvider", {"device_id": int(number or 0)})]
    raise ValueError(f"device={device!r} is no name of a device.")


def _run(graph, array, rows, batch, n_workers):
    source = PixelSource(array, graph.inputs[0])
    return score(graph, {source.spec.name: source}, rows, batch, n_workers)


class FeatureStore:
    """Features of photographs that were computed before, in a file below a joblib.Memory.

    SQLite's: several processes may read and write at once, and what is there is whole.

    Parameters
    ----------
    location : str or Path
    belongs : tuple
        What features depend on besides the photograph.
    """

    def __init__(self, location, belongs):
        folder = Path(location, "sklearn_dl")
        folder.mkdir(parents=True, exist_ok=True)
        self.path = folder / "features.sqlite"
        self.belongs = repr(belongs).encode()

    def keys(self, images):
        """A key for each image: bytes, or None for one that cannot be read."""
        return [self._key(image) for image in images]

    def _key(self, image):
        try:
            return sha256(self.belongs + image_digest(image)).digest()
        except (OSError, ValueError):  # ImageReadError is one
            return None

    def load(self, keys):
        """Dict of key to float32 ndarray of those that are there."""
        found = {}
        with closing(self._open()) as database:
            for key in set(keys) - {None}:
                row = database.execute(
                    "SELECT value FROM features WHERE key = ?", (key,)
                ).fetchone()
                if row is not None:
                    found[key] = np.frombuffer(row[0], dtype=np.float32)
        return found

    def save(self, features):
        """Keep a dict of key to float32 ndarray."""
        rows = [(key, row.tobytes()) for key, row in features.items() if key is not None]
        with closing(self._open()) as database, database:
            database.executemany("INSERT OR REPLACE INTO features VALUES (?, ?)", rows)

    def _open(self):
        database = sqlite3.connect(self.path, timeout=60)
        database.execute("CREATE TABLE IF NOT EXISTS features (key BLOB PRIMARY KEY, value BLOB)")
        return database


def image_digest(image):
    """sha256 of what an image is made from and of what is done to it.

    Parameters
    ----------
    image : LazyImage
    """
    source = image.source
    if image.error:
        raise ImageReadError(image.error)
    if isinstance(source, (str, bytes)):
        with open_source(image) as file:
            content = file.read()
    elif isinstance(source, Image.Image):
        # as it is decoded: with its EXIF rotation, in the mode asked for
        pixels = np.asarray(replace(image, steps=()))
        content = repr(pixels.shape).encode() + pixels.tobytes()
    else:
        content = repr(source.shape).encode() + np.ascontiguousarray(source).tobytes()
    digest = sha256(
        f"{type(source).__name__} {image.decoding._replace(root=None)} {image.steps!r}".encode()
    )
    digest.update(content)
    return digest.digest()


def memory_location(memory):
    """Folder of a `memory` parameter: a path, a joblib.Memory or None.

    Raises
    ------
    ValueError
        If it is an object without a place on disk.
    """
    if memory is None or isinstance(memory, (str, os.PathLike)):
        return memory
    location = getattr(memory, "location", None)
    if location is None and not hasattr(memory, "location"):
        raise ValueError(
            f"memory={memory!r} must be a folder or a joblib.Memory: features are kept in a file."
        )
    return location
