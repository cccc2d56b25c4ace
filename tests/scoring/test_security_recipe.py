"""The recipe in SECURITY.md for an untrusted model: a separate process with limits."""

import re
import subprocess
import sys
from concurrent.futures import Future
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import pytest

from tests.scoring.hostile_onnx import endless_loop, growing_loop, save
from tests.scoring.onnx_graphs import negate

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the recipe is for Linux")


def recipe():
    """The Python code of the page."""
    page = Path(__file__).parents[2] / "SECURITY.md"
    (code,) = re.findall(r"^```python\n(.*?)^```", page.read_text(), flags=re.M | re.S)
    return code


@pytest.fixture
def page():
    """The names that the recipe defines, without a process of its own: its pool works here."""
    names = {"__name__": "recipe", "pools": []}
    exec(recipe(), names)

    class PoolOfThisProcess:
        def __init__(self, max_workers, context, initializer, initargs):
            method = context.get_start_method()
            names["pools"].append((max_workers, method, initializer.__name__, initargs))

        def __enter__(self):
            return self

        def __exit__(self, *error):
            return None

        def submit(self, function, *args):
            future = Future()
            try:
                future.set_result(function(*args))
            except Exception as error:
                future.set_exception(error)
            return future

    names["ProcessPoolExecutor"] = PoolOfThisProcess
    return names


def test_a_sound_model_is_scored_in_a_new_process_with_limits(page, tmp_path):
    path = save(negate(), tmp_path)
    assert page["score_stranger"](path, [[1, 2]], 4, 3).tolist() == [[-1, -2]]
    assert page["score_stranger"](path, [[1, 2]]).tolist() == [[-1, -2]]
    assert page["pools"] == [(1, "spawn", "limit", (4, 3)), (1, "spawn", "limit", (60, 8))]


def test_the_limits_are_those_of_time_and_memory(page, monkeypatch):
    import resource

    limits = []
    monkeypatch.setattr(resource, "setrlimit", lambda *limit: limits.append(limit))
    page["limit"](4, 3)
    assert limits == [(resource.RLIMIT_CPU, (4, 4)), (resource.RLIMIT_AS, (3 * 2**30,) * 2)]


def test_a_process_that_its_limits_end_raises(page):
    def broken(path, X):
        raise BrokenProcessPool("ended")

    page["score"] = broken
    with pytest.raises(RuntimeError, match=r"^endless\.onnx took more than 4 s or 3 GiB$"):
        page["score_stranger"]("endless.onnx", [[1, 2]], 4, 3)


def test_a_model_that_is_refused_raises_as_it_does_without_the_recipe(page, tmp_path):
    (tmp_path / "bad.onnx").write_bytes(b"<html>")
    with pytest.raises(ValueError, match=r"bad\.onnx is not an ONNX model"):
        page["score_stranger"](tmp_path / "bad.onnx", [[1, 2]])


@pytest.mark.slow
def test_the_recipe_stops_models_that_loop_or_grow(tmp_path):
    for name, proto in {
        "sound": negate(),
        "endless": endless_loop(),
        "grows": growing_loop(),
    }.items():
        save(proto, tmp_path, f"{name}.onnx")
    guarded = """
if __name__ == "__main__":
    for name in ["sound", "endless", "grows", "sound"]:
        try:
            print(score_stranger(f"{name}.onnx", [[1, 2]], 4, 4).tolist())
        except (RuntimeError, ValueError) as error:
            print(type(error).__name__, error)
"""
    (tmp_path / "strangers.py").write_text(recipe() + guarded)
    done = subprocess.run(
        [sys.executable, "strangers.py"], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    sound, endless, grows, *_, again = done.stdout.splitlines()
    assert sound == again == "[[-1.0, -2.0]]"
    assert endless == "RuntimeError endless.onnx took more than 4 s or 4 GiB"
    assert grows.startswith(("RuntimeError grows.onnx took", "ValueError"))
