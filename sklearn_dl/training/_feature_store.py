"""The file that keeps features of images and texts, so that they are computed once."""

import os
import sqlite3
from contextlib import closing
from functools import lru_cache
from hashlib import sha256
from pathlib import Path

import numpy as np

from sklearn_dl.utils._memos import also_clear
from sklearn_dl.utils._messages import brief, warn_user
from sklearn_dl.utils._stamp import file_stamp

# enough for 1,280 features of each of about 400,000 images; the oldest rows of a larger file are
# deleted
MAX_BYTES = 2 * 2**30
# how long to wait for another process that writes its rows
_SECONDS_TO_WAIT = 10.0
_ROWS_AT_ONCE = 1000
# SQLite before 3.32 takes at most this number of values in one statement
_KEYS_AT_ONCE = 999


class FeatureStore:
    """Features of inputs, kept in a file. Their key is a hash of everything that they depend on.

    The file is an SQLite database: several processes may read and write it at once. Each of its
    rows has a checksum of its key and features. If the file is damaged, locked or cannot be
    written, this object warns once, and from then on it neither finds nor keeps features. Other
    objects of the process still try that file; as long as its stamp is the same, they do not wait
    for a lock and do not warn again.

    Parameters
    ----------
    location : str or Path
        The folder of a joblib.Memory; the file is in its subfolder ``sklearn_dl``.
    depends_on : tuple
        Everything other than the input that the features depend on.
    dtype : str, default="<f4"
        The type in which features are stored: float32, or "<f2" for float16.
    """

    def __init__(self, location, depends_on, dtype="<f4"):
        self.path = Path(location, "sklearn_dl", "features.sqlite")
        self._depends_on = repr(depends_on).encode()
        self._dtype = np.dtype(dtype)
        self._in_use, self._has_warned = True, False

    def key(self, digest):
        """The key of the features of an input whose hash is `digest` (bytes)."""
        return sha256(self._depends_on + digest).digest()

    def load(self, keys):
        """The undamaged features that the file has for some keys: dict of key to float32 array."""
        found: dict = {}
        n_damaged = 0

        def read(database):
            nonlocal n_damaged
            for key, width, value, checksum in _rows_of(database, list(set(keys) - {None})):
                whole = type(value) is bytes and checksum == _checksum(key, value)
                if whole and width == len(value) / self._dtype.itemsize:
                    array = np.frombuffer(value, dtype=self._dtype)
                    found[key] = array.astype(self._dtype.newbyteorder("="))
                else:
                    n_damaged += 1

        self._try(read)
        if n_damaged:
            self._warn(
                f"{n_damaged} of {len(keys)} rows in {self.path} are damaged: their features are "
                "computed again."
            )
        return found

    def save(self, features):
        """Write features to the file: dict of key to float32 array."""
        rows = [
            (key, len(row), value, _checksum(key, value))
            for key, row in features.items()
            if key is not None
            for value in [row.astype(self._dtype).tobytes()]
        ]

        def write(database):
            for start in range(0, len(rows), _ROWS_AT_ONCE):
                with database:
                    database.executemany(
                        "INSERT OR REPLACE INTO features VALUES (?, ?, ?, ?)",
                        rows[start : start + _ROWS_AT_ONCE],
                    )
                    _evict(database)

        if rows:
            self._try(write)

    def _try(self, work):
        """Call ``work(database)``; after an error, warn and do not use the file again."""
        if not self._in_use:
            return
        unusable = _unusable_stamps(os.path.abspath(self.path))
        is_known = _stamp(self.path) in unusable
        seconds = 0.0 if is_known else _SECONDS_TO_WAIT
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with closing(sqlite3.connect(self.path, timeout=seconds)) as database:
                _make_table(database)
                work(database)
        except (sqlite3.Error, OSError) as error:
            self._in_use = False
            unusable.add(_stamp(self.path))
            if not is_known:
                self._warn(
                    f"The features in {self.path} cannot be used ({error}): features are computed "
                    "and not kept. If the file is damaged, remove it."
                )

    def _warn(self, message):
        if not self._has_warned:
            self._has_warned = True
            warn_user(message)


@also_clear
@lru_cache(maxsize=100)
def _unusable_stamps(path):
    """The stamps that the file at `path` had when it could not be used, as a set to add to."""
    return set()


def _stamp(path):
    """The stamp of a file; None if the file does not exist."""
    try:
        return file_stamp(path)
    except OSError:
        return None


def _rows_of(database, keys):
    """Yield the rows that the database has for `keys`, as (key, width, value, checksum)."""
    for start in range(0, len(keys), _KEYS_AT_ONCE):
        some = keys[start : start + _KEYS_AT_ONCE]
        marks = ", ".join("?" * len(some))
        yield from database.execute(
            f"SELECT key, width, value, checksum FROM features WHERE key IN ({marks})", some
        )


def _make_table(database):
    columns = [column for _, column, *_ in database.execute("PRAGMA table_info(features)")]
    if columns == ["key", "value"]:  # an older version wrote it, without checksums
        database.execute("DROP TABLE features")
    database.execute(
        "CREATE TABLE IF NOT EXISTS features "
        "(key BLOB PRIMARY KEY, width INTEGER, value BLOB, checksum BLOB)"
    )


def _checksum(key, value):
    return sha256(key + value).digest()


def _evict(database):
    """Remove the oldest rows if the file contains more than `MAX_BYTES`."""
    (page_size,), (n_pages,), (n_free,) = (
        database.execute(f"PRAGMA {name}").fetchone()
        for name in ("page_size", "page_count", "freelist_count")
    )
    size = page_size * (n_pages - n_free)
    if size <= MAX_BYTES:
        return
    # remove rows until nine tenths of the limit are left, so that not every call has to remove some
    (n_rows,) = database.execute("SELECT count(*) FROM features").fetchone()
    n_oldest = int(n_rows * (1 - 0.9 * MAX_BYTES / size)) + 1
    database.execute(
        "DELETE FROM features WHERE rowid IN (SELECT rowid FROM features ORDER BY rowid LIMIT ?)",
        (n_oldest,),
    )


def memory_location(memory):
    """The folder of a `memory` parameter, which is a path, a joblib.Memory or None.

    Returns
    -------
    location : str, Path or None

    Raises
    ------
    ValueError
        If `memory` is an object without a `location`, or a string that cannot be a path.
    """
    is_path = memory is None or isinstance(memory, (str, os.PathLike))
    if not is_path and not hasattr(memory, "location"):
        raise ValueError(
            f"memory={memory!r} has no folder to keep features in: set a path, a joblib.Memory or "
            "None."
        )
    location = memory if is_path else memory.location
    if location is None:
        return None
    try:
        _stamp(location)
    except ValueError as error:  # a null character, or half of a surrogate pair
        raise ValueError(
            f"memory={brief(memory)} is not a path ({error}): set a folder for the features."
        ) from error
    return location
