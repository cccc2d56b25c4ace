"""Rows of X as a network reads them, and examples: rows with targets and weights."""

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from sklearn_dl.training._batches import some_positions
from sklearn_dl.utils._messages import RowError, warn_of_failed_rows

if TYPE_CHECKING:
    from typing import Self


class Read(NamedTuple):
    """What a network makes of rows.

    Attributes
    ----------
    values : float ndarray of shape (n_rows, n_values)
        NaN where a row could not be read; of width 0 if none could.
    errors : dict of int to RowError
        Why a row could not be read, by its position among these rows.
    cut : bool ndarray of n_rows rows, or None
        Which of the inputs (a row may have several) were longer than what is read of them.
    """

    values: np.ndarray
    errors: "dict[int, RowError]"
    cut: np.ndarray | None = None


# rows whose features are in memory at once, where something smaller is made of them
CHUNK = 8192


class Rows(ABC):
    """What is read of some rows of X: texts or images, and how they are read.

    What a network is fed for them, such as tokens or scaled pixels, is the network's to say.

    Attributes
    ----------
    numbers : int ndarray of shape (n_rows,)
        Where the rows stand in X, for messages.
    """

    numbers: np.ndarray
    # what a row is called in messages
    noun = "row"
    # whether a row may turn out to be unreadable when it is read
    may_fail = False
    # whether such a row is left out of a fit, and predicted as a missing value; else it raises
    skips: bool = False
    # the RowError, or None, of each row, if some are known to be unreadable before they are read
    unreadable: np.ndarray | None = None

    def __len__(self):
        return len(self.numbers)

    @property
    def is_augmented(self) -> bool:
        """Whether fits learn from random views of the rows."""
        return False

    @abstractmethod
    def take(self, positions: np.ndarray | slice) -> "Self":
        """Some of the rows, with their numbers in X."""

    @abstractmethod
    def digest(self) -> bytes:
        """A hash of what is read, whatever the numbers of the rows are."""

    @abstractmethod
    def not_finite(self, position: int, values: np.ndarray, what: str) -> "RowError":
        """The error of a row for which a network gives NaN or infinity.

        Parameters
        ----------
        position : int
        values : ndarray
            What the network gives for the row.
        what : str
            Name of the values, in the plural.

        Raises
        ------
        RowError
            If such a row is to raise.
        """

    @abstractmethod
    def warn_of_cut(self, cut: np.ndarray) -> None:
        """Warn once of inputs that were longer than what is read of them, if there are such."""

    def unreadable_rows(self) -> "dict[int, RowError]":
        """The errors of rows that are known to be unreadable, by their positions."""
        if self.unreadable is None:
            return {}
        return {i: error for i, error in enumerate(self.unreadable) if error is not None}

    def warn_of_errors(self, errors: "list[RowError]", n_rows: int, left_out: bool) -> None:
        """Warn once of rows, of `n_rows` in all, that could not be read, if there are such.

        Parameters
        ----------
        errors : list of RowError
            In the order of the rows.
        n_rows : int
        left_out : bool
            Whether a fit leaves them out, or a prediction makes them missing values.
        """
        warn_of_failed_rows(dict(enumerate(errors)), n_rows, self.noun, left_out=left_out)

    def warn(self, read: Read) -> None:
        """Warn of what a prediction could not read, and of what it has cut."""
        errors = [read.errors[position] for position in sorted(read.errors)]
        self.warn_of_errors(errors, len(self), left_out=False)
        if read.cut is not None:
            self.warn_of_cut(read.cut)

    def views(self, rng: np.random.Generator) -> "list[Self]":
        """Random views of the rows, which a head on a frozen network learns from too."""
        return []

    def check(self, n_threads: int | None = None) -> None:  # noqa: B027 - what is in memory can be read
        """Read all rows, without a network, and raise a RowError if one cannot be read."""

    def strict(self) -> "Self":
        """The same rows, of which one that can no longer be read raises."""
        return self


def read_readable(rows, compute):
    """``compute(rows) -> Read`` of the rows that are not known to be unreadable.

    Returns
    -------
    read : Read
        Of all rows: the others are NaN, and their errors are those of `unreadable_rows`.
    """
    errors = rows.unreadable_rows()
    if not errors:
        return compute(rows)
    good = np.setdiff1d(np.arange(len(rows)), list(errors))
    # if no row can be read, one is computed all the same: it tells how many values a row has
    read = compute(rows.take(good if len(good) else np.arange(1)))
    values = np.full((len(rows), read.values.shape[1]), np.nan, dtype=read.values.dtype)
    values[good] = read.values[: len(good)]
    errors |= {int(good[position]): error for position, error in read.errors.items()}
    if read.cut is None:
        return Read(values, errors)
    cut = np.zeros((len(rows), *read.cut.shape[1:]), dtype=bool)
    cut[good] = read.cut[: len(good)]
    return Read(values, errors, cut)


def read_in_chunks(rows, compute):
    """``compute(rows) -> Read`` for some rows after others, joined."""
    chunks = range(0, len(rows), CHUNK)
    parts = [compute(rows.take(slice(start, start + CHUNK))) for start in chunks]
    if len(parts) == 1:
        return parts[0]
    errors = {
        start + position: error
        for start, part in zip(chunks, parts, strict=True)
        for position, error in part.errors.items()
    }
    cuts = [part.cut for part in parts if part.cut is not None]
    values = np.concatenate([part.values for part in parts])
    return Read(values, errors, np.concatenate(cuts) if cuts else None)


@dataclass(frozen=True, eq=False)
class Examples:
    """Rows with their targets and weights.

    Attributes
    ----------
    rows : Rows
    targets : ndarray of n_rows rows
        As a Problem encodes them.
    weights : float64 ndarray of shape (n_rows,)
    features : ndarray of shape (n_rows, n_features) or None
        Of the network that the fit starts from, if they are known.
    """

    rows: Rows
    targets: np.ndarray
    weights: np.ndarray
    features: np.ndarray | None = None

    def __len__(self):
        return len(self.rows)

    def take(self, positions):
        """Some of the examples."""
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
        """At most so many of the examples, drawn at random; None: all."""
        return self if most is None else self.take(some_positions(len(self), seed, most))
