import hashlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace as with_changes
from pathlib import Path

import pytest

from sklearn_dl.models import FolderSource, _cache, _home, _registry, model_path, register_model
from sklearn_dl.models._entry import ModelEntry
from sklearn_dl.models._model_sources import PackageSource
from tests.replaced import WAYS, replace


def sha256(content):
    return hashlib.sha256(content).hexdigest()


def content_of(folder):
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.suffix != ".lock"
    }


@pytest.fixture
def mine(folder):
    register_model("mine", FolderSource(folder))
    return {"model.bin": b"weights" * 1000, "sub/config.json": b"{}"}


@pytest.fixture(autouse=True)
def no_network(monkeypatch):
    def connect(*args):
        raise AssertionError("a socket was opened")

    monkeypatch.setattr(socket.socket, "connect", connect)


def test_a_copy_is_made_with_its_manifest(mine, home):
    path = model_path("mine")
    assert path.parent == home / "models" / "mine"
    content = content_of(path)
    manifest = json.loads(content.pop("manifest.json"))
    assert content == mine
    assert manifest == {file: sha256(content) for file, content in mine.items()}
    assert model_path("mine") == path


def test_a_model_may_be_one_file(folder):
    register_model("mine", FolderSource(folder), file="model.bin")
    assert model_path("mine").read_bytes() == b"weights" * 1000
    assert isinstance(model_path("mine"), Path)


@pytest.mark.parametrize("way", WAYS)
def test_a_damaged_copy_of_the_same_size_and_time_is_made_again(mine, way):
    path = model_path("mine")
    replace(path / "model.bin", b"garbage" * 1000, way)
    assert (model_path("mine") / "model.bin").read_bytes() == mine["model.bin"]


def test_the_default_home_is_that_of_the_platform(mine, monkeypatch, tmp_path):
    monkeypatch.setenv("SKLEARN_DL_HOME", "")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    platformdirs = pytest.importorskip("platformdirs")
    assert _home.home() == platformdirs.user_cache_path("sklearn_dl", appauthor=False)


def test_a_source_of_another_hash_is_refused(folder, home):
    expected = sha256(b"other")
    register_model("mine", FolderSource(folder), sha256={"model.bin": expected})
    seen = sha256(b"weights" * 1000)
    with pytest.raises(ValueError, match=f"wrong hash: model.bin of .*{seen}, expected {expected}"):
        model_path("mine")
    assert content_of(home) == {}
    assert [path.suffix for path in (home / "models" / "mine").iterdir()] == [".lock"]


def damage_content(path):
    (path / "model.bin").write_bytes(b"Weights" + b"weights" * 999)


def damage_truncate(path):
    (path / "model.bin").write_bytes(b"weights" * 500)


def damage_missing(path):
    (path / "model.bin").unlink()


def damage_folder(path):
    (path / "model.bin").unlink()
    (path / "model.bin").mkdir()


def damage_no_manifest(path):
    (path / "manifest.json").unlink()


def damage_cut_manifest(path):
    text = (path / "manifest.json").read_bytes()
    (path / "manifest.json").write_bytes(text[: len(text) // 2])


def damage_garbage_manifest(path):
    (path / "manifest.json").write_bytes(b"\xff\x00" + os.urandom(100))


def damage_deep_manifest(path):
    (path / "manifest.json").write_bytes(b"[" * 100_000)


def damage_list_manifest(path):
    (path / "manifest.json").write_bytes(b"[]")


def damage_empty_manifest(path):
    (path / "manifest.json").write_bytes(b"{}")


def damage_both(path):
    """A file and its line in the manifest are both wrong: the registry has the right hash."""
    manifest = json.loads((path / "manifest.json").read_bytes())
    (path / "model.bin").write_bytes(b"bad")
    (path / "manifest.json").write_text(json.dumps({**manifest, "model.bin": sha256(b"bad")}))


DAMAGES = [value for key, value in globals().items() if key.startswith("damage_")]


@pytest.mark.slow
@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__[7:])
@pytest.mark.parametrize("forget", [True, False], ids=["new process", "same process"])
def test_damaged_copy_is_made_again(mine, damage, forget):
    path = model_path("mine")
    model_path("mine")
    damage(path)
    if forget:
        _cache._seen.clear()
    assert model_path("mine") == path
    content = content_of(path)
    content.pop("manifest.json")
    assert content == mine
    assert sorted(p.name for p in path.parent.iterdir()) == [path.name, f"{path.name}.lock"]


def test_files_are_hashed_once(mine, monkeypatch):
    model_path("mine")
    model_path("mine")
    monkeypatch.setattr(_cache, "file_digest", lambda path: pytest.fail("hashed again"))
    model_path("mine")


def test_the_source_changes_after_registration(mine, folder, home):
    path = model_path("mine")
    (folder / "model.bin").write_bytes(b"new")
    assert model_path("mine") == path
    assert (path / "model.bin").read_bytes() == mine["model.bin"]
    damage_content(path)
    with pytest.raises(ValueError, match=r"wrong hash: model\.bin"):
        model_path("mine")
    register_model("mine", FolderSource(folder), overwrite=True)
    assert model_path("mine") != path
    assert (model_path("mine") / "model.bin").read_bytes() == b"new"


def test_the_source_is_gone(mine, folder, home):
    (folder / "model.bin").unlink()
    with pytest.raises(FileNotFoundError, match=r"model\.bin"):
        model_path("mine")
    assert content_of(home) == {}


@pytest.mark.parametrize(
    "error",
    [KeyboardInterrupt, OSError(28, "No space left"), MemoryError],
    ids=["interrupt", "no space", "no memory"],
)
@pytest.mark.parametrize("when", ["fetch", "rename"])
def test_nothing_is_left_behind(mine, home, monkeypatch, error, when):
    def fail(*args, **kwargs):
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(*((FolderSource, "fetch") if when == "fetch" else (Path, "rename")), fail)
        with pytest.raises(error if isinstance(error, type) else OSError):
            model_path("mine")
    assert [path.suffix for path in (home / "models" / "mine").iterdir()] == [".lock"]
    assert model_path("mine").is_dir()


def test_a_home_that_cannot_be_made(mine, home):
    home.write_bytes(b"a file")
    with pytest.raises(OSError, match=r"cannot be written to; set .* SKLEARN_DL_HOME"):
        model_path("mine")


def test_a_home_that_is_read_only(mine, home, monkeypatch):
    path = model_path("mine")

    def mkdir(self, *args, **kwargs):
        raise OSError(30, "Read-only file system", str(self))

    monkeypatch.setattr(Path, "mkdir", mkdir)
    assert model_path("mine") == path  # reading is enough for what is there
    damage_content(path)
    with pytest.raises(OSError, match=r"SKLEARN_DL_HOME .*\(Read-only file system\)") as caught:
        model_path("mine")
    assert caught.value.errno == 30


# --- exported models


@pytest.fixture
def exports(folder):
    """Registers a model whose file is an export; the names of the files that each export read."""
    exports = []

    def export(source, target):
        exports.append(sorted(path.name for path in source.iterdir()))
        (target / "model.onnx").write_bytes(b"graph of " + (source / "model.bin").read_bytes()[:7])

    _registry._entries["exported"] = ModelEntry(
        name="exported",
        source=FolderSource(folder),
        sha256={"model.bin": sha256(b"weights" * 1000)},
        file="model.onnx",
        export=export,
    )
    return exports


def test_an_exported_file_is_kept_without_its_source(exports):
    path = model_path("exported")
    assert path.name == "model.onnx"
    content = content_of(path.parent)
    assert json.loads(content.pop("manifest.json")) == {"model.onnx": sha256(b"graph of weights")}
    assert content == {"model.onnx": b"graph of weights"}
    assert sorted(p.name for p in path.parent.iterdir()) == ["manifest.json", "model.onnx"]
    assert model_path("exported") == path
    assert exports == [["model.bin"]]


def damage_export(path):
    path.write_bytes(b"graph of Weights")


def damage_name_in_manifest(path):
    (path.parent / "other.onnx").write_bytes(b"other")
    path.with_name("manifest.json").write_text(json.dumps({"other.onnx": sha256(b"other")}))


def damage_list_in_manifest(path):
    path.with_name("manifest.json").write_text('["model.onnx"]')


@pytest.mark.parametrize(
    "damage",
    [damage_export, damage_name_in_manifest, damage_list_in_manifest],
    ids=["content", "other file", "list"],
)
def test_a_damaged_export_is_made_again(exports, damage):
    path = model_path("exported")
    damage(path)
    assert model_path("exported") == path
    assert path.read_bytes() == b"graph of weights"
    assert exports == [["model.bin"]] * 2


def test_another_version_of_an_export_is_another_file(exports):
    path = model_path("exported")
    entries = _registry._entries
    entries["exported"] = with_changes(entries["exported"], export_version=2)
    assert model_path("exported") != path
    assert exports == [["model.bin"]] * 2


def test_nothing_is_left_behind_by_an_export_that_fails(exports, home):
    def fail(source, target):
        raise MemoryError

    entries = _registry._entries
    sound, entries["exported"] = (
        entries["exported"],
        with_changes(entries["exported"], export=fail),
    )
    with pytest.raises(MemoryError):
        model_path("exported")
    assert [path.suffix for path in (home / "models" / "exported").iterdir()] == [".lock"]
    entries["exported"] = sound
    assert model_path("exported").read_bytes() == b"graph of weights"


# --- several at once


def test_a_lock_that_another_process_holds_is_waited_for(mine, monkeypatch, tmp_path):
    filelock = pytest.importorskip("filelock")
    path = model_path("mine")
    path.rename(tmp_path / "made by the other process")
    monkeypatch.setattr(FolderSource, "fetch", lambda *args: pytest.fail("made a second time"))
    with ThreadPoolExecutor(1) as pool:
        # a lock of its own: it excludes this process as it excludes another one
        with filelock.FileLock(f"{path}.lock"):
            answer = pool.submit(model_path, "mine")
            with pytest.raises(TimeoutError):
                answer.result(timeout=0.2)
            (tmp_path / "made by the other process").rename(path)
        assert answer.result(timeout=60) == path


def test_what_a_killed_process_left_is_removed(mine):
    path = model_path("mine")
    shutil.rmtree(path)
    leftover = path.with_name(f".{path.name}.0123")
    leftover.mkdir()
    (leftover / "model.bin").write_bytes(b"half")
    other = path.with_name(".another model.0123")  # it may be one that is being made
    other.mkdir()
    assert content_of(model_path("mine"))["model.bin"] == mine["model.bin"]
    names = sorted(p.name for p in path.parent.iterdir())
    assert names == [other.name, path.name, f"{path.name}.lock"]


# a slow copy that says when it starts
SLOW = """
import sys, time
from sklearn_dl.models import FolderSource, model_path, register_model
folder, log, seconds = sys.argv[1:]
fetch = FolderSource.fetch
def slow(self, file, target, verbose):
    fetch(self, file, target, verbose)
    with open(log, "a") as stream:
        stream.write(file + "\\n")
    time.sleep(float(seconds))
FolderSource.fetch = slow
register_model("mine", FolderSource(folder))
print(model_path("mine"))
"""


def start_slow_copy(folder, log, seconds):
    return subprocess.Popen(
        [sys.executable, "-c", SLOW, folder, log, str(seconds)], stdout=subprocess.PIPE, text=True
    )


@pytest.mark.slow
def test_processes_at_once(mine, folder, home, tmp_path):
    log = tmp_path / "log"
    processes = [start_slow_copy(folder, log, 0.5) for _ in range(3)]
    answers = {process.communicate(timeout=60)[0].strip() for process in processes}
    assert [process.returncode for process in processes] == [0, 0, 0]
    assert answers == {str(model_path("mine"))}
    assert sorted(log.read_text().split()) == ["model.bin", "sub/config.json"]  # once
    (parent,) = (home / "models").iterdir()
    assert len(list(parent.iterdir())) == 2  # the copy and its lock


def test_threads_at_once(mine, folder, monkeypatch):
    fetched = []
    fetch = FolderSource.fetch

    def slow(self, file, target, verbose):
        fetched.append(file)
        time.sleep(0.1)
        fetch(self, file, target, verbose)

    monkeypatch.setattr(FolderSource, "fetch", slow)
    with ThreadPoolExecutor(8) as pool:
        answers = set(pool.map(model_path, ["mine"] * 8))
    assert len(answers) == 1
    assert sorted(fetched) == ["model.bin", "sub/config.json"]


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="POSIX")
def test_killed_in_the_middle(mine, folder, home, tmp_path):
    log = tmp_path / "log"
    process = start_slow_copy(folder, log, 60)
    deadline = time.monotonic() + 60
    while not log.exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    process.kill()
    process.communicate()
    parent = home / "models" / "mine"
    assert any(path.name.startswith(".") for path in parent.iterdir())
    path = model_path("mine")
    assert (path / "model.bin").read_bytes() == mine["model.bin"]
    assert sorted(p.name for p in parent.iterdir()) == [path.name, f"{path.name}.lock"]


# --- models of packages


def package_model(**changes):
    source = {
        "distribution": "scikit-learn",
        "version": "1.9",
        "folder": "sklearn/datasets/descr",
        **changes,
    }
    entry = ModelEntry(
        name="packaged", source=PackageSource(**source), sha256={"iris.rst": sha256(b"other")}
    )
    _registry._entries["packaged"] = entry


@pytest.mark.parametrize(
    ("changes", "extra"), [({}, "models"), ({"extra": "detection"}, "detection")]
)
def test_a_package_that_is_not_installed(changes, extra):
    package_model(distribution="no-such-package", **changes)
    with pytest.raises(
        ImportError,
        match=rf'no-such-package is not installed: pip install "sklearn-dl\[{extra}\]"',
    ):
        model_path("packaged")


def test_a_package_without_the_file():
    package_model(folder="sklearn/none")
    with pytest.raises(FileNotFoundError, match=r"has no file .*iris\.rst: pip install --force"):
        model_path("packaged")


def test_a_package_whose_file_has_another_hash(home):
    package_model()
    with pytest.raises(ValueError, match=r"wrong hash: iris\.rst of the package scikit-learn"):
        model_path("packaged")
    assert content_of(home) == {}
