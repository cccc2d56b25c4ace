"""The cache of loaded sessions, networks and tokenizers: one for the whole process.

In this module, "session" stands for all of them.
"""

import ctypes
import os
from collections import OrderedDict
from threading import Event
from typing import Any, NamedTuple
from weakref import WeakSet

from sklearn_dl.utils._locks import ForkSafeLock
from sklearn_dl.utils._memos import clear_memos

# limit for the main memory and for each device; SKLEARN_DL_CACHE_BYTES sets another limit
DEFAULT_BYTES = 4 * 2**30
_VARIABLE = "SKLEARN_DL_CACHE_BYTES"


class _Kept(NamedTuple):
    session: Any
    n_bytes: int
    device: str


_sessions: OrderedDict[tuple, _Kept] = OrderedDict()
# guards the variables of this module; it is not held while something is loaded
_lock = ForkSafeLock()
_loading: dict = {}
# sessions with their own threads, even if the cache has forgotten them and a call still uses them
_with_threads: WeakSet = WeakSet()


def cached_session(key, load, size, device=None):
    """Return the session of `key`; load it at its first use.

    If the sessions on a device exceed the limit, the least recently used ones are forgotten. The
    newest one stays, even if it alone exceeds the limit.

    Parameters
    ----------
    key : tuple
        All that the session depends on: content, outputs, threads, providers and options.
    load : callable() -> session
        If several threads ask for one key at the same time, one of them calls it and the others
        wait. Threads that ask for other keys do not wait. If it raises an error, the next waiting
        thread calls its own `load`.
    size : callable() -> int
        Returns the size of the session's files, an estimate of the memory that it takes.
    device : str, default=None
        Sessions of one device share one limit. None: "gpu" if the session's `on_gpu` is true, else
        "cpu".

    Raises
    ------
    ValueError
        If the environment variable SKLEARN_DL_CACHE_BYTES is not a number of bytes.
    """
    while True:
        with _lock:
            if key in _sessions:
                _sessions.move_to_end(key)
                return _sessions[key].session
            other = _loading.get(key)
            if other is None:
                mine = _loading[key] = _Load()
                break
        other.done.wait()
        if other.loaded:
            return other.session
    try:
        limit, n_bytes = _limit(), size()
        mine.session = load()
        mine.loaded = True
    finally:
        with _lock:
            # after `clear_sessions`, this entry is gone or belongs to another thread
            if _loading.get(key) is mine:
                del _loading[key]
                if mine.loaded:
                    device = device or ("gpu" if mine.session.on_gpu else "cpu")
                    _sessions[key] = _Kept(mine.session, n_bytes, device)
                    _make_room(device, limit)
        mine.done.set()
    return mine.session


def _limit():
    given = os.environ.get(_VARIABLE)
    if given is None:
        return DEFAULT_BYTES
    if not given.isascii() or not given.isdigit():
        raise ValueError(
            f"The environment variable {_VARIABLE}={given!r} must be a number of bytes."
        )
    return int(given)


def _make_room(device, limit):
    """Forget the least recently used sessions until the rest fits, or only the newest is left."""
    on_device = [key for key, kept in _sessions.items() if kept.device == device]
    n_bytes = sum(_sessions[key].n_bytes for key in on_device)
    for key in on_device[:-1]:
        if n_bytes <= limit:
            return
        n_bytes -= _sessions.pop(key).n_bytes


class _Load:
    """A session that a thread is loading; other threads wait for `done`."""

    def __init__(self):
        self.done = Event()
        self.loaded = False
        self.session = None


def leave_to_parent(session):
    """Return `session`, which has threads of its own; a forked child will not destroy it.

    Parameters
    ----------
    session : object that can have weak references
        The session of a runtime, such as `onnxruntime.InferenceSession`.
    """
    _with_threads.add(session)
    return session


def find_session(start):
    """A loaded session whose key starts with the tuple `start`, or None."""
    with _lock:
        for key, kept in reversed(_sessions.items()):
            if key[: len(start)] == start:
                return kept.session
        return None


def clear_sessions():
    """Forget all loaded models of this process, and free their memory.

    The next call of an estimator loads its model again. Calls that are running in other threads
    finish normally.

    Notes
    -----
    Loaded models stay in memory for the next call, clone or fold. The limit is 4 GiB in the main
    memory and 4 GiB on each device; the environment variable ``SKLEARN_DL_CACHE_BYTES`` sets
    a different limit, in bytes. Above the limit, the least recently used models are forgotten; the
    newest one always stays. The size of a model's files is taken as an estimate of its memory.
    Fine-tuned networks belong to their estimators, and do not count.

    Examples
    --------
    >>> from sklearn_dl import clear_sessions
    >>> clear_sessions()
    """
    with _lock:
        _sessions.clear()
        _loading.clear()
        clear_memos()


def _after_fork():
    # The threads of inherited sessions do not exist in the child. A session that is destroyed here
    # would wait for its threads for ever, even when Python exits and clears this module. One
    # reference too many keeps the sessions alive. Their memory is shared with the parent as long
    # as neither process writes to it.
    inherited = [dict(_sessions), dict(_loading), list(_with_threads)]
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(inherited))
    _with_threads.clear()
    _sessions.clear()
    _loading.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
