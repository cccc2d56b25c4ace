"""Where the feature maps of a detector come from: an ONNX graph, or a torch module."""

from dataclasses import dataclass
from functools import lru_cache
from threading import Lock
from typing import Any

import numpy as np

from sklearn_dl.models._onnx import parse
from sklearn_dl.runtimes._scoring_loop import listed, score
from sklearn_dl.runtimes.onnx._graph import shared_session
from sklearn_dl.runtimes.torch._device import torch_settings
from sklearn_dl.scoring._input_sources import PixelSource
from sklearn_dl.utils._memos import also_clear
from sklearn_dl.vision._features import BATCH, NetworkAsGraph, pixel_array
from sklearn_dl.vision.detection._maps import groups_of

# the strides of the maps that a head uses
STRIDES = (8, 16, 32)
# side in pixels of a test image, from which the strides of a network's outputs are computed
TEST_SIDE = 128
# names of such maps inside the graphs of registered models
_NAMES = tuple(f"stride_{stride}" for stride in STRIDES)


@dataclass(frozen=True)
class MapSizes:
    """The feature maps that a head uses.

    Attributes
    ----------
    used : tuple of int
        The positions of the maps among those that the network gives, the finest first.
    channels, strides : tuple of int
        Number of channels and stride of each.
    """

    used: tuple
    channels: tuple
    strides: tuple

    @property
    def pairs(self):
        return list(zip(self.channels, self.strides, strict=True))


def map_sizes(shapes, side, name):
    """Choose the maps to use, from the shapes of the outputs for one image.

    Parameters
    ----------
    shapes : list of tuple of int
        The shape of each output for a batch of one image of ``side`` x ``side`` pixels.
    side : int
    name : str
        Name of the model in messages.

    Returns
    -------
    sizes : MapSizes

    Raises
    ------
    ValueError
        If no output is a feature map of one of `STRIDES`.
    """
    found = {}
    for position, shape in enumerate(shapes):
        if len(shape) == 4 and shape[2] == shape[3] and shape[2] > 0 and side % shape[2] == 0:
            # of the maps of a stride, the last one comes after the most layers
            found[side // shape[2]] = position
    used = [(stride, found[stride]) for stride in STRIDES if stride in found]
    if not used:
        seen = ", ".join(map(str, shapes))
        given = f"outputs of shape {seen}" if seen else "no feature maps"
        raise ValueError(
            f"{name} gives {given} for an image of {side} x {side} pixels, but a detector learns "
            "from feature maps of shape (n, C, H / stride, W / stride) with the strides "
            f"{', '.join(map(str, STRIDES))}, or some of them. If the model is a finished "
            "detector, whose outputs are boxes and scores, apply it with DetectionScorer. To give "
            "a graph these outputs, use onnx.utils.extract_model."
        )
    positions = tuple(position for _, position in used)
    channels = tuple(int(shapes[position][1]) for position in positions)
    return MapSizes(positions, channels, tuple(stride for stride, _ in used))


@also_clear
@lru_cache(maxsize=32)
def graph_maps(content):
    """The names of the feature maps of an ONNX graph, and their MapSizes.

    Parameters
    ----------
    content : OnnxModel

    Raises
    ------
    ValueError
        As `map_sizes` does, or if the graph does not take images of any size.
    """
    graph = parse(content.read(), content.name).graph
    made = {name for node in graph.node for name in node.output}
    names = _NAMES if made.issuperset(_NAMES) else tuple(output.name for output in graph.output)
    session = shared_session(content, names, 1, ["CPUExecutionProvider"])
    spec = session.inputs[0] if len(session.inputs) == 1 else None
    side, row = TEST_SIDE, None if spec is None else spec.row_shape
    channels_last = row is not None and row[-1] == 3 and row[0] != 3
    if spec is None or row is None or len(row) != 3 or row[0] not in (3, None) or channels_last:
        raise ValueError(
            f"{content.name} must have one input of shape (n, 3, height, width), but its inputs "
            f"are {listed(session.inputs) or 'none'}. If it is a finished detector, apply it with "
            "DetectionScorer."
        )
    if row[1] is not None or row[2] is not None:
        raise ValueError(
            f"{content.name} takes images of {row[2]} x {row[1]} pixels only. If it is a finished "
            "detector, apply it with DetectionScorer; else export it with a dynamic height and "
            "width."
        )
    try:
        outputs = session.run({spec.name: np.zeros((spec.batch or 1, 3, side, side), spec.dtype)})
    except Exception as error:  # ONNX Runtime's error classes are not public
        raise ValueError(
            f"{content.name} fails on an image of {side} x {side} pixels: {error}. If it is a "
            "finished detector, apply it with DetectionScorer."
        ) from error
    sizes = map_sizes([output.shape for output in outputs], side, content.name)
    return tuple(names[position] for position in sizes.used), sizes


@dataclass(frozen=True)
class MapSource:
    """Computes feature maps, with an ONNX graph or a torch module.

    Attributes
    ----------
    open : callable(n_threads) -> graph, as `score` takes it
    n_workers : int
        The number of threads that may be busy.
    sizes : MapSizes
    pixels : dict
        Arguments of PixelExtractor.
    """

    open: Any
    n_workers: int
    sizes: MapSizes
    pixels: dict

    def compute(self, rows, where, keep):
        """Compute the maps of rows.

        Parameters
        ----------
        rows : DetectionRows
        where : Where
            Resolved.
        keep : callable(positions, maps)
            It gets the positions of some rows with equal canvases (int ndarray), and their maps
            (list of float32 ndarray of shape (n, C, h, w)). One thread at a time calls it.

        Returns
        -------
        errors : dict of int to RowError
        """
        errors = rows.unreadable_rows()
        good = np.setdiff1d(np.arange(len(rows)), list(errors))
        for group in groups_of(rows.canvases[good]):
            positions = good[group]
            array = pixel_array(rows.on_canvas(positions), self.pixels)
            n_workers = self.n_workers if len(array) >= 2 * self.n_workers else 1
            graph = self.open(max(1, self.n_workers // n_workers))
            collector = _Collector(rows, positions, keep, self.sizes.strides)
            numbers = array.numbers.tolist()
            source = PixelSource(array, graph.inputs[0], numbers=numbers)
            with torch_settings(where.n_threads):
                score(
                    graph,
                    {source.spec.name: source},
                    numbers,
                    _batch_size(graph),
                    n_workers,
                    where.done,
                    collector,
                )
            errors |= {int(positions[p]): error for p, error in collector.errors.items()}
        return errors


def _batch_size(graph):
    """The number of images that a graph gets at once."""
    if isinstance(graph, NetworkAsGraph):
        return BATCH["cpu" if graph.device.type == "cpu" else "gpu"]
    return 1 if graph.mixes_rows else BATCH["gpu" if graph.on_gpu else "onnx"]


class _Collector:
    """Passes the maps of a group of rows to a function, and checks that they are finite."""

    def __init__(self, rows, group, keep, strides):
        self.rows, self.group, self.keep = rows, group, keep
        width, height = rows.canvases[group[0]].tolist()
        self.shapes = [(height // stride, width // stride) for stride in strides]
        self.errors = {}
        self._lock = Lock()

    def add(self, positions, outputs, n_fed):
        """Pass the maps of the rows at some positions in the group to the function."""
        maps = [output[: len(positions)] for output in outputs]
        shapes = [values.shape[2:] for values in maps]
        if shapes != self.shapes:
            raise ValueError(
                f"The network returns feature maps of height and width {shapes}, but they must "
                f"have {self.shapes}: the size of the maps must be proportional to the size of the "
                "image."
            )
        rows = self.group[positions]
        finite = np.all([np.isfinite(values).all(axis=(1, 2, 3)) for values in maps], axis=0)
        for i in np.flatnonzero(~finite).tolist():
            values = np.concatenate([level[i].ravel() for level in maps])
            error = self.rows.not_finite(int(rows[i]), values, "features")
            self.errors[positions[i]] = error
        if finite.any():
            with self._lock:
                self.keep(rows[finite], [values[finite] for values in maps])
