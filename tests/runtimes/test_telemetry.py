"""The telemetry of ONNX Runtime is off, unless the user or another package wants it."""

import ast
import os
import sys
from pathlib import Path
from types import ModuleType

import pytest

import sklearn_dl
from sklearn_dl.runtimes.onnx import _runtime
from sklearn_dl.runtimes.onnx._runtime import import_onnxruntime
from tests.runtimes.fresh_process import run_fresh
from tests.scoring.onnx_graphs import two_layers

SCORES = """
import os, sys
from sklearn_dl import OnnxScorer

before = dict(os.environ)
OnnxScorer(sys.argv[1]).transform([[1.0, 2.0, 3.0]])
assert "onnxruntime" in sys.modules
assert dict(os.environ) == before
"""


@pytest.mark.slow
def test_nothing_is_written(tmp_path):
    path = tmp_path / "graph.onnx"
    path.write_bytes(two_layers().SerializeToString())
    home = tmp_path / "home"
    home.mkdir()
    run_fresh(["-c", SCORES, path], home)
    assert not [*home.rglob("*onnxruntime*")]


@pytest.fixture
def seen_while_imported(monkeypatch):
    """Values of the environment variable while onnxruntime is imported, which does not happen."""
    seen = []
    monkeypatch.setattr(
        _runtime,
        "import_optional",
        lambda *args, **kwargs: seen.append(os.environ.get("ORT_DISABLE_TELEMETRY")),
    )
    monkeypatch.delitem(sys.modules, "onnxruntime", raising=False)
    return seen


@pytest.mark.parametrize(("asked", "meant"), [(None, "1"), ("0", "0"), ("1", "1")])
def test_the_choice_of_the_user_counts(monkeypatch, seen_while_imported, asked, meant):
    if asked is None:
        monkeypatch.delenv("ORT_DISABLE_TELEMETRY", raising=False)
    else:
        monkeypatch.setenv("ORT_DISABLE_TELEMETRY", asked)
    import_onnxruntime(purpose="a test")
    assert seen_while_imported == [meant]
    assert os.environ.get("ORT_DISABLE_TELEMETRY") == asked


def test_an_imported_module_is_left_alone(monkeypatch, seen_while_imported):
    monkeypatch.setitem(sys.modules, "onnxruntime", ModuleType("onnxruntime"))
    monkeypatch.delenv("ORT_DISABLE_TELEMETRY", raising=False)
    import_onnxruntime(purpose="a test")
    assert seen_while_imported == [None]


@pytest.mark.slow
def test_one_module_imports_it():
    own = Path(_runtime.__file__)
    for path in Path(sklearn_dl.__file__).parent.rglob("*.py"):
        names = set()
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                names.update(alias.name.partition(".")[0] for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                names.add(node.module.partition(".")[0])
            elif isinstance(node, ast.Call) and node.args:
                names.add(getattr(node.args[0], "value", None))
        assert path == own or "onnxruntime" not in names, f"{path} imports onnxruntime"
