import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from seqeval.scheme import BILOU as BILOU_OF_SEQEVAL
from seqeval.scheme import IOB1, IOB2, IOBES, Entities

from sklearn_dl.metrics import make_entities
from sklearn_dl.metrics._entity_tags import (
    ENTITY_DTYPE,
    SCHEMES,
    read_entities,
    spans_of_tags,
    tags_of_spans,
)

SEQEVAL = {"BIO": IOB2, "IOB1": IOB1, "BILOU": BILOU_OF_SEQEVAL, "BIOES": IOBES}

# one row in each scheme: "Anna Maria Li", "Bo" next to it, and a place
SPANS = [(0, 3, "PER"), (3, 4, "PER"), (5, 6, "LOC")]
TAGS = {
    "IO": "I-PER I-PER I-PER I-PER O I-LOC",
    "BIO": "B-PER I-PER I-PER B-PER O B-LOC",
    "IOB1": "I-PER I-PER I-PER B-PER O I-LOC",
    "BILOU": "B-PER I-PER L-PER U-PER O U-LOC",
    "BIOES": "B-PER I-PER E-PER S-PER O S-LOC",
}


@st.composite
def spans_and_lengths(draw):
    """Sorted spans that do not overlap, and the number of words."""
    spans, word = [], 0
    for gap, length, label in draw(
        st.lists(st.tuples(st.integers(0, 2), st.integers(1, 3), st.sampled_from("XY")), max_size=5)
    ):
        spans.append((word + gap, word + gap + length, label))
        word += gap + length
    return spans, word + draw(st.integers(0, 2))


def tags_of(scheme):
    """Strategy: any tags of a scheme, most of them illegal."""
    tags = ["O", *(f"{prefix}-{label}" for prefix in SCHEMES[scheme] for label in "XY")]
    return st.lists(st.sampled_from(tags), min_size=1, max_size=8)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_the_tags_of_a_row_in_each_scheme(scheme):
    tags = TAGS[scheme].split()
    assert tags_of_spans(SPANS, 6, scheme) == tags
    joined = [(0, 4, "PER"), (5, 6, "LOC")]
    assert spans_of_tags(tags, scheme) == (joined if scheme == "IO" else SPANS)


@pytest.mark.parametrize("scheme", SEQEVAL)
@given(case=spans_and_lengths())
@settings(max_examples=50, deadline=None)
def test_spans_survive_tags(scheme, case):
    spans, n_words = case
    tags = tags_of_spans(spans, n_words, scheme)
    assert len(tags) == n_words
    assert spans_of_tags(tags, scheme) == spans
    found = Entities([tags], SEQEVAL[scheme]).entities[0]
    assert [(entity.start, entity.end, entity.tag) for entity in found] == spans


@pytest.mark.slow
@pytest.mark.parametrize("scheme", SEQEVAL)
@given(data=st.data())
@settings(max_examples=300, deadline=None)
def test_illegal_tags_are_read_as_seqeval_reads_them_or_raise(scheme, data):
    tags = data.draw(tags_of(scheme))
    found = Entities([tags], SEQEVAL[scheme]).entities[0]
    spans = spans_of_tags(tags, scheme, strict=False)
    assert spans == [(entity.start, entity.end, entity.tag) for entity in found]
    try:
        strict = spans_of_tags(tags, scheme)
    except ValueError:
        assert tags_of_spans(spans, len(tags), scheme) != tags
    else:
        assert strict == spans
        assert tags_of_spans(spans, len(tags), scheme) == tags


@pytest.mark.parametrize(
    ("tags", "scheme", "message"),
    [
        ("O I-X", "BIO", "'I-X' of word 1 does not continue an entity with its label"),
        ("B-X I-Y", "BIO", "'I-Y' of word 1 does not continue an entity with its label"),
        ("O B-X", "IOB1", "'B-X' of word 1 does not follow an entity with its label"),
        ("I-Y B-X", "IOB1", "'B-X' of word 1 does not follow an entity with its label"),
        ("O B-X O", "BILOU", "'O' of word 2 does not end the entity of word 1"),
        ("B-X U-X", "BILOU", "'U-X' of word 1 does not end the entity of word 0"),
        ("O B-X I-X", "BILOU", "the last tag, 'I-X', does not end the entity of word 1"),
        ("O L-X", "BILOU", "'L-X' of word 1 does not continue"),
        ("B-X E-Y", "BIOES", "'E-Y' of word 1 does not end the entity of word 0"),
        ("E-X", "BIOES", "'E-X' of word 0 does not continue"),
    ],
)
def test_an_illegal_sequence_names_the_row_and_the_word(tags, scheme, message):
    with pytest.raises(ValueError, match=r"^y, row 1: .*" + message) as raised:
        read_entities([["O"], tags.split()], "y", scheme=scheme)
    assert raised.value.row == 1
    read_entities([["O"], tags.split()], "y", scheme=scheme, strict=False)


@pytest.mark.parametrize("strict", [True, False])
@pytest.mark.parametrize(
    ("tags", "scheme", "message"),
    [
        (["O", "PER"], "IO", "word 1 has the tag 'PER'; a tag must be"),
        (["O", "B-"], "BIO", "word 1 has the tag 'B-'; a tag must be"),
        (["o"], "BIO", "word 0 has the tag 'o'; a tag must be"),
        (["X-PER"], "BIO", "word 0 has the tag 'X-PER'; a tag must be"),
        (["B-PER"], "IO", "word 0 has the tag 'B-PER', whose prefix is not one of IO"),
        (["E-PER"], "BILOU", "whose prefix is not one of BILOU"),
        (["O", None], "BIO", "word 1 has the tag None, which is not a string"),
        (["O", ["O"]], "auto", "word 1 has the tag \\['O'\\], which is not a string"),
        (["PER"], "auto", "word 0 has the tag 'PER'; a tag must be"),
    ],
)
def test_a_tag_that_the_scheme_does_not_have(tags, scheme, message, strict):
    with pytest.raises(ValueError, match=f"^y_pred, row 0: .*{message}"):
        read_entities([tags], "y_pred", scheme=scheme, strict=strict)


@pytest.mark.parametrize(
    ("rows", "scheme"),
    [
        (["O I-X I-X", "O"], "IO"),
        (["O B-X I-X", "O"], "BIO"),
        (["O O", "B-X"], "BIO"),
        (["O O"], "BIO"),
    ],
)
def test_auto_tells_the_scheme(rows, scheme):
    entities = read_entities([row.split() for row in rows], "y")
    assert entities.scheme == scheme
    assert entities.n_tags == [len(row.split()) for row in rows]


@pytest.mark.parametrize(
    ("tags", "message"),
    [
        ("O I-X B-X", "the tag 'I-X' of word 1 does not continue"),
        ("B-X L-X", "word 1 has the tag 'L-X', whose prefix is not one of BIO"),
        ("S-X", "word 0 has the tag 'S-X', whose prefix is not one of BIO"),
    ],
)
@pytest.mark.parametrize("strict", [True, False])
def test_auto_asks_for_the_scheme(tags, message, strict):
    advice = r"neither IO nor BIO. Set the parameter scheme to one of \['IO', 'BIO'"
    with pytest.raises(ValueError, match=f"^y, row 1: {message}.*{advice}"):
        read_entities([["B-X"], tags.split()], "y", strict=strict)


def test_rows_of_spans_in_all_forms():
    spans = [(0, 2, "X"), (2, 3, "Y")]
    reversed_ = [spans[1], spans[0]]
    forms = [
        spans,
        tuple(spans),
        [list(span) for span in reversed_],
        [(np.int64(0), np.int32(2), np.str_("X")), (2, 3, "Y")],
        np.array(spans, dtype=object),
        make_entities(reversed_),
    ]
    for y in (forms, tuple(forms), pd.Series(forms), pl.Series(forms, dtype=pl.Object)):
        entities = read_entities(y, "y")
        assert entities.spans == [spans] * len(forms)
        assert entities.n_tags == [None] * len(forms)
        assert entities.scheme is None
    (start, _, label), _ = read_entities(forms[3:4], "y").spans[0]
    assert (type(start), type(label)) == (int, str)


def test_structs_of_polars_are_spans():
    y = pl.Series([[{"start": 0, "end": 1, "label": "X"}], []])
    assert read_entities(y, "y").spans == [[(0, 1, "X")], []]


@pytest.mark.parametrize("container", [list, np.array, pd.Series, pl.Series])
def test_rows_of_tags_in_all_containers(container):
    y = container([["B-X", "I-X"], ["O", "B-Y"]])
    assert read_entities(y, "y").spans == [[(0, 2, "X")], [(1, 2, "Y")]]


def test_a_frame_with_one_column_is_a_column():
    y = pd.DataFrame({"tags": [["B-X"], ["O"]]})
    assert read_entities(y, "y").spans == [[(0, 1, "X")], []]
    with pytest.raises(ValueError, match="y must be one column, but has 2 columns"):
        read_entities(y.assign(more=0), "y")


def test_rows_of_tags_and_of_spans_may_be_mixed():
    entities = read_entities([["I-X"], [(1, 2, "Y")], [], ()], "y")
    assert entities == ([[(0, 1, "X")], [(1, 2, "Y")], [], []], [1, None, None, None], "IO")


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (None, "the row is missing"),
        (np.nan, "the row is missing"),
        (pd.NA, "the row is missing"),
        ("B-X", "a row must be a list of tags or of .*, but is 'B-X'"),
        ({"start": 0}, "a row must be a list of tags"),
        ((0, 5, "X"), "item 0 is 0, but must be"),
        ([(0, 5, "X"), "O"], "item 1 is 'O', but must be"),
        ([(0, 5)], "item 0 is "),
        ([(0, 5.0, "X")], "item 0 is "),
        ([(False, True, "X")], "item 0 is "),
        ([(0, 1, "")], "item 0 is "),
        ([(0, 1, 7)], "item 0 is "),
        ([(0, 1, None)], "item 0 is "),
        ([(2, 2, "X")], r"the entity \(2, 2, 'X'\) must have 0 <= start < end"),
        ([(-1, 2, "X")], "must have 0 <= start < end"),
        ([(3, 8, "LOC"), (0, 5, "PER")], r"\(0, 5, 'PER'\) and \(3, 8, 'LOC'\) overlap"),
        ([(0, 1, "X"), (0, 1, "X")], "overlap"),
        (np.zeros(1, dtype=[("start", int), ("end", int)]), r"the fields \['label'\]"),
        (np.zeros((1, 1), dtype=ENTITY_DTYPE), r"has shape \(1, 1\)"),
    ],
)
def test_a_malformed_row_is_named(row, message):
    with pytest.raises(ValueError, match=f"^y, row 3: .*{message}") as raised:
        read_entities([[], ["O"], [(0, 1, "X")], row], "y")
    assert raised.value.row == 3


@pytest.mark.parametrize("y", ["O", {"a": ["O"]}, None, 3, iter([["O"]]), make_entities([])])
def test_what_is_not_rows_raises(y):
    with pytest.raises(ValueError, match="y must be a list, an array or a Series"):
        read_entities(y, "y")


def test_unknown_schemes_raise():
    with pytest.raises(ValueError, match="scheme='IOBES' must be one of"):
        read_entities([["O"]], "y", scheme="IOBES")


def test_entities_become_structured_arrays():
    entities = make_entities([(5, 6, "LOC"), (0, 3, "PER")], [0.25, 0.5])
    assert entities.dtype == ENTITY_DTYPE
    assert entities.tolist() == [(5, 6, "LOC", 0.25), (0, 3, "PER", 0.5)]
    assert make_entities([(0, 3, "PER")])["score"].tolist() == [1.0]
    assert make_entities([]).dtype == ENTITY_DTYPE
    assert make_entities([]).shape == (0,)


def test_make_entities_refuses_what_is_not_entities():
    with pytest.raises(ValueError, match="2 spans, and scores of shape"):
        make_entities([(0, 1, "X"), (1, 2, "X")], [1.0])
    with pytest.raises(ValueError, match="overlap"):
        make_entities([(1, 3, "X"), (0, 2, "X")])
    with pytest.raises(ValueError, match="item 0 is"):
        make_entities([("X", 0, 1)])


def test_tags_of_spans_refuses_a_span_after_the_last_word():
    with pytest.raises(ValueError, match=r"\(1, 3, 'X'\) ends after the last of 2 words"):
        tags_of_spans([(1, 3, "X")], 2, "BIO")
