"""Feature maps of images, which a fit keeps in a temporary file."""

import tempfile
from threading import Lock

import numpy as np

# the largest number in float16
_LARGEST = float(np.finfo(np.float16).max)


class MapsFile:
    """A temporary file of feature maps in float16. It is deleted when it is closed.

    The file has no name in the file system (on Windows, it is deleted with its last handle), so
    nothing is left behind if the process is killed.
    """

    def __init__(self):
        self._file = tempfile.TemporaryFile(prefix="sklearn-dl-")  # noqa: SIM115
        self._lock = Lock()
        self._end = 0

    def write(self, values):
        """Append a 1-D array of float16; return where it starts, in bytes."""
        with self._lock:
            start = self._end
            self._file.seek(start)
            try:
                self._file.write(values.tobytes())
            except OSError as error:
                raise OSError(
                    error.errno,
                    f"{error.strerror}: the temporary file of feature maps, which has {start:,} "
                    f"bytes so far, cannot grow in {tempfile.gettempdir()}. Set the environment "
                    "variable TMPDIR to a larger folder, or a smaller image_size",
                ) from error
            self._end += values.nbytes
        return start

    def read(self, start, n_values):
        """Return `n_values` numbers of the file, as a 1-D array of float16."""
        with self._lock:
            self._file.seek(start)
            content = self._file.read(2 * n_values)
        return np.frombuffer(content, dtype=np.float16)

    def close(self):
        self._file.close()


class StoredMaps:
    """The feature maps of some rows, in a MapsFile.

    Parameters
    ----------
    file : MapsFile
    starts : int ndarray of shape (n_rows,)
        Where the maps of each row start in the file; -1 if the row failed.
    canvases : int ndarray of shape (n_rows, 2)
        (width, height) of the canvas of each row.
    sizes : list of (n_channels, stride)
        The maps of a row, in their order.
    """

    def __init__(self, file, starts, canvases, sizes):
        self.file, self.starts, self.canvases, self.sizes = file, starts, canvases, sizes

    def __len__(self):
        return len(self.starts)

    def __getitem__(self, positions):
        return StoredMaps(self.file, self.starts[positions], self.canvases[positions], self.sizes)

    def read(self, positions):
        """The maps of rows with equal canvases: a list of float32 ndarray of shape (n, C, h, w)."""
        width, height = self.canvases[positions[0]].tolist()
        shapes = [(c, height // stride, width // stride) for c, stride in self.sizes]
        counts = [int(np.prod(shape)) for shape in shapes]
        rows = [self.flat(position) for position in positions.tolist()]
        parts = np.split(np.stack(rows).astype(np.float32), np.cumsum(counts)[:-1], axis=1)
        return [part.reshape(len(rows), *shape) for part, shape in zip(parts, shapes, strict=True)]

    def flat(self, position):
        """The maps of one row as a 1-D array of float16."""
        width, height = self.canvases[position].tolist()
        n_values = sum(c * (height // stride) * (width // stride) for c, stride in self.sizes)
        return self.file.read(int(self.starts[position]), n_values)


def flattened(maps):
    """The maps of one row as a 1-D array of float16."""
    flat = np.concatenate([values.ravel() for values in maps])
    return flat.clip(-_LARGEST, _LARGEST).astype(np.float16)


def groups_of(canvases):
    """Yield the positions of the rows of each canvas size: int ndarray."""
    if len(canvases):
        _, group = np.unique(canvases, axis=0, return_inverse=True)
        group = group.reshape(-1)
        for number in range(group.max() + 1):
            yield np.flatnonzero(group == number)


def batches_of(canvases, batch_size):
    """Yield the positions of at most `batch_size` rows with equal canvases: int ndarray."""
    for group in groups_of(canvases):
        for start in range(0, len(group), batch_size):
            yield group[start : start + batch_size]
