"""The rows of the text estimators: texts, or pairs of texts."""

from dataclasses import dataclass, replace
from hashlib import sha256
from numbers import Integral

import numpy as np

from sklearn_dl.text._texts import text_columns
from sklearn_dl.training._rows import Rows
from sklearn_dl.utils._messages import NotFiniteError, warn_user
from sklearn_dl.utils._sklearn import Interval, StrOptions

# the constraints of the parameters of estimators that can read long texts in windows
LONG_TEXTS_CONSTRAINTS: dict = {
    "long_texts": [StrOptions({"truncate", "windows"})],
    "window_overlap": [Interval(Integral, 0, None, closed="left")],
}


@dataclass(frozen=True, eq=False)
class TextRows(Rows):
    """Rows of one or two texts.

    Attributes
    ----------
    columns : list of object ndarray of shape (n_rows,)
        One or two columns of texts.
    max_length : int
        Largest number of tokens that are read of a text, or of a pair that is read together.
    numbers, skips, unreadable
        As in `Rows`.
    overlap : int or None
        Long texts are read in windows that share this number of tokens. None: they are cut.
    offers_windows : bool
        Whether the estimator's `long_texts` can be "windows" for these rows.
    """

    columns: list
    numbers: np.ndarray
    max_length: int
    skips: bool = False
    unreadable: np.ndarray | None = None
    overlap: int | None = None
    offers_windows: bool = False

    @property
    def may_fail(self):
        return self.skips

    def take(self, positions):
        columns = [column[positions] for column in self.columns]
        unreadable = None if self.unreadable is None else self.unreadable[positions]
        return replace(
            self, columns=columns, numbers=self.numbers[positions], unreadable=unreadable
        )

    def digest(self):
        return text_digest([text for column in self.columns for text in column])

    def not_finite(self, position, values, what):
        text = self.columns[0][position]
        error = NotFiniteError(
            f"the network gives {what} with NaN or infinity for {text!r:.60}: its weights are "
            "damaged, or its numbers overflow. You can set precision='float32', or fit the "
            "estimator again.",
            int(self.numbers[position]),
            text,
        )
        if not self.skips:
            raise error
        return error

    def strict(self):
        return replace(self, skips=False)

    def warn_of_cut(self, cut):
        if cut.any():
            advice = ' Set long_texts="windows" to read them whole.' if self.offers_windows else ""
            warn_user(
                f"{np.count_nonzero(cut)} of {cut.size} texts are longer than "
                f"max_length={self.max_length} tokens: only their beginning was read.{advice}"
            )


def text_rows(X, estimator, allowed, *, reset):
    """Check X; return it as TextRows with the settings of a text estimator.

    Parameters
    ----------
    X, allowed, reset
        As in `text_columns`.
    estimator : estimator
        It has the parameters `max_length` and `on_error`, and perhaps `long_texts` and
        `window_overlap`.

    Raises
    ------
    ValueError
        As `text_columns`, or if pairs of texts are to be read in windows.
    """
    on_error, long_texts = estimator.on_error, getattr(estimator, "long_texts", None)
    columns, unreadable = text_columns(X, estimator, allowed, reset=reset, on_error=on_error)
    if long_texts == "windows" and len(columns) == 2:
        raise ValueError(
            'long_texts="windows" is only for single texts, but X has pairs: set '
            'long_texts="truncate" and, if the pairs are long, a larger max_length.'
        )
    return TextRows(
        columns=columns,
        numbers=np.arange(len(columns[0])),
        max_length=estimator.max_length,
        skips=on_error == "nan",
        unreadable=unreadable,
        overlap=estimator.window_overlap if long_texts == "windows" else None,
        offers_windows=long_texts is not None and len(columns) == 1,
    )


def text_digest(texts):
    """The sha256 of a text, or of several texts, as bytes."""
    digest = sha256()
    for text in (texts,) if isinstance(texts, str) else texts:
        data = text.encode()
        digest.update(len(data).to_bytes(8, "little") + data)
    return digest.digest()
