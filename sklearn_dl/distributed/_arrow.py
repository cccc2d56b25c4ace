"""Conversion of the arrays that estimators return to Arrow."""

import numpy as np
import pyarrow as pa
from pyarrow import types

from sklearn_dl.utils._columns import missing_mask

# Spark has no unsigned integers and no float16, and counts time in microseconds
_SPARK_TYPES = {
    pa.uint8(): pa.int16(),
    pa.uint16(): pa.int32(),
    pa.uint32(): pa.int64(),
    pa.uint64(): pa.int64(),
    pa.float16(): pa.float32(),
    **{pa.timestamp(unit): pa.timestamp("us") for unit in ("s", "ms", "ns")},
}


def arrow_type(dtype, of_objects=None):
    """The Arrow type for a numpy dtype.

    Parameters
    ----------
    dtype : dtype
    of_objects : DataType or None, default=None
        The type of cells of dtype object.

    Returns
    -------
    kind : DataType or None
        None if the dtype does not determine the type.
    """
    if dtype.names is not None:
        # fields of objects are labels, whose type the caller passes, or else texts of answers
        of_objects = of_objects or pa.string()
        return pa.struct([(name, arrow_type(dtype[name], of_objects)) for name in dtype.names])
    if dtype.kind in "UT":
        return pa.string()
    return of_objects if dtype.kind == "O" else pa.from_numpy_dtype(dtype)


def type_of_cells(cells):
    """The Arrow type of the cells of an object array; None if all cells are missing.

    Raises
    ------
    TypeError
        If an Arrow array cannot hold these cells.
    """
    cells = cells[~missing_mask(cells)]
    if not len(cells):
        return None
    if isinstance(cells[0], np.ndarray):
        whole = np.concatenate(cells)
        return pa.list_(arrow_type(whole.dtype) or type_of_cells(whole) or pa.null())
    try:
        return pa.array(cells).type
    except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError) as error:
        raise TypeError(
            f"A column cannot hold {type(cells[0]).__name__} objects as its cells: {error}"
        ) from error


def arrow_array(cells, kind):
    """Convert an array to Arrow.

    Parameters
    ----------
    cells : ndarray of shape (n_samples,) or (n_samples, n_values)
        A row of a 2-D array becomes a list, and so does an array in a cell. None becomes null.
    kind : DataType

    Returns
    -------
    array : pyarrow.Array of length n_samples

    Raises
    ------
    pyarrow.ArrowInvalid
        If a cell is not of this type.
    """
    if types.is_struct(kind):
        fields = list(kind)
        columns = [arrow_array(cells[field.name], field.type) for field in fields]
        return pa.StructArray.from_arrays(columns, fields=fields)
    if not types.is_list(kind):
        # NaN stays NaN among floats, but becomes null among labels
        return pa.array(cells, kind, from_pandas=cells.dtype == object)
    if cells.ndim == 2:
        flat, lengths, is_null = cells.ravel(), np.full(len(cells), cells.shape[1]), None
    else:
        is_null = np.array([cell is None for cell in cells], dtype=bool)
        present = [np.asarray(cell) for cell in cells[~is_null]]
        lengths = np.zeros(len(cells), dtype=np.int64)
        lengths[~is_null] = [len(cell) for cell in present]
        present = [cell for cell in present if len(cell)]
        if not present:
            return pa.array([None if null else [] for null in is_null], kind)
        flat = np.concatenate(present)
    offsets = np.append(0, np.cumsum(lengths)).astype(np.int32)
    return pa.ListArray.from_arrays(
        offsets,
        arrow_array(flat, kind.value_type),
        type=kind,
        mask=None if is_null is None else pa.array(is_null),
    )


def pandas_series(array, index, is_nullable):
    """Convert an Arrow array to a pandas Series.

    Lists and structs keep their Arrow type. Values that may be missing also do, except strings.
    """
    import pandas as pd

    if types.is_nested(array.type) or (is_nullable and not types.is_string(array.type)):
        return pd.Series(array, index, pd.ArrowDtype(array.type))
    return array.to_pandas().set_axis(index)


def spark_type(kind):
    """The type that Spark has instead of an Arrow type."""
    if types.is_list(kind):
        return pa.list_(spark_type(kind.value_type))
    if types.is_struct(kind):
        return pa.struct([(field.name, spark_type(field.type)) for field in kind])
    return _SPARK_TYPES.get(kind, kind)
