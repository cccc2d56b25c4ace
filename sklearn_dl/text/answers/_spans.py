"""Choose start and end of answers together: the best spans of the tokens of a context."""

from unicodedata import category

import numpy as np

# a token that an answer can start or end with, and its logits. Each window begins with an entry for
# its first token, which stands for "no answer": `token`, `start` and `end` of this entry are -1.
TOKEN_DTYPE = np.dtype(
    [
        ("token", np.int32),  # index of the token among those of the context
        ("start", np.int32),  # its characters, as `trimmed` gives them
        ("end", np.int32),
        ("start_logit", np.float64),
        ("end_logit", np.float64),
    ]
)
SPAN_DTYPE = np.dtype([("start", np.int64), ("end", np.int64), ("score", np.float64)])


def trimmed(offsets, context):
    """The characters of tokens, without white space around them.

    A token ends after the combining marks of its last character, which many tokenizers leave out:
    thus an answer never ends inside a character that a reader sees.

    Parameters
    ----------
    offsets : int ndarray of shape (n_tokens, 2)
    context : str

    Returns
    -------
    offsets : int ndarray of shape (n_tokens, 2)
        Start and end are equal for a token of white space only.
    """
    is_space = np.fromiter(map(str.isspace, context), bool, len(context))
    kept = np.flatnonzero(~is_space)
    first, stop = np.searchsorted(kept, offsets).T
    made = np.repeat(offsets[:, :1], 2, axis=1)
    has_any = first < stop
    made[has_any, 0] = kept[first[has_any]]
    made[has_any, 1] = kept[stop[has_any] - 1] + 1
    if not context.isascii():
        is_mark = np.fromiter((category(c)[0] == "M" for c in context), bool, len(context))
        ends = np.append(np.flatnonzero(~is_mark), len(context))
        made[has_any, 1] = ends[np.searchsorted(ends, made[has_any, 1])]
    return made


def best_spans(tokens, k, max_answer_length, allow_no_answer):
    """The spans of characters with the highest scores.

    The score of a span of tokens is the start logit of the first one plus the end logit of the last
    one. A span of characters can come from several windows, and from tokens that stand for parts of
    one character: the highest of their scores counts.

    Parameters
    ----------
    tokens : ndarray of shape (n_tokens,) of TOKEN_DTYPE
        The tokens of all windows of a row, in their order.
    k : int
        Number of spans to return.
    max_answer_length : int
        Largest number of tokens of a span.
    allow_no_answer : bool
        Whether "no answer" is compared with the spans. Its score is the lowest of its scores in the
        windows.

    Returns
    -------
    spans : ndarray of shape (n_spans,) of SPAN_DTYPE
        At least one span and at most `k`, the best first. The scores are probabilities: the softmax
        over everything that was compared. Start and end of "no answer" are -1; it is the result if
        there are no spans.
    """
    best = _Best(k)
    bounds = np.flatnonzero(tokens["token"] < 0)
    if allow_no_answer:
        nothing = tokens[bounds]
        score = (nothing["start_logit"] + nothing["end_logit"]).min()
        best.add(np.array([(-1, -1, score)], dtype=SPAN_DTYPE))
    windows = [part[1:] for part in np.split(tokens, bounds[1:])]
    waiting = np.empty(0, dtype=SPAN_DTYPE)
    for number, window in enumerate(windows):
        found = np.concatenate([waiting, _spans_of(window, max_answer_length)])
        # a following window can have the same spans, but none that starts before it
        following = windows[number + 1 : number + 2]
        is_final = np.full(len(found), True)
        if following:
            is_final = found["start"] < following[0]["start"].min()
        best.add(_without_duplicates(found[is_final]))
        waiting = found[~is_final]
    return best.spans()


def _spans_of(window, max_answer_length):
    """All spans of the tokens of one window, with their scores."""
    n_tokens = len(window)
    first, more = np.indices((n_tokens, min(max_answer_length, n_tokens))).reshape(2, -1)
    last = first + more
    has_text = np.append(window["start"] < window["end"], False)
    is_span = has_text[first] & has_text[np.minimum(last, n_tokens)]
    first, last = first[is_span], last[is_span]
    spans = np.empty(len(first), dtype=SPAN_DTYPE)
    spans["start"], spans["end"] = window["start"][first], window["end"][last]
    spans["score"] = window["start_logit"][first] + window["end_logit"][last]
    return spans


def _without_duplicates(spans):
    """Each span of characters once, with its highest score."""
    key = (spans["start"] << 32) + spans["end"]
    order = np.argsort(key, kind="stable")
    spans, key = spans[order], key[order]
    firsts = np.flatnonzero(np.diff(key, prepend=-1))
    kept = spans[firsts]
    if len(kept):
        kept["score"] = np.maximum.reduceat(spans["score"], firsts)
    return kept


class _Best:
    """The `k` best of all spans that were added, and the total of their scores."""

    def __init__(self, k):
        self.k = k
        self.kept = np.empty(0, dtype=SPAN_DTYPE)
        self.log_total = -np.inf

    def add(self, spans):
        if not len(spans):
            return
        self.log_total = np.logaddexp(self.log_total, np.logaddexp.reduce(spans["score"]))
        spans = np.concatenate([self.kept, spans])
        if len(spans) > self.k:
            lowest = np.partition(spans["score"], -self.k)[-self.k]
            spans = spans[spans["score"] >= lowest]
        # among equal scores, the first span of the text
        order = np.lexsort((spans["end"], spans["start"], -spans["score"]))
        self.kept = spans[order[: self.k]]

    def spans(self):
        if not len(self.kept):
            return np.array([(-1, -1, 1.0)], dtype=SPAN_DTYPE)
        spans = self.kept.copy()
        spans["score"] = np.exp(spans["score"] - self.log_total)
        return spans
