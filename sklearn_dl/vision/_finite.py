"""What a network gives is checked: NaN and infinity are errors of their row."""

import numpy as np

from sklearn_dl.images._lazy import describe, source_name
from sklearn_dl.utils._messages import NotFiniteError


def not_finite(row, image, values, what):
    """The error of a row whose `values` hold NaN or infinity."""
    seen = "NaN" if np.isnan(values).any() else "infinity"
    return of_row(row, image, f"the network gave {what} with {seen}")


def of_row(row, image, what):
    """The error that names the row for which `what` happened."""
    return NotFiniteError(
        f"{what} for {describe(image.source)}. Are the network's weights whole, and its pixels "
        "scaled as it wants them? A float16 or bfloat16 network may overflow where float32 does "
        'not. on_error="nan" masks such rows.',
        row,
        source_name(image.source),
    )


def check_outputs(outputs, allowed=()):
    """Raise if outputs of a network for one image hold NaN, or what else is not allowed.

    Parameters
    ----------
    outputs : dict of str to ndarray
    allowed : tuple of float
        Infinities that may have a meaning.

    Raises
    ------
    NotFiniteError
        Without the row, which the caller knows.
    """
    for name, array in outputs.items():
        if array.dtype.kind != "f" or not array.size:
            continue
        for extreme in (array.max(), array.min()):
            if not np.isfinite(extreme) and extreme not in allowed:
                seen = "NaN" if np.isnan(extreme) else "infinity"
                raise NotFiniteError(f"the network gave {name} with {seen}")
