"""`embed_model="auto"`: which models travel by their name, and how they are recognised there."""

import hashlib
import pickle

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from onnx import helper
from sklearn.base import clone

from sklearn_dl import OnnxScorer, clear_sessions
from sklearn_dl.models import FolderSource, _registry, register_model
from sklearn_dl.models._entry import ModelEntry
from sklearn_dl.models._registry import is_known_everywhere
from tests.scoring.onnx_graphs import model, node

X = np.arange(6, dtype=np.float32).reshape(3, 2)


def graph(version, slope=2.0):
    """Bytes of y = slope * x, as a given version of a package exports it."""
    made = model(
        [node("Mul", ["x", "slope"], ["y"])],
        {"x": (np.float32, ("N", 2))},
        {"y": (np.float32, ("N", 2))},
        {"slope": np.float32([slope, slope])},
    )
    helper.set_model_props(made, {"made by": version})
    return made.SerializeToString()


def export_by(version):
    def export(source, target):
        (target / "model.onnx").write_bytes(graph(version))

    return export


@pytest.fixture
def built_in(folder, monkeypatch):
    """A function that makes a built-in model "tiny", exported by a version of a package."""

    def make(version, weights=b"weights" * 1000):
        entry = ModelEntry(
            name="tiny",
            source=FolderSource(folder),
            sha256={"model.bin": hashlib.sha256(weights).hexdigest()},
            file="model.onnx",
            export=export_by(version),
        )
        monkeypatch.setitem(_registry._entries, "tiny", entry)
        monkeypatch.setattr(_registry, "_BUILT_IN", (*_registry._BUILT_IN[:3], entry))

    return make


def elsewhere(home, monkeypatch):
    """Behave like another machine, whose cache is empty."""
    monkeypatch.setenv("SKLEARN_DL_HOME", str(home))
    clear_sessions()


def test_an_export_of_another_version_is_the_same_model(built_in, tmp_path, monkeypatch):
    built_in("1.0")
    data = pickle.dumps(OnnxScorer("tiny").fit(X))
    whole = pickle.dumps(OnnxScorer("tiny", embed_model=True).fit(X))
    assert len(data) < len(data) + len(graph("1.0")) - 100 < len(whole)
    elsewhere(tmp_path / "another", monkeypatch)
    built_in("2.0")
    for loaded in (pickle.loads(data), clone(pickle.loads(data)), pickle.loads(whole)):
        assert_array_equal(loaded.transform(X), 2 * X)
        assert len(pickle.dumps(loaded)) <= len(whole)


def test_other_weights_of_the_same_name_are_refused(built_in, folder, tmp_path, monkeypatch):
    built_in("1.0")
    data = pickle.dumps(OnnxScorer("tiny").fit(X))
    elsewhere(tmp_path / "another", monkeypatch)
    (folder / "model.bin").write_bytes(b"others")
    built_in("1.0", b"others")
    with pytest.raises(ValueError, match=r"model='tiny' is not the one that .* pickled with"):
        pickle.loads(data).transform(X)


def test_which_names_are_known_everywhere(built_in, folder, tmp_path, monkeypatch):
    built_in("1.0")
    assert is_known_everywhere("tiny")
    (folder / "graph.onnx").write_bytes(graph("1.0"))
    register_model("mine", FolderSource(folder), file="graph.onnx")
    assert not is_known_everywhere("mine")
    assert not is_known_everywhere("unknown")
    assert not is_known_everywhere(folder / "graph.onnx")
    assert not is_known_everywhere(graph("1.0"))
    # other processes do not know what this one registered: the bytes go
    assert graph("1.0") in pickle.dumps(OnnxScorer("mine"))
    register_model("tiny", FolderSource(folder), file="graph.onnx", overwrite=True)
    assert not is_known_everywhere("tiny")
    monkeypatch.chdir(tmp_path)
    built_in("1.0")
    (tmp_path / "tiny").write_bytes(graph("1.0"))  # a path comes before a name
    assert not is_known_everywhere("tiny")


def test_a_pinned_name_is_known_everywhere(monkeypatch):
    entry = _registry._BUILT_IN[1]
    monkeypatch.setattr(_registry, "pinned", lambda: {"me/mine": entry})
    assert is_known_everywhere("me/mine")
