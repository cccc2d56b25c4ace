"""Verified copies of models in a cache folder; each copy is complete or absent."""

import json
import os
import shutil
import tempfile
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from sklearn_dl.models._entry import MANIFEST, ModelEntry
from sklearn_dl.models._home import home
from sklearn_dl.models._model_sources import HubSource, ModelNotAvailableError
from sklearn_dl.models._registry import file_digest, find_model
from sklearn_dl.utils._optional import import_optional
from sklearn_dl.utils._stamp import file_stamp

# by path: the file's stamp when it was read, and its hash (for a manifest: its content)
_seen: dict[Path, tuple[tuple[int, ...], Any]] = {}


def model_path(name: str, *, download: bool = False, verbose: int = 0) -> Path:
    """Return the path of the verified local files of a model.

    The files are copied (or exported to ONNX) once into a cache folder, and checked against
    their hashes on every call; a damaged copy is made again.

    Parameters
    ----------
    name : str
        One of the names that :func:`list_models` returns.
    download : bool, default=False
        Whether a hub may be contacted. Models in installed packages do not need one.
    verbose : int, default=0
        How much is printed. 0: nothing. 1: a progress bar for each file that is downloaded.

    Returns
    -------
    path : pathlib.Path
        The file that the model is registered with, or otherwise the folder of all its files. Do
        not write to it.

    Raises
    ------
    ValueError
        If no model has this name, or a file of the source has the wrong hash.
    ImportError
        If the package with the weights, or one that the export needs, is not installed.
    ModelNotAvailableError
        If the files must be downloaded and `download` is False, or if the hub refuses the download.
    HubUnreachableError
        If the hub cannot be reached.

    See Also
    --------
    model_card : What is known about a model.
    register_model : Add a model.

    Notes
    -----
    The cache is in the folder that the environment variable ``SKLEARN_DL_HOME`` names, by default
    in the user's cache folder. Several processes may ask for a model at the same time: one of them
    does the work.
    """
    return keep(find_model(name), download, verbose)


def keep(entry: ModelEntry, download: bool = False, verbose: int = 0) -> Path:
    """Return the path of a model's verified files; put them into the cache if they are missing."""
    folder = _folder_of(entry)
    if not _is_intact(folder, entry):
        _make(folder, entry, download, verbose)
    return folder if entry.file is None else folder / entry.file


def _folder_of(entry: ModelEntry) -> Path:
    return home() / "models" / entry.name.replace("/", "--") / entry.key


def torch_network(name: str, weights: bool = True):
    """Return the torch module of an exported model, up to its features; None if it has none.

    With ``weights=False`` its weights are random, for a caller that replaces them.
    """
    entry = find_model(name)
    if entry.network is None or not weights:
        return entry.network and entry.network(None)
    with tempfile.TemporaryDirectory(prefix="sklearn_dl_") as folder:
        _fetch(entry, Path(folder))
        return entry.network(Path(folder))


def _is_intact(folder: Path, entry: ModelEntry) -> bool:
    try:
        manifest = _once(folder / MANIFEST, lambda path: json.loads(path.read_bytes()))
        if entry.export is None:
            known = manifest == entry.sha256
        else:
            known = isinstance(manifest, dict) and list(manifest) == [entry.file]
        return known and all(
            _once(folder / file, file_digest) == manifest[file] for file in manifest
        )
    # json raises a RecursionError for garbage such as 100,000 brackets
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError, ValueError, RecursionError):
        return False


def _once(path: Path, read: Callable[[Path], Any]) -> Any:
    """Return ``read(path)``; it is called again only if the file's stamp has changed."""
    stamp = file_stamp(path)
    if _seen.get(path, (None,))[0] != stamp:
        _seen[path] = stamp, read(path)
    return _seen[path][1]


def _make(folder: Path, entry: ModelEntry, download: bool, verbose: int) -> None:
    """Put a model's verified files into `folder`: it is complete afterwards, or does not exist."""
    if isinstance(entry.source, HubSource) and not download:
        state = "damaged" if folder.exists() else "not on this machine"
        raise ModelNotAvailableError(
            f"model {entry.name!r} is {state}: sklearn_dl.models.model_path({entry.name!r}, "
            f"download=True) downloads it from the {entry.source}"
        )
    filelock = import_optional("filelock", extra="models", purpose="model_path")
    parent = folder.parent
    with ExitStack() as stack:
        with _explained(parent):
            parent.mkdir(parents=True, exist_ok=True)
            stack.enter_context(filelock.FileLock(parent / f"{folder.name}.lock"))
        if _is_intact(folder, entry):
            return
        # leftovers of killed processes: a running one would hold the lock
        for leftover in parent.glob(f".{folder.name}.*"):
            shutil.rmtree(leftover)
        staging = parent / f".{folder.name}.{uuid.uuid4().hex}"
        with _explained(parent):
            staging.mkdir()
        try:
            _fill(staging, entry, verbose)
            if folder.exists():
                shutil.rmtree(folder)
            staging.rename(folder)
            _sync(parent)
        except BaseException:
            shutil.rmtree(staging, ignore_errors=True)
            raise


@contextmanager
def _explained(folder: Path) -> Iterator[None]:
    """Turn an OSError inside into one that says how to choose a different cache folder."""
    try:
        yield
    except OSError as error:
        raise OSError(
            error.errno,
            "the model cache cannot be written to; set the environment variable SKLEARN_DL_HOME "
            f"to a folder that can be written to ({error.strerror})",
            str(folder),
        ) from error


def _fill(staging: Path, entry: ModelEntry, verbose: int) -> None:
    """Put the model's files and their manifest into the empty folder `staging`."""
    source = staging if entry.export is None else staging / "source"
    _fetch(entry, source, verbose)
    manifest = dict(entry.sha256)
    if entry.export is not None and entry.file is not None:
        entry.export(source, staging)
        shutil.rmtree(source)
        manifest = {entry.file: file_digest(staging / entry.file)}
    (staging / MANIFEST).write_text(json.dumps(manifest, indent=1))
    for path in staging.rglob("*"):
        _sync(path)
    _sync(staging)


def _fetch(entry: ModelEntry, folder: Path, verbose: int = 0) -> None:
    """Put the files of the model's source into `folder`, and check their hashes."""
    for file, expected in entry.sha256.items():
        target = folder / file
        target.parent.mkdir(parents=True, exist_ok=True)
        entry.source.fetch(file, target, verbose)
        # the copy is checked, not the original, because the copy is used
        seen = file_digest(target)
        if seen != expected:
            raise ValueError(
                f"wrong hash: {file} of the {entry.source} (model {entry.name!r}) has sha256 "
                f"{seen}, expected {expected}. The file is not used."
            )


def _sync(path: Path) -> None:
    if path.is_dir() and os.name == "nt":  # Windows cannot open folders
        return
    descriptor = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
