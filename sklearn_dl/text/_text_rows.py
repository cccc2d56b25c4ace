"""Texts, or pairs of texts, as rows to learn from and to predict."""

from dataclasses import dataclass, replace
from hashlib import sha256

import numpy as np

from sklearn_dl.training._rows import Rows
from sklearn_dl.utils._messages import RowError, warn_user


@dataclass(frozen=True, eq=False)
class TextRows(Rows):
    """Rows of one or two texts.

    Attributes
    ----------
    columns : list of object ndarray of shape (n_rows,)
    numbers : int ndarray of shape (n_rows,)
    max_length : int
        Tokens that are read of a text, or of both together.
    """

    columns: list
    numbers: np.ndarray
    max_length: int

    def take(self, positions):
        columns = [column[positions] for column in self.columns]
        return replace(self, columns=columns, numbers=self.numbers[positions])

    def digest(self):
        digest = sha256()
        for column in self.columns:
            for text in column:
                data = text.encode()
                digest.update(len(data).to_bytes(8, "little") + data)
        return digest.digest()

    def not_finite(self, position, values, what):
        text = self.columns[0][position]
        raise RowError(
            f"the network gives {what} with NaN or infinity for {text!r:.60}: its weights are "
            "damaged, or its numbers overflow. You can set precision='float32', or fit it again.",
            int(self.numbers[position]),
            text,
        )

    def warn_of_cut(self, cut):
        if cut.any():
            warn_user(
                f"{np.count_nonzero(cut)} of {cut.size} texts are longer than "
                f"max_length={self.max_length} tokens: only their beginning was read."
            )

    def warn_of_errors(self, errors, n_rows, left_out):
        """Do nothing: every text can be read."""
