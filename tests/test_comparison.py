"""The page that compares packages: its lines about others run, where these are installed."""

import ast
import re
import warnings
from importlib.util import find_spec
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[1] / "docs" / "guide" / "comparison.md"
# the package of each section that has lines to run; without it, its test skips
PACKAGES = {
    "embetter": "embetter",
    "skorch": "skorch",
    "SetFit": "setfit",
    "sentence-transformers": "sentence_transformers",
    "skrub": "skrub",
    "fastembed": "fastembed",
    "model2vec": "model2vec",
    "transformers pipelines": "transformers",
}


def sections():
    parts = re.split(r"^## (.+)\n", PAGE.read_text(), flags=re.M)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def blocks(section):
    return re.findall(r"^```\{code-block\} python\n(.*?)^```", section, flags=re.M | re.S)


def table(text):
    rows = re.findall(r"^\|(.+)\|$", text, flags=re.M)
    return [[cell.strip() for cell in row.split("|")] for row in rows]


def anchor(heading):
    """As GitHub and MyST make it."""
    return re.sub(r"[^\w-]", "", heading.lower().replace(" ", "-"))


def test_sections_with_lines_are_those_that_run():
    with_lines = {name for name, section in sections().items() if blocks(section)}
    assert with_lines == {"sklearn_dl", *PACKAGES}


def test_each_mark_has_its_evidence():
    header, _, *rows = table(sections()["Feature by feature"])
    anchors = {anchor(name) for name in sections()}
    assert len(rows) == 11
    for row in rows:
        assert len(row) == len(header)
        for cell in filter(None, row[1:]):
            target = re.fullmatch(r"\[(?:✓|✗|\(✓\))\]\((.+)\)", cell)
            assert target, cell
            where = target[1]
            if where.startswith("#"):
                assert where[1:] in anchors
                assert where[1:] == anchor(row[0])
            else:
                assert where.startswith("https://") or (PAGE.parent / where.split("#")[0]).exists()
    assert {row[0] for row in table(PAGE.read_text().split("## ")[0])[2:]} == {
        row[0] for row in rows[1:]
    }


@pytest.mark.slow
@pytest.mark.parametrize("name", PACKAGES)
def test_lines_about_others_print_what_they_say(name, capsys, monkeypatch):
    if find_spec(PACKAGES[name]) is None:
        pytest.skip(f"{name} is not installed: pip install {name.split()[0].lower()}")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    names: dict = {}
    for block in blocks(sections()["sklearn_dl"]) + blocks(sections()[name]):
        lines = block.splitlines()
        for node in ast.parse(block).body:
            capsys.readouterr()
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # theirs
                exec(compile(ast.Module([node], []), name, "exec"), names)
            _, _, said = lines[node.end_lineno - 1].partition("  # ")
            assert capsys.readouterr().out.strip() == said
