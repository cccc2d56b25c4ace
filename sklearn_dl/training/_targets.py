"""Targets: checked before anything is trained."""

import numpy as np

from sklearn_dl.utils._columns import is_missing

_ROWS_SHOWN = 5


def refuse_missing_targets(y, name):
    """Raise a ValueError that names the rows in which `y` is missing.

    Parameters
    ----------
    y : ndarray of shape (n_samples,)
    name : str
    """
    rows = [row for row, label in enumerate(y) if is_missing(label)]
    if rows:
        shown = ", ".join(map(str, rows[:_ROWS_SHOWN]))
        more = f" and {len(rows) - _ROWS_SHOWN} more" if len(rows) > _ROWS_SHOWN else ""
        raise ValueError(
            f"{name} is missing (NaN or None) in row(s) {shown}{more}: drop these rows."
        )


def numbers(y, name):
    """`y` as finite float64 numbers.

    Raises
    ------
    ValueError
        If a target is missing, infinite or no number.
    """
    refuse_missing_targets(y, name)
    try:
        values = np.asarray(y, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name} must hold numbers: {error}") from error
    infinite = np.flatnonzero(~np.isfinite(values))
    if len(infinite):
        raise ValueError(f"{name} is infinite in row {infinite[0]}.")
    return values
