"""One bounded cache of loaded graphs for the process."""

import os
from collections import OrderedDict
from threading import Event, Lock

_MAX_SESSIONS = 8
_sessions: OrderedDict = OrderedDict()
# guards what is in this module; nothing is loaded while it is held
_lock = Lock()
_loading: dict = {}
# what the parent of a fork had loaded: its threads are gone, so it is neither used nor destroyed
_inherited: list = []
_memos: list = []


def also_clear(memo):
    """Decorate a `functools.lru_cache` that holds bytes of models: `clear_sessions` empties it."""
    _memos.append(memo)
    return memo


def cached_session(key, load):
    """Return the session of `key`, loading it at its first use.

    Parameters
    ----------
    key : tuple
        Content, cut, threads, providers and options: all that makes a session what it is.
    load : callable() -> session
        Threads that ask at once for one key load it once; other keys do not wait for it. If it
        raises, the next thread that waits tries anew.
    """
    while True:
        with _lock:
            if key in _sessions:
                _sessions.move_to_end(key)
                return _sessions[key]
            other = _loading.get(key)
            if other is None:
                mine = _loading[key] = _Load()
                break
        other.done.wait()
        if other.loaded:
            return other.session
    try:
        mine.session = load()
        mine.loaded = True
    finally:
        with _lock:
            # it is another one's, or none, after `clear_sessions`
            if _loading.get(key) is mine:
                del _loading[key]
                if mine.loaded:
                    _sessions[key] = mine.session
                    while len(_sessions) > _MAX_SESSIONS:
                        _sessions.popitem(last=False)
        mine.done.set()
    return mine.session


class _Load:
    """A session that some thread loads."""

    def __init__(self):
        self.done = Event()
        self.loaded = False
        self.session = None


def find_session(start):
    """A loaded session whose key starts with the tuple `start`, or None."""
    with _lock:
        found = (s for key, s in reversed(_sessions.items()) if key[: len(start)] == start)
        return next(found, None)


def clear_sessions():
    """Forget every loaded graph of this process, and give its memory back.

    The next call of a scorer loads its graph again. Calls that run in other threads finish.

    Examples
    --------
    >>> from sklearn_dl import clear_sessions
    >>> clear_sessions()
    """
    with _lock:
        _sessions.clear()
        _loading.clear()
        for memo in _memos:
            memo.cache_clear()


def _after_fork():
    global _lock
    _lock = Lock()
    _inherited.append(dict(_sessions))
    _sessions.clear()
    _loading.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
