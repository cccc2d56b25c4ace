"""Stamps of files, which show whether a file has changed without reading it."""

import os


def file_stamp(path):
    """The stamp of a file, which changes when the file changes.

    A tool can replace a file by another one with the same size and modification time. Their stamps
    still differ, because only the system sets the time of the last change of the status.

    Parameters
    ----------
    path : str or Path

    Returns
    -------
    stamp : tuple of int
        The file's inode number, its size in bytes, and the times in ns of the last changes of its
        content and of its status (on Windows, the creation time instead of the status).

    Raises
    ------
    OSError
        If the file does not exist.
    """
    found = os.stat(path)
    return found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns
