"""Entities as spans and as tags: IO, BIO, IOB1, BILOU and BIOES."""

from functools import lru_cache
from numbers import Integral
from typing import NamedTuple

import numpy as np

from sklearn_dl.utils._columns import is_missing
from sklearn_dl.utils._messages import RowError, RowsError, brief
from sklearn_dl.utils._targets import target_rows

ENTITY_DTYPE = np.dtype(
    [("start", np.int64), ("end", np.int64), ("label", object), ("score", np.float64)]
)

# for each scheme, its prefixes, and the meaning of each prefix in BIOES
SCHEMES = {
    "IO": {"I": "I"},
    "BIO": {"B": "B", "I": "I"},
    "IOB1": {"B": "B", "I": "I"},
    "BILOU": {"B": "B", "I": "I", "L": "E", "U": "S"},
    "BIOES": {"B": "B", "I": "I", "E": "E", "S": "S"},
}
_PREFIXES = sorted({prefix for prefixes in SCHEMES.values() for prefix in prefixes})


class EntityRows(NamedTuple):
    """The entities of the rows of a `y`, as `read_entities` reads them."""

    # for each row, its (start, end, label), sorted by start
    spans: list[list[tuple[int, int, str]]]
    # for each row, its number of tags, or None if it has spans
    n_tags: list[int | None]
    # the scheme of the rows of tags, or None if there are none
    scheme: str | None


def make_entities(spans, scores=None):
    """Make a structured array of the entities of one text.

    `EntityRecognizer.predict` returns arrays of this kind, and the metrics accept them.

    Parameters
    ----------
    spans : sequence of n_entities (int, int, str)
        Start, end (exclusive) and label of each entity. Start and end count characters or words.
    scores : array-like of shape (n_entities,), default=None
        None: each score is 1.0, for true entities.

    Returns
    -------
    entities : structured ndarray of shape (n_entities,)
        Fields ``start`` and ``end`` of dtype int64, ``label`` of dtype object and ``score`` of
        dtype float64, in the order of `spans`.

    Raises
    ------
    ValueError
        If the lengths differ, a span is not (start, end, label) with 0 <= start < end, or two
        spans overlap.

    See Also
    --------
    entity_f1_score : Compares two lists of such arrays.

    Examples
    --------
    >>> from sklearn_dl.metrics import make_entities
    >>> entities = make_entities([(0, 4, "PER"), (16, 22, "LOC")])
    >>> "Anna moved from London."[entities["start"][1] : entities["end"][1]]
    'London'
    """
    spans = [_checked_span(span, position) for position, span in enumerate(spans)]
    _refuse_overlaps(sorted(spans))
    scores = np.ones(len(spans)) if scores is None else np.asarray(scores)
    if scores.shape != (len(spans),):
        raise ValueError(f"There are {len(spans)} spans, and scores of shape {scores.shape}.")
    return np.array(
        [(*span, score) for span, score in zip(spans, scores, strict=True)], dtype=ENTITY_DTYPE
    )


def read_entities(y, name, *, scheme="auto", strict=True):
    """Read the entities of each row of `y`.

    Parameters
    ----------
    y : list, tuple, ndarray or Series of n_samples rows
        A row of strings has tags. Other rows have items (start, end, label), or are structured
        arrays with these fields. An empty row has no entities.
    name : str
        Name of `y` in messages.
    scheme : {"auto", "IO", "BIO", "IOB1", "BILOU", "BIOES"}, default="auto"
        The scheme of the tags. "auto": IO if every tag except "O" starts with "I-", BIO if each
        entity starts with "B-" (or if all tags are "O"), and an error for any other tags.
    strict : bool, default=True
        Whether an illegal sequence of tags is an error. If not, its words are not entities, as in
        seqeval's strict mode. Tags that the scheme does not have are always an error.

    Returns
    -------
    entities : EntityRows

    Raises
    ------
    RowsError
        If a row is missing, malformed or illegal, if its entities overlap, or if "auto" cannot
        determine the scheme. The message names the row and the place.
    ValueError
        If `y` is not a sequence of rows, or the scheme is unknown.
    """
    if scheme != "auto" and scheme not in SCHEMES:
        raise ValueError(f"scheme={scheme!r} must be one of {['auto', *SCHEMES]}.")
    rows = [
        row.tolist() if isinstance(row, np.ndarray) and row.dtype.names is None else row
        for row in target_rows(y, name)
    ]
    are_tags = [
        isinstance(row, (list, tuple)) and len(row) > 0 and isinstance(row[0], str) for row in rows
    ]
    if not any(are_tags):
        scheme = None
    elif scheme == "auto":
        scheme = _detected_scheme(rows, are_tags, name)
    spans: list = []
    for number, (row, is_tags) in enumerate(zip(rows, are_tags, strict=True)):
        try:
            spans.append(spans_of_tags(row, scheme, strict=strict) if is_tags else _read_spans(row))
        except RowError as error:
            raise _at(error, name, number) from None
    n_tags = [len(row) if is_tags else None for row, is_tags in zip(rows, are_tags, strict=True)]
    return EntityRows(spans, n_tags, scheme)


def spans_of_tags(tags, scheme, *, strict=True):
    """Convert the tags of one row to entities.

    Parameters
    ----------
    tags : sequence of n_words str
    scheme : {"IO", "BIO", "IOB1", "BILOU", "BIOES"}
    strict : bool, default=True
        As in `read_entities`.

    Returns
    -------
    spans : list of (int, int, str)
        First word, last word + 1, and label of each entity.

    Raises
    ------
    RowError
        If a tag does not belong to the scheme, or if the sequence is illegal and `strict` is True.
        The error has no `row`.
    """
    spans = []
    closes = scheme in ("BILOU", "BIOES")
    start = None  # first word of the open entity
    before, label_before = "O", None
    # after the last word, "O" ends an open entity
    for word, tag in enumerate((*tags, "O")):
        kind, label = ("O", None) if tag == "O" else _parsed_tag(tag, scheme, word)
        if start is not None and label == label_before and kind in "IE":
            if kind == "E":
                spans.append((start, word + 1, label))
                start = None
            before = kind
            continue
        if start is not None:
            if closes:
                _illegal(strict, tags, word, f"does not end the entity of word {start}")
            # seqeval drops an entity of one word in IOB1 that an illegal "B-" follows
            elif not (scheme == "IOB1" and before == kind == "B" and label != label_before):
                spans.append((start, word, label_before))
        is_start = kind == "B" or (kind == "I" and scheme in ("IO", "IOB1"))
        if scheme == "IOB1" and kind == "B" and label != label_before:
            is_start = False
            _illegal(strict, tags, word, "does not follow an entity with its label")
        elif kind in "IE" and not is_start:
            _illegal(strict, tags, word, "does not continue an entity with its label")
        if kind == "S":
            spans.append((word, word + 1, label))
        start = word if is_start else None
        before, label_before = kind, label
    return spans


def tags_of_spans(spans, n_words, scheme):
    """Convert the entities of one row to tags.

    Parameters
    ----------
    spans : sequence of (int, int, str)
        First word, last word + 1, and label of each entity, sorted. They do not overlap.
    n_words : int
    scheme : {"IO", "BIO", "IOB1", "BILOU", "BIOES"}
        IO joins neighbours with the same label.

    Returns
    -------
    tags : list of n_words str

    Raises
    ------
    RowError
        If a span ends after the last word. The error has no `row`.
    """
    prefix_of = {kind: prefix for prefix, kind in SCHEMES[scheme].items()}
    tags = ["O"] * n_words
    end_before, label_before = None, None
    for start, end, label in spans:
        if end > n_words:
            raise RowError(
                f"the entity {(start, end, label)} ends after the last of {n_words} words"
            )
        inside = f"{prefix_of['I']}-{label}"
        tags[start:end] = [inside] * (end - start)
        follows_its_like = start == end_before and label == label_before
        if "B" in prefix_of and (scheme != "IOB1" or follows_its_like):
            tags[start] = f"{prefix_of['B']}-{label}"
        if "E" in prefix_of:
            tags[end - 1] = f"{prefix_of['S' if end - start == 1 else 'E']}-{label}"
        end_before, label_before = end, label
    return tags


def _detected_scheme(rows, are_tags, name):
    """The scheme of the rows of tags; an error if it is neither IO nor BIO."""
    tag_rows = [number for number, is_tags in enumerate(are_tags) if is_tags]
    tags = (tag for number in tag_rows for tag in rows[number])
    if {tag[0] for tag in tags if isinstance(tag, str) and tag[1:2] == "-"} == {"I"}:
        return "IO"
    for number in tag_rows:
        try:
            spans_of_tags(rows[number], "BIO")
        except _NotOfScheme as error:
            advice = f"Set the parameter scheme to one of {list(SCHEMES)}."
            undecided = RowError(f"{error.message}, so the tags are neither IO nor BIO. {advice}")
            raise _at(undecided, name, number) from None
        except RowError as error:
            raise _at(error, name, number) from None
    return "BIO"


class _NotOfScheme(RowError):
    """A tag or a sequence of tags that another scheme may have."""


def _parsed_tag(tag, scheme, word):
    """The meaning of a tag's prefix in BIOES, and the tag's label."""
    if not isinstance(tag, str):
        raise RowError(f"word {word} has the tag {brief(tag)}, which is not a string")
    try:
        return _split_tag(tag, scheme)
    except RowError as error:
        raise type(error)(f"word {word} has the tag {error.message}") from None


@lru_cache(maxsize=10_000)
def _split_tag(tag, scheme):
    prefix, hyphen, label = tag.partition("-")
    if not hyphen or not label or prefix not in _PREFIXES:
        raise RowError(f'{brief(tag)}; a tag must be "O", or a prefix and a label, such as "B-PER"')
    if prefix not in SCHEMES[scheme]:
        raise _NotOfScheme(f"{brief(tag)}, whose prefix is not one of {scheme}")
    return SCHEMES[scheme][prefix], label


def _illegal(strict, tags, word, why):
    """Raise an error if `strict`, because the sequence of tags is illegal."""
    if strict and word < len(tags):
        raise _NotOfScheme(f"the tag {brief(tags[word])} of word {word} {why}")
    if strict:
        raise _NotOfScheme(f"the last tag, {brief(tags[-1])}, {why}")


def _at(error, name, number):
    """The error of a row, with the name of the `y` and the number of the row."""
    return RowsError(f"{name}, row {number}: {error.message}", number)


def _read_spans(row):
    """The (start, end, label) of one row, sorted."""
    if isinstance(row, np.ndarray):
        row = _unpacked(row)
    elif not isinstance(row, (list, tuple)):
        if is_missing(row):
            raise RowError("the row is missing. Use [] for a row without entities")
        raise RowError(
            f"a row must be a list of tags or of (start, end, label), but is {brief(row)} "
            f"({type(row).__name__})"
        )
    spans = sorted(_checked_span(span, position) for position, span in enumerate(row))
    _refuse_overlaps(spans)
    return spans


def _unpacked(entities):
    """The (start, end, label) of a structured array, as tuples."""
    fields = ("start", "end", "label")
    missing = [field for field in fields if field not in entities.dtype.names]
    if missing:
        raise RowError(f"the structured array does not have the fields {missing}")
    if entities.ndim != 1:
        raise RowError(f"the structured array has shape {entities.shape}, not (n_entities,)")
    return list(zip(*(entities[field].tolist() for field in fields), strict=True))


def _checked_span(span, position):
    """A (start, end, label) with Python's ints and str."""
    if isinstance(span, (list, tuple)) and len(span) == 3:
        start, end, label = span
        if _is_int(start) and _is_int(end) and isinstance(label, str) and label:
            if 0 <= start < end:
                return int(start), int(end), str(label)
            raise RowError(f"the entity {brief(tuple(span))} must have 0 <= start < end")
    raise RowError(
        f"item {position} is {brief(span)}, but must be (start, end, label): two integers and a "
        "string that is not empty"
    )


def _is_int(value):
    return isinstance(value, Integral) and not isinstance(value, bool)


def _refuse_overlaps(spans):
    """Raise an error if two of the sorted spans overlap."""
    for i in range(1, len(spans)):
        if spans[i][0] < spans[i - 1][1]:
            raise RowError(f"the entities {spans[i - 1]} and {spans[i]} overlap")
