"""Faults of the machine, such as too little memory: they say nothing about an image."""

import errno
from contextlib import contextmanager

from sklearn_dl.utils._messages import chain_of

# errors that a path or its file causes; any other number is a fault of the machine
_OF_THE_FILE = {
    errno.EACCES,
    errno.EFBIG,
    errno.EILSEQ,
    errno.EINVAL,
    errno.EISDIR,
    errno.ELOOP,
    errno.ENAMETOOLONG,
    errno.ENODEV,
    errno.ENOENT,
    errno.ENOTDIR,
    errno.ENXIO,
    errno.EOVERFLOW,
    errno.EPERM,
    errno.ESPIPE,
}


def machine_fault(error, outside=None):
    """Return the fault of the machine among `error` and its causes, or None.

    Such faults are too little memory, too many open files, a disk that cannot be read or a network
    drive that is gone. Another attempt may succeed, so the image is not to blame.

    Parameters
    ----------
    error : BaseException
    outside : BaseException or None, default=None
        Exception that was handled when the reading of the image began (`sys.exception()`). It is
        not a cause of `error`.

    Returns
    -------
    fault : MemoryError, OSError or None
    """
    for cause in chain_of(error, outside):
        if isinstance(cause, MemoryError):
            return cause
        if isinstance(cause, OSError) and _is_of_the_machine(cause):
            return cause
    return None


def _is_of_the_machine(error):
    if error.errno is None:  # all of Pillow's own errors but one mean a damaged file
        return str(error).startswith("out of memory")
    return error.errno not in _OF_THE_FILE


@contextmanager
def naming(what):
    """Add the note `what`, such as the row, to a MemoryError or OSError raised in the block."""
    try:
        yield
    except (MemoryError, OSError) as error:
        error.add_note(what)
        raise
