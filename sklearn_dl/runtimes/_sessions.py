"""One cache of what is loaded for the process: sessions, networks, tokenizers."""

import os
from collections import OrderedDict
from threading import Event, Lock
from typing import Any, NamedTuple

from sklearn_dl.utils._memos import clear_memos

# of what is loaded, in the main memory and on each device; SKLEARN_DL_CACHE_BYTES is another limit
DEFAULT_BYTES = 4 * 2**30
_VARIABLE = "SKLEARN_DL_CACHE_BYTES"


class _Kept(NamedTuple):
    session: Any
    n_bytes: int
    device: str


_sessions: OrderedDict[tuple, _Kept] = OrderedDict()
# guards what is in this module; nothing is loaded while it is held
_lock = Lock()
_loading: dict = {}
# what the parent of a fork had loaded: its threads are gone, so it is neither used nor destroyed
_inherited: list = []


def cached_session(key, load, size, device=None):
    """Return the session of `key`, loading it at its first use.

    What was not used for longest makes room for what is new on its device; the newest stays,
    whatever its size.

    Parameters
    ----------
    key : tuple
        Content, cut, threads, providers and options: all that makes a session what it is.
    load : callable() -> session
        Threads that ask at once for one key load it once; other keys do not wait for it. If it
        raises, the next thread that waits tries anew.
    size : callable() -> int
        Bytes of the files that it is loaded from, which stand for what it takes.
    device : str, default=None
        Whose memory it takes. None: the session says by `on_gpu` whether it is that of a GPU.

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
            # it is another one's, or none, after `clear_sessions`
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
    """Forget what was not used for longest, until the rest is small enough or alone."""
    there = [key for key, kept in _sessions.items() if kept.device == device]
    n_bytes = sum(_sessions[key].n_bytes for key in there)
    for key in there[:-1]:
        if n_bytes <= limit:
            return
        n_bytes -= _sessions.pop(key).n_bytes


class _Load:
    """A session that some thread loads."""

    def __init__(self):
        self.done = Event()
        self.loaded = False
        self.session = None


def find_session(start):
    """A loaded session whose key starts with the tuple `start`, or None."""
    with _lock:
        for key, kept in reversed(_sessions.items()):
            if key[: len(start)] == start:
                return kept.session
        return None


def clear_sessions():
    """Forget every loaded model of this process, and give its memory back.

    The next call of an estimator loads its model again. Calls that run in other threads finish.

    Notes
    -----
    What is loaded stays, for the next call, clone or fold, until it takes more than 4 GiB (or the
    bytes that the environment variable ``SKLEARN_DL_CACHE_BYTES`` says) in the main memory, or on
    one device. Then what was not used for longest is forgotten. The size of a model's files stands
    for what it takes. Networks that were fine-tuned belong to their estimators, and do not count.

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
    global _lock
    _lock = Lock()
    _inherited.append(dict(_sessions))
    _sessions.clear()
    _loading.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
