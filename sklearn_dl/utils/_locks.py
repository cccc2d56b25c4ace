"""Locks that are free in a forked child."""

import os
from threading import RLock
from weakref import WeakSet

_locks: WeakSet = WeakSet()


class ForkSafeLock:
    """A reentrant lock that is free in a forked child, even if another thread had acquired it.

    That thread does not exist in the child and would never release the lock.
    """

    def __init__(self):
        self._lock = RLock()
        _locks.add(self)

    def __enter__(self):
        self._lock.acquire()

    def __exit__(self, *error):
        self._lock.release()

    def _renew(self):
        if self._lock.acquire(blocking=False):  # it is free, or this thread holds it
            self._lock.release()
        else:
            self._lock = RLock()


def _after_fork():
    for lock in list(_locks):
        lock._renew()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
