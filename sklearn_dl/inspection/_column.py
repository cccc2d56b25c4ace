"""One column of X: its cells, and copies of X with other cells."""

import narwhals.stable.v1 as nw
import numpy as np
from narwhals.stable.v1.dependencies import is_pandas_dataframe

from sklearn_dl.utils._columns import (
    as_table,
    is_frame,
    is_series,
    object_array,
    split_columns,
)
from sklearn_dl.utils._sklearn import column_indices, safe_indexing


class Column:
    """The column of X whose cells are changed; the other columns do not change.

    Parameters
    ----------
    X : list, tuple, ndarray, Series or DataFrame
    column : str, int or None
        Name or position of the column. None: X has one column.
    estimator : estimator
        Error messages contain its name.

    Attributes
    ----------
    cells : ndarray of shape (n_samples,)
    """

    def __init__(self, X, column, estimator):
        columns, names, self._one_dimensional = split_columns(X, estimator)
        if is_series(X) and getattr(X, "name", None) is not None:
            names = [X.name]
        self._X, self._n_columns = as_table(X), len(columns)
        self._position = self._find(column, columns, names)
        self.cells = columns[self._position]

    @staticmethod
    def _find(column, columns, names):
        """The position of a column that is given by its name or position."""
        if column is None:
            if len(columns) == 1:
                return 0
            raise ValueError(
                f"X has {len(columns)} columns: pass the name or the position of one of them as "
                "`column`."
            )
        if isinstance(column, str):
            if names is None:
                raise ValueError(
                    f"column={column!r} is a name, but the columns of X have no names: pass a "
                    "position, or leave out `column` if X has one column."
                )
            if column not in names:
                raise ValueError(f"column={column!r} is not a column of X; X has {names}.")
            return names.index(column)
        if not isinstance(column, (int, np.integer)) or isinstance(column, bool):
            raise ValueError(f"column={column!r} must be the name or the position of one column.")
        if not -len(columns) <= column < len(columns):
            raise ValueError(f"column={column!r} is not one of the {len(columns)} columns of X.")
        return range(len(columns))[column]

    def is_in(self, columns):
        """Whether the column is among some columns, given as to a ColumnTransformer."""
        columns = columns(self._X) if callable(columns) else columns
        # a list of rows has no shape
        X = self._X if hasattr(self._X, "shape") else np.empty((0, self._n_columns))
        return self._position in np.atleast_1d(column_indices(X, columns))

    def row(self, row):
        """One row of X, as a container of the same kind as X."""
        return safe_indexing(self._X, [row])

    def with_cells(self, rows, cells):
        """Copies of rows of X with other cells in the column.

        Parameters
        ----------
        rows : list of int
            The position in X of each copy's row.
        cells : list
            The cell of each copy.

        Returns
        -------
        X : container of the same kind as X
        """
        X, position = self._X, self._position
        values = object_array(cells)
        if is_series(X):
            return self._series(safe_indexing(X, rows), values)
        if is_frame(X):
            taken = nw.from_native(safe_indexing(X, rows), eager_only=True)
            column = self._series(taken[:, position].to_native(), values)
            if is_pandas_dataframe(X):  # whose names may be numbers or tuples
                copy = taken.to_native().copy()
                copy.isetitem(position, column)
                return copy
            made = nw.from_native(column, series_only=True)
            return taken.with_columns(made.alias(taken.columns[position])).to_native()
        if isinstance(X, np.ndarray):
            if X.ndim != 2:
                return values
            taken = X[rows].astype(object)
            taken[:, position] = values
            return taken
        if self._one_dimensional:
            return list(cells)
        copies = [list(X[row]) for row in rows]
        for copy, cell in zip(copies, cells, strict=True):
            copy[position] = cell
        return copies

    @staticmethod
    def _series(like, values):
        """A Series of `values` with the name, and in pandas with the index, of another."""
        series = nw.from_native(like, series_only=True)
        is_text = all(isinstance(value, str) for value in values)
        made = nw.new_series(
            series.name or "",
            values.tolist() if is_text else values,
            dtype=nw.String() if is_text and series.dtype == nw.String else None,
            backend=series.implementation,
        )
        if not hasattr(like, "iloc"):
            return made.to_native()
        made = made.to_native().set_axis(like.index)
        made.name = like.name
        return made
