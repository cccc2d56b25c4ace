"""Git LFS pointers: short text files that a repository holds instead of large files."""

_STARTS = (
    b"version https://git-lfs.github.com/spec/",
    b"version https://hawser.github.com/spec/",
)
# largest size of a pointer in bytes, by the specification
MAX_POINTER = 1024


def refuse_pointer(start, what):
    """Raise an error if a file is a Git LFS pointer.

    Parameters
    ----------
    start : bytes-like
        The start of the file, or all of it.
    what : str
        Name of the file in the message.

    Raises
    ------
    ValueError
        If it is a pointer.
    """
    if bytes(start[:MAX_POINTER]).startswith(_STARTS):
        raise ValueError(
            f"{what} is a Git LFS pointer, about 130 bytes of text instead of the file itself: "
            "run `git lfs pull` in its repository, or download the file."
        )
