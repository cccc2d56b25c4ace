"""Where the feature maps of a detector come from: an ONNX graph, or a torch module."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from sklearn_dl.models._onnx import parse
from sklearn_dl.runtimes.onnx._graph import shared_session
from sklearn_dl.utils._memos import also_clear

# the strides of the maps that a head uses
STRIDES = (8, 16, 32)
# side of the square that tells the strides of a network's outputs
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
    """The maps to use, from the shapes of the outputs for one image.

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
            found[side // shape[2]] = position  # the last map of a stride has seen the most layers
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
    (spec, *others) = session.inputs
    side, row = TEST_SIDE, spec.row_shape
    channels_last = row is not None and row[-1] == 3 and row[0] != 3
    if others or row is None or len(row) != 3 or row[0] not in (3, None) or channels_last:
        raise ValueError(
            f"{content.name} must have one input of shape (n, 3, height, width), but its inputs "
            f"are {', '.join(map(str, session.inputs))}."
        )
    if row[1] is not None or row[2] is not None:
        raise ValueError(
            f"{content.name} takes images of {row[2]} x {row[1]} pixels only. If it is a finished "
            "detector, apply it with DetectionScorer; else export it with a dynamic height and "
            "width."
        )
    outputs = session.run({spec.name: np.zeros((spec.batch or 1, 3, side, side), spec.dtype)})
    sizes = map_sizes([output.shape for output in outputs], side, content.name)
    return tuple(names[position] for position in sizes.used), sizes
