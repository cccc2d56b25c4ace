"""Columns of texts: each cell is checked, and errors name the rows."""

import numpy as np

from sklearn_dl.utils._columns import (
    counted,
    is_empty_list,
    is_missing,
    object_array,
    require_rows,
    set_or_check_features,
    split_columns,
)
from sklearn_dl.utils._messages import RowError, RowsError

_ROWS_SHOWN = 5


def text_columns(X, estimator, allowed, *, reset, on_error="raise"):
    """Check the columns of texts in `X` and return them.

    Parameters
    ----------
    X : list, tuple, ndarray, Series or DataFrame
    estimator : estimator
    allowed : set of int
        Numbers of columns that X may have.
    reset : bool or None
        True: `n_features_in_` and `feature_names_in_` are set, and X must have rows. False: X is
        checked against them. None: neither.
    on_error : {"raise", "nan"}, default="raise"
        What to do with a cell that is not text. "raise": raise an error. "nan": return an error for
        its row.

    Returns
    -------
    columns : list of object ndarray of shape (n_samples,)
        A cell that is not text is replaced with an empty string.
    unreadable : object ndarray of shape (n_samples,), or None
        For each row a RowError, or None if all cells of the row are texts. None instead of an
        array: all cells of X are texts.

    Raises
    ------
    ValueError
        If the number of columns of X is not allowed, a cell is not text, or X has no rows although
        `reset` is True.
    """
    columns, names, _ = split_columns(X, estimator)
    name = type(estimator).__name__
    if is_empty_list(X) and len(columns) not in allowed:
        columns = columns[:1] * min(allowed)
    if len(columns) not in allowed:
        wanted = {1: "one column of texts", 2: "two columns of texts (a pair of texts in each row)"}
        raise ValueError(
            f"{name} expects {' or '.join(wanted[k] for k in sorted(allowed))}, got "
            f"{counted(len(columns), 'column')}."
        )
    if reset:
        require_rows(len(columns[0]), estimator)
    columns = [object_array(column) for column in columns]
    unreadable = object_array([None] * len(columns[0]))
    for position, column in enumerate(columns):
        where = f" of column {names[position] if names else position}" if len(columns) > 1 else ""
        if on_error == "raise":
            check_texts(column, name, where)
            continue
        for row, cell in enumerate(column):
            if fault := text_fault(cell):
                source = cell if isinstance(cell, str) else None
                unreadable[row] = unreadable[row] or RowError(
                    f"the text{where} {fault}", row, source
                )
                column[row] = ""
    if reset is not None:
        table = X if names else np.column_stack(columns)
        set_or_check_features(estimator, table, names, reset=reset)
    return columns, unreadable if any(unreadable) else None


def check_texts(column, estimator_name, where=""):
    """Raise a RowsError that names the rows that are not text."""
    wrong = [row for row, cell in enumerate(column) if not isinstance(cell, str)]
    if wrong:
        first = column[wrong[0]]
        if is_missing(first):
            kind, hint = "missing", 'Drop the rows, or fill them: fillna("")'
        else:
            kind = f"{first!r:.40} ({type(first).__name__})"
            hint = "Convert it to text: astype(str)"
        raise RowsError(
            f"{estimator_name} expects text, but {shown_rows(wrong)}{where} is not text: row "
            f"{wrong[0]} is {kind}. {hint}.",
            wrong[0],
        )
    wrong = [row for row, text in enumerate(column) if not text.isascii() and not _encodes(text)]
    if wrong:
        text = column[wrong[0]]
        position = next(i for i, c in enumerate(text) if "\ud800" <= c <= "\udfff")
        raise RowsError(
            f"{estimator_name}: {shown_rows(wrong)}{where} contains half of a surrogate pair (row "
            f"{wrong[0]}: U+{ord(text[position]):04X} at position {position}), which is not a "
            'character. Replace it: text.encode("utf-8", "replace").decode().',
            wrong[0],
            text,
        )


def text_fault(cell):
    """Why a cell is not text, in words that follow "the text"; None if it is text."""
    if not isinstance(cell, str):
        return "is missing" if is_missing(cell) else f"is {cell!r:.40} ({type(cell).__name__})"
    return None if cell.isascii() or _encodes(cell) else "contains half of a surrogate pair"


def _encodes(text):
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def shown_rows(rows):
    """The rows in words, as the subject of a message whose verb is in the singular."""
    if len(rows) == 1:
        return f"row {rows[0]}"
    shown = ", ".join(map(str, rows[:_ROWS_SHOWN]))
    more = f" and {len(rows) - _ROWS_SHOWN} more" if len(rows) > _ROWS_SHOWN else ""
    return f"each of rows {shown}{more}"
