"""Git LFS pointers: what a repository holds in place of a large file."""

_STARTS = (
    b"version https://git-lfs.github.com/spec/",
    b"version https://hawser.github.com/spec/",
)
# of the specification: longer is no pointer
MAX_POINTER = 1024


def refuse_pointer(start, what):
    """Raise if a file is a Git LFS pointer.

    Parameters
    ----------
    start : bytes-like
        The start of the file, or all of it.
    what : str
        Its name, for the message.

    Raises
    ------
    ValueError
        If it is one: the file itself has to be fetched.
    """
    if bytes(start[:MAX_POINTER]).startswith(_STARTS):
        raise ValueError(
            f"{what} is a Git LFS pointer, some 130 bytes of text in place of the file itself: "
            "run `git lfs pull` in its repository, or download the file."
        )
