"""Finding the files of a data set, and reading them without leaving their folder."""

import os
from functools import cache

from PIL import Image

from sklearn_dl.images import SAFE_FORMATS
from sklearn_dl.images._files import checked_path, open_file

# Pillow knows these extensions only after pillow-heif is registered
_HEIC = (".heic", ".heif", ".hif")


@cache
def image_extensions():
    """Extensions (".png") of the formats that :class:`ImageLoader` reads: frozenset of str."""
    known = Image.registered_extensions().items()
    names = {*SAFE_FORMATS, "MPO"}
    return frozenset({extension for extension, name in known if name in names}.union(_HEIC))


def files_in(folder, extensions):
    """The sorted names of the files in a folder, without hidden files; [] if there is no folder.

    Parameters
    ----------
    folder : str
    extensions : collection of str
        Lower-case extensions of the files, such as ".png".
    """
    if not os.path.isdir(folder):
        return []
    return sorted(name for name in os.listdir(folder) if _is_shown(name, extensions))


def files_below(folder, extensions):
    """Files of a folder and of the folders inside it, without hidden files and folders.

    Parameters
    ----------
    folder : str
    extensions : collection of str
        Lower-case extensions of the files, such as ".png".

    Returns
    -------
    names : list of str
        Sorted paths relative to `folder`.

    Raises
    ------
    ValueError
        If a symbolic link leads back to a folder that was already seen.
    """
    names: list = []
    seen: set = set()
    for parent, folders, files in os.walk(folder, followlinks=True, onerror=_raise):
        real = os.path.realpath(parent)
        if real in seen:
            raise ValueError(f"{parent} is a symbolic link to a folder that was already read.")
        seen.add(real)
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        inner = os.path.relpath(parent, folder)
        names += [os.path.normpath(f"{inner}/{n}") for n in files if _is_shown(n, extensions)]
    return sorted(names)


def _is_shown(name, extensions):
    return not name.startswith(".") and os.path.splitext(name)[1].lower() in extensions


def _raise(error):
    raise error


def read_start(root, name, size):
    """The first `size` bytes of a file; `root`, `name` and the errors are as in `read_inside`."""
    with open_file(checked_path(name, root), root) as file:
        return file.read(size)


def read_inside(root, name, limit):
    """Read a file whose name may come from an untrusted source.

    Parameters
    ----------
    root : str
        Folder that must contain the file, with its symbolic links resolved.
    name : str
        Path relative to `root`.
    limit : int
        Largest size in bytes.

    Returns
    -------
    content : bytes

    Raises
    ------
    FileNotFoundError or ValueError
        If the file does not exist, is outside `root`, is not a regular file, or is larger than
        `limit`.
    """
    content = read_start(root, name, limit + 1)
    if len(content) > limit:
        path = os.path.join(root, name)
        raise ValueError(f"{path} is larger than {limit:,} bytes, the limit.")
    return content


def read_lines(root, name, limit):
    """Yield the number and the stripped text of each line of a UTF-8 file, without empty lines."""
    content = read_inside(root, name, limit)
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        number = content[: error.start].count(b"\n") + 1
        raise ValueError(
            f"{os.path.join(root, name)}, line {number}: the byte "
            f"0x{content[error.start]:02x} is not UTF-8."
        ) from error
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            yield number, line.strip()
