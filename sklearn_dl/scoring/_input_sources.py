"""Sources of batches: each returns the values of one input of a graph, for some rows.

A source has ``read(rows)``. It returns the values of the rows that can be read, cast to the input's
dtype, and the errors of the other rows, by row. `shapes` is None, or the shape of each row if rows
have different shapes; `read` then takes rows of one shape only.
"""

from dataclasses import replace

import numpy as np

from sklearn_dl.images import LazyImage, PixelExtractor
from sklearn_dl.images._lazy import as_lenient
from sklearn_dl.scoring._input_casts import cast, check_row_shape, exact_integers, fit_rank
from sklearn_dl.scoring._input_checks import (
    handles_nan,
    not_finite_error,
    number_table,
    string_error,
)
from sklearn_dl.utils._columns import is_missing, missing_mask, object_array
from sklearn_dl.utils._messages import RowError, RowsError


class PixelSource:
    """Batches from a PixelArray.

    Parameters
    ----------
    pixels : PixelArray
    spec : TensorSpec
        The input that gets them.
    from_images : bool, default=False
        Whether the scorer made the PixelArray from images in X.
    numbers : sequence of int or None, default=None
        Number of each row of `pixels`; `read` takes these numbers. None: they are the positions in
        `pixels`.
    """

    shapes = None

    def __init__(self, pixels, spec, from_images=False, numbers=None):
        self.pixels, self.spec, self.from_images = pixels, spec, from_images
        self._positions = None if numbers is None else {n: i for i, n in enumerate(numbers)}
        if pixels.height:  # without images, their size may be unknown
            check_row_shape(pixels.row_shape, spec)

    def read(self, rows):
        """Return the pixels of the rows that can be read, and the errors of the others."""
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
        The input that gets them.
    errors : dict of int to RowError, default=None
        Errors of rows that cannot be read. Their values are not used.
    """

    shapes = None

    def __init__(self, values, spec, errors=None):
        self.values, self.spec = fit_rank(values, spec), spec
        self.errors = errors or {}

    def read(self, rows):
        """Return the values of the rows that have no error, and the errors of the others."""
        good, errors = _split(rows, self.errors) if self.errors else (rows, {})
        key = slice(good.start, good.stop) if isinstance(good, range) else good
        return cast(self.values[key], self.spec, good), errors


class RaggedSource:
    """Batches from rows of different shapes; a batch has rows of one shape only.

    Parameters
    ----------
    cells : list of ndarray
        One for each row.
    spec : TensorSpec
        The input that gets them.
    errors : dict of int to RowError, default=None
        Errors of rows that cannot be read. Their cells are not used.
    """

    def __init__(self, cells, spec, errors=None):
        self.cells, self.spec, self.errors = cells, spec, errors or {}
        self.shapes = [cell.shape for cell in cells]
        for row, cell in enumerate(cells):
            if row not in self.errors:
                check_row_shape(cell.shape, spec, row)

    def read(self, rows):
        """Return the values of the rows that have no error, and the errors of the others."""
        good, errors = _split(rows, self.errors)
        # without good rows, the empty array still needs the shape of a row
        cells = np.stack([self.cells[row] for row in good or rows])[: len(good)]
        return cast(cells, self.spec, good), errors


def _split(rows, errors):
    """Split rows into those that have no error, and the errors of the others, by row."""
    return [row for row in rows if row not in errors], {r: errors[r] for r in rows if r in errors}


def make_source(columns, spec, estimator, *, allow_nan):
    """Make the source of one input of the graph from columns of X.

    Parameters
    ----------
    columns : list of ndarray of shape (n_samples,)
    spec : TensorSpec
        The input.
    estimator : estimator with the parameters `pixels` and `on_error`
    allow_nan : bool
        Whether numbers may be NaN or infinite.

    Raises
    ------
    ValueError
        If the input cannot take the cells.
    """
    with_objects = [column for column in columns if column.dtype == object]
    types = {t for column in with_objects for t in set(map(type, column))}
    is_empty = not len(columns[0])
    takes_images = is_empty and spec.name in (estimator.pixels or ())
    if takes_images or any(issubclass(t, LazyImage) for t in types):
        return _image_source(columns, spec, estimator)
    if len(columns) == 1 and with_objects:
        cells = columns[0]
        is_array = any(isinstance(cell, (np.ndarray, list, tuple)) for cell in cells)
        is_missing_only = estimator.on_error == "nan" and all(map(is_missing, cells))
        if is_array or is_empty or (is_missing_only and spec.dtype != object):
            return _nested_source(cells, spec, estimator, allow_nan)
    if spec.dtype == object:
        return _string_source(columns, spec, estimator)
    numbers, errors = number_table(columns, spec, estimator, allow_nan=allow_nan)
    return ArraySource(numbers, spec, errors)


def _image_source(columns, spec, estimator):
    """The source of a column of lazy images, whose pixels the estimator's `pixels` extract."""
    name = type(estimator).__name__
    if len(columns) > 1:
        raise ValueError(
            f"The input {spec} takes one column of images, got {len(columns)} columns."
        )
    extractor = (estimator.pixels or {}).get(spec.name)
    if extractor is None:
        raise ValueError(
            f"{name} got images, not numbers: put a PixelExtractor before it. If X also has "
            f"columns without images, set pixels={{{spec.name!r}: PixelExtractor(...)}} instead."
        )
    if not isinstance(extractor, PixelExtractor) or extractor.layout == "flat":
        raise ValueError(
            f"pixels[{spec.name!r}] must be a PixelExtractor whose layout is 'NCHW' or 'NHWC', got "
            f"{extractor!r}."
        )
    pixels = extractor.transform(columns[0].reshape(-1, 1))
    return pixel_source(pixels, spec, estimator, from_images=True)


def pixel_source(pixels, spec, estimator, *, from_images=False):
    """The source of a PixelArray.

    If the estimator has ``on_error="nan"``, an image that cannot be read is an error of its row.
    """
    if estimator.on_error == "nan":
        pixels = replace(
            pixels, images=object_array([as_lenient(image) for image in pixels.images])
        )
    return PixelSource(pixels, spec, from_images)


def _nested_source(cells, spec, estimator, allow_nan):
    """The source of a column of arrays: a RaggedSource if their shapes differ."""
    arrays, errors = [], {}
    for row, cell in enumerate(cells):
        if is_missing(cell) and estimator.on_error == "nan":
            errors[row] = RowError("the array is missing", row)
            continue
        if not isinstance(cell, (np.ndarray, list, tuple)):
            raise RowsError(
                f"Row {row} has type {type(cell).__name__}, but other rows of this column are "
                "arrays.",
                row,
            )
        array = np.asarray(cell, dtype=object if spec.dtype == object else None)
        if array.dtype == object and spec.dtype != object:
            missing = missing_mask(array)
            if missing.any():  # numbers and None
                array = np.asarray(np.where(missing, np.nan, array).tolist())
        if array.dtype.kind not in ("biuf" if spec.dtype != object else "OUT"):
            raise RowError(f"an array of dtype {array.dtype} cannot be the input {spec}.", row)
        takes_nan = allow_nan and handles_nan(spec)
        if array.dtype.kind == "f" and not takes_nan and not np.isfinite(array).all():
            kind = "a missing value (NaN or null)" if np.isnan(array).any() else "infinity"
            errors[row] = not_finite_error(f"the array contains {kind}", row, estimator)
            continue
        if spec.dtype == object:
            error = next(
                filter(None, (string_error(c, row, spec, estimator) for c in array.flat)), None
            )
            if error is not None:
                errors[row] = error
                continue
            array = array.astype(object)
        elif isinstance(cell, (list, tuple)):
            array = exact_integers(array, cell, spec)
        arrays.append(array)
    if not arrays:
        # the values are not used, so any array of the right shape will do
        shape = [size or 1 for size in spec.row_shape or ()]
        return ArraySource(np.zeros((len(cells), *shape), spec.dtype), spec, errors)
    if len({array.dtype for array in arrays}) > 1 and spec.dtype is not None:
        # `np.stack` of integers and floats would turn the integers into floats, and round them
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
    """The source of columns of strings, side by side."""
    errors: dict[int, RowError] = {}
    for column in columns:
        for row, cell in enumerate(column):
            error = string_error(cell, row, spec, estimator)
            if error is not None:
                errors.setdefault(row, error)
    return ArraySource(np.column_stack([c.astype(object) for c in columns]), spec, errors)
