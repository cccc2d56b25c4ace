"""Models in transformers' format: the files of a folder, found and checked."""

import os
from contextlib import suppress
from dataclasses import dataclass, field
from functools import lru_cache
from hashlib import file_digest, sha256
from io import BytesIO
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from sklearn_dl.models._find import find_path
from sklearn_dl.models._folder_safety import LARGEST_JSON, parse_json
from sklearn_dl.models._links import check_link
from sklearn_dl.utils._lfs import MAX_POINTER, refuse_pointer
from sklearn_dl.utils._stamp import file_stamp

_WEIGHTS = "model.safetensors"
_INDEX = "model.safetensors.index.json"
# what a tokenizer or a config may consist of; never code, never pickles
_SMALL_FILES = {".json", ".txt", ".model", ".jinja"}
# what other programs put beside a model, and no estimator reads
_OF_OTHERS = {
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
# of tokenizers that are written in Python; they do not travel in pickles
_OTHER_VOCABULARIES = ("bpe.codes", "prophetnet.tokenizer")
_UNSAFE_WEIGHTS = (".bin", ".pt", ".pth", ".ckpt", ".h5", ".msgpack")


@dataclass(frozen=True, slots=True)
class FolderContent:
    """The files of a model that count: config, tokenizer or preprocessor, safetensors.

    Parameters
    ----------
    sha256 : str
        Of the names and the checksums of the files.
    data : dict of bytes or None
        The files; None: they are read from `folder`.
    folder : str or None
    stamps : dict of str to tuple
        What the files in `folder` looked like from outside, by name.
    """

    sha256: str
    data: dict | None = field(default=None, compare=False)
    folder: str | None = field(default=None, compare=False)
    stamps: dict = field(default_factory=dict, compare=False, repr=False)

    def is_unchanged(self):
        """Whether its files are still where it was found, and look as they did."""
        try:
            return bool(self.stamps) and all(
                file_stamp(f"{self.folder}/{name}") == stamp for name, stamp in self.stamps.items()
            )
        except OSError:
            return False

    @property
    def name(self):
        """For messages."""
        return f"model folder {self.folder}" if self.folder else "the model in the pickle"

    def names(self):
        return list(self.data) if self.data is not None else _file_names(self.folder)

    def read(self, name):
        return Path(self.folder or "", name).read_bytes() if self.data is None else self.data[name]

    def open(self, name):
        """A file to read bytes from."""
        if self.data is None:
            return open(Path(self.folder or "", name), "rb")
        return BytesIO(self.data[name])

    def size(self, name):
        """In bytes."""
        if self.data is None:
            return Path(self.folder or "", name).stat().st_size
        return len(self.data[name])

    def n_bytes(self, weights=True):
        """Of all files, or of those beside the weights."""
        names = self.names()
        if not weights:
            names = [name for name in names if not name.endswith(".safetensors")]
        return sum(map(self.size, names))

    def read_json(self, name, kind=dict):
        """What a small file of JSON holds; ValueError if it does not hold a `kind`."""
        with self.open(name) as file:
            return parse_json(file.read(LARGEST_JSON + 1), name, kind)

    def tokenizer_names(self):
        """Names of the files that a tokenizer may be made from, and of others beside them."""
        names = [name for name in self.names() if "/" not in name]
        if self.data is None:
            top = Path(self.folder or "")
            names += [name for name in _OTHER_VOCABULARIES if _is_own_file(top / name, top)]
        return names

    def small_files(self):
        """Config and tokenizer: all but the weights."""
        return {name: self.read(name) for name in self.names() if not name.endswith("safetensors")}

    def weights(self):
        """Names of the network's files of weights."""
        names = [name for name in self.names() if name.endswith(".safetensors")]
        return [name for name in names if "/" not in name]

    def has_weights(self):
        """Whether the files of weights are here too."""
        return any(name.endswith(".safetensors") for name in self.names())

    def without_weights(self):
        """Config and tokenizer alone, in memory."""
        return FolderContent(self.sha256, data=self.small_files())

    def for_pickle(self, embed):
        """Itself with its files in memory (`embed`), or its hash alone."""
        if not embed:
            return FolderContent(self.sha256)
        if self.data is not None:
            return self
        return FolderContent(self.sha256, data={name: self.read(name) for name in self.names()})


def find_folder(model):
    """The content of an estimator's `model`.

    Parameters
    ----------
    model : str or Path
        A folder, or a name as `find_path` takes it.

    Returns
    -------
    content : FolderContent

    Raises
    ------
    FileNotFoundError
        If there is neither, or a file is missing in the folder.
    ValueError
        If the weights are not safetensors, or a file leads out of the folder.
    """
    return folder_content(find_path(model, "a folder").path)


def folder_content(folder):
    """The FolderContent of a folder that exists; errors as those of `find_folder`."""
    if not os.path.isdir(folder):
        raise ValueError(
            f"model={folder!r} is a file; an encoder is a folder with config.json, the tokenizer's "
            "files and model.safetensors."
        )
    names = _file_names(folder)
    stamps = tuple(file_stamp(Path(folder, name)) for name in names)
    return _from_folder(folder, tuple(names), stamps)


def _file_names(folder):
    """Relative names of the files that count, sorted."""
    top = Path(folder)
    small = {
        path.name
        for path in top.iterdir()
        if path.suffix in _SMALL_FILES and _is_own_file(path, top)
    } - _OF_OTHERS
    parts = _part_files(top, small)
    static = f"{parts.static}{_WEIGHTS}" if parts.static is not None else None
    if "config.json" not in small and static is None:
        raise FileNotFoundError(f"{folder} has no config.json: it is not the folder of a model.")
    if "adapter_config.json" in small:
        raise ValueError(
            f"{folder} has an adapter (adapter_config.json), which would change another network. "
            "Give the folder of a whole network: peft's merge_and_unload() makes one."
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
                f"{folder} has its weights in {unsafe[0]} only. Loading such a file can run code; "
                "convert it once, where you trust it: "
                "transformers.AutoModel.from_pretrained(folder).save_pretrained(other_folder) "
                "writes model.safetensors."
            )
        raise FileNotFoundError(f"{folder} has no {_WEIGHTS}: the weights are missing.")
    return sorted(small | weights | parts.names)


class _Parts(NamedTuple):
    """Files of sentence-transformers' modules; `static`: where a static embedding lies."""

    names: set
    static: str | None


def _part_files(top, small):
    """sentence-transformers keeps each module but the first in a folder of its own."""
    found = {path.relative_to(top).as_posix() for path in top.glob("*/config.json")}
    static = None
    if "modules.json" in small:
        # whoever reads texts reads it again, and says what is wrong with it
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
    """Names of the weights' files that the index of a folder names."""
    try:
        with open(top / _INDEX, "rb") as file:
            index = parse_json(file.read(LARGEST_JSON + 1), _INDEX)
        names = set(index["weight_map"].values())
        if not all(isinstance(name, str) for name in names):
            raise ValueError(f"{_INDEX} names files by what is not a string")
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{top}: its {_INDEX} cannot be used: {error!r}") from error
    for name in sorted(names):
        if len(name) > 255 or Path(name).name != name or not _is_own_file(top / name, top):
            raise FileNotFoundError(f"{top} has no {name[:255]}, which {_INDEX} names.")
        if not name.endswith(".safetensors"):
            raise ValueError(f"{top}: {_INDEX} names {name}; only safetensors files are read.")
    return names


def _is_own_file(path, folder):
    """Whether it is a regular file; ValueError if it is one outside the folder."""
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
