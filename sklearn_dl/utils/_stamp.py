"""Stamps of files, which show without reading a file whether it has changed."""

import os


def file_stamp(path):
    """The stamp of a file, which changes when the file does.

    A tool can give a file the size and the modification time of the file that it replaces. The
    time of the last change of the file's status still differs, as only the system sets it.

    Parameters
    ----------
    path : str or Path

    Returns
    -------
    stamp : tuple of int
        The file's inode number, its size in bytes, and the times in ns of the last changes of its
        content and of its status (on Windows, the latter is the time of its creation).

    Raises
    ------
    OSError
        If there is no such file.
    """
    found = os.stat(path)
    return found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns
