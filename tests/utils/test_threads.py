import os
import threading
import time
from types import SimpleNamespace

import joblib
import pytest
from hypothesis import given
from hypothesis import strategies as st
from joblib import Parallel, delayed

from sklearn_dl.utils import _threads
from sklearn_dl.utils._threads import for_each_batch, thread_budget


def test_budget(monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    assert thread_budget() == joblib.cpu_count()
    assert thread_budget(7) == 7


def test_budget_follows_the_cpus_of_the_process(monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setenv("LOKY_MAX_CPU_COUNT", "1")
    assert thread_budget() == 1
    monkeypatch.delenv("LOKY_MAX_CPU_COUNT")
    if hasattr(os, "sched_setaffinity"):
        before = os.sched_getaffinity(0)
        try:
            os.sched_setaffinity(0, {min(before)})
            assert thread_budget() == 1
        finally:
            os.sched_setaffinity(0, before)
    assert thread_budget() == joblib.cpu_count()


@pytest.mark.parametrize(
    ("asked", "budget"),
    [("1", 1), ("2,1", 2), (" 3 ", 3), ("64", 6), ("0", 1), ("", 6), ("many", 6), (None, 6)],
)
def test_budget_is_no_more_than_openmp_is_allowed(monkeypatch, asked, budget):
    monkeypatch.setattr(_threads, "_cpu_count", lambda *args: 6)
    if asked is None:
        monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    else:
        monkeypatch.setenv("OMP_NUM_THREADS", asked)
    assert thread_budget() == budget
    assert thread_budget(7) == 7
    # each process may have so many, and all together the processors
    assert thread_budget(n_processes=2) == min(3, budget)
    assert thread_budget(n_processes=20) == 1


# what joblib sets up in a worker: its name, and OMP_NUM_THREADS of loky
WORKERS = {
    "loky, three threads": ("LokyProcess-1", "3", 3),
    "loky, one thread": ("LokyProcess-12", "1", 1),
    "loky, zero threads": ("LokyProcess-1", "0", 1),
    "loky, not a number": ("LokyProcess-1", "3,2", 1),
    "loky, no variable": ("LokyProcess-1", None, 1),
    "multiprocessing": ("ForkPoolWorker-1", "3", 1),
    "threading": ("MainProcess", "3", 1),
}


@pytest.mark.parametrize("worker", WORKERS)
def test_budget_of_a_worker(monkeypatch, worker):
    name, variable, budget = WORKERS[worker]
    monkeypatch.setattr(_threads, "current_process", lambda: SimpleNamespace(name=name))
    monkeypatch.setattr(
        _threads, "get_active_backend", lambda: (SimpleNamespace(nesting_level=1), 2)
    )
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    if variable is not None:
        monkeypatch.setenv("OMP_NUM_THREADS", variable)
    assert thread_budget() == budget
    assert thread_budget(7) == 7


@pytest.mark.parametrize(
    "backend",
    [
        "threading",
        pytest.param("loky", marks=pytest.mark.slow),
        pytest.param("multiprocessing", marks=pytest.mark.slow),
    ],
)
def test_workers_share_the_processors(backend):
    with joblib.parallel_config(backend, n_jobs=2):
        budgets = Parallel()(delayed(thread_budget)() for _ in range(2))
    share = max(1, joblib.cpu_count() // 2) if backend == "loky" else 1
    assert budgets == [share, share]


@pytest.mark.slow
def test_loky_workers_have_as_many_threads_as_the_user_allows():
    with joblib.parallel_config("loky", n_jobs=2, inner_max_num_threads=3):
        assert Parallel()(delayed(thread_budget)() for _ in range(2)) == [3, 3]


@given(st.integers(0, 50), st.integers(1, 20), st.integers(1, 8))
def test_each_row_is_worked_on_once(n_rows, batch_size, n_workers):
    batches, counts = [], []
    for_each_batch(
        lambda start, stop: batches.append((start, stop)),
        n_rows,
        batch_size,
        n_workers,
        counts.append,
    )
    rows = [row for start, stop in sorted(batches) for row in range(start, stop)]
    assert rows == list(range(n_rows))
    assert sum(counts) == n_rows
    assert all(stop - start <= batch_size for start, stop in batches)


def test_workers_work_at_once():
    together = threading.Barrier(3, timeout=10)
    for_each_batch(lambda start, stop: together.wait(), 3, 1, 3)
    assert not together.broken


def test_one_worker_is_the_caller():
    seen = []
    for_each_batch(lambda start, stop: seen.append(threading.current_thread()), 5, 2, 1)
    assert seen == [threading.current_thread()] * 3


@pytest.mark.parametrize("n_workers", [1, 2, 4])
def test_the_first_error_in_row_order_is_raised(n_workers):
    def work(start, stop):
        if start == 4:
            time.sleep(0.02)
        if start >= 4:
            raise KeyError(start)

    with pytest.raises(KeyError, match="4"):
        for_each_batch(work, 20, 2, n_workers)


def test_nothing_is_started_after_an_error():
    started = []

    def work(start, stop):
        started.append(start)
        raise ValueError("bad")

    with pytest.raises(ValueError, match="bad"):
        for_each_batch(work, 1000, 1, 2)
    assert len(started) <= 2


def test_no_thread_outlives_the_call():
    for _ in range(50):
        for_each_batch(lambda start, stop: None, 8, 1, 4)
    # by name: the process has threads of runtimes too, which come and go
    assert not [t for t in threading.enumerate() if t.name.startswith("sklearn_dl")]
