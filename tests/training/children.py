"""Work in a forked child: it may be killed, and nothing that it does is seen here."""

import os
import signal
import time
import warnings

import torch


def in_child(work, timeout=60):
    """Run `work` in a child and return its exit status: 0, 1 if it raised, -9 if it was killed."""
    with warnings.catch_warnings():
        # Python warns of threads that do not live on in the child
        warnings.simplefilter("ignore", DeprecationWarning)
        pid = os.fork()
    if not pid:
        status = 1
        try:
            # torch's threads did not come along: waiting for them would hang
            torch.set_num_threads(1)
            work()
            status = 0
        except BaseException:
            import traceback

            traceback.print_exc()
        finally:
            os._exit(status)
    end = time.monotonic() + timeout
    while time.monotonic() < end:
        found, status = os.waitpid(pid, os.WNOHANG)
        if found:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.005)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    raise AssertionError(f"the child was not done after {timeout} s")


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
