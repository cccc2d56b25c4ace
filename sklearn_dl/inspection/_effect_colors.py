"""The colors of words and patches that raise a score or lower it."""

RAISES, LOWERS = "#ff7f0e", "#1f77b4"  # orange and blue of matplotlib's "tab10"
_MOST = 0.6  # the opacity of the largest effect
# effects up to this part of the largest one, or up to this size, are not colored: they are noise
_LEAST, _ROUNDING = 0.05, 1e-6


def largest(effects):
    """The largest absolute effect of all rows; 0 if there is none."""
    return max((float(abs(row).max()) for row in effects if row.size), default=0.0)


def is_visible(effect, most):
    """Whether an effect (or each effect of an array) gets a color, if the largest one is `most`."""
    return abs(effect) > max(_LEAST * most, _ROUNDING)


def color_of(effect):
    """The color of an effect, as "#rrggbb"."""
    return RAISES if effect > 0 else LOWERS


def opacity_of(effect, most):
    """The opacity of an effect, or of an array of effects, where the largest one is `most`."""
    return _MOST * abs(effect) / most


def caption(label, score):
    """A label and its score, or the score of a regressor."""
    return f"{score:.3g}" if label is None else f"{label} {score:.2f}"
