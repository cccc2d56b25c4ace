"""One bounded cache of loaded graphs for the process."""

import os
from collections import OrderedDict
from threading import RLock

_MAX_SESSIONS = 8
_sessions: OrderedDict = OrderedDict()
_lock = RLock()
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
        Called under a lock, so that threads asking at once load it once.
    """
    with _lock:
        if key in _sessions:
            _sessions.move_to_end(key)
            return _sessions[key]
        session = _sessions[key] = load()
        while len(_sessions) > _MAX_SESSIONS:
            _sessions.popitem(last=False)
        return session


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
        for memo in _memos:
            memo.cache_clear()


def _after_fork():
    global _lock
    _lock = RLock()
    _inherited.append(dict(_sessions))
    _sessions.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
