"""The README and the pages run as they are written."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def blocks(page):
    return re.findall(r"^```python\n(.*?)^```", page.read_text(), flags=re.M | re.S)


def test_there_are_blocks():
    assert [page.name for page in PAGES if blocks(page)] == ["README.md", "guide.md"]


@pytest.mark.real
@pytest.mark.parametrize("page", [p for p in PAGES if blocks(p)], ids=lambda page: page.name)
def test_blocks_run_and_print_what_they_say(page, capsys):
    names: dict = {}
    for block in blocks(page):
        lines = block.splitlines()
        for node in ast.parse(block).body:
            capsys.readouterr()
            exec(compile(ast.Module([node], []), str(page), "exec"), names)
            code, _, said = lines[node.end_lineno - 1].partition("  # ")
            if code.strip().startswith("print(") and said:
                printed = capsys.readouterr().out.strip()
                assert re.fullmatch(re.escape(said).replace(r"\.\.\.", ".*"), printed)


def test_links_between_pages_lead_somewhere():
    for page in PAGES:
        for target in re.findall(r"\]\(([^)#]+)\)", page.read_text()):
            if "://" not in target:
                assert (page.parent / target).exists(), f"{page.name}: {target}"
