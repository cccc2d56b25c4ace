"""The feed of windows of contexts with their questions. Importing this module imports torch."""

import numpy as np
import torch

from sklearn_dl.text._feeds import token_outputs
from sklearn_dl.text._windows import read_windows
from sklearn_dl.text.answers._answers import Layout
from sklearn_dl.training._task import Feed

# the logit of a token that an answer cannot start or end with
_MASKED = -1e9


class AnswerFeed(Feed):
    """Feed of the windows of contexts. The outputs are the start and end logits of each token.

    Parameters
    ----------
    network : TextNetwork
    tokenizer : Tokenizer
    rows : TextRows
        A column of questions and one of contexts.

    Raises
    ------
    RowError
        If a question leaves no room for its context.
    """

    def __init__(self, network, tokenizer, rows):
        self.tokenizer = tokenizer
        windows = read_windows(
            tokenizer,
            rows.columns,
            rows.overlap,
            torch.get_num_threads(),
            offsets=True,
            numbers=rows.numbers,
        )
        if windows.errors:
            raise windows.errors[min(windows.errors)]
        assert windows.offsets is not None
        self._tokens = windows.tokens
        self.lengths = windows.lengths
        self.row_of_part = windows.rows
        self.layout: Layout = Layout(
            windows.rows, windows.leads, windows.firsts, windows.sizes, windows.offsets
        )

    def outputs(self, network, positions, rng):
        """The logits, of shape (n_windows, n_tokens, 2)."""
        outputs = token_outputs(network, self.tokenizer, self._tokens.take(positions))
        leads, sizes = self.layout.leads[positions, None], self.layout.sizes[positions, None]
        places = np.arange(outputs.shape[1])
        is_allowed = (places >= leads) & (places < leads + sizes)
        is_allowed[:, 0] = True
        is_masked = torch.from_numpy(~is_allowed[:, :, None]).to(outputs.device)
        return outputs.masked_fill(is_masked, _MASKED)
