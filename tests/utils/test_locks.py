import os
from concurrent.futures import ThreadPoolExecutor
from threading import Event, Thread

import pytest

from sklearn_dl.utils._locks import ForkSafeLock
from tests.training.children import in_child

LONG = 30  # seconds, after which a thread that waits in vain gives up


def test_one_thread_at_a_time():
    lock, tried = ForkSafeLock(), Event()

    def enter():
        tried.set()
        with lock:
            return "entered"

    with ThreadPoolExecutor(1) as pool:
        with lock, lock:
            waiting = pool.submit(enter)
            assert tried.wait(LONG)
            assert not waiting.done()
        assert waiting.result(LONG) == "entered"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_child_gets_it_free_if_another_thread_held_it():
    lock, held, go = ForkSafeLock(), Event(), Event()

    def hold():
        with lock:
            held.set()
            go.wait(LONG)

    thread = Thread(target=hold)
    thread.start()
    assert held.wait(LONG)

    def work():
        with lock:
            pass

    assert in_child(work, timeout=LONG) == 0
    go.set()
    thread.join()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_child_of_the_thread_that_held_it_holds_it():
    lock = ForkSafeLock()

    def work():
        lock.__exit__()
        with pytest.raises(RuntimeError, match="un-acquired"):
            lock.__exit__()

    with lock:
        assert in_child(work, timeout=LONG) == 0
