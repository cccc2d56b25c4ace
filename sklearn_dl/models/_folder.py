"""Find and check the files of a model's folder in transformers' format."""

import os
from contextlib import suppress
from dataclasses import dataclass, field
from functools import lru_cache
from hashlib import file_digest, sha256
from io import BytesIO
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from sklearn_dl.models._content import embedded
from sklearn_dl.models._find import find_path
from sklearn_dl.models._folder_safety import LARGEST_JSON, parse_json
from sklearn_dl.models._links import check_link
from sklearn_dl.utils._lfs import MAX_POINTER, refuse_pointer
from sklearn_dl.utils._stamp import file_stamp

_WEIGHTS = "model.safetensors"
_INDEX = "model.safetensors.index.json"
# suffixes of the files of configs and tokenizers; code and pickles are not among them
_SMALL_FILES = {".json", ".txt", ".model", ".jinja"}
# files that other programs put into a model's folder, and that no estimator reads
_IGNORED_FILES = {
    "manifest.json",
    "README.txt",
    "LICENSE.txt",
    "requirements.txt",
    "generation_config.json",
    "trainer_state.json",
    "all_results.json",
    "eval_results.json",
    "train_results.json",
}
# files of tokenizers that are written in Python; pickles do not contain them
_OTHER_VOCABULARIES = ("bpe.codes", "prophetnet.tokenizer")
_UNSAFE_WEIGHTS = (".bin", ".pt", ".pth", ".ckpt", ".h5", ".msgpack")


@dataclass(frozen=True, slots=True, weakref_slot=True)
class FolderContent:
    """The files of a model's folder that are used: config, tokenizer or preprocessor, weights.

    Parameters
    ----------
    sha256 : str
        Hash of the names and the hashes of the files.
    data : dict of bytes or None
        Bytes of the files, by name. None: they are read from `folder`.
    folder : str or None
        None: the files are in `data`, or only their hash is known.
    stamps : dict of str to tuple
        The `file_stamp` of each file in `folder` when it was found, by name.
    """

    sha256: str
    data: dict | None = field(default=None, compare=False)
    folder: str | None = field(default=None, compare=False)
    stamps: dict = field(default_factory=dict, compare=False, repr=False)

    def is_unchanged(self):
        """Return whether all files are still in the folder and their stamps are the same."""
        try:
            return bool(self.stamps) and all(
                file_stamp(f"{self.folder}/{name}") == stamp for name, stamp in self.stamps.items()
            )
        except OSError:
            return False

    @property
    def name(self):
        """Where the files are, for messages."""
        return f"model folder {self.folder}" if self.folder else "the model in the pickle"

    def names(self):
        return list(self.data) if self.data is not None else _file_names(self.folder)

    def read(self, name):
        return Path(self.folder or "", name).read_bytes() if self.data is None else self.data[name]

    def open(self, name):
        """Open a file to read bytes from it."""
        if self.data is None:
            return open(Path(self.folder or "", name), "rb")
        return BytesIO(self.data[name])

    def size(self, name):
        """Size of a file, in bytes."""
        if self.data is None:
            return Path(self.folder or "", name).stat().st_size
        return len(self.data[name])

    def n_bytes(self, weights=True):
        """Size of all files, or of all but the weights, in bytes."""
        names = self.names()
        if not weights:
            names = [name for name in names if not name.endswith(".safetensors")]
        return sum(map(self.size, names))

    def read_json(self, name, kind=dict):
        """Parse a small JSON file; raise a ValueError if it does not contain a `kind`."""
        with self.open(name) as file:
            return parse_json(file.read(LARGEST_JSON + 1), name, kind)

    def tokenizer_names(self):
        """Names of the files directly in the folder, which include the files of the tokenizer."""
        names = [name for name in self.names() if "/" not in name]
        if self.data is None:
            top = Path(self.folder or "")
            names += [name for name in _OTHER_VOCABULARIES if _is_own_file(top / name, top)]
        return names

    def small_files(self):
        """Bytes of all files but the weights, by name."""
        return {name: self.read(name) for name in self.names() if not name.endswith("safetensors")}

    def weights(self):
        """Names of the weight files directly in the folder."""
        names = [name for name in self.names() if name.endswith(".safetensors")]
        return [name for name in names if "/" not in name]

    def has_weights(self):
        """Return whether the content has weight files."""
        return any(name.endswith(".safetensors") for name in self.names())

    def without_weights(self):
        """Return the content without its weights, in memory."""
        return FolderContent(self.sha256, data=self.small_files())

    def for_pickle(self, embed):
        """Return the content with its files in memory (`embed`), or with its hash only."""
        if not embed:
            return FolderContent(self.sha256)
        if self.data is not None:
            return embedded(self, lambda: self)
        return embedded(
            self,
            lambda: FolderContent(self.sha256, {name: self.read(name) for name in self.names()}),
        )


def find_folder(model):
    """Find the content of an estimator's `model`.

    Parameters
    ----------
    model : str or Path
        A folder, or a name that `find_path` accepts.

    Returns
    -------
    content : FolderContent

    Raises
    ------
    FileNotFoundError
        If there is no such folder and no such name, or a file is missing in the folder.
    ValueError
        If the weights are not safetensors, or a link leads out of the folder.
    """
    return folder_content(find_path(model, "a folder").path)


def folder_content(folder):
    """Return the FolderContent of a folder that exists; it raises the errors of `find_folder`."""
    if not os.path.isdir(folder):
        raise ValueError(
            f"model={folder!r} is a file; an encoder is a folder with config.json, the tokenizer's "
            "files and model.safetensors."
        )
    names = _file_names(folder)
    stamps = tuple(file_stamp(Path(folder, name)) for name in names)
    return _from_folder(folder, tuple(names), stamps)


def _file_names(folder):
    """Relative names of the files that are used, sorted."""
    top = Path(folder)
    small = {
        path.name
        for path in top.iterdir()
        if path.suffix in _SMALL_FILES and _is_own_file(path, top)
    } - _IGNORED_FILES
    parts = _part_files(top, small)
    static = f"{parts.static}{_WEIGHTS}" if parts.static is not None else None
    if "config.json" not in small and static is None:
        raise FileNotFoundError(f"{folder} has no config.json: it is not the folder of a model.")
    if "adapter_config.json" in small:
        raise ValueError(
            f"{folder} has an adapter (adapter_config.json), which only changes another network. "
            "Merge both with peft's merge_and_unload(), and pass the folder of the merged network."
        )
    if _is_own_file(top / _WEIGHTS, top):
        weights = {_WEIGHTS}
    elif static is not None and static in parts.names:
        weights = {static}
    elif _INDEX in small:
        weights = _indexed_weights(top)
    else:
        unsafe = sorted(p.name for p in top.iterdir() if p.name.endswith(_UNSAFE_WEIGHTS))
        if unsafe:
            raise ValueError(
                f"{folder} has its weights only in {unsafe[0]}. Loading a file of this format can "
                "run code. If you trust it, convert it once: "
                "transformers.AutoModel.from_pretrained(folder).save_pretrained(other_folder) "
                "writes model.safetensors."
            )
        raise FileNotFoundError(f"{folder} has no {_WEIGHTS}: the weights are missing.")
    return sorted(small | weights | parts.names)


class _Parts(NamedTuple):
    """Files of sentence-transformers' modules; `static`: folder of a static embedding, or None."""

    names: set
    static: str | None


def _part_files(top, small):
    """Find the files of sentence-transformers' modules; most modules have a folder of their own."""
    found = {path.relative_to(top).as_posix() for path in top.glob("*/config.json")}
    static = None
    if "modules.json" in small:
        # errors are ignored here: text estimators read this file again, and report them
        with suppress(AttributeError, KeyError, TypeError, ValueError):
            with open(top / "modules.json", "rb") as file:
                modules = parse_json(file.read(LARGEST_JSON + 1), "modules.json", list)
            for number, module in enumerate(modules):
                folder = PurePosixPath(module["path"]).as_posix() + "/"
                folder = "" if folder == "./" else folder
                if not number and module["type"].endswith(".StaticEmbedding"):
                    static = folder
                if len(folder) > 255 or "/" in folder[:-1] or folder == "../":
                    continue
                if folder or static is not None:
                    found |= {folder + name for name in (_WEIGHTS, "tokenizer.json")}
    return _Parts({name for name in found if _is_own_file(top / name, top)}, static)


def _indexed_weights(top):
    """Names of the weight files that the index of a folder lists."""
    try:
        with open(top / _INDEX, "rb") as file:
            index = parse_json(file.read(LARGEST_JSON + 1), _INDEX)
        names = set(index["weight_map"].values())
        if not all(isinstance(name, str) for name in names):
            raise ValueError("weight_map contains names of files that are not strings")
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{top}: its {_INDEX} cannot be used: {error!r}") from error
    for name in sorted(names):
        if len(name) > 255 or Path(name).name != name or not _is_own_file(top / name, top):
            raise FileNotFoundError(f"{top} has no {name[:255]}, which {_INDEX} lists.")
        if not name.endswith(".safetensors"):
            raise ValueError(f"{top}: {_INDEX} lists {name}; only safetensors files are read.")
    return names


def _is_own_file(path, folder):
    """Return whether `path` is a regular file; raise a ValueError if it leads out of the folder."""
    if not path.is_file():
        return False
    if path.is_symlink() or path.parent != folder:
        check_link(path, folder)
    return True


@lru_cache(maxsize=32)
def _from_folder(folder, names, stamps):
    stamps = dict(zip(names, stamps, strict=True))
    return FolderContent(_sha256_of(folder, names), folder=folder, stamps=stamps)


def _sha256_of(folder, names):
    digest = sha256()
    for name in names:
        digest.update(name.encode() + b"\0")
        with open(Path(folder, name), "rb") as file:
            refuse_pointer(file.read(MAX_POINTER), f"{folder}: {name}")
            file.seek(0)
            digest.update(file_digest(file, "sha256").digest())
    return digest.hexdigest()
