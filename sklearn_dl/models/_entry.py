"""What the registry knows about one model."""

import hashlib
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any

from sklearn_dl.models._model_sources import FolderSource, HubSource, PackageSource

MANIFEST = "manifest.json"


@dataclass(frozen=True, kw_only=True)
class ModelEntry:
    """A registered model.

    `sha256` maps each file of the source to its hash. `file` is the file whose path `model_path`
    returns (None: the path of the folder). `export(source, target)` writes `file` from the checked
    files; a new `export_version` makes exports in existing caches obsolete. `network(source)` makes
    the torch module, up to its features, from which `file` was exported; its weights are random if
    `source` is None. `pixels` are arguments of PixelExtractor.
    """

    name: str
    source: PackageSource | FolderSource | HubSource
    sha256: Mapping[str, str]
    file: str | None = None
    export: Callable[[Path, Path], None] | None = None
    export_version: int = 1
    network: Callable[[Path | None], Any] | None = None
    pixels: Mapping[str, Any] | None = None
    task: str | None = None
    license: str | None = None
    size: int | None = None
    inputs: Mapping[str, str] | None = None
    outputs: Mapping[str, str] | None = None
    preprocessing: str | None = None
    labels: tuple[str, ...] | None = None
    homepage: str | None = None

    def __post_init__(self) -> None:
        """Raise a ValueError if the name, a file's name or a hash is not valid."""
        part = r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}"
        if not re.fullmatch(f"{part}(/{part})?", self.name):
            raise ValueError(
                "a model's name is one part, or two parts with a slash between them; each part is "
                "1 to 100 letters, digits, '.', '_' or '-', and starts with a letter or digit. Got "
                f"{self.name!r}"
            )
        if not self.sha256:
            raise ValueError(f"model {self.name!r} has no files")
        for file, digest in self.sha256.items():
            parts = PurePosixPath(file).parts
            if not parts or ".." in parts or "/".join(parts) != file or re.search(r"[\\:]", file):
                raise ValueError(
                    f"a file's name is not a relative path with forward slashes: {file!r}"
                )
            if file == MANIFEST:
                raise ValueError(f"a file of a model cannot be called {MANIFEST}")
            if not re.fullmatch(r"[0-9a-f]{64}", digest):
                raise ValueError(f"sha256 of {file} must be 64 hexadecimal digits, got {digest!r}")
        if self.export is None and self.file is not None and self.file not in self.sha256:
            raise ValueError(f"file must be one of {sorted(self.sha256)}, got {self.file!r}")

    @property
    def identity(self) -> str:
        """Hash of the files of the source. Files that were exported from them may differ."""
        text = json.dumps(["exported", self.file, dict(self.sha256)], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()

    @cached_property
    def key(self) -> str:
        """The key of the files in the cache; it does not depend on their source."""
        recipe = None if self.export is None else [self.file, self.export_version]
        text = json.dumps([dict(self.sha256), recipe], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]
