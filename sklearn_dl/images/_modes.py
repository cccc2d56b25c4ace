"""Convert Pillow's pixel formats to "RGB", "RGBA" or "L", the formats of lazy images."""

import numpy as np
from PIL import Image, ImageCms


def to_mode(image, mode):
    """Convert a PIL image of any mode to "RGB", "RGBA" or "L".

    Alpha is composited on black unless `mode` keeps it; 16-bit grey levels keep their high byte
    (Pillow's own conversion clips them at 255).

    Raises
    ------
    ValueError
        If the levels have no standard range (floating point, or grey levels beyond 16 bits).
    """
    if image.mode.startswith("I;16") or image.mode == "I":
        image = _high_byte(image)
    elif image.mode == "F":
        raise ValueError(
            "floating-point pixels have no standard range; convert the image to 8 or 16 bits"
        )
    elif image.mode == "LAB":
        to_srgb = ImageCms.buildTransform(
            ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB"), "LAB", "RGB"
        )
        image = ImageCms.applyTransform(image, to_srgb)
    elif image.mode == "La":  # Pillow converts this mode to LA only
        image = image.convert("LA")
    if image.has_transparency_data and mode != "RGBA":
        image = image.convert("RGBA")
        black = Image.new("RGBA", image.size, (0, 0, 0, 255))
        image = Image.alpha_composite(black, image)
    return image if image.mode == mode else image.convert(mode)


def _high_byte(image):
    """Return 16-bit grey levels as 8-bit levels; a transparent level becomes alpha."""
    levels = np.asarray(image)
    if levels.min() < 0 or levels.max() > 65535:
        raise ValueError(
            f"32-bit grey levels from {levels.min()} to {levels.max()} have no standard "
            "range; convert the image to 8 or 16 bits"
        )
    grey = Image.fromarray((levels.astype(np.int32) >> 8).astype(np.uint8))
    transparent = image.info.get("transparency")
    if isinstance(transparent, int):
        grey.putalpha(Image.fromarray(np.where(levels == transparent, 0, 255).astype(np.uint8)))
    return grey
