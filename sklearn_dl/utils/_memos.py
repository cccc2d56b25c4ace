"""Caches of results of functions, which may hold bytes of models; `clear_sessions` empties them."""

from collections import OrderedDict

from sklearn_dl.utils._locks import ForkSafeLock

_memos: list = []


def also_clear(memo):
    """Decorate a function with a cache so that `clear_sessions` empties the cache."""
    _memos.append(memo)
    return memo


class BytesMemo:
    """A function of bytes that caches its last results, together with the bytes.

    Parameters
    ----------
    function : callable(bytes)
    limit : int
        Largest number of bytes that are kept. The bytes of the last call are always kept.
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
    """Empty all caches."""
    for memo in _memos:
        memo.cache_clear()
