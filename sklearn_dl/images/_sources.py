"""Sources of lazy images that are neither local files nor pixels, and the names of all sources."""

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np
from PIL import Image


class EncodedSource(ABC):
    """An encoded file that has a name, and is not a local file. It is immutable and picklable."""

    __slots__ = ()
    name: str

    @abstractmethod
    def read(self, max_bytes):
        """Return the content of the file.

        Parameters
        ----------
        max_bytes : int or None
            Largest size of a file that is read. None: any.

        Returns
        -------
        content : bytes

        Raises
        ------
        OSError or ValueError
            If it cannot be read.
        """


@dataclass(frozen=True, slots=True)
class NamedBytes(EncodedSource):
    """The bytes of an encoded file, and the name that a table gives it."""

    name: str
    content: bytes

    def read(self, max_bytes):
        return self.content


def describe(source):
    """Return a short description of a source, for a message or a repr."""
    if isinstance(source, str):
        return repr(source)
    if isinstance(source, EncodedSource):
        return repr(source.name)
    if isinstance(source, bytes):
        return f"<{len(source)} bytes>"
    if isinstance(source, np.ndarray):
        return f"<array {' x '.join(map(str, source.shape))}>"
    if isinstance(source, Image.Image):
        return f"<PIL image {source.size[0]} x {source.size[1]}>"
    return f"<{type(source).__name__}>"


def source_name(source):
    """Return the `source` of a RowError: the path or URL, or a description of other sources."""
    if isinstance(source, EncodedSource):
        return source.name
    return source if source is None or isinstance(source, str) else describe(source)
