"""Check the outputs of a network for an image: NaN and infinity are errors."""

import numpy as np

from sklearn_dl.images._sources import describe, source_name
from sklearn_dl.utils._messages import NotFiniteError


def not_finite(row, image, values, what):
    """Return the error for a row whose `values` contain NaN or infinity."""
    seen = "NaN" if np.isnan(values).any() else "infinity"
    return of_row(row, image, f"the network gave {what} with {seen}")


def of_row(row, image, what):
    """Return the error for a row. `what` is the start of its message."""
    return NotFiniteError(
        f"{what} for {describe(image.source)}. The network's weights may be damaged, its input "
        "may be scaled wrongly, or its numbers may overflow in float16 or bfloat16. "
        'on_error="nan" skips such rows.',
        row,
        source_name(image.source),
    )


def check_outputs(outputs, allowed=()):
    """Raise an error if outputs for one image contain NaN, or an infinity not in `allowed`.

    Parameters
    ----------
    outputs : dict of str to ndarray
        The network's outputs, by name.
    allowed : tuple of float
        Infinities that have a meaning in the outputs.

    Raises
    ------
    NotFiniteError
        The error does not name the row; the caller adds it.
    """
    for name, array in outputs.items():
        if array.dtype.kind != "f" or not array.size:
            continue
        for extreme in (array.max(), array.min()):
            if not np.isfinite(extreme) and extreme not in allowed:
                seen = "NaN" if np.isnan(extreme) else "infinity"
                raise NotFiniteError(f"the network gave {name} with {seen}")
