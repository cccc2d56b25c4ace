"""Memos of functions that are given the bytes of models."""

from sklearn_dl.utils._memos import BytesMemo


def test_bytes_are_kept_up_to_a_limit():
    calls = []
    memo = BytesMemo(lambda data: calls.append(data) or data[:1], 10)
    first, second, third = b"a" * 4, b"b" * 4, b"c" * 4
    assert [memo(data) for data in (first, second, bytes(first))] == [b"a", b"b", b"a"]
    assert calls == [first, second]
    memo(third)  # in the place of the second
    memo(first)
    assert calls == [first, second, third]
    memo(second)
    assert calls == [first, second, third, second]


def test_the_last_bytes_are_kept_whatever_their_size():
    calls = []
    memo = BytesMemo(lambda data: calls.append(data), 1)
    memo(b"large")
    memo(b"large")
    assert calls == [b"large"]
    memo.cache_clear()
    memo(b"large")
    assert calls == [b"large"] * 2
