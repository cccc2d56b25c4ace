"""FirstWindows: the tokens of the first window of each row, for models with outputs for tokens."""

import numpy as np

from sklearn_dl.text._windows import read_windows
from sklearn_dl.text.entities._word_rows import WordRows
from sklearn_dl.text.entities._word_tokens import read_words


class FirstWindows:
    """A Tokenizer that keeps only the first window of each text, cut as the estimator does.

    It has only the methods of Tokenizer that `verify_model` needs.

    Parameters
    ----------
    tokenizer : Tokenizer
    overlap : int
        The estimator's `window_overlap`.
    has_shapes : bool
        Whether the network takes the shapes of words.
    """

    def __init__(self, tokenizer, overlap, has_shapes):
        self.tokenizer = tokenizer
        self.overlap = overlap
        self.has_shapes = has_shapes
        self.pad = tokenizer.pad

    def encode(self, columns, n_threads):
        """The tokens of the first window of each row, as TokenRows.

        Parameters
        ----------
        columns, n_threads
            As in ``Tokenizer.encode``.

        Raises
        ------
        RowError
            If a question leaves no room for its context.
        """
        shapes = None
        if self.has_shapes:
            numbers = np.arange(len(columns[0]))
            rows = WordRows(columns, numbers, self.tokenizer.max_length, overlap=self.overlap)
            found = read_words(self.tokenizer, rows, n_threads, with_shapes=True)
            windows, shapes = found.windows, found.shapes
        else:
            windows = read_windows(self.tokenizer, columns, self.overlap, n_threads)
        if windows.errors:
            raise windows.errors[min(windows.errors)]
        firsts = np.flatnonzero(windows.firsts == 0)
        return windows.tokens._replace(shapes=shapes).take(firsts)
