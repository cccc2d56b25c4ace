"""The best legal sequence of tags, by the Viterbi algorithm.

Code 0 is the tag O. For the label j, code 1 + 2 j is B-, and code 2 + 2 j is I-. The tag before I-
must be the B- or I- of the same label. All other neighbours are legal.
"""

import numpy as np
from scipy.special import log_softmax


def best_tags(outputs):
    """The most probable legal sequence of tags of each row.

    All rows advance together, word by word.

    Parameters
    ----------
    outputs : Ragged
        For each word, the logits of the tags.

    Returns
    -------
    codes : int ndarray of shape (n_words,)
        The tags of the words of all rows.

    References
    ----------
    Viterbi, Error bounds for convolutional codes and an asymptotically optimum decoding algorithm,
    1967.
    """
    scores = log_softmax(outputs.values, axis=1) if len(outputs.values) else outputs.values
    codes = np.zeros(len(scores), dtype=np.int64)
    if not len(scores):
        return codes
    longest_first = np.argsort(-outputs.lengths, kind="stable")
    lengths, starts = outputs.lengths[longest_first], outputs.starts[longest_first]
    inner = np.arange(2, scores.shape[1], 2)  # the codes of I-
    n_active = int((lengths > 0).sum())
    # the score of the best sequence that ends with each tag; I- cannot come first
    best = scores[starts[:n_active]].copy()
    best[:, 2::2] = -np.inf
    before = np.zeros(scores.shape, dtype=np.int16)  # the best tag before each tag of each word
    last = np.zeros(len(lengths), dtype=np.int64)
    for step in range(1, int(lengths[0]) + 1):
        n_going = int((lengths > step).sum())
        last[n_going:n_active] = best[n_going:].argmax(axis=1)
        if not n_going:
            break
        best, n_active = best[:n_going], n_going
        words = starts[:n_going] + step
        begins, continues = best[:, 1::2], best[:, 2::2]
        chosen = before[words]
        chosen[:] = best.argmax(axis=1)[:, None]
        chosen[:, 2::2] = np.where(continues >= begins, inner, inner - 1)
        before[words] = chosen
        reached = scores[words] + best.max(axis=1)[:, None]
        reached[:, 2::2] = scores[words, 2::2] + np.maximum(begins, continues)
        best = reached
    for step in range(int(lengths[0]) - 1, -1, -1):
        n_going = int((lengths > step).sum())
        words = starts[:n_going] + step
        codes[words] = last[:n_going]
        last[:n_going] = before[words, last[:n_going]]
    return codes


def spans_of_codes(codes):
    """The entities in legal codes: first word, last word + 1 and label of each, as int ndarrays."""
    first = np.flatnonzero(codes % 2 == 1)
    stops = np.append(np.flatnonzero((codes == 0) | (codes % 2 == 1)), len(codes))
    return first, stops[np.searchsorted(stops, first, side="right")], codes[first] // 2


def codes_of_spans(spans, n_words):
    """The codes of the words of one row; `spans` has first word, last word + 1, label number."""
    codes = np.zeros(n_words, dtype=np.int64)
    for first, stop, label in spans:
        codes[first:stop] = 2 + 2 * label
        codes[first] = 1 + 2 * label
    return codes


def probabilities_of(outputs, codes):
    """For each word, the probability of its tag: float64 ndarray of shape (n_words,)."""
    chosen = log_softmax(outputs.values, axis=1) if len(codes) else outputs.values
    return np.exp(chosen[np.arange(len(codes)), codes])
