"""The cache of loaded graphs, asked by several threads."""

import os
from concurrent.futures import ThreadPoolExecutor
from threading import Event

import pytest

from sklearn_dl.runtimes import _sessions
from sklearn_dl.runtimes._sessions import cached_session, clear_sessions, find_session
from tests.training.children import in_child

LONG = 30  # seconds, after which a thread that waits in vain gives up


@pytest.fixture(autouse=True)
def empty():
    clear_sessions()
    yield
    clear_sessions()


@pytest.fixture
def pool():
    with ThreadPoolExecutor(8) as pool:
        yield pool


def cached(key, load):
    """A session of one byte in the main memory."""
    return cached_session(key, load, lambda: 1, "cpu")


class Slow:
    """A session that is loaded when `go` is set."""

    def __init__(self, error=None):
        self.started, self.go, self.n_loads, self.error = Event(), Event(), 0, error

    def __call__(self):
        self.n_loads += 1
        self.started.set()
        assert self.go.wait(LONG)
        if self.error and self.n_loads == 1:
            raise self.error
        return f"loaded {self.n_loads}"


def test_a_load_does_not_block_others(pool):
    slow = Slow()
    first = pool.submit(cached, ("slow", 1), slow)
    assert slow.started.wait(LONG)
    assert cached(("quick", 1), lambda: "quick") == "quick"
    assert cached(("quick", 1), lambda: 1 / 0) == "quick"
    assert find_session(("quick",)) == "quick"
    assert find_session(("slow",)) is None
    slow.go.set()
    assert first.result(LONG) == "loaded 1"
    assert find_session(("slow",)) == "loaded 1"


def test_one_load_per_key(pool):
    slow = Slow()
    asked = [pool.submit(cached, ("slow", 1), slow) for _ in range(6)]
    assert slow.started.wait(LONG)
    slow.go.set()
    assert [future.result(LONG) for future in asked] == ["loaded 1"] * 6
    assert slow.n_loads == 1


def test_a_load_that_fails_is_tried_again_by_the_next(pool):
    slow = Slow(OSError("damaged"))
    first = pool.submit(cached, ("slow", 1), slow)
    assert slow.started.wait(LONG)
    others = [pool.submit(cached, ("slow", 1), slow) for _ in range(4)]
    slow.go.set()
    with pytest.raises(OSError, match="damaged"):
        first.result(LONG)
    assert [future.result(LONG) for future in others] == ["loaded 2"] * 4
    assert not _sessions._loading


def test_a_load_that_needs_another():
    def outer():
        return cached(("inner", 1), lambda: "inner") + " and outer"

    assert cached(("outer", 1), outer) == "inner and outer"
    assert find_session(("inner",)) == "inner"


def test_the_session_that_was_not_used_for_longest_is_forgotten_first(monkeypatch):
    monkeypatch.setenv("SKLEARN_DL_CACHE_BYTES", "2")
    for name in ("first", "second"):
        cached((name,), lambda: name)  # noqa: B023 - called at once
    cached(("first",), lambda: 1 / 0)
    cached(("third",), lambda: "third")
    assert list(_sessions._sessions) == [("first",), ("third",)]


def test_the_memory_of_devices_is_counted_apart(monkeypatch):
    monkeypatch.setenv("SKLEARN_DL_CACHE_BYTES", "3")
    for name, device in {"first": "cpu", "second": "cuda:0", "third": "cpu"}.items():
        cached_session((name,), lambda: name, lambda: 2, device)  # noqa: B023 - called at once
    assert list(_sessions._sessions) == [("second",), ("third",)]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_child_does_not_use_what_its_parent_has_loaded():
    cached(("key",), lambda: "parent's")

    def work():
        assert find_session(("key",)) is None
        assert cached(("key",), lambda: "child's") == "child's"

    assert in_child(work) == 0
    assert cached(("key",), lambda: 1 / 0) == "parent's"


def test_what_was_loading_while_all_was_cleared_is_not_kept(pool):
    slow, anew = Slow(), Slow()
    first = pool.submit(cached, ("slow", 1), slow)
    assert slow.started.wait(LONG)
    clear_sessions()
    second = pool.submit(cached, ("slow", 1), anew)
    assert anew.started.wait(LONG)
    slow.go.set()
    assert first.result(LONG) == "loaded 1"
    assert find_session(("slow",)) is None
    anew.go.set()
    second.result(LONG)
    assert find_session(("slow",)) == second.result()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_fork_while_another_thread_loads(pool):
    slow = Slow()
    first = pool.submit(cached, ("slow", 1), slow)
    assert slow.started.wait(LONG)

    def work():
        assert cached(("slow", 1), lambda: "own") == "own"

    assert in_child(work) == 0
    slow.go.set()
    assert first.result(LONG) == "loaded 1"
