"""load_conll: sentences, tags and documents of files of columns."""

import os
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.model_selection import GroupKFold

from sklearn_dl.datasets import load_conll

SHARED = Path(os.environ.get("SKLEARN_DL_SHARED", Path(__file__).resolve().parents[3] / "shared"))
WIKIGOLD = SHARED / "data" / "ner" / "wikigold.txt"
ADA = "Ada I-PER\nwrites O\n\nParis I-LOC\n"
WORDS, TAGS = [["Ada", "writes"], ["Paris"]], [["I-PER", "O"], ["I-LOC"]]


@pytest.fixture
def path(tmp_path):
    return tmp_path / "tags.txt"


def load(path, content, **options):
    """The result of `load_conll` for a file with this content."""
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return load_conll(path, **options)


def test_words_and_tags(path):
    sentences = load(path, ADA)
    assert sentences.data == WORDS
    assert sentences.target == TAGS
    assert sentences.document.tolist() == [0, 0]
    assert sentences.document.dtype == np.int64
    assert load_conll(str(path), return_X_y=True) == (WORDS, TAGS)


@pytest.mark.parametrize(
    "content",
    [
        ADA.rstrip(),
        ADA.replace("\n", "\r\n"),
        ADA.replace("\n", "\r"),
        "\ufeff" + ADA,
        ADA.replace(" ", "\t"),
        ADA.replace(" ", "  \t "),
        ADA.replace("\n\n", "\n \t\n\n") + " \n\n",
        ADA.replace("\n", " \n"),
        "\n \n" + ADA,
    ],
    ids=["cut", "CRLF", "CR", "BOM", "tab", "blanks", "empty lines", "trailing", "leading"],
)
def test_line_endings_and_blanks(path, content):
    assert load(path, content, return_X_y=True) == (WORDS, TAGS)


def test_columns_of_conll_2003(path):
    content = (
        "-DOCSTART- -X- -X- O\n\nAda NNP B-NP I-PER\nwrites VBZ B-VP O\n\nParis NNP B-NP I-LOC"
    )
    assert load(path, content, return_X_y=True) == (WORDS, TAGS)
    _, chunks = load_conll(path, return_X_y=True, tag_column=2)
    assert chunks == [["B-NP", "B-VP"], ["B-NP"]]
    speech, words = load_conll(path, return_X_y=True, word_column=-3, tag_column=0)
    assert (speech, words) == ([["NNP", "VBZ"], ["NNP"]], WORDS)


def test_documents(path):
    start = "-DOCSTART-\n"  # with no other columns
    sentences = load(
        path, f"{start}\n{ADA}\n{start}{start}\nRome I-LOC\n{start}Oslo I-LOC\n\n{start}"
    )
    assert sentences.data == [*WORDS, ["Rome"], ["Oslo"]]
    assert sentences.document.tolist() == [0, 0, 1, 2]
    for train, test in GroupKFold(3).split(sentences.data, groups=sentences.document):
        assert not set(sentences.document[train]) & set(sentences.document[test])


@pytest.mark.parametrize("blank", ["\xa0", "\u3000", "\u2028", "\x85", "\x0b", "\x1c"])
def test_other_white_space_is_a_part_of_a_word(path, blank):
    words, tags = load(path, f"10{blank}km O\n{blank} O\n", return_X_y=True)
    assert words == [[f"10{blank}km", blank]]
    assert tags == [["O", "O"]]


def test_separator(path):
    words, tags = load(path, "New York\tI-LOC\n\t \nAda\tI-PER", separator="\t", return_X_y=True)
    assert words == [["New York"], ["Ada"]]
    assert tags == [["I-LOC"], ["I-PER"]]


def test_encoding(path):
    content = "Zoë I-PER\n".encode("latin-1")
    assert load(path, content, encoding="latin-1").data == [["Zoë"]]
    with pytest.raises(ValueError, match=r"tags.txt, line 3: the byte 0xeb is not utf-8.*latin-1"):
        load(path, b"Ada O\r\n\r\n" + content)
    content = "Zoë I-PER\n\nAda O".encode("utf-16")
    assert load(path, content, encoding="utf-16").data == [["Zoë"], ["Ada"]]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "tags.txt has no words"),
        ("\n-DOCSTART- O\n \n", "tags.txt has no words"),
        ("\nAda\n", "line 2: 'Ada' has 1 column, so word_column=0 and tag_column=-1 are the same"),
        ("Ada O\n\nin Paris O\n", "line 3: 'in Paris O' has 3 columns, but the first .* has 2"),
        ("Ada NN O\nParis O\n", "line 2: 'Paris O' has 2 columns, but the first .* has 3"),
    ],
    ids=["empty", "no words", "one column", "more columns", "fewer columns"],
)
def test_errors_name_the_file_and_the_line(path, content, message):
    with pytest.raises(ValueError, match=message):
        load(path, content)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"tag_column": 2}, "line 1: 'Ada I-PER' has 2 columns, but tag_column=2"),
        ({"word_column": -3}, "line 1: 'Ada I-PER' has 2 columns, but word_column=-3"),
        ({"word_column": 1}, "word_column=1 and tag_column=-1 are the same column"),
        ({"separator": "\t"}, "has 1 column, .* Pass `separator`"),
        ({"separator": "I"}, "line 2: 'writes O' has 1 column, but the first .* has 2"),
        ({"separator": ""}, "empty separator"),
        ({"tag_column": 1.0}, "'tag_column' parameter of load_conll must be"),
        ({"encoding": None}, "'encoding' parameter of load_conll must be"),
    ],
)
def test_bad_parameters(path, options, message):
    with pytest.raises(ValueError, match=message):
        load(path, ADA, **options)


def test_an_empty_tag_is_an_error(path):
    with pytest.raises(ValueError, match="line 2: 'Paris\\\\t' has an empty word or tag"):
        load(path, "Ada\tO\nParis\t\n", separator="\t")


def test_messages_are_short(path):
    with pytest.raises(ValueError, match="line 1") as caught:
        load(path, "a" * 100_000)
    assert len(str(caught.value)) < 2000


def test_a_file_that_is_not_there(path):
    with pytest.raises(FileNotFoundError, match=r"tags\.txt"):
        load_conll(path)


word = st.text(
    st.characters(codec="utf-8", exclude_characters=" \t\r\n"), min_size=1, max_size=5
).filter(lambda text: not text.startswith(("-DOCSTART-", "\ufeff")))
sentence = st.lists(st.tuples(word, word), min_size=1, max_size=4)


@pytest.mark.slow
@given(st.lists(sentence, min_size=1, max_size=4))
def test_what_is_written_is_read(tmp_path_factory, sentences):
    path = tmp_path_factory.mktemp("conll") / "tags.txt"
    lines = "\n\n".join("\n".join(map(" ".join, sentence)) for sentence in sentences)
    words, tags = load(path, lines, return_X_y=True)
    assert [list(zip(*pair, strict=True)) for pair in zip(words, tags, strict=True)] == sentences


@pytest.mark.skipif(not WIKIGOLD.is_file(), reason=f"{WIKIGOLD} is not there (SKLEARN_DL_SHARED)")
def test_wikigold():
    sentences = load_conll(WIKIGOLD)
    assert len(sentences.data) == len(sentences.target) == 1696
    assert sentences.document[[0, -1]].tolist() == [0, 144]
    assert len(np.unique(sentences.document)) == 145
    assert sentences.data[0][:4] == ["010", "is", "the", "tenth"]
    counts = Counter(tag for tags in sentences.target for tag in tags)
    kinds = {"I-LOC": 1447, "I-MISC": 1392, "I-ORG": 1958, "I-PER": 1634}
    assert counts == {**kinds, "O": 32721 - 145}
