"""Check targets that must be numbers."""

import numpy as np

from sklearn_dl.utils._targets import split_targets, target_column


def as_numbers(y, name, several=False):
    """Return `y` as finite float64 numbers.

    Parameters
    ----------
    y : array-like of shape (n_samples,) or (n_samples, n_outputs)
    name : str
        Name of `y` in messages.
    several : bool, default=False
        Whether `y` may have several columns.

    Returns
    -------
    numbers : float64 ndarray of shape (n_samples,) or (n_samples, n_outputs)

    Raises
    ------
    ValueError
        If a target is missing, infinite or not a number.
    """
    columns = split_targets(y, name) if several else [y]
    if len(columns) > 1:
        names = [f"column {j} of {name}" for j in range(len(columns))]
        return np.column_stack([as_numbers(*pair) for pair in zip(columns, names, strict=True)])
    y = target_column(y, name)
    try:
        values = np.asarray(y, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name} must contain numbers: {error}") from error
    infinite = np.flatnonzero(~np.isfinite(values))
    if len(infinite):
        raise ValueError(f"{name} is infinite in row {infinite[0]}.")
    return values
