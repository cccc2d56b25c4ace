"""Messages of a bearable length, without the bytes of models."""

import reprlib
import sys
from contextlib import contextmanager
from hashlib import sha256

MAX_MESSAGE = 2000
_END = 400


class _Brief(reprlib.Repr):
    """`repr` of anything, short; bytes by their size and hash."""

    def __init__(self):
        super().__init__()
        self.maxstring = self.maxother = MAX_MESSAGE // 2
        self.maxlist = self.maxtuple = self.maxdict = 20

    def repr_bytes(self, value, level):
        return shown_bytes(value)

    repr_bytearray = repr_memoryview = repr_bytes


_brief = _Brief()


def brief(value):
    """A short `repr` of a value for a message.

    Returns
    -------
    text : str
        At most some 1,000 characters, none of them the content of bytes.
    """
    return _brief.repr(value)[: MAX_MESSAGE // 2]


def shown_bytes(value):
    """Bytes by their size and hash: ``<18 MB sha256:ab12>``."""
    data = bytes(value)
    size, unit = float(len(data)), "bytes"
    for larger in ("kB", "MB", "GB"):
        if size >= 1000:
            size, unit = size / 1000, larger
    return f"<{size:.0f} {unit} sha256:{sha256(data).hexdigest()[:4]}>"


def shortened(text):
    """A message of at most 2,000 characters."""
    if len(text) <= MAX_MESSAGE:
        return text
    return f"{text[: MAX_MESSAGE - _END - 5]} ... {text[-_END:]}"


def chain_of(error, outside):
    """An exception, and those that it comes from.

    Parameters
    ----------
    error : BaseException
    outside : BaseException or None
        What the caller was handling already (`sys.exception()` before the work): Python makes it
        the context of whatever is raised meanwhile, though it is not the cause.

    Yields
    ------
    error : BaseException
    """
    seen: set[int] = set()
    while error is not None and error is not outside and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__


@contextmanager
def short_messages():
    """Shorten the messages of what is raised inside, and of its causes, to 2,000 characters."""
    outside = sys.exception()
    try:
        yield
    except Exception as raised:
        for error in chain_of(raised, outside):
            text = str(error)
            if len(text) > MAX_MESSAGE:
                error.args = (shortened(text),)
        raise
