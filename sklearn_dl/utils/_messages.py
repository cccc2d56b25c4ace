"""Short messages without the bytes of models, and errors of rows."""

import reprlib
import sys
import warnings
from contextlib import contextmanager
from contextvars import ContextVar
from functools import wraps
from hashlib import sha256
from types import FrameType
from typing import Any

import numpy as np

MAX_MESSAGE = 2000
_END = 400
# a message shows this number of characters of the label of a row
_LABEL = 100


class _Brief(reprlib.Repr):
    """A short `repr` of any value; it shows bytes by their size and hash."""

    def __init__(self):
        super().__init__()
        self.maxstring = self.maxother = MAX_MESSAGE // 2
        self.maxlist = self.maxtuple = self.maxdict = 20

    def repr_bytes(self, value, level):
        return shown_bytes(value)

    repr_bytearray = repr_memoryview = repr_bytes


_brief = _Brief()


def brief(value):
    """A short `repr` of a value for a message.

    Returns
    -------
    text : str
        At most 1,000 characters, without the content of bytes.
    """
    return _brief.repr(value)[: MAX_MESSAGE // 2]


def shown_bytes(value):
    """The size and the start of the hash of bytes: ``<18 MB sha256:ab12>``."""
    data = bytes(value)
    size, unit = float(len(data)), "bytes"
    for larger in ("kB", "MB", "GB"):
        if size >= 1000:
            size, unit = size / 1000, larger
    return f"<{size:.0f} {unit} sha256:{sha256(data).hexdigest()[:4]}>"


def shortened(text, most=MAX_MESSAGE):
    """`text`, without its middle if it has more than `most` characters."""
    if len(text) <= most:
        return text
    return f"{text[: most - _END - 5]} ... {text[-_END:]}"


class RowError(ValueError):
    """An error of one row of X.

    Parameters
    ----------
    message : str
        What is wrong, without the number of the row.
    row : int or None, default=None
        Number of the row in X. None: the caller adds it.
    source : str or None, default=None
        What the row was made from: a text, the path of an image, or a description of an image
        that has no path ("<array 4 x 4 x 3>").

    Attributes
    ----------
    message, row, source
        The parameters.
    label : object
        The label of the row in the index of X, if X is a pandas frame or Series whose index is not
        0, 1, 2, ...; otherwise None.
    """

    label: Any = None

    def __init__(self, message, row=None, source=None):
        self.message = message
        self.row = None if row is None else int(row)
        self.source = source
        # `pickle` and `copy` call the class with these arguments
        super().__init__(message, self.row, source)

    def __str__(self):
        if self.row is None:
            return self.message
        return f"Row {self.row}{_shown_label(self.label)}: {self.message}"

    def at(self, row, source=None):
        """Return this error with the number of its row.

        Parameters
        ----------
        row : int
        source : str or None, default=None
            None: the source of this error.

        Returns
        -------
        error : RowError of the same class
        """
        return type(self)(self.message, row, self.source if source is None else source)


class NotFiniteError(RowError):
    """A network returned NaN or infinity for a row."""


class RowsError(RowError):
    """An error whose message names its row or rows; `row` and `source` belong to the first row."""

    def __str__(self):
        if self.label is None:
            return self.message
        return f"{self.message} Row {self.row} has the index {brief(self.label)[:_LABEL]}."


# the index of the X of the call in progress
_index: ContextVar[Any] = ContextVar("index", default=None)


@contextmanager
def naming_labels(X):
    """Within this context, errors and warnings of rows also name their labels in the index of X.

    Parameters
    ----------
    X : object
        Only a pandas frame, a Series and a PixelArray have an index.
    """
    index = _index_of(X)
    if index is None:
        yield
        return
    token = _index.set(index)
    try:
        yield
    except (RowError, FileNotFoundError) as error:
        with_label(error)
        raise
    finally:
        _index.reset(token)


def names_labels(method):
    """Decorate a method of X so that it runs in the context `naming_labels`."""

    @wraps(method)
    def named(self, X, *args, **kwargs):
        with naming_labels(X):
            return method(self, X, *args, **kwargs)

    return named


def _index_of(X):
    """The index of X, or None."""
    index = getattr(X, "index", None)
    return index if hasattr(index, "dtype") else None  # the `index` of a list is a method


def row_label(index, row):
    """The label of a row in an index; None if all labels are the numbers of their rows.

    Parameters
    ----------
    index : pandas.Index or None
    row : int
    """
    numbers = np.arange(0 if index is None else len(index))
    if index is None or (index.dtype.kind in "iu" and np.array_equal(index, numbers)):
        return None
    return index[row : row + 1].tolist()[0]


def shown_row(row, index):
    """The number of a row, and its label in `index` if it has one, as text for a message."""
    return f"{row}{_shown_label(row_label(index, row))}"


def _shown_label(label):
    return "" if label is None else f" (index {brief(label)[:_LABEL]})"


def with_label(error):
    """Add to the error of a row its label in the index of X, and return the error."""
    row = getattr(error, "row", None)
    if row is None or getattr(error, "label", None) is not None:
        return error
    label = row_label(_index.get(), row)
    if not isinstance(error, RowError) and label is not None:
        # the text of a FileNotFoundError is its argument
        named = f"Row {row}{_shown_label(label)}: "
        error.args = (str(error).replace(f"Row {row}: ", named, 1),)
    error.label = label
    return error


def chain_of(error, outside):
    """Yield an exception and the exceptions that it comes from.

    Parameters
    ----------
    error : BaseException
    outside : BaseException or None
        The exception that the caller was already handling (`sys.exception()` before the work).
        Python makes it the context of every new exception, though it is not the cause.

    Yields
    ------
    error : BaseException
    """
    seen: set[int] = set()
    while error is not None and error is not outside and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__


@contextmanager
def short_messages():
    """Within this context, messages of errors and of their causes have at most 2,000 characters."""
    outside = sys.exception()
    try:
        yield
    except Exception as raised:
        for error in chain_of(raised, outside):
            text = str(error)
            if len(text) > MAX_MESSAGE and isinstance(error, RowError):
                most = MAX_MESSAGE - (len(text) - len(error.message))
                error.message = shortened(error.message, most)
                error.args = (error.message, *error.args[1:])
            elif len(text) > MAX_MESSAGE:
                error.args = (shortened(text),)
        raise


def warn_user(message):
    """Warn at the line of the user's code that called the package, perhaps through scikit-learn."""
    level = 1
    frame: FrameType | None = sys._getframe()
    while frame is not None and _is_ours(frame.f_globals.get("__name__", "")):
        level, frame = level + 1, frame.f_back
    warnings.warn(message, UserWarning, stacklevel=level)


def _is_ours(module):
    return module.partition(".")[0] in ("joblib", "sklearn", "sklearn_dl")


def warn_of_failed_rows(errors, n_rows, noun="row", name="X", *, left_out=False):
    """Warn once, with the number of failed rows and the first error.

    Parameters
    ----------
    errors : dict of int to RowError
        Errors by position of the row. If empty, there is no warning.
    n_rows : int
        Number of rows in all.
    noun : str, default="row"
        Name of a row in the message.
    name : str, default="X"
        Name of the argument with the rows.
    left_out : bool, default=False
        Whether the rows were left out of a fit. If not, their results are missing values.
    """
    if not errors:
        return
    is_scored = any(isinstance(error, NotFiniteError) for error in errors.values())
    problem = "could not be read or scored" if is_scored else "could not be read"
    then = " and were left out of the fit." if left_out else "; their rows are missing values."
    which = "" if name == "X" else f" of {name}"
    first = with_label(errors[min(errors)])
    warn_user(f"{len(errors)} of {n_rows} {noun}s{which} {problem}{then} {first}")
