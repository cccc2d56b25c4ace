"""What tells that a file changed, without reading it."""

import os


def file_stamp(path):
    """What a file looks like from outside: another stamp, and it is read again.

    A tool can give a file the size and the time of the one that it replaces; the time of the
    last change of the file's status, which the system alone sets, tells them apart.

    Parameters
    ----------
    path : str or Path

    Returns
    -------
    stamp : tuple of int
        Number of the file, size in bytes, and the times of the last changes of its content and of
        its status in ns (on Windows the latter is the time of its creation).

    Raises
    ------
    OSError
        If there is no such file.
    """
    found = os.stat(path)
    return found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns
