"""Encoders of categories: OneHotEncoder, OrdinalEncoder and TargetEncoder.

Each category of a column has a row of numbers. The graph gathers the row of each cell. skl2onnx is
not used: it ignores some parameters of the encoders, and rounds categories that are floats.
"""

import numpy as np
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, TargetEncoder

from sklearn_dl.export._exporter import transforms
from sklearn_dl.export._lookup import positions
from sklearn_dl.export._table import columns
from sklearn_dl.utils._columns import is_missing


@transforms(OneHotEncoder)
def _one_hot(encoder, table, exporter):
    """Make a row with a 1 for each category, without the column of the dropped category."""
    rows = []
    for j, categories in enumerate(encoder.categories_):
        codes, n_codes, infrequent = _codes(categories.tolist(), encoder, j)
        dropped = None if encoder.drop_idx_ is None else encoder.drop_idx_[j]
        all_rows = np.eye(n_codes)
        if dropped is not None:
            all_rows = np.delete(all_rows, codes[dropped], axis=1)
        of_categories = all_rows[codes]
        if encoder.handle_unknown == "ignore" or infrequent is None:
            unknown = np.zeros(all_rows.shape[1])
        else:
            unknown = all_rows[infrequent]
        if encoder.handle_unknown != "error":
            of_categories = np.vstack([of_categories, unknown])
        rows.append(of_categories)
    return _gathered(encoder.categories_, rows, encoder.dtype, table, exporter)


@transforms(OrdinalEncoder)
def _ordinal(encoder, table, exporter):
    rows = []
    for j, categories in enumerate(encoder.categories_):
        known = categories.tolist()
        is_nan = np.array([category != category for category in known])
        codes = np.full(len(known), encoder.encoded_missing_value, np.float64)
        # NaN is not counted among the infrequent categories
        codes[~is_nan], *_ = _codes(
            [category for category in known if category == category], encoder, j
        )
        if encoder.handle_unknown == "use_encoded_value":
            codes = np.append(codes, encoder.unknown_value)
        rows.append(codes.reshape(-1, 1))
    return _gathered(encoder.categories_, rows, encoder.dtype, table, exporter)


@transforms(TargetEncoder)
def _target(encoder, table, exporter):
    n_targets = len(encoder.classes_) if encoder.target_type_ == "multiclass" else 1
    rows = [
        np.vstack(
            [
                np.column_stack(encoder.encodings_[j * n_targets : (j + 1) * n_targets]),
                np.reshape(encoder.target_mean_, (1, -1)),
            ]
        )
        for j in range(len(encoder.categories_))
    ]
    return _gathered(encoder.categories_, rows, np.float64, table, exporter)


def _codes(categories, encoder, j):
    """Return the codes of the categories of column j. Infrequent ones share the last code.

    Returns
    -------
    codes : ndarray of int of shape (n_categories,)
    n_codes : int
    infrequent : int or None
        The code of the infrequent categories.
    """
    # without parameters for infrequent categories, the attribute does not exist
    infrequent = getattr(encoder, "infrequent_categories_", [None] * (j + 1))[j]
    if infrequent is None:
        return np.arange(len(categories)), len(categories), None
    others = infrequent.tolist()
    shared = np.array(
        [c in others or (is_missing(c) and any(map(is_missing, others))) for c in categories]
    )
    n_frequent = len(categories) - shared.sum()
    return np.where(shared, n_frequent, np.cumsum(~shared) - 1), n_frequent + 1, n_frequent


def _gathered(categories, rows, dtype, table, exporter):
    """Gather the rows of all cells.

    Parameters
    ----------
    categories : list of ndarray
        For each column of the table.
    rows : list of ndarray of shape (n_categories, width) or (n_categories + 1, width)
        For each column: the rows of its categories, and at the end the row of unknown cells. If
        the last one is missing, ONNX Runtime raises an error for an unknown cell, as scikit-learn
        does.
    dtype : dtype
        Of the result.
    table : Table
    exporter : Exporter
    """
    parts = []
    for j, (values, of_column) in enumerate(zip(categories, rows, strict=True)):
        found = positions(table, j, values, exporter)
        parts.append(exporter.graph.Gather(of_column.astype(dtype), found, axis=0))
    width = sum(of_column.shape[1] for of_column in rows)
    value = parts[0] if len(parts) == 1 else exporter.graph.Concat(*parts, axis=1)
    return columns(value, dtype, width)
