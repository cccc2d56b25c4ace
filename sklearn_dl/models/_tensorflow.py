"""Find, read and pack TensorFlow and Keras models."""

import io
import os
import re
import stat
import tempfile
import zipfile
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from hashlib import sha256
from pathlib import Path, PurePosixPath

from sklearn_dl.models._content import embedded
from sklearn_dl.models._find import find_path
from sklearn_dl.models._links import check_link
from sklearn_dl.utils._lfs import MAX_POINTER, refuse_pointer
from sklearn_dl.utils._stamp import file_stamp

_SAVED_MODEL_FILES = ("saved_model.pb", "saved_model.pbtxt")
_KINDS = {".pb": "graph", ".keras": "keras", ".h5": "h5", ".hdf5": "h5"}


@dataclass(frozen=True, slots=True, weakref_slot=True)
class TensorFlowModel:
    """The content of a TensorFlow or Keras model, or only its hash.

    Parameters
    ----------
    kind : {"saved_model", "graph", "keras", "h5"}
        A SavedModel's folder, a frozen graph, a Keras file, or a Keras file of the older format.
    sha256 : str
        Hash of the file, or of the names, sizes and bytes of a folder's files.
    data : bytes or None
        The file, or the folder as an uncompressed zip. None: it is read from `path` when needed.
    path : str or None
        None: the model is in `data`, or only its hash is known.
    """

    kind: str
    sha256: str
    data: bytes | None = field(default=None, compare=False, repr=False)
    path: str | None = field(default=None, compare=False)

    @property
    def name(self):
        """Where the content came from, for messages."""
        return self.path or f"<{self.kind}, {len(self.data or b'')} bytes>"

    def read(self):
        """Return the bytes of the file, or of the folder as an uncompressed zip."""
        if self.data is not None:
            return self.data
        path = Path(self.path or "")
        return pack(path) if path.is_dir() else path.read_bytes()

    def n_bytes(self):
        """Size of the file, or of all files of the folder, in bytes."""
        if self.path is None:
            return len(self.data or b"")
        path = Path(self.path)
        files = [path / name for name in _files(path)] if path.is_dir() else [path]
        return sum(file.stat().st_size for file in files)

    def for_pickle(self, embed):
        """Return the content with all of its bytes in memory (`embed`), or with its hash only."""
        if not embed:
            return TensorFlowModel(self.kind, self.sha256)
        return embedded(self, lambda: TensorFlowModel(self.kind, self.sha256, self.read()))

    @contextmanager
    def on_disk(self):
        """Yield the path of the file or folder; write `data` into a temporary folder if needed."""
        if self.data is None:
            yield self.path
            return
        with tempfile.TemporaryDirectory(prefix="sklearn_dl_") as folder:
            if self.kind == "saved_model":
                _unpack(self.data, folder)
                yield folder
            else:
                suffix = {"graph": ".pb", "keras": ".keras", "h5": ".h5"}[self.kind]
                path = Path(folder, f"model{suffix}")
                path.write_bytes(self.data)
                yield str(path)


def find_tensorflow(model):
    """Find the content of TensorFlowScorer's `model`.

    Parameters
    ----------
    model : str, Path or TensorFlowModel
        A path, or a name that `find_path` accepts.

    Returns
    -------
    content : TensorFlowModel

    Raises
    ------
    FileNotFoundError
        If there is no such file or folder.
    ValueError
        If the format is not known.
    """
    if isinstance(model, TensorFlowModel):
        return model
    path = find_path(model, "a file or folder").path
    if os.path.isdir(path):
        path = _saved_model_folder(path, os.fspath(model))
        names = tuple(_files(Path(path)))
        stamps = tuple(file_stamp(os.path.join(path, name)) for name in names)
        return _from_folder(path, names, stamps)
    if os.path.basename(path) in _SAVED_MODEL_FILES:
        return find_tensorflow(os.path.dirname(path))
    suffix = os.path.splitext(path)[1].lower()
    if suffix not in _KINDS:
        raise ValueError(
            f"model={os.fspath(model)!r} must be a SavedModel's folder, a frozen graph (.pb), or a "
            "Keras file (.keras, .h5, .hdf5)."
        )
    return _from_file(_KINDS[suffix], path, file_stamp(path))


def _saved_model_folder(path, asked):
    """Return the folder itself, or the folder of the highest version inside it."""

    def holds_model(folder):
        return any(os.path.isfile(os.path.join(folder, name)) for name in _SAVED_MODEL_FILES)

    if holds_model(path):
        return path
    versions = [name for name in os.listdir(path) if re.fullmatch(r"\d+", name)]
    versions = [name for name in versions if holds_model(os.path.join(path, name))]
    if not versions:
        raise FileNotFoundError(
            f"model={asked!r} is a folder without saved_model.pb, and without a numbered folder "
            "that has one."
        )
    version = os.path.join(path, max(versions, key=int))
    check_link(version, path)
    return version


def _files(folder):
    """Return the relative names of all files of a SavedModel, sorted.

    Raises
    ------
    ValueError
        If one of them is a link that leads out of the folder.
    """
    names = []
    for path in sorted(folder.rglob("*")):
        check_link(path, folder)
        if path.is_file():
            names.append(path.relative_to(folder).as_posix())
    return names


@lru_cache(maxsize=32)
def _from_folder(path, names, stamps):
    digest = sha256()
    for name in names:
        file = Path(path, name)
        digest.update(f"{name}\0{file.stat().st_size}\0".encode())
        with file.open("rb") as opened:
            if name.startswith(("saved_model.", "variables/", "assets/")):
                refuse_pointer(opened.read(MAX_POINTER), f"{path}: {name}")
                opened.seek(0)
            while chunk := opened.read(2**20):
                digest.update(chunk)
    return TensorFlowModel("saved_model", digest.hexdigest(), path=path)


@lru_cache(maxsize=32)
def _from_file(kind, path, stamp):
    digest = sha256()
    with open(path, "rb") as file:
        refuse_pointer(file.read(MAX_POINTER), path)
        file.seek(0)
        while chunk := file.read(2**20):
            digest.update(chunk)
    return TensorFlowModel(kind, digest.hexdigest(), path=path)


def pack(folder):
    """Return a folder as the bytes of an uncompressed zip; equal files become equal bytes."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name in _files(folder):
            # this ZipInfo has a fixed time and mode, so that equal files become equal bytes
            archive.writestr(zipfile.ZipInfo(name), Path(folder, name).read_bytes())
    return buffer.getvalue()


def _unpack(data, folder):
    """Write the files of a zip that `pack` made into `folder`; none may be written outside it.

    Raises
    ------
    ValueError
        If a member's path is absolute or leads out of the folder, or a member is a link.
    """
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        for member in archive.infolist():
            path = PurePosixPath(member.filename)
            plain = not stat.S_ISLNK(member.external_attr >> 16)
            if path.is_absolute() or ".." in path.parts or "\\" in member.filename or not plain:
                raise ValueError(
                    f"The packed model contains the unsafe path {member.filename!r}, so it was not "
                    "unpacked."
                )
        archive.extractall(folder)
