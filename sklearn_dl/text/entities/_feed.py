"""The feed of windows whose words are tagged. Importing this module imports torch."""

import numpy as np
import torch

from sklearn_dl.text._feeds import token_outputs
from sklearn_dl.text.entities._tags import Layout
from sklearn_dl.text.entities._word_tokens import read_words
from sklearn_dl.training._task import Feed


class WordFeed(Feed):
    """Feed of the windows of texts. The outputs are those of the head for each token.

    Windows that are not chosen for any word (see WordTokens) are left out.

    Parameters
    ----------
    network : TextNetwork
    tokenizer : Tokenizer
    rows : WordRows

    Raises
    ------
    ValueError
        If no word has tokens.
    """

    def __init__(self, network, tokenizer, rows):
        self.tokenizer = tokenizer
        has_shapes = network.word_shapes is not None
        found = read_words(tokenizer, rows, torch.get_num_threads(), has_shapes)
        if not len(found.words):
            raise ValueError(
                "The tokenizer leaves out all characters of the training words: set a model that "
                "reads their language."
            )
        windows = found.windows
        kept, index, n_words = np.unique(found.of_window, return_inverse=True, return_counts=True)
        self._tokens = windows.tokens.take(kept)
        self._shapes = None if found.shapes is None else [found.shapes[w] for w in kept]
        self.lengths = self._tokens.lengths
        self.row_of_part = windows.rows[kept]
        # all words have the same weight in the loss, whatever the length of their row
        self.shares = n_words.astype(np.float64)
        first_word = np.cumsum(found.n_words) - found.n_words
        words = found.words - first_word[self.row_of_part[index]]
        self.layout = Layout(words, index, found.places, int(self.lengths.max(initial=0)))

    def outputs(self, network, positions, rng):
        tokens = self._tokens.take(positions)
        if self._shapes is not None:
            tokens = tokens._replace(shapes=[self._shapes[p] for p in positions])
        return token_outputs(network, self.tokenizer, tokens)
