"""Pin a model of the Hugging Face hub: download it once, and check its hashes from then on."""

import hashlib
import json
import shutil
import tempfile
from contextlib import ExitStack, suppress
from dataclasses import replace
from pathlib import Path, PurePosixPath

from sklearn_dl.models._cache import keep
from sklearn_dl.models._entry import MANIFEST, ModelEntry
from sklearn_dl.models._home import home
from sklearn_dl.models._model_sources import (
    FolderSource,
    HubSource,
    ModelNotAvailableError,
    hub_client,
)
from sklearn_dl.models._pins import add_pin, pinned
from sklearn_dl.models._registry import file_digest, registered
from sklearn_dl.utils._messages import brief
from sklearn_dl.utils._optional import import_optional

# suffixes of the config and tokenizer files of a model's folder
_SMALL_FILES = (".json", ".txt", ".model", ".jinja")
_INDEX = "model.safetensors.index.json"


def pin(
    name: str, *, revision: str = "main", file: str | None = None, endpoint: str | None = None
) -> None:
    """Download a model of the Hugging Face hub, and register it for all processes of the user.

    This function contacts the hub; nothing else does so without ``download=True``. The commit that
    `revision` names now, and the hash of each file, are printed and written to a file below
    ``SKLEARN_DL_HOME``. From then on estimators find `name` offline, even in joblib's workers, and
    its files are checked against these hashes.

    Parameters
    ----------
    name : str
        Name of the repository, as ``"owner/name"``. It becomes the model's name.
    revision : str, default="main"
        Branch, tag or commit.
    file : str, default=None
        One file of the repository, such as ``"onnx/model.onnx"``, with its external data. None: the
        config, tokenizer and safetensors of a model in transformers' format. No code and no
        weights in other formats are downloaded.
    endpoint : str, default=None
        URL of the hub. None: huggingface_hub's default (``HF_ENDPOINT``). The user's access token
        is sent to the default hub only.

    Raises
    ------
    ValueError
        If a registered model has this name, or the hash of a file differs from the hash that the
        hub announced.
    ModelNotAvailableError
        If the hub refuses the download, or has no such files.
    HubUnreachableError
        If the hub cannot be reached.

    See Also
    --------
    list_models : Pinned models are among them.
    register_model : Register a model whose commit and hashes you know, for this process only.
    """
    if name in registered():
        raise ValueError(f"{name!r} is the name of a registered model, which cannot be pinned.")
    # raise errors for a bad name and a damaged list of pins before the hub is contacted
    HubSource(name, "0" * 40)
    pinned()
    hub = import_optional("huggingface_hub", extra="models", purpose="pin")
    filelock = import_optional("filelock", extra="models", purpose="pin")
    what = f"the list of files of {name}@{revision}"
    with hub_client(endpoint, what) as asked:
        info = hub.HfApi(**asked).model_info(name, revision=revision, files_metadata=True)
    if not info.sha or not info.siblings:
        raise ModelNotAvailableError(f"the hub did not answer with {what}.")
    source = HubSource(name, info.sha, endpoint)
    announced = {sibling.rfilename: sibling for sibling in info.siblings}
    folder = home()
    folder.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        stack.enter_context(filelock.FileLock(folder / ".pin.lock"))
        # leftovers of killed processes: a running one would hold the lock
        for leftover in folder.glob(".pin.files.*"):
            shutil.rmtree(leftover)
        scratch = tempfile.TemporaryDirectory(dir=folder, prefix=".pin.files.")
        folder = Path(stack.enter_context(scratch))
        files = _one_file(announced, file, source) if file else _folder(announced, source, folder)
        sha256 = {
            found: _fetch(source, announced[found], folder) for found in _checked(name, files)
        }
        size = sum((folder / found).stat().st_size for found in files)
        entry = ModelEntry(name=name, source=source, sha256=sha256, file=file, size=size)
        keep(replace(entry, source=FolderSource(folder)))
    add_pin(entry)
    print(f"Pinned {name} at commit {info.sha}, {size / 1e6:.1f} MB:")
    for found, digest in sha256.items():
        print(f"  {digest}  {found}")


def _checked(name, files):
    """Return `files`; raise a ValueError if one of them leads out of the model's folder."""
    ModelEntry(name=name, source=FolderSource("."), sha256=dict.fromkeys(files, "0" * 64))
    return files


def _fetch(source, sibling, folder):
    """Download a file if it is missing, check it, and return its sha256."""
    file = sibling.rfilename
    target = folder / file
    if not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        source.fetch(file, target, verbose=1)
    digest = file_digest(target)
    if sibling.lfs:
        seen, announced = digest, sibling.lfs.sha256
    else:  # for small files the hub announces git's hash
        content = target.read_bytes()
        seen = hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
        announced = sibling.blob_id
    if announced != seen:
        raise ValueError(
            f"wrong hash: {file} of the {source} has {seen}, but the hub announced {announced}. "
            "Nothing was pinned."
        )
    return digest


def _one_file(announced, file, source):
    """Return the names of a file and of its external data."""
    if file not in announced:
        raise ModelNotAvailableError(
            f"the {source} has no file {file!r}; it has {sorted(announced)}."
        )
    data = (f"{file}_data", f"{file}.data")
    return [name for name in sorted(announced) if name == file or name.startswith(data)]


def _folder(announced, source, folder):
    """Return the names of the files that estimators read from a model's folder."""
    names = [name for name in sorted(announced) if name != MANIFEST]
    chosen = [name for name in names if "/" not in name and name.endswith(_SMALL_FILES)]
    folders = set()
    if "modules.json" in chosen:
        _fetch(source, announced["modules.json"], folder)
        # errors are ignored here: text estimators read this file again, and report them
        with suppress(AttributeError, KeyError, TypeError, ValueError, RecursionError):
            modules = json.loads((folder / "modules.json").read_bytes())
            folders = {PurePosixPath(module["path"]).as_posix() for module in modules} - {"."}
    # the same files as in `_file_names` of _folder.py
    chosen += [name for name in names if name.count("/") == 1 and name.endswith("/config.json")]
    in_folders = ("tokenizer.json", "model.safetensors")
    chosen += [f"{folder}/{name}" for folder in sorted(folders) for name in in_folders]
    if "model.safetensors" in names:
        chosen.append("model.safetensors")
    elif _INDEX in names:
        chosen += [name for name in names if "/" not in name and name.endswith(".safetensors")]
    chosen = [name for name in chosen if name in announced]
    if not any(name.endswith(".safetensors") for name in chosen):
        raise ModelNotAvailableError(
            f"the {source} has no model.safetensors, and weights in other formats can run code; it "
            f'has {brief(names)}. Pass file="..." to pin one file, such as an ONNX graph.'
        )
    return chosen
