"""Convert entities between words and characters."""

import numpy as np

from sklearn_dl.text.entities._tags import WordEntities
from sklearn_dl.text.entities._words import split_words
from sklearn_dl.utils._messages import RowsError


def in_words(entities, rows, name):
    """The entities of rows, in words.

    Parameters
    ----------
    entities : EntityRows
        The tags and the entities of lists of words count words. The entities of texts count
        characters.
    rows : WordRows
    name : str
        Name of the argument with the entities.

    Returns
    -------
    aligned : WordEntities
        Rows that cannot be read have no words.

    Raises
    ------
    RowsError
        If the number of tags is not the number of words, or an entity ends after the last word, or
        an entity of a text starts or ends inside a word.
    """
    aligned: list = []
    counts = []
    unreadable = rows.unreadable_rows()
    for row, spans in enumerate(as_given(entities, rows, name)):
        if row in unreadable:
            aligned.append([])
            counts.append(0)
            continue
        words = rows.word_spans(row)
        if rows.words is None:
            spans = [_of_text(span, words, rows.columns[0][row], name, row) for span in spans]
        aligned.append(spans)
        counts.append(len(words))
    return WordEntities(aligned, np.array(counts, dtype=np.int64))


def _of_text(span, words, text, name, row):
    """The span of words of a span of characters."""
    start, end, label = span
    first = int(np.searchsorted(words[:, 0], start))
    stop = int(np.searchsorted(words[:, 1], end, side="right"))
    starts = first < len(words) and words[first, 0] == start
    ends = stop > 0 and words[stop - 1, 1] == end
    if starts and ends:
        return first, stop, label
    what, place = ("ends", end) if starts else ("starts", start)
    inside = np.flatnonzero((words[:, 0] < place) & (words[:, 1] > place))
    if len(inside):
        a, b = words[inside[0]].tolist()
        where = f"inside the word {text[a:b]!r} (characters {a} to {b})"
    else:
        where = "at a space: leave out the spaces around it"
    raise RowsError(
        f"{name}, row {row}: the entity {span} ({text[start:end]!r:.40}) {what} {where}.", row
    )


def as_given(entities, rows, name):
    """The entities of rows as `predict` counts them: words of lists, characters of texts.

    Parameters
    ----------
    entities : EntityRows
    rows : WordRows
    name : str
        Name of the argument with the entities.

    Returns
    -------
    spans : list of list of (int, int, str)
        Those of rows that cannot be read are unchanged.

    Raises
    ------
    RowsError
        If the number of tags is not the number of words, or an entity ends after the last word or
        character.
    """
    made: list = []
    unreadable = rows.unreadable_rows()
    for row, (spans, n_tags) in enumerate(zip(entities.spans, entities.n_tags, strict=True)):
        if row not in unreadable:
            spans = _of_row(spans, n_tags, rows, row, f"{name}, row {row}")
        made.append(spans)
    return made


def _of_row(spans, n_tags, rows, row, where):
    """The entities of one row as `predict` counts them; `where` names the row in errors."""
    text = rows.columns[0][row]
    if rows.words is None and n_tags is None:
        _check_end(
            spans, len(text), f"the end of the text, which has {len(text)} characters", row, where
        )
        return spans
    n_words = len(text.split() if rows.words is None else rows.words[row])
    if n_tags not in (None, n_words):
        raise RowsError(
            f"{where}: there are {n_tags} tags for {n_words} words. (The words of a text are those "
            "of text.split().)",
            row,
        )
    _check_end(spans, n_words, f"the last of {n_words} words", row, where)
    if rows.words is not None:
        return spans
    return _in_characters(spans, text)


def _in_characters(spans, text):
    """Entities that count the words of ``text.split()``, as entities that count characters."""
    words = split_words(text)
    return [(int(words[a, 0]), int(words[b - 1, 1]), label) for a, b, label in spans]


def widened(spans, text):
    """Entities of a text, widened to whole words of ``text.split()``."""
    return _in_characters(in_split_words(spans, text)[0], text)


def _check_end(spans, length, end, row, where):
    """Raise an error if an entity ends after what `end` names."""
    if spans and spans[-1][1] > length:
        raise RowsError(f"{where}: the entity {spans[-1]} ends after {end}.", row)


def in_split_words(spans, text):
    """Entities of a text as words of ``text.split()``, and the number of these words.

    A word belongs to the first entity that reaches into it.
    """
    words = split_words(text)
    made, free = [], 0
    for start, end, label in spans:
        first = max(free, int(np.searchsorted(words[:, 1], start, side="right")))
        stop = int(np.searchsorted(words[:, 0], end))
        if first < stop:
            made.append((first, stop, label))
            free = stop
    return made, len(words)
