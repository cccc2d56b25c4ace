"""Where the symbolic links of a model's files may lead."""

from pathlib import Path


def check_link(path, folder):
    """Raise if a file of a model is not inside the model's folder, links followed.

    Links of the Hugging Face cache are followed too: a file below
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
    path, folder = Path(path), Path(folder)
    real = path.resolve()
    if real.is_relative_to(folder.resolve()):
        return
    for above in (folder.absolute(), *folder.absolute().parents):
        if above.parent.name == "snapshots":
            blobs = above.parent.parent / "blobs"
            if real.parent == blobs.resolve():
                return
    raise ValueError(f"{path} leads out of the model's folder {folder}: refused.")
