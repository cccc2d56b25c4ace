"""Texts are cut into windows like by their tokenizer, and offsets refer to the text."""

import json

import numpy as np
import pytest
import transformers
from numpy.testing import assert_array_equal

from sklearn_dl.models._folder import find_folder
from sklearn_dl.text import _windows
from sklearn_dl.text._text_network import load_tokenizer
from sklearn_dl.text._windows import check_windows, read_windows, text_chunks
from sklearn_dl.utils._columns import object_array
from sklearn_dl.utils._messages import RowError
from tests.text.test_hostile_folders import phobert
from tests.text.tiny_encoders import KINDS, WORDS, tiny_bert, tiny_encoder

rng = np.random.default_rng(0)
TEXTS = object_array(
    [
        "",
        "  \t\n ",
        "a good film",
        " ".join(rng.choice(WORDS, 60)),
        "Old  HOUSE\u3000xyz, " * 9 + "  ",
        "good 👍🏽 film 👨‍👩‍👧 " * 5,
        "\u00e9t\u00e9 e\u0301te\u0301 \u200b\ufeff\ufb01ne \u0130stanbul " * 3,
        "plot" * 40,
    ]
)
QUESTIONS = object_array(["", "is it good", "the cat", "a"] * 2)
MAX_LENGTH = 16


@pytest.fixture(scope="module", params=KINDS)
def folder(request, tmp_path_factory):
    return tiny_encoder(tmp_path_factory.mktemp("encoders") / request.param, request.param)


@pytest.fixture(scope="module")
def bert(tmp_path_factory):
    return tiny_bert(tmp_path_factory.mktemp("encoders") / "bert")


def loaded(folder, max_length=MAX_LENGTH):
    return load_tokenizer(find_folder(folder), max_length)


def theirs(folder, *texts, **options):
    """The tokens of transformers' tokenizer for a text or pair: one list for each window."""
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    # in lists: otherwise an empty second text would count as none
    columns = [[text] for text in texts]
    return tokenizer(*columns, max_length=MAX_LENGTH, return_overflowing_tokens=True, **options)


def whole(folder, text):
    """The ids and offsets of all tokens of a text, without special tokens."""
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    made = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True, verbose=False)
    return made["input_ids"], made["offset_mapping"]


def windows_of(windows, row):
    return np.flatnonzero(windows.rows == row)


def lists(arrays, which):
    return [arrays[w].tolist() for w in which]


@pytest.mark.parametrize("n_threads", [1, 2])
@pytest.mark.parametrize("overlap", [0, 5])
def test_windows_of_texts_are_those_of_the_tokenizer(folder, overlap, n_threads):
    windows = read_windows(loaded(folder), [TEXTS], overlap, n_threads, offsets=True)
    for row, text in enumerate(TEXTS):
        expected = theirs(folder, text, truncation=True, stride=overlap)
        which = windows_of(windows, row)
        assert lists(windows.tokens.ids, which) == expected["input_ids"]
        ids, offsets = whole(folder, text)
        assert windows.offsets[row].tolist() == [list(span) for span in offsets]
        assert_array_equal(read_tokens(windows, which), ids)
    assert windows.tokens.types is None
    assert not windows.tokens.cut.any()


def read_tokens(windows, which):
    """The tokens of a document, put together from its windows, which must agree on them."""
    size = max(windows.firsts[w] + windows.sizes[w] for w in which)
    found = np.full(size, -1)
    for w in which:
        lead, first, n = windows.leads[w], windows.firsts[w], windows.sizes[w]
        part, before = windows.tokens.ids[w][lead : lead + n], found[first : first + n]
        assert ((before == part) | (before == -1)).all()
        found[first : first + n] = part
    assert (found >= 0).all()
    return found


def test_windows_of_pairs_are_those_of_the_tokenizer(folder):
    windows = read_windows(loaded(folder), [QUESTIONS, TEXTS], 3, 1, offsets=True)
    has_types = loaded(folder).takes_types
    n_questions_that_do_not_fit = 0
    for row, (question, text) in enumerate(zip(QUESTIONS, TEXTS, strict=True)):
        which = windows_of(windows, row)
        ids, offsets = whole(folder, text)
        if row in windows.errors:
            n_questions_that_do_not_fit += 1
            assert len(which) == 0
            continue
        room = MAX_LENGTH - len(windows.tokens.ids[which[0]]) + windows.sizes[which[0]]
        stride = min(3, room // 2)
        expected = theirs(folder, question, text, truncation="only_second", stride=stride)
        assert lists(windows.tokens.ids, which) == expected["input_ids"]
        if has_types:
            assert lists(windows.tokens.types, which) == expected["token_type_ids"]
        assert windows.offsets[row].tolist() == [list(span) for span in offsets]
        assert_array_equal(read_tokens(windows, which), ids)
    assert n_questions_that_do_not_fit < 3
    assert (windows.tokens.types is not None) == has_types


@pytest.mark.parametrize(
    "before",
    ["", "good 👍🏽 ", "👨‍👩‍👧", "cafe\u0301 ", "\ufb01\ufb01 \u0130 ", "e\u0301" * 30 + " "],
)
def test_offsets_count_the_characters_of_the_text_as_it_was_given(folder, before):
    text = f"{before}film"
    windows = read_windows(loaded(folder), [object_array([text])], 5, 1, offsets=True)
    (offsets,) = windows.offsets
    of_film = offsets[offsets[:, 1] > len(before)]
    assert text[of_film[0, 0] : of_film[-1, 1]].strip() in ("film", f"{before}film")
    assert (np.diff(offsets[:, 1]) >= 0).all()
    assert offsets.max() == len(text)


@pytest.mark.slow
def test_a_text_of_a_megabyte(bert):
    words = rng.choice(WORDS, 220_000)
    text = " ".join(words)
    assert len(text) > 2**20 * 0.9
    windows = read_windows(loaded(bert, 64), [object_array([text, "a"])], 8, 1, offsets=True)
    ids = read_tokens(windows, windows_of(windows, 0))
    tokenizer = transformers.AutoTokenizer.from_pretrained(bert)
    assert tokenizer.convert_ids_to_tokens(ids.tolist()) == words.tolist()
    ends = np.cumsum([len(word) + 1 for word in words]) - 1
    assert_array_equal(windows.offsets[0][:, 1], ends)
    assert windows.lengths.max() == 64


@pytest.mark.parametrize("overlap", [0, 1, 4, 9])
def test_each_token_is_best_in_one_window(bert, overlap):
    texts = object_array([" ".join(WORDS[: n % 32] * 2) for n in range(40)])
    windows = read_windows(loaded(bert), [texts], overlap, 1)
    starts, stops = windows.own()
    firsts, lasts = windows.firsts, windows.firsts + windows.sizes
    for row in range(len(texts)):
        which = windows_of(windows, row)
        assert starts[which[0]] == 0
        assert stops[which[-1]] == lasts[which[-1]]
        assert_array_equal(stops[which[:-1]], starts[which[1:]])
        for w in which:
            for token in range(starts[w], stops[w]):
                distances = {
                    other: min(
                        np.inf if other == which[0] else token - firsts[other],
                        np.inf if other == which[-1] else lasts[other] - 1 - token,
                    )
                    for other in which
                    if firsts[other] <= token < lasts[other]
                }
                assert distances[w] >= max(distances.values()) - 1


def test_the_shares_of_windows(bert):
    windows = read_windows(loaded(bert), [TEXTS], 5, 1)
    assert_array_equal(np.bincount(windows.rows, windows.shares).round(12), 1)
    which = windows_of(windows, 3)
    lengths = windows.lengths[which]
    assert_array_equal(windows.shares[which], lengths / lengths.sum())
    assert windows.shares[windows_of(windows, 2)].tolist() == [1.0]


def test_the_default_prompt_is_in_each_window(bert, tmp_path):
    folder = tiny_bert(tmp_path / "prompted")
    kinds = [{"type": "sentence_transformers.models.Transformer", "path": ""}]
    (folder / "modules.json").write_text(json.dumps(kinds))
    prompts = {"prompts": {"a": "red green "}, "default_prompt_name": "a"}
    (folder / "config_sentence_transformers.json").write_text(json.dumps(prompts))
    windows = read_windows(loaded(folder), [TEXTS], 5, 1, offsets=True)
    plain = read_windows(loaded(bert), [TEXTS], 5, 1, offsets=True)
    (start,) = (ids[:3].tolist() for ids in plain.tokens.ids[:1])
    start = [start[0], *whole(bert, "red green")[0]]
    for ids, size in zip(windows.tokens.ids, windows.sizes, strict=True):
        assert ids[:3].tolist() == start
        assert len(ids) == size + 4 <= MAX_LENGTH
    for row in range(len(TEXTS)):
        texts = [read_tokens(some, windows_of(some, row)) for some in (windows, plain)]
        assert_array_equal(*texts)
        assert_array_equal(windows.offsets[row], plain.offsets[row])


def test_a_question_that_leaves_no_room(bert):
    questions = object_array(["is it good", "a " * 13, "a " * 12])
    contexts = object_array(["the film"] * 3)
    numbers = np.array([4, 7, 9])
    windows = read_windows(loaded(bert), [questions, contexts], 5, 1, numbers=numbers)
    assert windows.rows.tolist() == [0, 2, 2]
    ((position, error),) = windows.errors.items()
    assert position == 1
    assert isinstance(error, RowError)
    assert error.row == 7
    assert "the question has 13 tokens, which leaves no room for a context" in str(error)


def test_an_overlap_that_leaves_no_room(bert):
    tokenizer = loaded(bert)
    check_windows(tokenizer, 13)
    with pytest.raises(ValueError, match=r"window_overlap=14 must be smaller than 14: with max"):
        check_windows(tokenizer, 14)
    with pytest.raises(ValueError, match="window_overlap=14"):
        read_windows(tokenizer, [TEXTS], 14, 1)


def test_tokenizers_written_in_python_are_refused_by_name(tmp_path):
    tokenizer = loaded(phobert(tiny_bert(tmp_path / "bert")))
    with pytest.raises(ValueError, match="PhobertTokenizer is a tokenizer that is written in Py"):
        read_windows(tokenizer, [TEXTS], 5, 1)


@pytest.mark.parametrize("n_columns", [1, 2])
def test_chunks_bound_rows_and_characters(monkeypatch, n_columns):
    monkeypatch.setattr(_windows, "ROWS_AT_ONCE", 4)
    monkeypatch.setattr(_windows, "CHARACTERS_AT_ONCE", 10 * n_columns)
    texts = ["a" * n for n in (3, 3, 3, 3, 50, 1, 0, 0, 0, 0, 0, 9, 2)]
    chunks = list(text_chunks([texts] * n_columns))
    assert [texts[chunk] for chunk in chunks] == [
        ["aaa"] * 3,
        ["aaa"],
        ["a" * 50],
        ["a", "", "", ""],
        ["", "", "a" * 9],
        ["aa"],
    ]
