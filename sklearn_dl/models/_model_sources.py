"""Where the files of a model come from: an installed package, a folder, a hub."""

import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from sklearn_dl.utils._optional import import_optional


class ModelNotAvailableError(OSError):
    """The files of a model are not on this machine, and were not downloaded."""


class HubUnreachableError(ModelNotAvailableError):
    """During a download, the hub did not answer or did not send the whole file."""


@dataclass(frozen=True)
class PackageSource:
    """A folder inside an installed package; the package is never imported.

    `extra` is the extra of sklearn-dl that installs the package.
    """

    distribution: str
    version: str
    folder: str
    extra: str = "models"

    def __str__(self) -> str:
        return f"package {self.distribution}=={self.version}"

    def fetch(self, file: str, target: Path, verbose: int = 0) -> None:
        try:
            distribution = metadata.distribution(self.distribution)
        except metadata.PackageNotFoundError as error:
            raise ImportError(
                f'{self.distribution} is not installed: pip install "sklearn-dl[{self.extra}]"'
            ) from error
        path = Path(str(distribution.locate_file(f"{self.folder}/{file}")))
        if not path.is_file():
            raise FileNotFoundError(
                f"{self.distribution} {distribution.version} has no file {path}: "
                f'pip install --force-reinstall "{self.distribution}=={self.version}"'
            )
        shutil.copyfile(path, target)


@dataclass(frozen=True)
class FolderSource:
    """A folder on this machine.

    Parameters
    ----------
    folder : str or Path
        The folder. Its files are copied into the cache when the model is first used.
    """

    folder: str | Path

    def __post_init__(self) -> None:
        object.__setattr__(self, "folder", Path(self.folder).expanduser().absolute())

    def __str__(self) -> str:
        return f"folder {self.folder}"

    def fetch(self, file: str, target: Path, verbose: int = 0) -> None:
        shutil.copyfile(Path(self.folder, file), target)


@dataclass(frozen=True)
class HubSource:
    """A repository of a Hugging Face hub at one commit.

    Parameters
    ----------
    repo_id : str
        ``"owner/name"``.
    revision : str
        The full commit, 40 hexadecimal digits. Branches and tags are refused, because they can
        move to other commits.
    endpoint : str, default=None
        URL of the hub. None: huggingface_hub's default (``HF_ENDPOINT``). The user's access token
        is sent to the default hub only.
    """

    repo_id: str
    revision: str
    endpoint: str | None = None

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[A-Za-z0-9][\w.-]*(/[\w.-]+)?", self.repo_id, re.ASCII):
            raise ValueError(f"repo_id must look like 'owner/name', got {self.repo_id!r}")
        if not re.fullmatch(r"[0-9a-f]{40}", self.revision):
            raise ValueError(
                f"revision must be a full commit (40 hexadecimal digits), got {self.revision!r}: "
                "branches and tags can move to other commits. The hub shows the commit under "
                "'Files and versions'."
            )

    def __str__(self) -> str:
        return f"hub repository {self.repo_id}@{self.revision}"

    def fetch(self, file: str, target: Path, verbose: int = 0) -> None:
        """Download `file` to the path `target`; show a bar if `verbose`."""
        purpose = f"downloading {self}"
        hub = import_optional("huggingface_hub", extra="models", purpose=purpose)
        utils = import_optional("huggingface_hub.utils", extra="models", purpose=purpose)

        class NoBar(utils.tqdm):  # type: ignore[name-defined]
            def __init__(self, *args, **kwargs):
                super().__init__(*args, **{**kwargs, "disable": True})

        with (
            tempfile.TemporaryDirectory(dir=target.parent) as scratch,
            hub_client(self.endpoint, f"{file} of {self}") as asked,
        ):
            path = hub.hf_hub_download(
                self.repo_id,
                file,
                revision=self.revision,
                # without it, the user's cache would be read in spite of local_dir
                cache_dir=Path(scratch, "cache"),
                local_dir=Path(scratch, "files"),
                tqdm_class=None if verbose else NoBar,
                **asked,
            )
            shutil.move(path, target)


@contextmanager
def hub_client(endpoint: str | None, what: str) -> Iterator[dict]:
    """Yield arguments for huggingface_hub's functions; turn their errors into this package's.

    Parameters
    ----------
    endpoint : str or None
        URL of the hub. None: huggingface_hub's default; no other hub gets the user's token.
    what : str
        What is downloaded, in messages.
    """
    constants = import_optional("huggingface_hub.constants", extra="models", purpose=what)
    address = endpoint or constants.ENDPOINT
    try:
        with _no_telemetry(constants):
            yield {"endpoint": address, "token": None if endpoint is None else False}
    # huggingface_hub raises its own errors and those of httpx and xet, which differ by version
    except Exception as error:
        answer = getattr(error, "response", None)
        if answer is not None and answer.status_code < 500:
            raise ModelNotAvailableError(f"{address} refuses {what}: {error}") from error
        raise HubUnreachableError(
            f"{what} could not be downloaded from {address}: check the connection, HF_ENDPOINT and "
            "HF_HUB_OFFLINE, or download the files elsewhere and register their folder. "
            f"{type(error).__name__}: {error}"
        ) from error


@contextmanager
def _no_telemetry(constants) -> Iterator[None]:
    before = constants.HF_HUB_DISABLE_TELEMETRY
    constants.HF_HUB_DISABLE_TELEMETRY = True
    try:
        yield
    finally:
        constants.HF_HUB_DISABLE_TELEMETRY = before
