"""Check the numbers and strings of X, and find the rows that have missing or infinite values."""

import os
import reprlib
from contextlib import contextmanager

import numpy as np
from PIL import Image
from sklearn.utils.validation import check_array

from sklearn_dl.scoring._input_casts import exact_integers, may_round
from sklearn_dl.utils._columns import MAX_EXACT_INTEGER, is_missing, missing_mask
from sklearn_dl.utils._messages import RowError


def number_table(columns, spec, estimator, *, allow_nan):
    """Join columns of numbers to a table, and check it with `numbers_of`.

    For an input of integers, integers stay exact even if another column has floats.

    Parameters
    ----------
    columns : list of ndarray of shape (n_samples,)
    spec, estimator, allow_nan
        As in `numbers_of`.

    Returns
    -------
    numbers, errors
        As from `numbers_of`.
    """
    if any(column.dtype.kind in "Mm" for column in columns):
        dtypes = [str(column.dtype) for column in columns]
        raise ValueError(f"The graph expects {spec}; X has columns of dtype {dtypes}.")
    table = np.column_stack(columns)
    rounded = may_round(table, spec) and any(map(_has_large_integers, columns))
    originals = np.column_stack([c.astype(object) for c in columns]) if rounded else table
    return numbers_of(table, originals, spec, estimator, allow_nan=allow_nan)


def _has_large_integers(column):
    """Whether a column of integers has some that float64 may round."""
    if column.dtype.kind not in "iu" or not column.size:
        return False
    return column.max() > MAX_EXACT_INTEGER or column.min() < -MAX_EXACT_INTEGER


def numbers_of(X, originals, spec, estimator, *, allow_nan):
    """Check numbers, and find the rows that have missing or infinite values.

    Parameters
    ----------
    X : array-like of shape (n_samples, ...)
        Missing values may be NaN, None or pandas.NA.
    originals : array-like of the shape of X
        The numbers before numpy cast them to one dtype.
    spec : TensorSpec
        The input that gets them.
    estimator : estimator with the parameter `on_error`
    allow_nan : bool
        Whether the graph accepts NaN and infinity.

    Returns
    -------
    numbers : ndarray of shape (n_samples, ...)
        Rows with errors contain 0.
    errors : dict of int to RowError
        The errors of rows that have NaN or infinity, by row.

    Raises
    ------
    RowError
        If a row has NaN or infinity, unless `allow_nan` or ``on_error="nan"``.
    """
    if isinstance(X, (list, tuple)):
        X = np.asarray(X)
    if isinstance(X, np.ndarray) and X.dtype == object:  # pandas.NA is not a number to numpy
        missing = missing_mask(X)
        X = np.where(missing, np.nan, X) if missing.any() else X
    numbers = check_numbers(X, estimator, spec=spec)
    allow_nan = allow_nan and handles_nan(spec)
    errors = {} if allow_nan else _not_finite_errors(numbers, estimator)
    if errors:
        numbers = numbers.copy()
        numbers[list(errors)] = 0
    return exact_integers(numbers, originals, spec), errors


def handles_nan(spec):
    """Whether the dtype of an input can represent NaN."""
    return spec.dtype is None or spec.dtype.kind not in "iub"


def check_numbers(X, estimator, *, spec):
    """Check numbers with two or more axes as scikit-learn does.

    The dtype is kept, and nothing is copied if possible.

    Raises
    ------
    ValueError or TypeError
        If X does not contain numbers. If X contains images, the message says so.
    """
    try:
        values = check_array(
            X,
            dtype="numeric",
            allow_nd=True,
            ensure_all_finite=False,
            ensure_min_samples=0,
            estimator=estimator,
            input_name="X",
        )
    except (TypeError, ValueError):
        _refuse_unread_images(X, spec, estimator)
        raise
    return values


def _not_finite_errors(values, estimator):
    """The errors of rows that have NaN or infinity, by row.

    Raises
    ------
    RowError
        If a row has NaN or infinity, and ``on_error="raise"``.
    """
    if values.dtype.kind != "f":
        return {}
    # if the sum is finite, all numbers are: this is faster than checking each number
    with np.errstate(over="ignore", invalid="ignore"):
        if np.isfinite(values.sum()):
            return {}
    bad = ~np.isfinite(values).reshape(len(values), -1).all(axis=1)
    errors = {}
    for row in np.flatnonzero(bad).tolist():
        cells = np.ravel(values[row])
        first = cells[~np.isfinite(cells)][0]
        kind = "NaN" if np.isnan(first) else "infinity"
        errors[row] = not_finite_error(f"X contains {kind}", row, estimator)
    return errors


def not_finite_error(what, row, estimator):
    """Return the error of a row with NaN or infinity; with ``on_error="raise"``, raise it.

    Parameters
    ----------
    what : str
        The start of the message, such as "X contains NaN".
    row : int
    estimator : estimator with the parameter `on_error`
    """
    what += (
        f", which {type(estimator).__name__} accepts only for graphs with operators that handle it."
    )
    if estimator.on_error == "raise":
        raise RowError(f"{what} Impute it, leave the row out, or set on_error='nan'.", row)
    return RowError(what, row)


def string_error(cell, row, spec, estimator):
    """Return the error of a cell that is not a string, or None if it is one.

    Raises
    ------
    RowError
        If the cell is not a string, and ``on_error="raise"``.
    ValueError
        If the cell is one of numpy's bytes.
    """
    if isinstance(cell, np.bytes_):
        raise RowError(
            "numpy's arrays of bytes drop the zero bytes at the end of a value. Pass the bytes in "
            "a list, or in an array of dtype object.",
            row,
        )
    if isinstance(cell, str) or (isinstance(cell, bytes) and estimator._takes_bytes):
        return None
    shown = reprlib.repr(cell.item() if isinstance(cell, np.generic) else cell)
    what = "a missing value" if is_missing(cell) else f"{shown} (type {type(cell).__name__})"
    error = RowError(f"the input {spec} takes strings, but got {what}.", row)
    if estimator.on_error == "raise":
        raise error
    return error


@contextmanager
def naming_images(X, spec, estimator):
    """Replace an error raised inside by a clearer one if X contains images that were not read."""
    try:
        yield
    except (TypeError, ValueError):
        objects = isinstance(X, np.ndarray) and X.dtype == object
        if spec.dtype != object and (objects or isinstance(X, (list, tuple))):
            _refuse_unread_images(X, spec, estimator)
        raise


def _refuse_unread_images(X, spec, estimator):
    """Raise a ValueError if a cell is an image or the path of one: the graph takes numbers."""
    cells = X.tolist() if isinstance(X, np.ndarray) else list(X)
    for row, cell in enumerate(cells):
        if isinstance(cell, (list, tuple)) and len(cell) == 1:
            cell = cell[0]
        text = isinstance(cell, str) and (
            len(spec.row_shape or ()) == 3
            or os.path.splitext(cell)[1].lower() in Image.registered_extensions()
        )
        if text or isinstance(cell, (os.PathLike, bytes, bytearray, Image.Image)):
            name = type(estimator).__name__
            path = text or isinstance(cell, os.PathLike)
            what = "the path of an image" if path else f"an image ({type(cell).__name__})"
            raise RowError(
                f"the graph expects {spec}, got {what}. {name} takes numbers: put ImageLoader, "
                "ImageResizer and PixelExtractor before it.",
                row,
            ) from None
