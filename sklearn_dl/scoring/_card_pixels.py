"""Compare how pixels were made with what the card of a registered model says."""

import os
import warnings

import numpy as np

from sklearn_dl.models import list_models, model_card

_DEFAULTS = {"colors": "RGB", "layout": "NCHW", "offset": 0.0, "scale": 1.0}


def warn_of_other_pixels(pixels, model):
    """Warn if `model` is registered and its card says that pixels are made in a different way.

    Parameters
    ----------
    pixels : PixelArray
    model : the parameter `model` of an estimator
    """
    if not isinstance(model, str) or os.path.exists(model) or model not in list_models():
        return
    card = model_card(model).pixels
    if card is None or set(card) - {*_DEFAULTS, "dtype"}:
        return  # the card does not describe pixels by the parameters of a PixelExtractor
    wanted = _DEFAULTS | card
    if (pixels.colors, pixels.layout) == (wanted["colors"], wanted["layout"]):
        black, white = _ends(wanted["offset"], wanted["scale"])
        # a quarter of a grey level, because a scale may be rounded to a few digits
        tolerance = 0.001 * np.abs(white - black)
        if (np.abs(_ends(pixels.offset, pixels.scale) - [black, white]) <= tolerance).all():
            return
    seen = {name: getattr(pixels, name) for name in _DEFAULTS}
    warnings.warn(
        f"{model!r} gets pixels that differ from its card, so its scores may be meaningless. It "
        f"gets {_shown(seen)}; the card says {_shown(wanted)}. To make all steps according to the "
        f"card, use sklearn_dl.scoring.image_pipeline({model!r}).",
        UserWarning,
        stacklevel=2,
    )


def _ends(offset, scale):
    """The numbers for a black and a white pixel: shape (2, n_channels) or (2, 1)."""
    levels = np.array([[0.0], [255.0]])
    return (levels - np.float32(offset)) * np.float32(scale)


def _shown(settings):
    return ", ".join(
        f"{name}={value!r}" if isinstance(value, str) else f"{name}={_number(value)}"
        for name, value in settings.items()
        if name in _DEFAULTS
    )


def _number(value):
    values = np.unique(np.float32(value))
    return f"{values[0]:.6g}" if len(values) == 1 else [float(f"{v:.6g}") for v in np.ravel(value)]
