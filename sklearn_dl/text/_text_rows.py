"""The rows of the text estimators: texts, or pairs of texts."""

from dataclasses import dataclass, replace
from hashlib import sha256

import numpy as np

from sklearn_dl.text._texts import text_columns
from sklearn_dl.training._rows import Rows
from sklearn_dl.utils._messages import NotFiniteError, warn_user


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
    """

    columns: list
    numbers: np.ndarray
    max_length: int
    skips: bool = False
    unreadable: np.ndarray | None = None
    overlap: int | None = None

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
            warn_user(
                f"{np.count_nonzero(cut)} of {cut.size} texts are longer than "
                f"max_length={self.max_length} tokens: only their beginning was read."
            )


def text_rows(X, estimator, allowed, *, reset):
    """Check X; return it as TextRows with the settings of a text estimator.

    Parameters
    ----------
    X, allowed, reset
        As in `text_columns`.
    estimator : estimator
        It has the parameters `max_length` and `on_error`.
    """
    on_error = estimator.on_error
    columns, unreadable = text_columns(X, estimator, allowed, reset=reset, on_error=on_error)
    numbers = np.arange(len(columns[0]))
    return TextRows(columns, numbers, estimator.max_length, on_error == "nan", unreadable)


def text_digest(texts):
    """The sha256 of a text, or of several texts, as bytes."""
    digest = sha256()
    for text in (texts,) if isinstance(texts, str) else texts:
        data = text.encode()
        digest.update(len(data).to_bytes(8, "little") + data)
    return digest.digest()
