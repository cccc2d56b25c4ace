"""Files in stores, which fsspec reads: objects of S3, members of a zip archive, and the like."""

import errno
import os
import pickle
import re
import sys
import zlib
from contextlib import nullcontext
from dataclasses import dataclass
from functools import lru_cache
from tarfile import TarError
from threading import Lock
from typing import Any
from urllib.parse import unquote
from weakref import WeakValueDictionary
from zipfile import BadZipFile

from sklearn_dl.images._faults import machine_fault
from sklearn_dl.images._files import is_url
from sklearn_dl.images._sources import EncodedSource
from sklearn_dl.utils._memos import also_clear
from sklearn_dl.utils._optional import import_optional

_IMPORTED_IN = os.getpid()
# errors that say something about one file; archives raise the last four for a damaged member
_ABOUT_THE_FILE = (
    FileNotFoundError,
    IsADirectoryError,
    NotADirectoryError,
    PermissionError,
    ValueError,
    KeyError,
    EOFError,
    BadZipFile,
    TarError,
    zlib.error,
)
# HTTP status codes: unauthorized, request timeout, too many requests
_ABOUT_THE_STORE = {401, 408, 429}


@dataclass(frozen=True, slots=True)
class StoredFile(EncodedSource):
    """A file in a store: its URL, its path in the filesystem, and the store."""

    name: str
    path: str
    store: "Store"

    def read(self, max_bytes):
        return self.store.read(self.path, max_bytes)


class Store:
    """A filesystem of fsspec that works in every thread and process.

    Each process creates the filesystem when it first uses it, and all its threads share it. After
    a fork, the new process creates its own.

    Parameters
    ----------
    filesystem : dict or fsspec filesystem
        Its protocol and options, or an instance.
    """

    def __init__(self, filesystem):
        self.given = filesystem
        self._opened: dict = {}

    def check(self, root):
        """Open the filesystem, and raise the errors that do not concern a single file.

        Parameters
        ----------
        root : str, Path or None
            As in `find`.

        Raises
        ------
        Exception
            Any error with which the filesystem cannot be opened.
        ValueError
            If `root` belongs to another filesystem.
        """
        filesystem = self._here().get(self.given)
        if root is not None and is_url(os.fspath(root)):
            _check_url(os.fspath(root), filesystem)

    def find(self, path, root=None):
        """Return the StoredFile of a path, without checking that it exists.

        Parameters
        ----------
        path : str
            A URL, or a path inside the filesystem. With `root`, a path is relative to it.
        root : str, Path or None
            URL or path of the folder that must contain the file.

        Raises
        ------
        ValueError
            If the path is empty, belongs to another filesystem, or leaves `root`.
        """
        if not path:
            raise ValueError("the path is empty")
        if re.search(r"[\0-\x1f]", path):  # clients of HTTP remove some of them
            raise ValueError(f"the path {path!r} contains a control character")
        filesystem = self._here().get(self.given)
        if is_url(path):
            _check_url(path, filesystem)
        inner = filesystem._strip_protocol(path)
        if root is not None:
            base = filesystem._strip_protocol(os.fspath(root)).rstrip("/")
            start = f"{base}/" if base else ""
            if not is_url(path):
                inner = filesystem._strip_protocol(start + path)
            # servers may decode %2e, and Windows has backslashes
            leaves = ".." in re.split(r"[/\\]", unquote(path)) or not inner.startswith(start)
            if leaves or path.startswith("/"):
                raise ValueError(
                    f"{path!r} leaves root={os.fspath(root)!r}; pass a URL that begins with it, or "
                    "a path that is relative to it and stays inside"
                )
        return StoredFile(path if is_url(path) else filesystem.unstrip_protocol(inner), inner, self)

    def read(self, path, max_bytes):
        """Return the content of a file; a larger file than `max_bytes` is an error."""
        outside = sys.exception()
        try:
            opened = self._here()
            filesystem = opened.get(self.given)
        except Exception as error:  # this process may not have called `check`
            raise _fault("the store cannot be opened", error) from error
        end = None if max_bytes is None else max_bytes + 1
        with opened.turn(filesystem):
            try:
                # `cat_file` makes one request, `open` two; and threads may share the file
                content = bytes(filesystem.cat_file(path, start=0, end=end))
            except Exception as error:
                if machine_fault(error, outside):
                    raise
                if isinstance(error, FileNotFoundError):
                    raise FileNotFoundError(f"it does not exist ({error})") from error
                if _is_empty(filesystem, path):
                    return b""
                if _is_about_the_file(error):
                    raise ValueError(str(error)) from error
                raise _fault("the store failed", error) from error
        if max_bytes is not None and len(content) > max_bytes:
            raise ValueError(
                f"it has more than {max_bytes} bytes, too many for max_pixels. Increase "
                "ImageLoader's max_pixels if the file can be trusted"
            )
        return content

    def _here(self):
        """Return the _Opened of this process."""
        process = os.getpid()
        if isinstance(self.given, dict):
            fsspec = _fsspec()
            # an archive may be replaced: each column opens it again
            if fsspec.get_filesystem_class(self.given["protocol"]).cachable:
                return _shared(process, fsspec.utils.tokenize(self.given))
        return self._opened.setdefault(process, _Opened())

    def __reduce__(self):
        check_pickles(self.given)
        return _store, (self.given,)


class _Opened:
    """A filesystem in one process, created when it is first used."""

    def __init__(self):
        self._making, self._reading = Lock(), Lock()
        self._filesystem: Any = None

    def get(self, given):
        with self._making:
            if self._filesystem is None:
                self._filesystem = _make(given)
        return self._filesystem

    def turn(self, filesystem):
        """Return the context in which a thread reads.

        It is a lock if the filesystem is not asynchronous: such filesystems may not be thread-safe.
        """
        while filesystem is not None:
            if not type(filesystem).async_impl:
                return self._reading
            filesystem = getattr(filesystem, "fs", None)  # the one that it wraps
        return nullcontext()


def store_of(filesystem):
    """Return the Store of the parameter `filesystem`, or None for local files.

    Parameters
    ----------
    filesystem : dict, fsspec filesystem or None

    Raises
    ------
    ImportError
        If fsspec, or the package that it needs for this protocol, is not installed.
    ValueError
        If a dict has no protocol, or one that fsspec does not know.
    """
    kind = filesystem
    if isinstance(filesystem, dict):
        if not isinstance(filesystem.get("protocol"), str):
            raise ValueError(
                "filesystem is a dict without the protocol of a filesystem. Add the protocol, as "
                "in {'protocol': 's3'}; the other items are the filesystem's options."
            )
        kind = _fsspec().get_filesystem_class(filesystem["protocol"])
    if kind is None or "file" in _protocols(kind):
        return None
    return _store(filesystem)


def file_of(opened):
    """Return the StoredFile of a file that fsspec opened: an OpenFile, or a file of a store.

    Raises
    ------
    ValueError
        If it is compressed.
    """
    if getattr(opened, "compression", None):
        raise ValueError(
            f"it is an OpenFile with compression={opened.compression!r}; read it, and pass its "
            "bytes"
        )
    return StoredFile(opened.full_name, opened.path, _store(opened.fs))


def check_pickles(filesystem):
    """Raise a TypeError that gives advice if a filesystem cannot be pickled."""
    if filesystem is not None and not isinstance(filesystem, dict):
        _pickled(filesystem)


def _pickled(filesystem):
    try:
        return pickle.dumps(filesystem)
    except Exception as error:
        raise TypeError(
            f"ImageLoader's filesystem {type(filesystem).__name__} cannot be pickled ({error}). "
            "Pass its protocol and options as a dict, which can be pickled: "
            f"filesystem={{'protocol': {_protocols(filesystem)[0]!r}, ...}}"
        ) from error


def byte_limit(max_pixels):
    """Return the largest number of bytes that are read of a file in a store.

    Such a file is read whole, before the size of its image can be checked.
    """
    return None if max_pixels is None else max(2**26, 20 * max_pixels)


def _fsspec():
    return import_optional("fsspec", extra="stores", purpose="ImageLoader(filesystem=...)")


def _protocols(filesystem):
    names = filesystem.protocol
    return (names,) if isinstance(names, str) else tuple(names)


def _check_url(url, filesystem):
    """Raise an error if a URL belongs to another filesystem."""
    # a filesystem that caches files accepts the URLs of the filesystem behind it
    target = filesystem.fs if hasattr(filesystem, "target_protocol") else filesystem
    protocols = dict.fromkeys(_protocols(filesystem) + _protocols(target))
    if url.partition("://")[0] not in protocols:
        raise ValueError(
            f"{url!r} is not in the filesystem of ImageLoader, whose URLs begin with "
            f"{' or '.join(f'{name}://' for name in protocols)}"
        )
    if "::" in url:
        raise ValueError(
            f"{url!r} is a chain of URLs, which would choose its own filesystems. Pass the path "
            "inside the filesystem of ImageLoader, without '://'"
        )
    for name, value in target._get_kwargs_from_urls(url).items():
        own = target.storage_options.get(name, getattr(target, name, None))
        if own is not None and own != value:
            raise ValueError(
                f"{url!r} has the {name} {value!r}, but ImageLoader's filesystem has a different "
                "one"
            )


# id of an instance -> its Store, so that all columns share one lock
_stores: WeakValueDictionary = WeakValueDictionary()


def _store(given):
    if isinstance(given, dict):
        return Store(dict(given))
    return _stores.setdefault(id(given), Store(given))


@also_clear
@lru_cache(maxsize=16)
def _shared(process, token):
    return _Opened()


def _make(given):
    if isinstance(given, dict):
        return _fsspec().filesystem(**given)
    if os.getpid() == _IMPORTED_IN:
        return given
    # connections and open files that were made before a fork must not be used after it
    return pickle.loads(_pickled(given))


def _fault(what, error):
    """Return the error of a store that fails, as one that `machine_fault` recognises."""
    return OSError(errno.EIO, f"{what}: {type(error).__name__}: {error}")


def _is_empty(filesystem, path):
    """Whether a file is empty: then stores refuse to read a range of its bytes."""
    try:
        return filesystem.size(path) == 0
    except Exception:  # the caller then reports the error of the read
        return False


def _is_about_the_file(error):
    if type(error).__name__ == "ParamValidationError":  # botocore: the bucket's name is invalid
        return True
    status = getattr(error, "status", None)  # an HTTP status code
    if isinstance(status, int):
        return 400 <= status < 500 and status not in _ABOUT_THE_STORE
    # `machine_fault` has looked at the error numbers
    known = isinstance(error, OSError) and error.errno is not None
    return known or isinstance(error, _ABOUT_THE_FILE)
