"""Pillow's resizing in ONNX operators, for images whose size is known only when the graph runs.

The pixel values are the same, bit for bit. Pillow computes float64 coefficients, rounds them to
multiples of 2**-22, and sums in integers, one axis after the other (its Resample.c; "nearest":
Geometry.c).
"""

import math
from typing import NamedTuple

import numpy as np
import onnx_ir as ir
import PIL

from sklearn_dl.export._graph import Graph
from sklearn_dl.export._number import Number
from sklearn_dl.export.vision._colors import premultiplied, unpremultiplied
from sklearn_dl.images._resizer import CENTERING, pillow_color

# since Pillow 13, images that lose much of their height are resized vertically first
_TALL_FIRST = int(PIL.__version__.split(".")[0]) >= 13
# coefficients are multiples of 1 / _ONE
_ONE = 1 << 22
# filters of Pillow that the operator Resize also has
_FAST = {"bilinear": "linear", "bicubic": "cubic"}


class Placement(NamedTuple):
    """Which part of the images is shown in which part of the output, as `Resize.placement` says.

    Attributes
    ----------
    size : Number
        (width, height) of the images: float64 of shape (2,).
    kept : Number
        The part of the images that is kept, as a box (x0, y0, x1, y1): float64 of shape (4,).
    placed : Number
        The part of the output that it fills, as a box of whole numbers, in float64.
    """

    size: Number
    kept: Number
    placed: Number

    @property
    def target(self):
        """(width, height) of the resized images, without a border."""
        return self.placed.item([2, 3]) - self.placed.item([0, 1])


class _Axis(NamedTuple):
    """One axis of a resizing, as scalars. The box is in float32, as in Pillow."""

    n_source: Number
    box_start: Number
    box_end: Number
    n_target: Number

    @property
    def scale(self):
        """Source pixels per target pixel."""
        return (self.box_end - self.box_start).cast(np.float64) / self.n_target

    @property
    def start(self):
        return self.box_start.cast(np.float64)


class _Taps(NamedTuple):
    """The weighted sums that make the pixels of one axis.

    Attributes
    ----------
    positions : Value
        Source pixels of each target pixel: int64 of shape (n_target, n_taps).
    digits : Value
        Their coefficients in units of 1 / _ONE, as 3 digits of base 256, the lowest first. A digit
        from -128 to 127 is stored as uint8, plus 128: shape (n_target, 3, n_taps).
    """

    positions: ir.Value
    digits: ir.Value


def placement(graph, images, step):
    """Compute where a resizing step puts images.

    Parameters
    ----------
    graph : Graph
    images : Value
        uint8 of shape (N, H, W, C).
    step : sklearn_dl.images._resizer.Resize

    Returns
    -------
    where : Placement
    """
    size, target = size_of(graph, images), Number(graph, [step.width, step.height])
    zero = Number(graph, [0, 0])
    if step.mode == "fill":
        return _filling(size, target)
    scales = target / size
    if step.mode == "crop":
        kept = (target / scales.max()).at_most(size)
        start = (size - kept) * CENTERING[step.anchor]
        end = (start + kept).at_most(size)
        return Placement(size, _joined(start, end), _joined(zero, target))
    scaled = size * scales.min()
    if step.mode == "pad_end":
        inner = scaled.floor().at_least(1)
        return Placement(size, _joined(zero, size), _joined(zero, inner))
    inner = scaled.round().at_least(1)
    start = ((target - inner) / 2).floor()
    return Placement(size, _joined(zero, size), _joined(start, start + inner))


def size_of(graph, images):
    """(width, height) of images of shape (N, H, W, C): a Number, float64 of shape (2,)."""
    return Number(graph, graph.Shape(images), np.int64).item([2, 1]).cast(np.float64)


def _filling(size, target):
    """The Placement of images that fill the output."""
    zero = Number(size.graph, [0, 0])
    return Placement(size, _joined(zero, size), _joined(zero, target))


def _joined(start, end):
    """The box from `start` to `end`, which are points."""
    return start.apply("Concat", start, end, axis=0)


def resize(graph, images, step, fast=False, mode="RGB"):
    """Resize images as `Resize.apply` does.

    Parameters
    ----------
    graph : Graph
    images : Value
        uint8 of shape (N, H, W, C).
    step : sklearn_dl.images._resizer.Resize
        With a filter of Pillow.
    fast : bool, default=False
        Whether to use the operator Resize for the two filters that it has, "bilinear" and
        "bicubic". Its pixel values differ, and "crop" keeps whole pixels. The other filters are
        computed exactly.
    mode : {"L", "RGB", "RGBA"}, default="RGB"
        Colours of the images.

    Returns
    -------
    resized : Value
        uint8 of shape (N, step.height, step.width, C).
    """
    where = placement(graph, images, step)
    resized = _resized(graph, images, where, step.resample, fast, mode)
    if step.mode in ("crop", "fill"):
        return resized
    return _with_border(graph, resized, where, step, pillow_color(step.fill_color, mode))


def resize_to(graph, images, target, resample, fast=False, mode="RGB"):
    """Stretch images to a size that the graph computes.

    Parameters
    ----------
    graph, images, fast, mode
        As in `resize`.
    target : Number
        (width, height) of the output: whole numbers, float64 of shape (2,).
    resample : str
        A filter of Pillow.

    Returns
    -------
    resized : Value
        uint8 of shape (N, height, width, C).
    """
    where = _filling(size_of(graph, images), target)
    return _resized(graph, images, where, resample, fast, mode)


def resize_rule():
    """Describe how the installed Pillow resizes, for the metadata of a file."""
    order = "vertically first if H > h and H - h > 2 (W - w)" if _TALL_FIRST else "across first"
    return f"as Pillow {PIL.__version__}, {order}"


def _resized(graph, images, where, resample, fast, mode):
    """Resize images without a border. The parameters are those of `resize`."""
    if resample == "nearest":
        return _nearest(graph, images, where)
    if mode == "RGBA":
        # Pillow copies images that already have this size, without premultiplied alpha
        same = where.size.equals(where.target)
        copies = same.item(0) & same.item(1)
        images = premultiplied(graph, images, copies)
    if fast and resample in _FAST:
        resized = _fast(graph, images, where, _FAST[resample])
    else:
        resized = _exact(graph, images, where, resample)
    return unpremultiplied(graph, resized, copies) if mode == "RGBA" else resized


def _axes(where):
    """The two axes of a resizing, across and down."""
    size, box, target = where.size, where.kept.cast(np.float32), where.target
    return [_Axis(size.item(i), box.item(i), box.item(i + 2), target.item(i)) for i in (0, 1)]


def _exact(graph, images, where, resample):
    """Resize with Pillow's arithmetic."""
    across, down = _axes(where)
    columns, left, right = _taps(across, resample)
    rows, top, bottom = _taps(down, resample)
    first, last = (graph.Concat(*ends, axis=0) for ends in ((top, left), (bottom, right)))
    images = graph.Slice(images, first, last, [1, 2])
    if not _TALL_FIRST:
        return _vertical(graph, _horizontal(graph, images, columns), rows)
    lost_rows = down.n_source - down.n_target
    lost_columns = across.n_source - across.n_target
    is_tall = (lost_rows > 0) & (lost_rows > lost_columns * 2)
    # sizes have no names: for ONNX Runtime, all sizes with the same name in a file are equal
    shape = (None,) * 4
    tall, wide = Graph(graph.opset), Graph(graph.opset)
    tall.output("tall", _horizontal(tall, _vertical(tall, images, rows), columns), np.uint8, shape)
    wide.output("wide", _vertical(wide, _horizontal(wide, images, columns), rows), np.uint8, shape)
    return graph.If(is_tall.value, then_branch=tall, else_branch=wide)


def _taps(axis, resample):
    """Compute the _Taps of one axis, and the range of source pixels that they use.

    The positions of the taps are counted from the start of this range.

    Returns
    -------
    taps : _Taps
    first, last : Value
        int64 of shape (1,).
    """
    support, weigh = _FILTERS[resample]
    scale = axis.scale
    stretch = scale.at_least(1)
    reach = stretch * support
    center = (axis.start + (_range(axis.n_target) + 0.5) * scale).unsqueeze(1)
    start = (center - reach + 0.5).floor().at_least(0)
    end = (center + reach + 0.5).floor().at_most(axis.n_source)
    positions = start + _range((end - start).max(keepdims=0))
    weights = weigh((positions - center + 0.5) * (1 / stretch))
    weights = weights.where(positions < end, 0)
    weights = weights / weights.sum(1)
    # half away from zero: the cast truncates
    units = (weights * _ONE + weights.sign() * 0.5).cast(np.int64)
    # adding 128 to each digit makes the number positive
    digits = (units + 0x808080).unsqueeze(1) / [[1], [1 << 8], [1 << 16]] % (1 << 8)
    first = start.min()
    # beyond `end` the weights are 0, but the pixels must exist
    positions = positions.at_most(end - 1) - first
    taps = _Taps(positions.cast(np.int64).value, digits.cast(np.uint8).value)
    return taps, *(_vector(n) for n in (first, end.max()))


def _range(n):
    """0, 1, ... n - 1."""
    return n.apply("Range", 0, n, 1)


def _vector(number):
    """One number as int64 of shape (1,)."""
    return number.graph.Reshape(number.cast(np.int64).value, [1])


def _vertical(graph, images, taps):
    """Resize axis 1 of images of shape (N, H, A, B); the result has shape (N, h, A, B)."""
    sizes = graph.Shape(images, start=2)
    # without Max, ONNX Runtime's optimizer would use a size of -1, which fails if N = 0
    shape = graph.Max(graph.Concat([0, 0], graph.ReduceProd(sizes), axis=0), 0)
    flat = graph.Reshape(images, shape)
    taken = graph.Gather(flat, taps.positions, axis=1)
    digits = graph.MatMulInteger(taps.digits, taken, np.uint8(128))
    # the sum fits into int32; if a part of it does not, it wraps around, and the sum is still right
    sums = graph.MatMul(np.array([[1, 1 << 8, 1 << 16]], np.int32), digits)
    sums = Number(graph, sums, np.int32) + _ONE // 2
    levels = (sums.at_least(0).at_most(256 * _ONE - 1) / _ONE).cast(np.uint8)
    return graph.Reshape(levels.value, graph.Concat([0, 0], sizes, axis=0))


def _horizontal(graph, images, taps):
    """Resize axis 2 of images of shape (N, H, W, C)."""
    turned = graph.Transpose(images, perm=[0, 2, 3, 1])
    return graph.Transpose(_vertical(graph, turned, taps), perm=[0, 3, 1, 2])


def _nearest(graph, images, where):
    for axis, dimension in zip(_axes(where), (2, 1), strict=True):
        scale = axis.scale
        # Pillow adds step after step, and rounds each sum
        first = _range(axis.n_target).equals(0)
        steps = (axis.start + scale * 0.5).where(first, scale)
        positions = graph.Cast(graph.CumSum(steps.value, 0), to=ir.DataType.INT64.value)
        images = graph.Gather(images, positions, axis=dimension)
    return images


def _fast(graph, images, where, mode):
    """Resize with the operator Resize, from the box rounded to whole pixels."""
    kept = where.kept.round()
    start, end = kept.item([1, 0]), kept.item([3, 2])
    end = end.at_least(start + 1)
    start, end = (n.cast(np.int64).value for n in (start, end))
    images = graph.Transpose(graph.Slice(images, start, end, [1, 2]), perm=[0, 3, 1, 2])
    size = where.target.item([1, 0]).cast(np.int64).value
    # ONNX Runtime's optimizer fails on the attribute `axes`
    size = graph.Concat(graph.Shape(images, end=2), size, axis=0)
    resized = graph.Resize(images, None, None, size, antialias=1, mode=mode, cubic_coeff_a=-0.5)
    return graph.Transpose(resized, perm=[0, 2, 3, 1])


def _with_border(graph, images, where, step, color):
    """Put images on a canvas of one colour."""
    left, top, right, bottom = (where.placed.item(i) for i in range(4))
    columns = Number(graph, np.arange(step.width)[:, None])
    rows = Number(graph, np.arange(step.height)[:, None, None])
    inside = (columns >= left) & (columns < right) & (rows >= top) & (rows < bottom)
    pads = [_vector(n) for n in (top, left, step.height - bottom, step.width - right)]
    pads = graph.Concat([0], *pads[:2], [0, 0], *pads[2:], [0], axis=0)
    padded = graph.Pad(images, pads, np.uint8(0))
    return graph.Where(inside.value, padded, np.uint8(color))


def _box(x):
    return ((x > -0.5) & (x <= 0.5)).cast(np.float64)


def _bilinear(x):
    return (1 - abs(x)).at_least(0)


def _hamming(x):
    x = abs(x)
    # Pillow's constants are float32
    window = (x * math.pi).cos() * np.float32(0.46) + np.float32(0.54)
    return (_sinc(x) * window).where(x < 1, 0)


def _bicubic(x):
    x = abs(x)
    near = (x * 1.5 - 2.5) * x * x + 1
    far = (((x - 5) * x + 8) * x - 4) * -0.5
    return near.where(x < 1, far.where(x < 2, 0))


def _lanczos(x):
    return (_sinc(x) * _sinc(x / 3)).where((x >= -3) & (x < 3), 0)


def _sinc(x):
    """sin(pi x) / (pi x)."""
    x = x * math.pi
    is_zero = x.equals(0)
    divisor = Number(x.graph, 1).where(is_zero, x)
    return Number(x.graph, 1).where(is_zero, x.sin() / divisor)


# for each filter: how far it reaches, in pixels, and the function of its weight at a distance
_FILTERS = {
    "box": (0.5, _box),
    "bilinear": (1.0, _bilinear),
    "hamming": (1.0, _hamming),
    "bicubic": (2.0, _bicubic),
    "lanczos": (3.0, _lanczos),
}
