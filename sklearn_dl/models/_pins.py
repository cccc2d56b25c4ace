"""The list of pinned models: a file below SKLEARN_DL_HOME, for all processes of the user."""

import json
import uuid

from sklearn_dl.models._entry import ModelEntry
from sklearn_dl.models._home import home
from sklearn_dl.models._model_sources import HubSource
from sklearn_dl.utils._optional import import_optional
from sklearn_dl.utils._stamp import file_stamp

_FILE = "pins.json"
# by path: the file's stamp when it was read, and its entries
_read: dict = {}


def pinned() -> dict[str, ModelEntry]:
    """The models that were pinned on this machine, by name.

    Raises
    ------
    ValueError
        If the file is damaged.
    """
    try:
        path = home() / _FILE
        stamp = file_stamp(path)
    except (ImportError, OSError, RuntimeError):  # no platformdirs, no file or no home
        return {}
    if _read.get(path, (None,))[0] != stamp:
        _read[path] = stamp, _entries(path)
    return _read[path][1]


def _entries(path):
    try:
        facts = json.loads(path.read_bytes())
        return {name: _entry(name, **fact) for name, fact in facts.items()}
    # json raises a RecursionError for garbage such as 100,000 brackets
    except (OSError, ValueError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(
            f"{path}, which lists the pinned models, is damaged ({error}): remove this file, and "
            "pin the models again."
        ) from error


def _entry(name, *, repo_id, revision, endpoint, sha256, size, file=None, **_):
    source = HubSource(repo_id, revision, endpoint)
    return ModelEntry(name=name, source=source, sha256=sha256, size=size, file=file)


def add_pin(entry: ModelEntry) -> None:
    """Add a model for all processes, or replace the pinned model of this name."""
    filelock = import_optional("filelock", extra="models", purpose="pin")
    assert isinstance(entry.source, HubSource)
    path = home() / _FILE
    path.parent.mkdir(parents=True, exist_ok=True)
    with filelock.FileLock(path.with_suffix(".lock")):
        facts = json.loads(path.read_bytes()) if path.exists() else {}
        facts[entry.name] = {
            "repo_id": entry.source.repo_id,
            "revision": entry.source.revision,
            "endpoint": entry.source.endpoint,
            "sha256": dict(entry.sha256),
            "size": entry.size,
            "file": entry.file,
        }
        aside = path.with_name(f".{_FILE}.{uuid.uuid4().hex}")
        try:
            aside.write_text(json.dumps(facts, indent=1, sort_keys=True))
            aside.replace(path)
        finally:
            aside.unlink(missing_ok=True)
