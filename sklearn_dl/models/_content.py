"""What the contents of all kinds of models have in common."""

from typing import Any, Protocol, Self


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
