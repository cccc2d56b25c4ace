"""Export ImageLoader, ImageResizer and PixelExtractor."""

import math
from dataclasses import replace

import numpy as np

from sklearn_dl.export._exporter import transforms
from sklearn_dl.export._number import Number
from sklearn_dl.export._table import Block, Table
from sklearn_dl.export.vision._colors import colors_of, grey, load
from sklearn_dl.export.vision._resize import resize, resize_rule, resize_to
from sklearn_dl.images import ImageLoader, ImageResizer, PixelExtractor
from sklearn_dl.images._resizer import Resize


@transforms(ImageLoader)
def export_loader(loader, table, exporter):
    """Export an ImageLoader. Images are already arrays; their colours are converted."""
    loader._validate_params()
    exporter.refuse_nan(loader)
    block = images_of(table, exporter)
    if block.value is not None and block.mode != loader.colors:
        exporter.refuse(
            f"its images were loaded by another ImageLoader, with colors={block.mode!r}",
            "Remove one of the two loaders.",
        )
    return Table((loaded(block, exporter, loader.colors),), table.names)


@transforms(ImageResizer)
def export_resizer(resizer, table, exporter):
    """Export an ImageResizer."""
    resizer._validate_params()
    if resizer.resample == "mlnet":
        exporter.refuse(
            'resample="mlnet" has no counterpart in ONNX operators',
            'Set resample="bilinear", or another filter of Pillow, and fit again.',
        )
    step = Resize(
        resizer.width,
        resizer.height,
        resizer.resize_mode,
        resizer.anchor,
        resizer.resample,
        resizer.fill_color,
    )
    block = resized(images_of(table, exporter), step, exporter)
    return Table((block,), table.names)


@transforms(PixelExtractor)
def export_extractor(extractor, table, exporter):
    """Export a PixelExtractor."""
    extractor._validate_params()
    block = images_of(table, exporter)
    made = extract_with(extractor, block, exporter)
    return Table((made,), table.names if made.kind == "tensor" else None)


def loaded(block, exporter, colors="RGB"):
    """Load images as an ImageLoader does, unless an earlier step has loaded them.

    Parameters
    ----------
    block : Block
        Of kind "images". If it has a value, an ImageLoader has already loaded the images.
    exporter : Exporter
    colors : {"RGB", "RGBA", "L"}, default="RGB"

    Returns
    -------
    block : Block
    """
    if block.value is not None:
        return block
    value = load(exporter.graph, exporter.value(block), block.mode, colors)
    return replace(block, value=value, mode=colors)


def resized(block, step, exporter):
    """Apply a resizing step to images.

    Parameters
    ----------
    block : Block
        Of kind "images".
    step : Resize
    exporter : Exporter

    Returns
    -------
    block : Block
        Its `shape` is (height, width, channels).
    """
    is_fast = _resizes_fast(exporter)
    value = resize(exporter.graph, exporter.value(block), step, is_fast, block.mode)
    return replace(block, value=value, shape=(step.height, step.width, len(block.mode)))


def filled(block, target, exporter):
    """Stretch images to a size that the graph computes, with the bilinear filter.

    Parameters
    ----------
    block : Block
        Of kind "images".
    target : Number
        (width, height): whole numbers, float64 of shape (2,).
    exporter : Exporter

    Returns
    -------
    block : Block
    """
    images, is_fast = exporter.value(block), _resizes_fast(exporter)
    value = resize_to(exporter.graph, images, target, "bilinear", is_fast, block.mode)
    return replace(block, value=value, shape=())


def _resizes_fast(exporter):
    """Return whether the operator Resize resizes images, and record it in the metadata."""
    is_fast = exporter.resize == "fast"
    exporter.metadata["resize"] = "fast" if is_fast else resize_rule()
    return is_fast


def extract_with(extractor, block, exporter):
    """Extract pixels from images as a PixelExtractor does.

    Parameters
    ----------
    extractor : PixelExtractor
    block : Block
        Of kind "images".
    exporter : Exporter

    Returns
    -------
    block : Block
        Of kind "tensor", or "columns" if the layout is "flat".
    """
    colors, layout, dtype = extractor.colors, extractor.layout, np.dtype(extractor.dtype)
    if "A" in colors and block.mode != "RGBA":
        exporter.refuse(
            f"colors={colors!r} needs images with alpha", 'Use ImageLoader(colors="RGBA").'
        )
    value = extract(
        exporter.graph,
        exporter.value(block),
        block.mode,
        colors=colors,
        layout="NHWC" if layout == "NHWC" else "NCHW",
        offset=extractor.offset,
        scale=extractor.scale,
        dtype=dtype,
    )
    if layout != "flat":
        height, width = block.shape[:2] or ("H", "W")
        n_channels = len(colors)
        sizes = {"NCHW": (n_channels, height, width), "NHWC": (height, width, n_channels)}
        return Block("tensor", dtype, 1, value, shape=sizes[layout])
    if not hasattr(extractor, "image_size_") and not block.shape:
        exporter.refuse("the size of its images is unknown", "Fit it first.")
    size = getattr(extractor, "image_size_", block.shape[:2])
    n_values = len(colors) * math.prod(size)
    return Block("columns", dtype, n_values, exporter.graph.Reshape(value, [0, n_values]))


def extract(graph, images, mode, colors, layout, offset, scale, dtype):
    """Turn images into numbers, as a PixelArray does.

    Parameters
    ----------
    graph : Graph
    images : Value
        uint8 of shape (N, H, W, C).
    mode : {"L", "RGB", "RGBA"}
        Colours of the images.
    colors : str
        Channels in order, from "R", "G", "B" and "A"; or "L".
    layout : {"NCHW", "NHWC"}
    offset, scale : float or array-like of shape (n_channels,)
    dtype : dtype

    Returns
    -------
    pixels : Value
        Shape (N, C, H, W) or (N, H, W, C).
    """
    if colors == "L" and mode != "L":
        images = grey(graph, images if mode == "RGB" else colors_of(graph, images))
        mode = "L"
    if layout == "NCHW":
        images = graph.Transpose(images, perm=[0, 3, 1, 2])
    if colors != mode:
        bands = [0 if mode == "L" else mode.index(color) for color in colors]
        images = graph.Gather(images, bands, axis=1 if layout == "NCHW" else 3)
    if dtype == np.uint8:
        return images
    pixels = Number(graph, images, np.uint8).cast(np.float32)
    shape = (-1, 1, 1) if layout == "NCHW" else (-1,)
    offset, scale = (np.reshape(np.float32(n), shape) for n in (offset, scale))
    if (offset != 0).any():
        pixels = pixels - offset
    if (scale != 1).any():
        pixels = pixels * scale
    return (pixels if dtype == np.float32 else pixels.cast(dtype)).value


def images_of(table, exporter):
    """Return the column of images of a table, which must have no other columns."""
    block = table.blocks[0]
    if len(table.blocks) > 1 or block.kind != "images":
        exporter.refuse(
            "it takes one column of images, and a file cannot read them from paths or bytes",
            "Pass an X_sample of uint8 arrays, such as np.asarray(PIL.Image.open(path).convert("
            "'RGB')).",
        )
    return block
