"""Pin a model of the Hugging Face hub: fetch it once, and know it from then on by its hashes."""

import json
import tempfile
from contextlib import suppress
from dataclasses import replace
from pathlib import Path, PurePosixPath

from sklearn_dl.models._cache import keep
from sklearn_dl.models._entry import MANIFEST, ModelEntry
from sklearn_dl.models._home import home
from sklearn_dl.models._pins import add_pin, pinned
from sklearn_dl.models._registry import file_digest, list_models
from sklearn_dl.models._sources import FolderSource, HubSource, ModelNotAvailableError, hub_client
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
    if name in list_models() and name not in pinned():
        raise ValueError(f"{name!r} is the name of a registered model, which cannot be pinned.")
    hub = import_optional("huggingface_hub", extra="models", purpose="pin")
    what = f"the list of files of {name}@{revision}"
    with hub_client(endpoint, what) as asked:
        info = hub.HfApi(**asked).model_info(name, revision=revision, files_metadata=True)
    source = HubSource(name, info.sha, endpoint)
    announced = {s.rfilename: s.lfs and s.lfs.sha256 for s in info.siblings}
    folder = home()
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder, prefix=".pin.") as scratch:
        place = Path(scratch)
        files = _one_file(announced, file, source) if file else _folder(announced, source, place)
        sha256 = {}
        for found in files:
            _fetch(source, found, place)
            sha256[found] = file_digest(place / found)
            if announced[found] not in (None, sha256[found]):
                raise ValueError(
                    f"wrong checksum: {found} of the {source} has sha256 {sha256[found]}, the hub "
                    f"announced {announced[found]}. Nothing was pinned."
                )
        size = sum((place / found).stat().st_size for found in files)
        entry = ModelEntry(name=name, source=source, sha256=sha256, file=file, size=size)
        keep(replace(entry, source=FolderSource(place)))
    add_pin(entry)
    print(f"Pinned {name} at commit {info.sha}, {size / 1e6:.1f} MB:")
    for found, digest in sha256.items():
        print(f"  {digest}  {found}")


def _fetch(source, file, place):
    target = place / file
    if not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        source.fetch(file, target, progress=True)


def _one_file(announced, file, source):
    """A file and its external data."""
    if file not in announced:
        raise ModelNotAvailableError(
            f"the {source} has no file {file!r}; it has {sorted(announced)}."
        )
    return [name for name in sorted(announced) if name == file or name.startswith(f"{file}_data")]


def _folder(announced, source, place):
    """The files that estimators read of a model in transformers' format."""
    names = [name for name in sorted(announced) if name != MANIFEST]
    chosen = [name for name in names if "/" not in name and name.endswith(_SMALL_FILES)]
    folders = set()
    if "modules.json" in chosen:
        _fetch(source, "modules.json", place)
        # whoever reads texts reads it again, and says what is wrong with it
        with suppress(AttributeError, KeyError, TypeError, ValueError):
            modules = json.loads((place / "modules.json").read_bytes())
            folders = {PurePosixPath(module["path"]).as_posix() for module in modules} - {"."}
    in_folders = ("config.json", "tokenizer.json", "model.safetensors")
    chosen += [f"{folder}/{name}" for folder in sorted(folders) for name in in_folders]
    if "model.safetensors" in names:
        chosen.append("model.safetensors")
    elif _INDEX in names:
        chosen += [name for name in names if "/" not in name and name.endswith(".safetensors")]
    chosen = [name for name in chosen if name in announced]
    if not any(name.endswith(".safetensors") for name in chosen):
        raise ModelNotAvailableError(
            f"the {source} has no safetensors, and other weights can run code; it has {names}. "
            'Give file="..." for one file, such as an ONNX graph.'
        )
    return chosen
