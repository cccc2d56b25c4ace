"""The number of threads that a call may use, and a loop that runs in several threads."""

import os
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from multiprocessing import current_process
from threading import Lock

import joblib
from joblib.parallel import get_active_backend


def thread_budget(n_threads=None, n_processes=1):
    """Number of threads that may be busy at once in this process.

    Parameters
    ----------
    n_threads : int or None
        The number that the user set. None: the number of CPUs that this process may use (by
        affinity and cgroup quota), at most the number in the environment variable OMP_NUM_THREADS.
        In a worker process of joblib's loky backend, None means the OMP_NUM_THREADS that loky sets
        there (`inner_max_num_threads`, or the CPUs divided by the workers). In a worker of another
        joblib backend, None means 1.
    n_processes : int, default=1
        Processes that share these CPUs.

    Returns
    -------
    budget : int, at least 1
    """
    if n_threads is not None:
        return n_threads
    backend, _ = get_active_backend()
    asked = os.environ.get("OMP_NUM_THREADS", "")
    if backend.nesting_level:
        in_loky = current_process().name.startswith("LokyProcess")
        return max(1, int(asked)) if in_loky and asked.isdigit() else 1
    share = available_cpus() // n_processes
    # OMP_NUM_THREADS may list one number for each level of nesting
    outermost = asked.partition(",")[0].strip()
    return max(1, min(share, int(outermost)) if outermost.isdigit() else share)


def available_cpus():
    """Number of CPUs that this process may use, at most LOKY_MAX_CPU_COUNT."""
    affinity = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else ()
    return _cpu_count(frozenset(affinity), os.environ.get("LOKY_MAX_CPU_COUNT"))


@lru_cache(maxsize=8)
def _cpu_count(affinity, limit):
    return joblib.cpu_count()  # reads the cgroup's files


def for_each_batch(work, n_rows, batch_size, n_workers, done=None):
    """Call ``work(start, stop)`` for each batch of `n_rows` rows, in `n_workers` threads.

    Each worker has one batch in memory at a time, for any `n_rows`. Workers take batches in
    order. If several batches raise an error, the caller gets the error of the batch that
    comes first in the rows. No thread outlives the call.

    Parameters
    ----------
    work : callable(start, stop)
    n_rows, batch_size, n_workers : int
    done : callable(n_rows) or None
        Called with the number of rows of each finished batch, by one thread at a time.
    """
    starts = iter(range(0, n_rows, batch_size))
    lock = Lock()
    errors: dict[int, BaseException] = {}

    def run():
        """Work on batches until none is left or one has raised an error."""
        while True:
            with lock:
                start = None if errors else next(starts, None)
            if start is None:
                return
            stop = min(start + batch_size, n_rows)
            try:
                work(start, stop)
            except BaseException as error:
                with lock:
                    errors[start] = error
                return
            if done is not None:
                with lock:
                    done(stop - start)

    n_workers = min(n_workers, -(-n_rows // batch_size))
    if n_workers <= 1:
        run()
    else:
        with ThreadPoolExecutor(n_workers, thread_name_prefix="sklearn_dl") as pool:
            futures = [pool.submit(run) for _ in range(n_workers)]
            try:
                for future in futures:
                    future.result()
            except BaseException as error:  # Ctrl-C in the waiting thread: stop the workers too
                errors[-1] = error
                raise
    if errors:
        raise errors[min(errors)]
