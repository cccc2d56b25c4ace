"""The resizing of ML.NET's ResizeImages, with the arithmetic of SkiaSharp."""

import numpy as np
from PIL import Image


def resize(image, size, mode, anchor, color):
    """Resize a PIL image with ML.NET's arithmetic.

    Parameters
    ----------
    image : PIL.Image.Image of mode "L", "RGB" or "RGBA"
    size : tuple of int
        (width, height) of the output.
    mode : {"crop", "pad", "fill"}
    anchor : {"center", "left", "right", "top", "bottom"}
    color : int or tuple of int
        Colour of the border with "pad".

    Returns
    -------
    image : PIL.Image.Image of the same mode
    """
    if image.size == size:
        return image
    pixels = np.asarray(image)
    if mode == "fill":
        rows = _nearest(image.height, size[1])
        columns = _nearest(image.width, size[0])
        return Image.fromarray(pixels[rows[:, None], columns])
    left, top, width, height = rectangle(image.size, size, mode, anchor)
    x0, x1 = max(left, 0), min(left + width, size[0])
    y0, y1 = max(top, 0), min(top + height, size[1])
    out = pixels.astype(np.float32)
    out = _cubic(out, np.arange(y0, y1) - top, height)
    out = _cubic(out.swapaxes(0, 1), np.arange(x0, x1) - left, width).swapaxes(0, 1)
    out = np.floor(out + np.float32(0.5)).clip(0, 255).astype(np.uint8)
    canvas = Image.new(image.mode, size, color)
    canvas.paste(Image.fromarray(out), (x0, y0))
    return canvas


def rectangle(source, target, mode, anchor):
    """Return where the whole source lies on the target: (left, top, width, height), in pixels.

    Width and height are truncated as in ML.NET, but from exact numbers. ML.NET's float32 loses a
    pixel where the exact side is a whole number, which leaves a black line for one size in twenty.
    Left and top are those of ML.NET.
    """
    f32 = np.float32
    (sw, sh), (tw, th) = source, target
    across, down = f32(tw) / f32(sw), f32(th) / f32(sh)
    fits_across = th * sw < tw * sh if mode == "crop" else tw * sh <= th * sw
    aspect = across if fits_across else down
    width, height = tw, th
    left = top = 0
    if fits_across:
        height = sh * tw // sw
        gap = f32(th) - f32(sh) * aspect
        top = _offset(gap, anchor if mode == "crop" else "center", "top", "bottom")
    else:
        width = sw * th // sh
        gap = f32(tw) - f32(sw) * aspect
        left = _offset(gap, anchor if mode == "crop" else "center", "left", "right")
    return left, top, max(width, 1), max(height, 1)


def _offset(gap, anchor, near, far):
    if anchor == near:
        return 0
    return int(gap) if anchor == far else int(gap / np.float32(2))


def _nearest(n_source, n_target):
    """Return the index of the nearest source pixel of each target pixel; ties take the lower."""
    numerator = (2 * np.arange(n_target) + 1) * n_source
    return -(-numerator // (2 * n_target)) - 1


def _cubic(pixels, positions, length):
    """Resample axis 0 at `positions` of a target of `length`, with Mitchell's filter.

    The filter has 4 taps; pixels at the edge are repeated. As in Skia, the position is float32,
    and the source pixel of each tap is rounded separately.
    """
    half = np.float32(0.5)
    scale = np.float32(1) / np.float32(length / len(pixels))
    center = (positions.astype(np.float32) + half) * scale
    above = center + half
    fraction = above - np.floor(above)
    out = np.zeros((len(positions), *pixels.shape[1:]), dtype=np.float32)
    for tap in (-1.5, -0.5, 0.5, 1.5):
        source = np.floor(center + np.float32(tap)).astype(int).clip(0, len(pixels) - 1)
        weight = _mitchell(fraction - np.float32(tap + 0.5)).astype(np.float32)
        out += weight.reshape(-1, *[1] * (pixels.ndim - 1)) * pixels[source]
    return out


def _mitchell(distance):
    """Mitchell and Netravali's filter with B = C = 1/3."""
    x = np.abs(distance)
    near = (7 * x**3 - 12 * x**2 + 16 / 3) / 6
    far = (-7 / 3 * x**3 + 12 * x**2 - 20 * x + 32 / 3) / 6
    return np.where(x < 1, near, np.where(x < 2, far, 0.0))
