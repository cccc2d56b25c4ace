"""Memos of functions that hold bytes of models; `clear_sessions` empties them."""

_memos: list = []


def also_clear(memo):
    """Decorate a `functools.lru_cache` that holds bytes of models: `clear_sessions` empties it."""
    _memos.append(memo)
    return memo


def clear_memos():
    """Empty them all."""
    for memo in _memos:
        memo.cache_clear()
