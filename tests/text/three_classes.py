"""Texts of three classes, each told by its word in the middle."""

import numpy as np

_rng = np.random.default_rng(0)
_WORDS = ["film", "book", "plot", "music", "cat", "dog", "house", "tree"]
X = np.array(
    [f"{_rng.choice(_WORDS)} {w} {_rng.choice(_WORDS)}" for w in ["good", "bad", "red"] * 8]
)
Y = np.array(["yes", "no", "red"] * 8)
# the rows of two of the classes
TWO = np.isin(Y, ["yes", "no"])
PAIRS = np.column_stack([X, np.roll(X, 5)])
