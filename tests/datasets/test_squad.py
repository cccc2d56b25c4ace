"""load_squad: questions, contexts and answers of SQuAD files."""

import codecs
import copy
import json
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.model_selection import GroupKFold

from sklearn_dl.datasets import load_squad

SHARED = Path(os.environ.get("SKLEARN_DL_SHARED", Path(__file__).resolve().parents[3] / "shared"))
XQUAD = SHARED / "data" / "qa" / "xquad.en.json"
CONTEXT = "Zoë 😀 lives in Paris, near Paris-Nord."
ANSWERED = {
    "id": "a",
    "question": "Where?",
    "answers": [{"text": "Paris", "answer_start": 15}, {"text": "near Paris", "answer_start": 22}],
}
IMPOSSIBLE = {
    "id": "b",
    "question": "When?",
    "is_impossible": True,
    "answers": [],
    "plausible_answers": [{"text": "Paris", "answer_start": 15}],
}
OTHER = {"context": "Rome.", "qas": [{"id": "c", "question": "Q", "answers": []}]}
FILE = {
    "version": "v2.0",
    "data": [
        {"title": "Zoë", "paragraphs": [{"context": CONTEXT, "qas": [ANSWERED, IMPOSSIBLE]}]},
        {"title": "Rome", "paragraphs": [{"context": "empty", "qas": []}, OTHER]},
    ],
}
TARGET = [
    {"text": ["Paris", "near Paris"], "answer_start": [15, 22]},
    {"text": [], "answer_start": []},
    {"text": [], "answer_start": []},
]


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "answers.json"
    path.write_text(json.dumps(FILE))
    return path


def test_questions_contexts_and_answers(path):
    squad = load_squad(path)
    assert squad.data.dtype == object
    assert squad.data.tolist() == [["Where?", CONTEXT], ["When?", CONTEXT], ["Q", "Rome."]]
    assert squad.target == TARGET
    assert squad.feature_names == ["question", "context"]
    assert squad.id.tolist() == ["a", "b", "c"]
    assert squad.title.tolist() == ["Zoë", "Zoë", "Rome"]
    for train, test in GroupKFold(2).split(squad.data, groups=squad.title):
        assert not {*squad.title[train]} & {*squad.title[test]}


def test_return_X_y(path):
    X, y = load_squad(str(path), return_X_y=True)
    np.testing.assert_array_equal(X, load_squad(path).data)
    assert y == TARGET


def test_as_frame(path):
    squad = load_squad(path, as_frame=True)
    assert isinstance(squad.data, pd.DataFrame)
    assert squad.data.columns.tolist() == squad.feature_names
    assert squad.data["context"].tolist() == [CONTEXT, CONTEXT, "Rome."]
    assert isinstance(squad.target, pd.Series)
    assert squad.target.tolist() == TARGET
    X, y = load_squad(path, as_frame=True, return_X_y=True)
    pd.testing.assert_frame_equal(X, squad.data)
    pd.testing.assert_series_equal(y, squad.target)


def test_a_byte_order_mark_is_ignored(path):
    path.write_bytes(codecs.BOM_UTF8 + json.dumps(FILE, ensure_ascii=False).encode())
    assert load_squad(path).target == TARGET


@pytest.mark.parametrize(
    ("start", "text", "message"),
    [
        (16, "Paris", r"answers\[0\]: the context has 'aris,' at answer_start=16, .* is 'Paris'"),
        (15, "paris", "the context has 'Paris' at answer_start=15"),
        (-11, "Paris-Nord", "the context has '' at answer_start=-11"),
        (1000, "Paris", "the context has '' at answer_start=1000"),
        (0, "", "the text of the answer is ''"),
    ],
    ids=["shifted", "case", "negative", "beyond the end", "empty"],
)
def test_an_answer_that_is_not_at_its_place(path, start, text, message):
    content = copy.deepcopy(FILE)
    question = content["data"][0]["paragraphs"][0]["qas"][0]
    question["answers"] = [{"text": text, "answer_start": start}]
    path.write_text(json.dumps(content))
    with pytest.raises(ValueError, match=message) as caught:
        load_squad(path)
    assert str(path) in str(caught.value)
    assert "(title 'Zoë', id 'a')" in str(caught.value)


@pytest.mark.parametrize(
    ("change", "message"),
    [({"is_impossible": False}, "False, but answers=\\[\\]"), ({"is_impossible": None}, "None")],
)
def test_is_impossible_contradicts_the_answers(path, change, message):
    content = copy.deepcopy(FILE)
    content["data"][0]["paragraphs"][0]["qas"][1].update(change)
    path.write_text(json.dumps(content))
    with pytest.raises(ValueError, match=f"id 'b'.*is_impossible={message}"):
        load_squad(path)
    content["data"][0]["paragraphs"][0]["qas"][0]["is_impossible"] = True
    path.write_text(json.dumps(content))
    with pytest.raises(ValueError, match=r"id 'a'.*is_impossible=True, but answers=\['Paris'"):
        load_squad(path)


@pytest.mark.parametrize(
    ("place", "key"),
    [
        ((), "data"),
        (("data", 1), "title"),
        (("data", 1), "paragraphs"),
        (("data", 0, "paragraphs", 0), "context"),
        (("data", 0, "paragraphs", 0), "qas"),
        (("data", 0, "paragraphs", 0, "qas", 1), "id"),
        (("data", 0, "paragraphs", 0, "qas", 1), "question"),
        (("data", 0, "paragraphs", 0, "qas", 1), "answers"),
        (("data", 0, "paragraphs", 0, "qas", 0, "answers", 1), "text"),
        (("data", 0, "paragraphs", 0, "qas", 0, "answers", 1), "answer_start"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_missing_keys_and_other_types_are_named(path, place, key):
    content = copy.deepcopy(FILE)
    parent = content
    for part in place:
        parent = parent[part]
    value = parent.pop(key)
    path.write_text(json.dumps(content))
    with pytest.raises(ValueError, match=f"the key '{key}' is missing"):
        load_squad(path)
    parent[key] = True if isinstance(value, int) else None
    path.write_text(json.dumps(content))
    with pytest.raises(ValueError, match=f"{key}=(True|None) is not ") as caught:
        load_squad(path)
    where = str(caught.value)
    assert all(f"[{part}]" in where for part in place if isinstance(part, int))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is not a JSON file: Expecting value"),
        (b'{"data": []}\n{"data": []}', "is not a JSON file: Extra data: line 2"),
        (b'{"data": "\xeb"}', "is not a JSON file: 'utf-8' codec"),
        (b"[1, 2]", r"is not SQuAD: \[1, 2\] is not an object"),
        (b'{"context": "a", "answers": 1}', r"'data' is missing in \['answers', 'context'\]"),
        (b'{"data": [3]}', r"data\[0\] is not SQuAD: 3 is not an object"),
        (b'{"data": []}', "has no questions"),
    ],
    ids=["empty", "lines", "latin-1", "list", "other keys", "number", "no questions"],
)
def test_what_is_not_squad(path, content, message):
    path.write_bytes(content)
    with pytest.raises(ValueError, match=message) as caught:
        load_squad(path)
    assert str(path) in str(caught.value)


def test_bad_parameters(path):
    with pytest.raises(ValueError, match="'as_frame' parameter of load_squad must be"):
        load_squad(path, as_frame="pandas")


@pytest.mark.skipif(not XQUAD.is_file(), reason=f"{XQUAD} is not there (SKLEARN_DL_SHARED)")
def test_xquad():
    squad = load_squad(XQUAD)
    assert squad.data.shape == (1190, 2)
    assert len(set(squad.data[:, 1])) == 240
    assert len(set(squad.id)) == 1190
    assert len(set(squad.title)) == 48
    for context, answers in zip(squad.data[:, 1], squad.target, strict=True):
        (text,), (start,) = answers["text"], answers["answer_start"]
        assert context[start : start + len(text)] == text
