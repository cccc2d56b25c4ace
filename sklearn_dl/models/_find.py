"""Find the file or folder of the model that an estimator's parameter names."""

import os
import re
from pathlib import Path
from typing import Any, NamedTuple

from sklearn_dl.models._cache import model_path
from sklearn_dl.models._registry import find_model, list_models, model_card
from sklearn_dl.utils._messages import brief, shortened

_REPOSITORY = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?", re.ASCII)
_FILE = re.compile(r"\.(onnx|ort|pb|pbtxt|keras|h5|hdf5|safetensors|pt|pth|bin|zip)$", re.I)


class Found(NamedTuple):
    """Where a model was found.

    Attributes
    ----------
    path : str
        Absolute path of a file or folder that exists.
    name : str or None
        Name of the model if it is a registered one.
    """

    path: str
    name: str | None = None

    @property
    def pixels(self) -> dict[str, Any] | None:
        """Arguments of PixelExtractor that the model needs, if it is registered with them."""
        return model_card(self.name).pixels if self.name else None

    @property
    def identity(self) -> str | None:
        """Hash that identifies the content, if the file was exported on this machine.

        The bytes of an export depend on the versions of the packages that made it.
        """
        entry = find_model(self.name) if self.name else None
        return entry.identity if entry is not None and entry.export is not None else None


def find_path(model, wanted, parameter="model"):
    """Find the model that a path or name stands for.

    A path that exists comes first, then a registered model, then a repository of the Hugging Face
    hub in the user's cache, at the commit that its branch `main` points to. Nothing is downloaded.

    Parameters
    ----------
    model : str or Path
    wanted : str
        What the path should be, for the error message: "a file", "a folder".
    parameter : str, default="model"
        Name of the estimator's parameter in the message.

    Returns
    -------
    found : Found

    Raises
    ------
    FileNotFoundError
        If `model` is neither a path that exists nor a known name.
    ValueError
        If it is a URL.
    """
    name = os.fspath(model)
    if os.path.exists(name):
        return Found(os.path.abspath(name))
    if isinstance(model, str):
        if name in list_models():
            return Found(os.path.abspath(model_path(name)), name)
        snapshot = hub_snapshot(name)
        if snapshot is not None:
            return Found(os.path.abspath(snapshot))
    if "://" in name:
        raise ValueError(
            f"{parameter}={brief(name)} is a URL, and URLs are not downloaded. Download the file "
            "yourself, and pass its path."
        )
    hint = ""
    if isinstance(model, str) and _may_be_a_repository(name):
        hint = (
            " Nothing is downloaded unless you ask for it. If this is a repository of the Hugging "
            f"Face hub, call sklearn_dl.models.pin({name!r}) once: it downloads the model and "
            f"registers its commit and hashes. Or run `hf download {name}`: it puts the model into "
            "the Hugging Face cache, where this name finds it."
        )
    raise FileNotFoundError(
        shortened(
            f"{parameter}={brief(name)} is neither {wanted} nor a registered model; the registered "
            f"models are {list_models()}.{hint}"
        )
    )


def _may_be_a_repository(name):
    return bool(_REPOSITORY.fullmatch(name)) and ".." not in name and not _FILE.search(name)


def hub_snapshot(name):
    """Return the folder of a repository's `main` in the user's Hugging Face cache, or None."""
    if not _may_be_a_repository(name):
        return None
    repository = _hub_cache() / f"models--{name.replace('/', '--')}"
    try:
        commit = (repository / "refs" / "main").read_text().strip()
    except (OSError, UnicodeDecodeError):
        return None
    snapshot = repository / "snapshots" / commit
    return snapshot if re.fullmatch(r"[0-9a-f]{40}", commit) and snapshot.is_dir() else None


def _hub_cache():
    """Return the cache folder of huggingface_hub, from the environment variables that it reads."""
    variables = os.environ
    folder = variables.get("HF_HUB_CACHE") or variables.get("HUGGINGFACE_HUB_CACHE")
    if not folder:
        above = os.path.join(variables.get("XDG_CACHE_HOME") or "~/.cache", "huggingface")
        folder = os.path.join(variables.get("HF_HOME") or above, "hub")
    return Path(os.path.expandvars(os.path.expanduser(folder)))
