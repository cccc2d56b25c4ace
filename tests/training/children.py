"""Work in forked children: they may be killed, and nothing that they do is seen here."""

import os
import signal
import time
import traceback
import warnings

import torch


def in_child(work, timeout=60):
    """Run `work` in a child and return its exit status: 0, 1 if it raised, -9 if it was killed."""
    (status,) = in_children([work], timeout)
    return status


def in_children(works, timeout=60):
    """Run each of `works` in a child of its own, at the same time; returns their exit statuses."""
    end = time.monotonic() + timeout
    running = [_start(work) for work in works]
    statuses = {}
    while len(statuses) < len(running) and time.monotonic() < end:
        for pid in running:
            if pid not in statuses:
                found, status = os.waitpid(pid, os.WNOHANG)
                if found:
                    statuses[pid] = os.waitstatus_to_exitcode(status)
        time.sleep(0.002)
    late = [pid for pid in running if pid not in statuses]
    for pid in late:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    if late:
        raise AssertionError(f"{len(late)} of {len(running)} not done after {timeout} s")
    return [statuses[pid] for pid in running]


def _start(work):
    with warnings.catch_warnings():
        # Python warns of threads that do not live on in the child
        warnings.simplefilter("ignore", DeprecationWarning)
        pid = os.fork()
    if pid:
        return pid
    status = 1
    try:
        # torch's threads did not come along: waiting for them would hang
        torch.set_num_threads(1)
        work()
        status = 0
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(status)


def die():
    os.kill(os.getpid(), signal.SIGKILL)


def die_at_call(number, function):
    """`function`, until the call with this number (from 0), which kills the process."""
    calls = []

    def dying(*args, **kwargs):
        calls.append(None)
        if len(calls) > number:
            die()
        return function(*args, **kwargs)

    return dying
