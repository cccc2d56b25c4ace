"""What every kind of model is, once it is found: its bytes or files, known by a hash."""

from typing import Any, Protocol, Self


class ModelContent(Protocol):
    """The content of a model, wherever it came from.

    Attributes
    ----------
    sha256 : str
        Of all that counts: of the file, of its external data, or of the files of the folder.
    data : bytes, dict of bytes or None
        In memory; None: it is read from where it was found, when it is needed.
    """

    @property
    def sha256(self) -> str: ...

    @property
    def data(self) -> Any: ...

    @property
    def name(self) -> str:
        """Where it came from, for messages."""
        ...

    def n_bytes(self) -> int:
        """Of all its files together."""
        ...

    def for_pickle(self, embed: bool) -> Self:
        """Itself with all of its data in memory (`embed`), or its hash alone."""
        ...
