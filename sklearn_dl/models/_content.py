"""ModelContent: what the content of a model offers, whatever the kind of model."""

from collections.abc import Callable
from typing import Any, Protocol, Self, TypeVar
from weakref import WeakValueDictionary

T = TypeVar("T")
# contents for pickles that are being made, by type and hash
_embedded: WeakValueDictionary[tuple, Any] = WeakValueDictionary()


def embedded(content: T, read: Callable[[], T]) -> T:
    """Return the content with all of its data, which `read` returns.

    While this object is in use, later calls for the same content return it as well. So a pickle
    that contains several estimators, or one estimator several times, contains their model once.
    """
    key = type(content), content.sha256  # type: ignore[attr-defined]
    found = _embedded.get(key)
    if found is None:
        found = _embedded[key] = read()
    return found


class ModelContent(Protocol):
    """The bytes or files of a model that was found, or only their hash.

    Attributes
    ----------
    sha256 : str
        Hash of the file with its external data, or of the files of the folder.
    data : bytes, dict of bytes or None
        The content in memory. None: it is read from its file or folder when it is needed, or
        only its hash is known.
    """

    @property
    def sha256(self) -> str: ...

    @property
    def data(self) -> Any: ...

    @property
    def name(self) -> str:
        """Where the content came from, for messages."""
        ...

    def n_bytes(self) -> int:
        """Size of all its files together, in bytes."""
        ...

    def for_pickle(self, embed: bool) -> Self:
        """Return the content with all of its data in memory (`embed`), or with its hash only."""
        ...
