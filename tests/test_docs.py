"""The README and the pages run as they are written; the reference lists every public name."""

import ast
import re
from importlib import import_module
from pathlib import Path

import pytest
from sklearn.base import BaseEstimator

import sklearn_dl
from sklearn_dl.models import _registry
from sklearn_dl.utils._base import DeepEstimator

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
GENERATED = {"gallery", "generated", "_build"}
PAGES = [
    *sorted(ROOT.glob("*.md")),
    *sorted(p for p in DOCS.rglob("*.md") if p.relative_to(DOCS).parts[0] not in GENERATED),
]
# these pages begin with blocks that read files of the user: tests/test_first_minute.py runs them
STARTS = [ROOT / "README.md", DOCS / "index.md"]
FIRST_MINUTE = 2


def blocks(page):
    return re.findall(r"^```python\n(.*?)^```", page.read_text(), flags=re.M | re.S)


def runnable(page):
    """The blocks that need no files of the user."""
    return blocks(page)[FIRST_MINUTE if page in STARTS else 0 :]


def as_parameter(page):
    marks = () if page.name == "README.md" else pytest.mark.slow
    return pytest.param(page, marks=marks, id=page.name)


def test_there_are_blocks():
    guide = {page.name for page in PAGES if page.parent.name == "guide"} - {"index.md"}
    with_blocks = {page.name for page in PAGES if blocks(page)}
    others = {"README.md", "SECURITY.md", "from_mlnet.md", "index.md"}
    without = {"when_to_use.md", "more_than_one_machine.md"}  # the latter is about scripts
    assert with_blocks == guide - without | others


@pytest.mark.real
@pytest.mark.parametrize("page", [as_parameter(page) for page in PAGES if runnable(page)])
def test_blocks_run_and_print_what_they_say(page, capsys, monkeypatch):
    monkeypatch.setattr(_registry, "_entries", dict(_registry._entries))  # a page registers models
    names: dict = {}
    for block in runnable(page):
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
            if "://" in target:
                continue
            path = page.parent / target
            if path.parent.name == "gallery":  # made of the examples
                path = ROOT / "examples" / path.with_suffix(".py").name
            assert path.exists(), f"{page.name}: {target}"


def test_the_tree_of_estimators_has_a_link_for_each():
    tree = (DOCS / "guide" / "when_to_use.md").read_text()
    tree = re.search(r'<div class="decision-tree".*?</div>', tree, flags=re.S)[0]
    linked = " ".join(re.findall(r"\[([^\]]+)\]\(", tree))
    for name in sklearn_dl.__all__:
        thing = getattr(sklearn_dl, name)
        if isinstance(thing, type) and issubclass(thing, BaseEstimator):
            assert re.search(rf"\b{name}\b", linked), name


def test_the_reference_lists_every_public_name_once():
    listed = re.findall(r"^   (sklearn_dl\.\S+)$", (DOCS / "api.rst").read_text(), flags=re.M)
    assert len(listed) == len(set(listed))
    rooms = [name for name in sklearn_dl.__all__ if name.islower() and not name.startswith("_")]
    rooms = [name for name in rooms if name != "clear_sessions"]
    top = {name for name in sklearn_dl.__all__ if name not in rooms and name != "__version__"}
    public = {f"sklearn_dl.{name}" for name in top}
    for room in rooms:
        own = set(import_module(f"sklearn_dl.{room}").__all__) - top
        public |= {f"sklearn_dl.{room}.{name}" for name in own}
    assert set(listed) == public


def test_html_reprs_link_to_the_reference_and_on_the_site_to_its_own(monkeypatch):
    reference = (DOCS / "api.rst").read_text()
    public = {name: getattr(sklearn_dl, name) for name in sklearn_dl.__all__}
    estimators = {
        name: thing.__new__(thing)
        for name, thing in public.items()
        if isinstance(thing, type) and issubclass(thing, BaseEstimator)
    }
    for name, estimator in estimators.items():
        assert estimator._get_doc_link().endswith(f"/en/stable/generated/sklearn_dl.{name}.html")

    monkeypatch.syspath_prepend(DOCS / "_ext")
    for name in ("_doc_link_module", "_doc_link_template"):  # set by the next call, until the end
        monkeypatch.setattr(DeepEstimator, name, "")
    import_module("site_links").link_reprs({}, "quickstart.py")
    for name, estimator in estimators.items():
        assert estimator._get_doc_link() == f"../generated/sklearn_dl.{name}.html"
        assert f"   sklearn_dl.{name}\n" in reference
