"""Check the paths of image files, and open exactly the files that were checked."""

import errno
import os
import re
import stat

# Windows has neither folder descriptors nor O_NOFOLLOW
_BELOW_A_FOLDER = os.open in os.supports_dir_fd and hasattr(os, "O_NOFOLLOW")
# O_NONBLOCK: opening a pipe that took the file's place must not wait
_READ = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
_FOLDER = (
    getattr(os, "O_PATH", os.O_RDONLY)
    | getattr(os, "O_DIRECTORY", 0)
    | getattr(os, "O_NOFOLLOW", 0)
)


def checked_path(path, root=None):
    """Return the absolute path of a file, which need not exist.

    Parameters
    ----------
    path : str or bytes
        A path, or the URI of a local file (``file:///folder/a.png``).
    root : str or None
        Folder that must contain the file, with its symbolic links resolved. Relative paths start
        here. None: any path is allowed.

    Raises
    ------
    ValueError
        If the path is empty, is the URL of anything but a local file, or leaves `root`.
    """
    if isinstance(path, bytes):
        path = os.fsdecode(path)
    if not path:
        raise ValueError("the path is empty")
    uri = re.fullmatch(r"file:(?://(?:localhost)?)?(/(?!/).*)", path, re.DOTALL)
    if uri:
        from urllib.request import url2pathname  # the import takes 20 ms, and few rows need it

        path = url2pathname(uri[1])
    if "\0" in path:
        raise ValueError(f"the path {path!r} contains a null character")
    if is_url(path):
        raise ValueError(
            f"{path!r} is a URL, and nothing is fetched unless ImageLoader has a filesystem. Use "
            f"ImageLoader(filesystem={{'protocol': {path.partition('://')[0]!r}}}) as the first "
            "step, or download the file and pass its path or its bytes"
        )
    if root is None:
        full = os.path.abspath(path)
    else:
        full = os.path.realpath(os.path.join(root, path))
        if os.path.isabs(path) or os.path.commonpath([root, full]) != root:
            raise ValueError(
                f"{path!r} leaves the folder root={root!r}; pass a path that is relative to it and "
                "stays inside"
            )
    return full


def is_url(path):
    """Whether a path begins with the protocol of a URL, such as ``s3://``."""
    return re.match(r"[A-Za-z][A-Za-z0-9+.-]+://", path) is not None


def file_stat(path):
    """Return `os.stat` of a regular file.

    Raises
    ------
    FileNotFoundError
        If it does not exist.
    ValueError
        If it is a folder, a pipe (reading it could wait forever) or a device.
    """
    try:
        return _regular(os.stat(path), path)
    except FileNotFoundError:
        raise _missing(path) from None


def open_file(path, root=None):
    """Open a regular file for reading.

    Parameters
    ----------
    path : str
        Absolute path. With `root`, its symbolic links are resolved (`os.path.realpath`).
    root : str or None
        Folder that must contain the file, with its own symbolic links resolved. A file or folder
        in it that became a symbolic link after `path` was resolved is not followed.

    Returns
    -------
    file : io.BufferedReader
        To be closed by the caller.

    Raises
    ------
    FileNotFoundError
        If it does not exist.
    ValueError
        If it is not a regular file, or if `root` or a part of the path below it has become a
        symbolic link.
    """
    try:
        if root is None:
            return _open_regular(path, path)
        if not _BELOW_A_FOLDER:
            return _open_and_compare(path, root)
        return _open_below(path, root)
    except FileNotFoundError:
        raise _missing(path) from None


def _open_below(path, root):
    """Open a file folder by folder from `root`, without following symbolic links."""
    *folders, name = path.removeprefix(root).strip(os.sep).split(os.sep)
    folder = _open_folder(root, path, root, None)
    try:
        for part in folders:
            inner = _open_folder(part, path, root, folder)
            os.close(folder)
            folder = inner
        return _open_regular(name or os.curdir, path, root, folder)
    finally:
        os.close(folder)


def _open_folder(name, path, root, parent):
    """Return a descriptor of the folder `name` in the folder with the descriptor `parent`."""
    try:
        return os.open(name, _FOLDER, dir_fd=parent)
    except OSError:
        if stat.S_ISLNK(os.stat(name, dir_fd=parent, follow_symlinks=False).st_mode):
            raise _swapped(path, root) from None
        raise


def _open_regular(name, path, root=None, folder=None):
    """Open the regular file `name`, inside the folder with the descriptor `folder` if given."""
    below = folder is not None
    found = os.stat(name, dir_fd=folder, follow_symlinks=not below)
    if stat.S_ISLNK(found.st_mode):
        raise _swapped(path, root)
    _regular(found, path)  # checked before opening: opening some devices has side effects
    try:
        descriptor = os.open(name, _READ | (os.O_NOFOLLOW if below else 0), dir_fd=folder)
    except OSError as error:
        if below and error.errno == errno.ELOOP:
            raise _swapped(path, root) from None
        raise
    try:
        _regular(os.fstat(descriptor), path)
        return open(descriptor, "rb")
    except BaseException:
        os.close(descriptor)
        raise


def _open_and_compare(path, root):
    """Open a file, then check that it is still the file of that path inside `root`."""
    file = _open_regular(path, path)
    try:
        resolved = os.path.realpath(path)
        inside = os.path.commonpath([root, resolved]) == root
        if not inside or not os.path.samestat(os.stat(resolved), os.fstat(file.fileno())):
            raise _swapped(path, root)
    except BaseException:
        file.close()
        raise
    return file


def _regular(found, path):
    if stat.S_ISDIR(found.st_mode):
        raise ValueError(f"{path!r} is a folder, not a file")
    if not stat.S_ISREG(found.st_mode):
        raise ValueError(f"{path!r} is not a regular file")
    return found


def _swapped(path, root):
    return ValueError(
        f"{path!r} may leave the folder root={root!r}: a part of it became a symbolic link after "
        "ImageLoader resolved the path"
    )


def _missing(path):
    return FileNotFoundError(f"the file {path!r} does not exist")
