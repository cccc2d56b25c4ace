"""Pin a model of the Hugging Face hub: fetch it once, and know it from then on by its hashes."""

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

# config and tokenizer of a model's folder
_SMALL_FILES = (".json", ".txt", ".model", ".jinja")
_INDEX = "model.safetensors.index.json"


def pin(
    name: str, *, revision: str = "main", file: str | None = None, endpoint: str | None = None
) -> None:
    """Download a model of the Hugging Face hub, and register it for all processes of the user.

    This asks the hub, which nothing else does without ``download=True``. The commit that
    `revision` names now, and the hash of each file, are written to a file below
    ``SKLEARN_DL_HOME``. From then on `name` is found by estimators, also in joblib's workers,
    without a network; its files are checked against these hashes. What was pinned is printed.

    Parameters
    ----------
    name : str
        Of the repository, as ``"owner/name"``. It becomes the model's name.
    revision : str, default="main"
        Branch, tag or commit.
    file : str, default=None
        One file of the repository, such as ``"onnx/model.onnx"``, with its external data. None: the
        config, tokenizer and safetensors of a model in transformers' format. No code and no
        weights in other formats are downloaded.
    endpoint : str, default=None
        Address of the hub; None is huggingface_hub's own (``HF_ENDPOINT``). The user's access
        token is sent to the default hub only.

    Raises
    ------
    ValueError
        If the name is another model's, or a file is not the one that the hub has announced.
    ModelNotAvailableError
        If the hub refuses, or has no such files.
    HubUnreachableError
        If the hub cannot be reached.

    See Also
    --------
    list_models : Pinned models are among them.
    register_model : Registers a commit and hashes that you know, for this process.
    """
    if name in registered():
        raise ValueError(f"{name!r} is the name of a registered model, which cannot be pinned.")
    # a bad name and a damaged list of pins raise before anything is asked
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
        # of processes that were killed: a living one would hold the lock
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
    """Names of files, of which none leads out of the model's folder; a ValueError otherwise."""
    ModelEntry(name=name, source=FolderSource("."), sha256=dict.fromkeys(files, "0" * 64))
    return files


def _fetch(source, sibling, folder):
    """Download a file that is not there yet, and check it: its sha256."""
    file = sibling.rfilename
    target = folder / file
    if not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        source.fetch(file, target, progress=True)
    digest = file_digest(target)
    if sibling.lfs:
        seen, announced = digest, sibling.lfs.sha256
    else:  # of small files the hub knows git's hash
        content = target.read_bytes()
        seen = hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
        announced = sibling.blob_id
    if announced != seen:
        raise ValueError(
            f"wrong checksum: {file} of the {source} has {seen}, the hub announced {announced}. "
            "Nothing was pinned."
        )
    return digest


def _one_file(announced, file, source):
    """A file and its external data."""
    if file not in announced:
        raise ModelNotAvailableError(
            f"the {source} has no file {file!r}; it has {sorted(announced)}."
        )
    data = (f"{file}_data", f"{file}.data")
    return [name for name in sorted(announced) if name == file or name.startswith(data)]


def _folder(announced, source, folder):
    """The files that estimators read of a model in transformers' format."""
    names = [name for name in sorted(announced) if name != MANIFEST]
    chosen = [name for name in names if "/" not in name and name.endswith(_SMALL_FILES)]
    folders = set()
    if "modules.json" in chosen:
        _fetch(source, announced["modules.json"], folder)
        # whoever reads texts reads it again, and says what is wrong with it
        with suppress(AttributeError, KeyError, TypeError, ValueError, RecursionError):
            modules = json.loads((folder / "modules.json").read_bytes())
            folders = {PurePosixPath(module["path"]).as_posix() for module in modules} - {"."}
    # as `FolderContent` counts them
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
            f'has {brief(names)}. Give file="..." for one file, such as an ONNX graph.'
        )
    return chosen
