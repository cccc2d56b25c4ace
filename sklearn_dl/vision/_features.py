"""Compute the features of images with a network, batch by batch."""

from dataclasses import replace
from threading import Lock

import numpy as np

from sklearn_dl.images import PixelExtractor
from sklearn_dl.images._lazy import image_column
from sklearn_dl.runtimes._scoring_loop import TensorSpec, score
from sklearn_dl.runtimes.torch._device import torch_settings
from sklearn_dl.scoring._input_sources import PixelSource
from sklearn_dl.training._rows import Read
from sklearn_dl.utils._columns import object_array
from sklearn_dl.utils._threads import thread_budget

# images per batch; on a CPU, larger batches do not fit into its caches (docs/benchmarks.md)
BATCH = {"onnx": 4, "cpu": 8, "gpu": 64}


def pixel_array(rows, pixels):
    """Return ImageRows as a PixelArray; `pixels` are arguments of PixelExtractor."""
    images, resize = rows.images, rows.resize
    ready = [image if resize is None else image.with_step(resize) for image in images]
    array = PixelExtractor(**pixels).transform(image_column(object_array(ready)))
    return replace(array, numbers=rows.numbers)


def onnx_features(open_session, array, where):
    """Compute the features of a PixelArray with ONNX Runtime.

    Parameters
    ----------
    open_session : callable(n_threads, providers) -> OnnxSession
    array : PixelArray
        Its `numbers` must be set.
    where : Where

    Returns
    -------
    features : ndarray of shape (n_rows, ...)
    errors : dict of int to ImageReadError
        The errors of images that cannot be read, by the position of their row.
    """
    budget = thread_budget(where.n_threads)
    n_workers = budget if len(array) >= 2 * budget else 1
    session = open_session(budget // n_workers, onnx_providers(where.device))
    batch = 1 if session.mixes_rows else BATCH["gpu" if session.on_gpu else "onnx"]
    return computed_features(session, array, batch, n_workers, where.done)


def torch_features(network, array, where):
    """Do what `onnx_features` does, with an ImageNetwork. `where` must be resolved."""
    batch = BATCH["cpu" if where.device.type == "cpu" else "gpu"]
    with torch_settings(where.n_threads) as n_threads:
        graph = NetworkAsGraph(network, where.device)
        return computed_features(graph, array, batch, min(2, n_threads), where.done)


def computed_features(graph, array, batch, n_workers, done=None):
    """Run a graph on a PixelArray; return its output, and the errors of rows by position."""
    numbers = array.numbers.tolist()
    source = PixelSource(array, graph.inputs[0], numbers=numbers)
    collector = score(graph, {source.spec.name: source}, numbers, batch, n_workers, done)
    if len(collector.errors) == len(array):
        return np.empty((len(array), 0), dtype=np.float32), collector.errors
    (features,) = collector.result()
    return features, collector.errors


def checked_features(rows, features, errors):
    """Return a Read with the features of ImageRows, of shape (n_rows, n_features).

    Feature maps are averaged. A row with NaN or infinity has an error. The error is raised, unless
    such rows are skipped.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        if check_rank(features).ndim == 4:
            features = features.mean(axis=(2, 3))
        features = features.astype(np.float32, copy=False)
    for position in np.flatnonzero(~np.isfinite(features).all(axis=1)).tolist():
        if position not in errors:
            errors[position] = rows.not_finite(position, features[position], "features")
            features[position] = np.nan
    return Read(features, errors)


def check_rank(features):
    """Return `features`; raise a ValueError if their number of dimensions is neither 2 nor 4."""
    if features.ndim not in (2, 4):
        raise ValueError(
            f"The backbone's output has shape {tuple(features.shape)}, but it must have shape "
            "(n, n_features), or (n, n_features, H, W), which is averaged over H and W."
        )
    return features


def onnx_providers(device):
    """Return ONNX Runtime's providers for the name of a torch device."""
    kind, _, number = str(device).partition(":")
    if kind in ("auto", "mps"):
        return "auto"
    if kind == "cpu":
        return ["CPUExecutionProvider"]
    if kind == "cuda" and (not number or number.isdigit()):
        return [("CUDAExecutionProvider", {"device_id": int(number or 0)})]
    raise ValueError(
        f'device={device!r} is not the name of a device; set "auto", "cpu", "cuda" or one GPU, '
        'as in "cuda:1".'
    )


class NetworkAsGraph:
    """An ImageNetwork with the interface of a graph, so that `score` can run it.

    Parameters
    ----------
    network : ImageNetwork
        Its `features` returns a tensor, or a list of tensors.
    device : torch.device
    n_outputs : int, default=1
        Number of these tensors.
    """

    inputs = (TensorSpec("image", ("N", None, None, None), np.dtype(np.float32)),)

    def __init__(self, network, device, n_outputs=1):
        self.network = network
        self.device = device
        names = ["features"] if n_outputs == 1 else [f"map {i}" for i in range(n_outputs)]
        self.outputs = tuple(TensorSpec(name, ("N", None), np.dtype(np.float32)) for name in names)
        self._lock = Lock()

    def run(self, feeds):
        import torch

        pixels = torch.from_numpy(feeds["image"]).to(self.device)
        # one thread computes, while the others decode images
        with self._lock, torch.inference_mode():
            features = self.network.features(pixels)
            made = features if isinstance(features, list) else [features]
            return [tensor.cpu().numpy() for tensor in made]
