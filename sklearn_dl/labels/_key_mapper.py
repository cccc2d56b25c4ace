"""LabelKeyMapper: labels to integer keys and back."""

import warnings
from itertools import repeat
from numbers import Integral

import numpy as np
from sklearn.base import OneToOneFeatureMixin, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from sklearn_dl.labels._dictionary import (
    decode,
    first_rows,
    has_no_key,
    hashable_cells,
    in_value_order,
    kind_of,
    side_by_side,
    split,
    whole_numbers,
)
from sklearn_dl.utils._base import DeepEstimator, all_or_nothing
from sklearn_dl.utils._columns import counted, set_or_check_features
from sklearn_dl.utils._messages import names_labels
from sklearn_dl.utils._sklearn import Interval, StrOptions


class LabelKeyMapper(OneToOneFeatureMixin, TransformerMixin, DeepEstimator):
    """Map values to integer keys 1, 2, ..., K and back.

    Missing values, and values that `fit` did not see, get the key 0.

    Parameters
    ----------
    order : {"occurrence", "value"}, default="occurrence"
        The order of the values in a dictionary. "occurrence": the order in which `fit` sees them.
        "value": sorted (numbers by size, strings by code points: "A" < "Z" < "a").
    max_keys : int, default=1_000_000
        Largest number of values in a dictionary. With any `order`, the values that `fit` sees first
        are kept, and the other values get the key 0. Ignored if `keys` is set.
    keys : array-like of shape (n_keys,), default=None
        The values of the dictionary for all columns; ``keys[0]`` gets the key 1. They must not
        contain missing values, empty strings or duplicates. With ``order="value"`` they are sorted
        first. None: `fit` learns the dictionaries from X.
    shared : bool, default=False
        Whether all columns share one dictionary. `fit` then reads the values row by row, and each
        row from left to right.

    Attributes
    ----------
    keys_ : list of ndarray of shape (n_keys,)
        The dictionaries: for each column of X, an array of its values, with the dtype of the
        column. All columns have the same array if ``shared=True`` or `keys` is set. The key of the
        value ``keys_[j][i]`` is ``i + 1``.
    n_features_in_ : int
        Number of columns of X, 1 for one-dimensional X.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Names of the columns, if X is a frame with string column names.

    See Also
    --------
    sklearn.preprocessing.OrdinalEncoder : Keys from 0 in ascending order, as floats.
    sklearn.preprocessing.LabelEncoder : Keys from 0 for `y`; an unseen value is an error.
    ScoreClassifier : Turns the scores of a network into labels.

    Notes
    -----
    `fit` and `transform` correspond to ML.NET's MapValueToKey, and `inverse_transform` to its
    MapKeyToValue. None, NaN, NaT, `pandas.NA` and, as in ML.NET, the empty string are missing
    values. As in ML.NET, case and spaces matter, and a column must have the same kind of values as
    its dictionary: strings and booleans do not match numbers. If an object column has several
    kinds of values, they match if they are equal in Python, so True matches 1. Integers are
    compared as integers, even beyond 2**53, and even if the column also has missing values or
    floats. A date with a time zone has the same key as the same moment in another zone, and
    `inverse_transform` returns it in UTC if `fit` saw it in polars or pyarrow. Dates without a time
    zone are a different kind.

    Examples
    --------
    >>> from sklearn_dl import LabelKeyMapper
    >>> mapper = LabelKeyMapper().fit(["dog", "cat", "dog", "bird"])
    >>> mapper.keys_
    [array(['dog', 'cat', 'bird'], dtype=object)]
    >>> mapper.transform(["bird", "dog", "fish", None])
    array([3, 1, 0, 0])
    >>> mapper.inverse_transform([3, 1, 0])
    array(['bird', 'dog', None], dtype=object)

    Several columns, each with its own dictionary:

    >>> X = [["0-4", "CS"], ["6-11", "CS"], ["12-25", "LA"], ["0-5", "DS"]]
    >>> LabelKeyMapper(order="value").fit_transform(X)
    array([[1, 1],
           [4, 1],
           [3, 3],
           [2, 2]])
    """

    _parameter_constraints: dict = {
        "order": [StrOptions({"occurrence", "value"})],
        "max_keys": [Interval(Integral, 1, None, closed="left")],
        "keys": ["array-like", None],
        "shared": ["boolean"],
    }

    def __init__(self, *, order="occurrence", max_keys=1_000_000, keys=None, shared=False):
        self.order = order
        self.max_keys = max_keys
        self.keys = keys
        self.shared = shared

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.categorical = True
        tags.input_tags.string = True
        tags.input_tags.allow_nan = True
        tags.transformer_tags.preserves_dtype = []
        return tags

    @all_or_nothing
    def fit(self, X, y=None):
        """Learn the dictionaries.

        Parameters
        ----------
        X : array-like of shape (n_samples,) or (n_samples, n_features)
            Strings, numbers, booleans or dates.
        y : None
            Ignored.

        Returns
        -------
        self : LabelKeyMapper

        Raises
        ------
        ValueError
            If `keys` contains missing or duplicate values, or values of a different kind from a
            column of X; if a cell is not hashable; or if ``order="value"`` and the values cannot be
            sorted.
        """
        self._validate_params()
        columns, _ = self._columns(X, reset=True)
        if self.keys is not None:
            dictionaries = [self._given_dictionary()] * len(columns)
        elif self.shared:
            self._check_same_kind(columns)
            dictionaries = [self._learn(side_by_side(columns).ravel(), "X")] * len(columns)
        else:
            dictionaries = [self._learn(c, self._where(j)) for j, c in enumerate(columns)]
        self.keys_ = dictionaries
        self._set_tables()
        if self.keys is not None:
            for j, column in enumerate(columns):
                self._check_kind(j, column, hashable_cells(column))
        return self

    def transform(self, X):
        """Replace values by their keys.

        Parameters
        ----------
        X : array-like of shape (n_samples,) or (n_samples, n_features)
            One-dimensional only if `fit` saw one column.

        Returns
        -------
        keys : ndarray of int64, of the shape of X
            0 for a value that is missing or is not in the dictionary.

        Raises
        ------
        ValueError
            If the values of a column are of a different kind from those of its dictionary.
        """
        check_is_fitted(self)
        columns, one_dimensional = self._columns(X, reset=False)
        out = np.empty((len(columns[0]), len(columns)), dtype=np.int64)
        for j, column in enumerate(columns):
            cells = hashable_cells(column)
            self._check_kind(j, column, cells)
            table, _ = self._tables[j]
            try:
                out[:, j] = np.fromiter(map(table.get, cells, repeat(0)), np.int64, len(cells))
            except TypeError:
                first_rows(column, self._where(j))  # raises an error that names the unhashable cell
                raise
        return out[:, 0] if one_dimensional else out

    @names_labels
    def inverse_transform(self, X):
        """Replace keys by their values.

        Parameters
        ----------
        X : array-like of shape (n_samples,) or (n_samples, n_features)
            Keys: whole numbers from 0 to the number of values in the dictionary of the column.

        Returns
        -------
        values : ndarray of the shape of X
            The dtype is that of the column, or one that can hold the values of all columns. The key
            0 becomes NaN in a column of numbers (integers become float64 if that keeps them exact),
            NaT in a column of dates, and None in an object array otherwise.

        Raises
        ------
        ValueError
            If a key is not a whole number or is out of range.
        """
        check_is_fitted(self)
        columns, _, one_dimensional = split(X, self)
        if len(columns) != self.n_features_in_:
            raise ValueError(
                f"X has {counted(len(columns), 'column')} of keys, but LabelKeyMapper was fitted "
                f"on {counted(self.n_features_in_, 'column')}."
            )
        values = [
            decode(dictionary, whole_numbers(column, len(dictionary), self._where(j)))
            for j, (column, dictionary) in enumerate(zip(columns, self.keys_, strict=True))
        ]
        return values[0] if one_dimensional else side_by_side(values)

    def _columns(self, X, *, reset):
        columns, names, one_dimensional = split(X, self, needs_rows=reset)
        shape_only = np.broadcast_to(False, (len(columns[0]), len(columns)))
        set_or_check_features(self, X if names else shape_only, names, reset=reset)
        return columns, one_dimensional

    def _where(self, j):
        names = getattr(self, "feature_names_in_", None)
        return f"column {j}" if names is None else f"column {names[j]!r}"

    def _learn(self, column, where):
        rows = first_rows(column, where)[: self.max_keys]
        if not len(rows):
            warnings.warn(
                f"There are no values in {where}: its dictionary is empty and all keys will be 0.",
                stacklevel=3,
            )
        return self._ordered(column[rows], where)

    def _ordered(self, values, where):
        if self.order == "occurrence":
            return values
        return values[in_value_order(values, hashable_cells(values), where)]

    def _given_dictionary(self):
        columns, _, one_dimensional = split(self.keys, self, needs_rows=True)
        if not one_dimensional:
            raise ValueError(f"`keys` has {counted(len(columns), 'column')}: pass one 1-D array.")
        (values,) = columns
        rows = set(first_rows(values, "`keys`").tolist())
        cells = hashable_cells(values)
        for i, cell in enumerate(cells):
            if has_no_key(cell):
                raise ValueError(f"`keys[{i}]` is missing or empty ({cell!r}): leave it out.")
            if i not in rows:
                raise ValueError(f"`keys[{cells.index(cell)}]` and `keys[{i}]` are both {cell!r}.")
        return self._ordered(values, "`keys`")

    def _set_tables(self):
        tables: dict = {}
        for values in self.keys_:
            if id(values) not in tables:
                cells = hashable_cells(values)
                table = dict(zip(cells, range(1, len(cells) + 1), strict=True))
                tables[id(values)] = table, kind_of(values, cells)
        self._tables = [tables[id(values)] for values in self.keys_]

    def _check_kind(self, j, column, cells):
        _, expected = self._tables[j]
        seen = kind_of(column, cells)
        if seen != expected and not {seen, expected} & {None, "mixed"}:
            raise ValueError(
                f"The values of {self._where(j)} are {seen}, but the values in its dictionary are "
                f"{expected}."
            )

    def _check_same_kind(self, columns):
        kinds: dict = {}
        for j, column in enumerate(columns):
            kinds.setdefault(kind_of(column, hashable_cells(column)), self._where(j))
        kinds = {kind: where for kind, where in kinds.items() if kind not in (None, "mixed")}
        if len(kinds) > 1:
            seen = ", ".join(f"those of {where} are {kind}" for kind, where in kinds.items())
            raise ValueError(f"shared=True needs values of one kind in all columns, but {seen}.")
