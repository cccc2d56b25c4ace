"""Batches of one input of a graph, cast to what it takes."""

import os
import reprlib
from contextlib import contextmanager
from dataclasses import replace
from decimal import Decimal

import numpy as np
from PIL import Image
from sklearn.utils.validation import check_array

from sklearn_dl.images import LazyImage, PixelExtractor
from sklearn_dl.images._lazy import as_lenient
from sklearn_dl.utils._columns import MAX_EXACT_INTEGER, is_missing, missing_mask, object_array
from sklearn_dl.utils._messages import RowError


class PixelSource:
    """Batches from a PixelArray.

    Parameters
    ----------
    pixels : PixelArray
    spec : TensorSpec
    from_images : bool, default=False
        Whether the scorer made the PixelArray itself.
    numbers : sequence of int or None, default=None
        What `read` calls the rows of `pixels`, in their order. None: counted from 0.
    """

    shapes = None

    def __init__(self, pixels, spec, from_images=False, numbers=None):
        self.pixels, self.spec, self.from_images = pixels, spec, from_images
        self._positions = None if numbers is None else {n: i for i, n in enumerate(numbers)}
        check_row_shape(pixels.row_shape, spec)

    def read(self, rows):
        """The rows that can be read, and the errors of those that cannot, by row."""
        if self._positions is None:
            values, errors = self.pixels.read(rows)
        else:
            positions = [self._positions[row] for row in rows]
            values, failed = self.pixels.read(positions)
            errors = {r: failed[p] for r, p in zip(rows, positions, strict=True) if p in failed}
        good = [row for row in rows if row not in errors] if errors else rows
        return cast(values, self.spec, good), errors


class ArraySource:
    """Batches from an array in memory.

    Parameters
    ----------
    values : ndarray of shape (n_samples, ...)
    spec : TensorSpec
    errors : dict of int to RowError, default=None
        Errors of rows that have missing values. What `values` has there is not used.
    """

    shapes = None

    def __init__(self, values, spec, errors=None):
        self.values, self.spec = fit_rank(values, spec), spec
        self.errors = errors or {}

    def read(self, rows):
        """The rows without errors, cast to what the graph wants, and the errors of the others."""
        errors = (
            {row: self.errors[row] for row in rows if row in self.errors} if self.errors else {}
        )
        good = [row for row in rows if row not in errors] if errors else rows
        key = slice(good.start, good.stop) if isinstance(good, range) else good
        return cast(self.values[key], self.spec, good), errors


class RaggedSource:
    """Batches from rows of unequal shapes; a batch has rows of one shape only.

    Parameters
    ----------
    cells : list of ndarray
    spec : TensorSpec
    errors : dict of int to RowError, default=None
        As those of ArraySource.
    """

    def __init__(self, cells, spec, errors=None):
        self.cells, self.spec, self.errors = cells, spec, errors or {}
        self.shapes = [cell.shape for cell in cells]
        for row, cell in enumerate(cells):
            check_row_shape(cell.shape, spec, row)

    def read(self, rows):
        """The rows without errors, all of one shape, and the errors of the others."""
        good, errors = _split(rows, self.errors)
        cells = np.stack([self.cells[row] for row in good or rows])[: len(good)]
        return cast(cells, self.spec, good), errors


def _split(rows, errors):
    """The rows that have no error, and the errors of the others."""
    return [row for row in rows if row not in errors], {r: errors[r] for r in rows if r in errors}


def make_source(columns, spec, estimator, *, allow_nan):
    """A source for one input of the graph from columns of X.

    Parameters
    ----------
    columns : list of ndarray of shape (n_samples,)
    spec : TensorSpec
    estimator : estimator with the parameter `pixels`
    allow_nan : bool

    Raises
    ------
    ValueError
        If the cells are of a kind that the input cannot take.
    """
    with_objects = [column for column in columns if column.dtype == object]
    types = {t for column in with_objects for t in set(map(type, column))}
    if any(issubclass(t, LazyImage) for t in types):
        return _image_source(columns, spec, estimator)
    if len(columns) == 1 and with_objects:
        cells = columns[0]
        if any(isinstance(cell, (np.ndarray, list, tuple)) for cell in cells):
            return _nested_source(cells, spec, estimator, allow_nan)
    if spec.dtype == object:
        return _string_source(columns, spec, estimator)
    numbers, errors = number_table(columns, spec, estimator, allow_nan=allow_nan)
    return ArraySource(numbers, spec, errors)


def _image_source(columns, spec, estimator):
    """Pixels of a column of lazy images, as the estimator's `pixels` says."""
    name = type(estimator).__name__
    if len(columns) > 1:
        raise ValueError(
            f"The input {spec} takes one column of images, got {len(columns)} columns."
        )
    extractor = (estimator.pixels or {}).get(spec.name)
    if extractor is None:
        raise ValueError(
            f"{name} got images, not numbers: put a PixelExtractor before. Where the images stand "
            f"beside other columns, {name} makes the numbers: give their scale and layout by "
            f"pixels={{{spec.name!r}: PixelExtractor(...)}}."
        )
    if not isinstance(extractor, PixelExtractor) or extractor.layout == "flat":
        raise ValueError(
            f"pixels[{spec.name!r}] must be a PixelExtractor whose layout is 'NCHW' or 'NHWC', got "
            f"{extractor!r}."
        )
    pixels = extractor.transform(columns[0].reshape(-1, 1))
    return pixel_source(pixels, spec, estimator, from_images=True)


def pixel_source(pixels, spec, estimator, *, from_images=False):
    """A source of pixels, whose images are read as the estimator's `on_error` says."""
    if estimator.on_error == "nan":
        pixels = replace(
            pixels, images=object_array([as_lenient(image) for image in pixels.images])
        )
    return PixelSource(pixels, spec, from_images)


def number_table(columns, spec, estimator, *, allow_nan):
    """`numbers_of` columns of numbers side by side.

    For an input of integers each integer is exact, whatever stands beside it.

    Parameters
    ----------
    columns : list of ndarray of shape (n_samples,)
    spec, estimator, allow_nan
        As those of `numbers_of`.
    """
    if any(column.dtype.kind in "Mm" for column in columns):
        dtypes = [str(column.dtype) for column in columns]
        raise ValueError(f"The graph expects {spec}; X has columns of dtype {dtypes}.")
    table = np.column_stack(columns)
    rounded = _may_round(table, spec) and any(map(_has_large_integers, columns))
    originals = np.column_stack([c.astype(object) for c in columns]) if rounded else table
    return numbers_of(table, originals, spec, estimator, allow_nan=allow_nan)


def numbers_of(X, originals, spec, estimator, *, allow_nan):
    """An array of numbers, checked; objects that are missing count as NaN.

    Parameters
    ----------
    X : array-like of shape (n_samples, ...)
    originals : array-like of the shape of X
        The numbers before numpy made one dtype of them.
    spec : TensorSpec
    estimator : estimator with the parameter `on_error`
    allow_nan : bool

    Returns
    -------
    numbers : ndarray of shape (n_samples, ...)
        0 in rows with errors.
    errors : dict of int to RowError
        The errors of rows that have NaN or infinity.

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
    errors = {} if allow_nan else _not_finite_rows(numbers, estimator)
    if errors:
        numbers = numbers.copy()
        numbers[list(errors)] = 0
    return exact_integers(numbers, originals, spec), errors


def exact_integers(numbers, originals, spec):
    """Numbers for the input, with the integers that float64 rounds as they were.

    Parameters
    ----------
    numbers : ndarray
        What numpy makes of `originals`.
    originals : ndarray or nested list of the same shape
        Read only if rounding is possible.
    spec : TensorSpec

    Returns
    -------
    numbers : ndarray of the same shape
        As given where nothing can be rounded, else of the dtype of `spec`.

    Raises
    ------
    ValueError
        If a number does not fit into that dtype.
    """
    kept = isinstance(originals, np.ndarray) and originals.dtype.kind != "O"
    if kept or not _may_round(numbers, spec):
        return numbers
    large = np.isfinite(numbers) & (np.abs(numbers) >= MAX_EXACT_INTEGER)
    if not large.any():
        return numbers
    originals = np.asarray(originals, dtype=object)
    out = cast(np.where(large, 0, numbers), spec, range(len(numbers)))
    info = np.iinfo(spec.dtype)
    for position in map(tuple, np.argwhere(large)):
        value = originals[position]
        if isinstance(value, (str, bytes)):
            value = Decimal(value if isinstance(value, str) else value.decode())
        whole = int(value)
        if whole != value or not info.min <= whole <= info.max:
            raise _unfit_value(position[0], originals[position], spec)
        out[position] = whole
    return out


def _may_round(numbers, spec):
    return spec.dtype is not None and spec.dtype.kind in "iu" and numbers.dtype == np.float64


def _has_large_integers(column):
    if column.dtype.kind not in "iu" or not column.size:
        return False
    return column.max() > MAX_EXACT_INTEGER or column.min() < -MAX_EXACT_INTEGER


def _nested_source(cells, spec, estimator, allow_nan):
    """A source of a column whose cells are arrays."""
    arrays, errors = [], {}
    for row, cell in enumerate(cells):
        if is_missing(cell) and estimator.on_error == "nan":
            errors[row] = RowError("the array is missing", row)
            continue
        if not isinstance(cell, (np.ndarray, list, tuple)):
            raise ValueError(
                f"Row {row} is {type(cell).__name__}, where other rows of this column are arrays."
            )
        array = np.asarray(cell, dtype=object if spec.dtype == object else None)
        if array.dtype == object and spec.dtype != object:
            missing = missing_mask(array)
            if missing.any():  # numbers beside None
                array = np.asarray(np.where(missing, np.nan, array).tolist())
        if array.dtype.kind not in ("biuf" if spec.dtype != object else "OUT"):
            raise ValueError(
                f"Row {row}: an array of dtype {array.dtype} cannot be the input {spec}."
            )
        if array.dtype.kind == "f" and not allow_nan and not np.isfinite(array).all():
            kind = "a missing value (NaN or null)" if np.isnan(array).any() else "infinity"
            errors[row] = _not_finite(f"the array contains {kind}", row, estimator)
            continue
        if spec.dtype == object:
            error = next(
                filter(None, (_string_error(c, row, spec, estimator) for c in array.flat)), None
            )
            if error is not None:
                errors[row] = error
                continue
            array = array.astype(object)
        elif isinstance(cell, (list, tuple)):
            array = exact_integers(array, cell, spec)
        arrays.append(array)
    if not arrays:
        raise errors[min(errors)]
    if len({array.dtype for array in arrays}) > 1 and spec.dtype is not None:
        # numpy would make floats of integers beside them
        good = [row for row in range(len(cells)) if row not in errors]
        arrays = [
            cast(array[None], spec, [row])[0] for row, array in zip(good, arrays, strict=True)
        ]
    for row in sorted(errors):
        arrays.insert(row, arrays[0])
    if len({array.shape for array in arrays}) == 1:
        return ArraySource(np.stack(arrays), spec, errors)
    return RaggedSource(arrays, spec, errors)


def _string_source(columns, spec, estimator):
    """A source of columns of strings side by side."""
    errors: dict[int, RowError] = {}
    for column in columns:
        for row, cell in enumerate(column):
            error = _string_error(cell, row, spec, estimator)
            if error is not None:
                errors.setdefault(row, error)
    return ArraySource(np.column_stack([c.astype(object) for c in columns]), spec, errors)


def _string_error(cell, row, spec, estimator):
    """The error of a row whose cell is missing, or None for a string.

    Raises
    ------
    ValueError
        If the cell is neither, or it is missing and ``on_error="raise"``.
    """
    if isinstance(cell, np.bytes_):
        raise ValueError(
            f"Row {row}: numpy's arrays of bytes lose zeros at the ends of their values. Give the "
            "bytes in a list, or in an array of dtype object."
        )
    if isinstance(cell, str) or (isinstance(cell, bytes) and estimator._takes_bytes):
        return None
    shown = reprlib.repr(cell.item() if isinstance(cell, np.generic) else cell)
    what = "a missing value" if is_missing(cell) else f"{shown}, a {type(cell).__name__}"
    error = RowError(f"the input {spec} takes strings, but got {what}.", row)
    if estimator.on_error == "raise" or not is_missing(cell):
        raise error
    return error


def check_numbers(X, estimator, *, spec):
    """2-D or N-D numbers, as scikit-learn checks them (dtype kept, no copy where possible)."""
    try:
        values = check_array(
            X,
            dtype="numeric",
            allow_nd=True,
            ensure_all_finite=False,
            estimator=estimator,
            input_name="X",
        )
    except (TypeError, ValueError):
        _refuse_unread_images(X, spec, estimator)
        raise
    return values


def _not_finite_rows(values, estimator):
    """The errors of rows that have NaN or infinity, by row.

    Raises
    ------
    RowError
        If there is such a row, and ``on_error="raise"``.
    """
    if values.dtype.kind != "f":
        return {}
    # a finite sum is that of finite numbers: rows are looked for only where it is not
    with np.errstate(over="ignore", invalid="ignore"):
        if np.isfinite(values.sum()):
            return {}
    bad = ~np.isfinite(values).reshape(len(values), -1).all(axis=1)
    errors = {}
    for row in np.flatnonzero(bad).tolist():
        cells = np.ravel(values[row])
        first = cells[~np.isfinite(cells)][0]
        kind = "NaN" if np.isnan(first) else "infinity"
        errors[row] = _not_finite(f"X contains {kind}", row, estimator)
    return errors


def _not_finite(what, row, estimator):
    """The error of a row with NaN or infinity: raised, or returned if ``on_error="nan"``."""
    error = RowError(
        f"{what}, which {type(estimator).__name__} accepts only for graphs with operators that "
        "give it a meaning. Impute it, leave the row out, or set on_error='nan'.",
        row,
    )
    if estimator.on_error == "raise":
        raise error
    return error


@contextmanager
def naming_images(X, spec, estimator):
    """Where X does not fit because it holds images that no step has read, say so."""
    try:
        yield
    except (TypeError, ValueError):
        objects = isinstance(X, np.ndarray) and X.dtype == object
        if spec.dtype != object and (objects or isinstance(X, (list, tuple))):
            _refuse_unread_images(X, spec, estimator)
        raise


def _refuse_unread_images(X, spec, estimator):
    """Raise if cells are images, or paths of images, where the graph takes numbers."""
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
            raise ValueError(
                f"Row {row}: the graph expects {spec}, got {what}. {name} takes numbers: put "
                "ImageLoader, ImageResizer and PixelExtractor before it."
            ) from None


def fit_rank(values, spec):
    """Reshape rows to what the input declares, where that is unambiguous.

    A 2-D X, the only shape that most of scikit-learn knows, is reshaped if the graph states every
    size of a row and their product is the number of columns.

    Raises
    ------
    ValueError
        If the shape does not fit: it states the shape expected and that seen.
    """
    row = spec.row_shape
    if row is not None and values.ndim == 2 and values.ndim != len(row) + 1:
        if row == () and values.shape[1] == 1:
            return values[:, 0]
        if row and None not in row and values.shape[1] == np.prod(row):
            return values.reshape(len(values), *row)
    check_row_shape(values.shape[1:], spec)
    return values


def check_row_shape(seen, spec, row=None):
    """Raise if rows of shape `seen` cannot be the input."""
    expected = spec.row_shape
    if expected is None:
        return
    if len(seen) != len(expected) or any(
        e is not None and s != e for s, e in zip(seen, expected, strict=True)
    ):
        where = "rows" if row is None else f"row {row}"
        raise ValueError(f"The graph expects {spec}; X has {where} of shape {tuple(seen)}.")


def cast(values, spec, rows):
    """Cast numbers to the input's dtype.

    What numpy's "same_kind" allows, plus numbers to integers where every value is integral; a
    value that is out of the new type's range is an error, never wrapped or made infinite.

    Parameters
    ----------
    values : ndarray
    spec : TensorSpec
    rows : sequence of int
        Row numbers of `values`, for messages.
    """
    dtype = spec.dtype
    if dtype is None:
        raise ValueError(f"The input {spec} has a type that numpy does not know.")
    if values.dtype == dtype:
        return np.ascontiguousarray(values)
    if dtype.kind == "O" or values.dtype.kind not in "biuf":
        raise ValueError(f"The graph expects {spec}; X has dtype {values.dtype}.")
    bad = _unfit(values, dtype)
    if bad.any():
        where = np.argwhere(bad)[0]
        raise _unfit_value(rows[where[0]], values[tuple(where)], spec)
    return np.ascontiguousarray(values, dtype=dtype)


def _unfit_value(row, value, spec):
    return ValueError(
        f"Row {row}: the value {value} cannot be {spec.dtype} without loss; the graph expects "
        f"{spec}."
    )


def _unfit(values, dtype):
    """Which numbers the dtype cannot hold: out of range, or not integral."""
    if values.dtype.kind == "b":
        return np.zeros(values.shape, bool)
    if dtype.kind == "b":
        return (values != 0) & (values != 1)
    if dtype.kind == "f":
        with np.errstate(over="ignore"):
            return np.isinf(values.astype(dtype)) & ~np.isinf(values)
    info = np.iinfo(dtype)
    if values.dtype.kind != "f":
        return (values < info.min) | (values > info.max)
    # powers of two are exact in float64, the largest int64 is not
    wide = values.astype(np.result_type(values, np.float64))
    too_large = wide >= 2.0 ** (info.bits - (dtype.kind == "i"))
    return (wide < info.min) | too_large | (wide != np.rint(wide))
