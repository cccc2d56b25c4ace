"""Targets that are numbers: checked before anything is trained."""

import numpy as np

from sklearn_dl.utils._targets import target_column


def numbers(y, name):
    """`y` as finite float64 numbers.

    Raises
    ------
    ValueError
        If a target is missing, infinite or no number.
    """
    y = target_column(y, name)
    try:
        values = np.asarray(y, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name} must hold numbers: {error}") from error
    infinite = np.flatnonzero(~np.isfinite(values))
    if len(infinite):
        raise ValueError(f"{name} is infinite in row {infinite[0]}.")
    return values
