"""Check where the symbolic links of a model's files lead."""

from pathlib import Path


def check_link(path, folder):
    """Raise an error if a model's file, with links followed, is outside the model's folder.

    Links inside the Hugging Face cache are allowed: a file below
    ``<repository>/snapshots/<commit>`` may be a link to a file of ``<repository>/blobs``.

    Parameters
    ----------
    path : str or Path
        The file.
    folder : str or Path
        The model's folder.

    Raises
    ------
    ValueError
        If the file leads anywhere else.
    """
    refused = f"{path} leads out of the model's folder {folder}, so it is not read."
    try:
        real, root = Path(path).resolve(), Path(folder).resolve()
    except (OSError, RuntimeError) as error:  # links in a circle, before Python 3.13
        raise ValueError(f"{refused} {error}") from error
    if real.is_relative_to(root):
        return
    for above in (root, *root.parents):
        blobs = above.parent.parent / "blobs"
        # the blobs folder must not be a link itself: it could lead anywhere
        if above.parent.name == "snapshots" and real.parent == blobs and not blobs.is_symlink():
            return
    raise ValueError(refused)
