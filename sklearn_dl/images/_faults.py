"""Faults of the machine, which say nothing about an image."""

import errno
from contextlib import contextmanager

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


def machine_fault(error):
    """The fault of the machine that `error` is or comes from, or None.

    A lack of memory or of file descriptors, a disk that cannot be read, a network folder that has
    gone: another attempt may succeed, so the image is not to blame.

    Parameters
    ----------
    error : BaseException

    Returns
    -------
    fault : MemoryError, OSError or None
    """
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        if isinstance(error, MemoryError):
            return error
        if isinstance(error, OSError) and _is_of_the_machine(error):
            return error
        seen.add(id(error))
        error = error.__cause__ or error.__context__
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
