"""Faults of the machine, which say nothing about an image."""

import errno
from contextlib import contextmanager

from sklearn_dl.utils._messages import chain_of

# what the system says of a path or of what lies there: any other number is the machine's
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
    """The fault of the machine that `error` is or comes from, or None.

    A lack of memory or of file descriptors, a disk that cannot be read, a network folder that has
    gone: another attempt may succeed, so the image is not to blame.

    Parameters
    ----------
    error : BaseException
    outside : BaseException or None, default=None
        What was being handled before the image was read (`sys.exception()`).

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
    if error.errno is None:  # Pillow's own, of damaged files but for the one of its decoders
        return str(error).startswith("out of memory")
    return error.errno not in _OF_THE_FILE


@contextmanager
def naming(what):
    """Add `what` was being read to the notes of a fault of the machine that leaves the block."""
    try:
        yield
    except (MemoryError, OSError) as error:
        error.add_note(what)
        raise
