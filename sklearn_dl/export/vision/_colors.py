"""Pillow's conversions of colours in ONNX operators."""

import numpy as np

from sklearn_dl.export._number import Number

# the weights of red, green and blue in a grey level (ITU-R 601), times 2**16
_LUMA = np.array([[19595], [38470], [7471]], np.int32)


def load(graph, images, mode, colors):
    """Convert the colours of arrays, as an ImageLoader does.

    Parameters
    ----------
    graph : Graph
    images : Value
        uint8 of shape (N, H, W, C).
    mode, colors : {"L", "RGB", "RGBA"}
        Colours of the images, and of the result.

    Returns
    -------
    images : Value
        uint8 of shape (N, H, W, C).
    """
    if mode == colors:
        return images
    if mode == "L":
        images = graph.Concat(*[images] * 3, axis=3)
    elif mode == "RGBA":
        # an image on a black background: each colour is multiplied by its alpha
        images = colors_of(graph, premultiplied(graph, images, Number(graph, False, bool)))
    if colors == "RGBA":
        return graph.Pad(images, [0, 0, 0, 0, 0, 0, 0, 1], np.uint8(255))
    return grey(graph, images) if colors == "L" else images


def grey(graph, images):
    """Grey levels of images of mode "RGB": uint8 of shape (N, H, W, 1)."""
    levels = Number(graph, images, np.uint8).cast(np.int32)
    levels = levels.apply("MatMul", levels, _LUMA)
    return ((levels + 0x8000) / 0x10000).cast(np.uint8).value


def colors_of(graph, images):
    """Images of mode "RGBA" without their alpha."""
    return graph.Slice(images, [0], [3], [3])


def premultiplied(graph, images, is_copy):
    """Multiply the colours of "RGBA" images by alpha, unless `is_copy` (a Number of bool)."""
    colors, alpha = _colors_and_alpha(graph, images)
    opaque = Number(graph, 255, np.float32)
    products = (colors * opaque.where(is_copy, alpha) / 255).round()
    return _joined(graph, products, alpha)


def unpremultiplied(graph, images, is_copy):
    """Divide the colours of "RGBA" images by alpha, unless `is_copy` (a Number of bool)."""
    colors, alpha = _colors_and_alpha(graph, images)
    opaque = Number(graph, 255, np.float32)
    divisor = opaque.where(is_copy, opaque.where(alpha.equals(0), alpha))
    return _joined(graph, (colors * 255 / divisor).floor().at_most(255), alpha)


def _colors_and_alpha(graph, images):
    parts = graph.Split(images, [3, 1], axis=3, n_outputs=2)
    return [Number(graph, part, np.uint8).cast(np.float32) for part in parts]


def _joined(graph, colors, alpha):
    return graph.Concat(*(part.cast(np.uint8).value for part in (colors, alpha)), axis=3)
