"""Rows of X, what a network computes from them, and rows with targets and weights.

The *number* of a row is its index in X; messages use it. The *position* of a row is its index
within some rows of X.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from sklearn_dl.training._batches import some_positions
from sklearn_dl.training._ragged import concatenate
from sklearn_dl.utils._messages import RowError, warn_of_failed_rows

if TYPE_CHECKING:
    from typing import Self


class Read(NamedTuple):
    """The result of computing rows with a network: values, and errors of the rows that failed.

    Attributes
    ----------
    values : float ndarray of shape (n_rows, n_values), or Ragged of n_rows rows
        For example features or outputs. NaN in rows with an error. If all rows have an error,
        there may be no columns. A Ragged has values for each word or token of a row; a row with an
        error has none.
    errors : dict of int to RowError
        The errors of rows that could not be read, or for which the network gave NaN or infinity,
        by their positions in `values`.
    cut : bool ndarray of n_rows rows, or None
        Which inputs were cut because they are too long. A row may have several inputs. None: inputs
        are never cut.
    """

    values: Any
    errors: "dict[int, RowError]"
    cut: np.ndarray | None = None


# if only outputs are kept, the features of at most this number of rows are in memory at once
CHUNK = 8192


class Rows(ABC):
    """Some rows of X: their texts or images, and how they are to be read.

    A network makes its inputs (tokens or scaled pixels) from them.

    Attributes
    ----------
    numbers : int ndarray of shape (n_rows,)
        The number of each row, which is its index in X.
    """

    numbers: np.ndarray
    # name of a row in messages
    noun = "row"
    # whether rows that cannot be read are skipped (left out of a fit, missing in predictions); if
    # not, an error is raised
    skips: bool = False
    # for each row a RowError or None; None instead of an array: no row is known to be unreadable
    unreadable: np.ndarray | None = None

    def __len__(self):
        return len(self.numbers)

    @property
    def may_fail(self) -> bool:
        """Whether reading a row may still fail, or a network may give NaN for it."""
        return False

    @property
    def is_augmented(self) -> bool:
        """Whether a fit learns from random views of the rows."""
        return False

    @abstractmethod
    def take(self, positions: np.ndarray | slice) -> "Self":
        """The rows at some positions; each keeps its number in X."""

    @abstractmethod
    def digest(self) -> bytes:
        """A hash of the content of the rows. It does not depend on their numbers."""

    @abstractmethod
    def not_finite(self, position: int, values: np.ndarray, what: str) -> "RowError":
        """Return the error for a row for which a network gives NaN or infinity.

        Parameters
        ----------
        position : int
        values : ndarray
            The values that the network gives for the row.
        what : str
            Name of the values in messages, in the plural.

        Raises
        ------
        RowError
            If the row is not to be skipped: the error is raised, not returned.
        """

    @abstractmethod
    def warn_of_cut(self, cut: np.ndarray) -> None:
        """Warn once if inputs were cut because they are too long; `cut` is as in Read."""

    def unreadable_rows(self) -> "dict[int, RowError]":
        """The errors of the rows that are known to be unreadable, by their positions."""
        if self.unreadable is None:
            return {}
        return {i: error for i, error in enumerate(self.unreadable) if error is not None}

    def warn_of_errors(
        self, errors: "list[RowError]", n_rows: int, left_out: bool, name: str = "X"
    ) -> None:
        """Warn once if some of `n_rows` rows could not be read.

        Parameters
        ----------
        errors : list of RowError
            In the order of the rows.
        n_rows : int
        left_out : bool
            Whether these rows are left out of a fit; if not, their predictions are missing values.
        name : str, default="X"
            Name of the argument with the rows.
        """
        warn_of_failed_rows(dict(enumerate(errors)), n_rows, self.noun, name, left_out=left_out)

    def warn(self, read: Read) -> None:
        """Warn of the rows of a prediction that could not be read, and of inputs that were cut."""
        errors = [read.errors[position] for position in sorted(read.errors)]
        self.warn_of_errors(errors, len(self), left_out=False)
        if read.cut is not None:
            self.warn_of_cut(read.cut)

    def views(self, rng: np.random.Generator) -> "list[Self]":
        """Random views of the rows, for a fit that fits only a head; [] if there are none."""
        return []

    def without_views(self) -> "Self":
        """The same rows, without random views."""
        return self

    def with_features(self, features) -> "Self":
        """The same rows, with the features from `FittedNetwork.features` if training reads them."""
        return self

    def check(self, n_threads: int | None = None) -> None:  # noqa: B027 - optional
        """Read all rows, without a network, and raise a RowError if one cannot be read."""

    def strict(self) -> "Self":
        """The same rows, but a row that cannot be read raises an error instead of being skipped."""
        return self


def read_readable(rows, compute):
    """Call ``compute(rows) -> Read`` with the rows that are not known to be unreadable.

    Returns
    -------
    read : Read
        The result for all rows. An unreadable row has its error, and NaN.
    """
    errors = rows.unreadable_rows()
    if not errors:
        return compute(rows)
    good = np.setdiff1d(np.arange(len(rows)), list(errors))
    # if no row can be read, compute the first row only to see how many values a row has
    read = compute(rows.take(good if len(good) else np.arange(1)))
    values = np.full((len(rows), read.values.shape[1]), np.nan, dtype=read.values.dtype)
    values[good] = read.values[: len(good)]
    errors |= {int(good[i]): error for i, error in read.errors.items() if i < len(good)}
    if read.cut is None:
        return Read(values, errors)
    cut = np.zeros((len(rows), *read.cut.shape[1:]), dtype=bool)
    cut[good] = read.cut[: len(good)]
    return Read(values, errors, cut)


def read_in_chunks(rows, compute):
    """Call ``compute(rows) -> Read`` for `CHUNK` rows at a time, and join the results."""
    chunks = range(0, max(1, len(rows)), CHUNK)  # without rows, one empty chunk
    parts = [compute(rows.take(slice(start, start + CHUNK))) for start in chunks]
    if len(parts) == 1:
        return parts[0]
    errors = {
        start + position: error
        for start, part in zip(chunks, parts, strict=True)
        for position, error in part.errors.items()
    }
    cuts = [part.cut for part in parts if part.cut is not None]
    values = concatenate([part.values for part in parts])
    return Read(values, errors, np.concatenate(cuts) if cuts else None)


@dataclass(frozen=True, eq=False)
class Examples:
    """Rows to learn from or to validate with, and their targets and weights.

    Attributes
    ----------
    rows : Rows
    targets : ndarray or Ragged of n_rows rows
        The values of y, as the Problem encodes them.
    weights : float64 ndarray of shape (n_rows,)
    features : ndarray of shape (n_rows, n_features), Ragged or None
        The features of the network as it is before this fit trains it. None: they are not
        computed yet.
    """

    rows: Rows
    targets: Any
    weights: np.ndarray
    features: Any = None

    def __len__(self):
        return len(self.rows)

    def take(self, positions):
        """The examples at some positions."""
        features = None if self.features is None else self.features[positions]
        rows = self.rows.take(positions)
        return replace(
            self,
            rows=rows,
            targets=self.targets[positions],
            weights=self.weights[positions],
            features=features,
        )

    def some(self, most, seed):
        """At most `most` of the examples, drawn at random; all of them if `most` is None."""
        return self if most is None else self.take(some_positions(len(self), seed, most))
