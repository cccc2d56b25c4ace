"""Arrays whose rows have different lengths."""

import numpy as np


class Ragged:
    """Rows of different lengths, such as a value for each word of each text.

    Parameters
    ----------
    values : ndarray of n_items rows
        The items of all rows, one after the other.
    lengths : int ndarray of shape (n_rows,)
        Number of items of each row.
    """

    def __init__(self, values, lengths):
        self.values = values
        self.lengths = np.asarray(lengths, dtype=np.int64)
        self.starts = np.cumsum(self.lengths) - self.lengths

    def __len__(self):
        return len(self.lengths)

    def __getitem__(self, positions):
        """Some of the rows, as a Ragged."""
        lengths = self.lengths[positions]
        starts = np.repeat(self.starts[positions], lengths)
        within = np.arange(len(starts)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
        return Ragged(self.values[starts + within], lengths)

    def rows(self):
        """The items of each row: a list of ndarray."""
        return np.split(self.values, self.starts[1:]) if len(self) else []

    def astype(self, dtype, copy=True):
        return Ragged(self.values.astype(dtype, copy=copy), self.lengths)


def concatenate(parts):
    """Join arrays, or Raggeds, along their rows."""
    if not isinstance(parts[0], Ragged):
        return np.concatenate(parts)
    values = np.concatenate([part.values for part in parts])
    return Ragged(values, np.concatenate([part.lengths for part in parts]))
