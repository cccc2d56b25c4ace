"""What a network gives is checked: NaN and infinity are errors of their row."""

import numpy as np

from sklearn_dl.images._lazy import describe


class NotFiniteError(ValueError):
    """A network gave numbers for an image that mean nothing; the message names its row."""


def mask_rows(bad, values, rows, images, errors, what):
    """Raise for the first bad row, or make it NaN and an error if its image says so.

    Parameters
    ----------
    bad : bool ndarray of shape (n_rows,)
    values : float ndarray of n_rows rows
        Changed in place.
    rows : sequence of int
        Numbers of these rows.
    images : sequence of LazyImage
        Of these rows. Their `on_error` decides.
    errors : dict of int to str or Exception
        Of the rows that are masked already, by number; what is masked now is added.
    what : str
        Name of `values`, in the plural.

    Raises
    ------
    NotFiniteError
        If a bad row is not to be masked.
    """
    for place in np.flatnonzero(bad):
        row = rows[place]
        if row not in errors:
            error = not_finite(row, images[place], values[place], what)
            if images[place].decoding.on_error == "raise":
                raise error
            errors[row] = error
            values[place] = np.nan


def not_finite(row, image, values, what):
    """The error of a row whose `values` hold NaN or infinity."""
    seen = "NaN" if np.isnan(values).any() else "infinity"
    return of_row(row, image, f"the network gave {what} with {seen}")


def of_row(row, image, what):
    """The error that names the row for which `what` happened."""
    return NotFiniteError(
        f"Row {row}: {what} for {describe(image.source)}. Are the network's weights whole, and its "
        "pixels scaled as it wants them? A float16 or bfloat16 network may overflow where float32 "
        'does not. on_error="nan" masks such rows.'
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


def what_happened(errors):
    """What happened to rows, by their errors, for the warning that counts them."""
    scored = any(isinstance(error, NotFiniteError) for error in errors)
    return "could not be read or scored" if scored else "could not be read"
