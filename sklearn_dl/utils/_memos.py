"""Memos: kept results of functions, some with bytes of models. `clear_sessions` empties them."""

from collections import OrderedDict

from sklearn_dl.utils._locks import ForkSafeLock

_memos: list = []


def also_clear(memo):
    """Decorate a memo, such as a `functools.lru_cache`, so that `clear_sessions` empties it."""
    _memos.append(memo)
    return memo


class BytesMemo:
    """The results of a function for the bytes that it was last called with, and these bytes.

    Parameters
    ----------
    function : callable(bytes)
    limit : int
        Largest number of bytes that are kept. Those of the last call always stay.
    """

    def __init__(self, function, limit):
        self._function, self._limit = function, limit
        self._made: OrderedDict = OrderedDict()
        self._lock = ForkSafeLock()

    def __call__(self, data):
        with self._lock:
            if data in self._made:
                self._made.move_to_end(data)
                return self._made[data]
        made = self._function(data)
        with self._lock:
            self._made[data] = made
            while len(self._made) > 1 and sum(map(len, self._made)) > self._limit:
                self._made.popitem(last=False)
        return made

    def cache_clear(self):
        """Forget all results and bytes."""
        with self._lock:
            self._made.clear()


def clear_memos():
    """Empty all memos."""
    for memo in _memos:
        memo.cache_clear()
