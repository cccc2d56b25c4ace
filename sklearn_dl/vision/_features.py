"""Images to the features of a network, streamed."""

from dataclasses import replace

import numpy as np

from sklearn_dl.images import PixelExtractor
from sklearn_dl.images._lazy import image_column
from sklearn_dl.scoring._scorer import score
from sklearn_dl.scoring._sources import PixelSource
from sklearn_dl.training._device import (
    import_torch,
    resolve_device,
    resolve_precision,
    torch_settings,
)
from sklearn_dl.utils._columns import object_array
from sklearn_dl.utils._threads import thread_budget
from sklearn_dl.vision._finite import mask_rows

# images at once, by what runs: on a CPU more leave its caches (docs/benchmarks.md)
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
        NaN where a row could not be read or scored; of width 0 if none could be read.
    errors : dict of int to str or NotFiniteError
        Row number and message of these.

    Raises
    ------
    NotFiniteError
        If features are NaN or infinite, and the image says ``on_error="raise"``.
    """
    if fitted.runs_onnx():
        budget = thread_budget()
        n_workers = budget if len(rows) >= 2 * budget else 1
        session = fitted.session(budget // n_workers, _providers(device))
        batch = 1 if session.mixes_rows else _BATCH["gpu" if session.on_gpu else "onnx"]
        collector = _run(session, array, rows, batch, n_workers)
    else:
        import_torch(purpose, "vision")
        from sklearn_dl.vision._network import TorchGraph

        place = resolve_device(device)
        network = fitted.on(place, resolve_precision(precision, place))
        batch = _BATCH["cpu" if place.type == "cpu" else "gpu"]
        with torch_settings() as n_threads:
            collector = _run(TorchGraph(network, place), array, rows, batch, min(2, n_threads))
    errors = {rows[place]: message for place, message in collector.errors.items()}
    if len(errors) == len(rows):
        return np.empty((len(rows), 0), dtype=np.float32), errors
    (features,) = collector.result()
    with np.errstate(over="ignore", invalid="ignore"):
        if check_rank(features).ndim == 4:
            features = features.mean(axis=(2, 3))
        features = features.astype(np.float32, copy=False)
    bad = ~np.isfinite(features).all(axis=1)
    mask_rows(bad, features, rows, array.images[rows], errors, "features")
    return features, errors


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
