"""How many threads a call may use, and work shared out between them."""

import os
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from multiprocessing import current_process
from threading import Lock

import joblib
from joblib.parallel import get_active_backend


def thread_budget(n_threads=None, n_processes=1):
    """Threads that may be busy at once in this process.

    Parameters
    ----------
    n_threads : int or None
        Given by the user. None: the CPUs that this process may use (affinity and cgroup quota),
        and no more than the environment variable OMP_NUM_THREADS says; inside a joblib worker its
        share of them: what loky hands to its worker processes as OMP_NUM_THREADS
        (`inner_max_num_threads`, else CPUs over workers), and 1 in the workers of other backends.
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
    affinity = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else ()
    share = _cpu_count(frozenset(affinity), os.environ.get("LOKY_MAX_CPU_COUNT")) // n_processes
    # a list is one number for each level of nesting
    outermost = asked.partition(",")[0].strip()
    return max(1, min(share, int(outermost)) if outermost.isdigit() else share)


@lru_cache(maxsize=8)
def _cpu_count(affinity, limit):
    return joblib.cpu_count()  # reads the cgroup's files


def for_each_batch(work, n_rows, batch_size, n_workers, done=None):
    """Call ``work(start, stop)`` for the batches of `n_rows` rows, by `n_workers` threads.

    Workers take batches in order, so memory is that of one batch a worker, whatever `n_rows`.
    If several batches raise, the first of them in row order is what the caller sees. No thread
    outlives the call.

    Parameters
    ----------
    work : callable(start, stop)
    n_rows, batch_size, n_workers : int
    done : callable(n_rows) or None
        Called after each batch, by one thread at a time.
    """
    starts = iter(range(0, n_rows, batch_size))
    lock = Lock()
    errors: dict[int, BaseException] = {}

    def run():
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
