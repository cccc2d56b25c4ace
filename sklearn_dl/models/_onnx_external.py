"""Find, check and read the external data of an ONNX model: tensors in other files."""

import math
import mmap
import os
import re
import stat

from sklearn_dl.models._links import check_link
from sklearn_dl.utils._lfs import refuse_pointer
from sklearn_dl.utils._optional import import_optional

# protobuf's limit on one message
MAX_GRAPH_BYTES = 2**31 - 1
# the names of the other types contain their size: INT8, BFLOAT16, FLOAT4E2M1
_BITS = {"BOOL": 8, "FLOAT": 32, "DOUBLE": 64}
# with this flag, opening a pipe does not wait for its other end
_NONBLOCK = getattr(os, "O_NONBLOCK", 0)


def open_file(path):
    """Open a regular file for reading.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If it is a pipe, a device or anything else that may never end.
    """
    descriptor = os.open(path, os.O_RDONLY | _NONBLOCK)
    if stat.S_ISREG(os.fstat(descriptor).st_mode):
        return os.fdopen(descriptor, "rb")
    os.close(descriptor)
    raise ValueError(f"{path} is not a regular file, so it is not read.")


def data_file(location, path):
    """Find a data file of a model.

    Parameters
    ----------
    location : str
        Name of the data file in the model.
    path : str
        The model's file.

    Returns
    -------
    real : str
        Path of the file, with links followed.

    Raises
    ------
    ValueError
        If it is neither in the model's folder nor a link to the blobs of the same repository.
    FileNotFoundError
        If there is no such file.
    """
    refused = f"{path} refers to data outside its folder ({location!r}), which are not read."
    folder = os.path.realpath(os.path.dirname(path))
    if "\0" in location or "\\" in location:  # ONNX paths have forward slashes
        raise ValueError(refused)
    leads_out = os.path.normpath(location).split(os.sep)[0] == os.pardir
    if leads_out or os.path.isabs(location) or os.path.splitdrive(location)[0]:
        raise ValueError(refused)
    full = os.path.join(folder, location)
    real = os.path.realpath(full)
    try:
        check_link(real, folder)
    except (ValueError, RuntimeError):  # RuntimeError: links in a circle, before Python 3.13
        raise ValueError(refused) from None
    if not os.path.exists(real) or os.path.isdir(real):
        raise FileNotFoundError(f"{path} needs the data file {full!r}, which does not exist.")
    return real


class ExternalTensor:
    """A tensor whose bytes are in a data file.

    Parameters
    ----------
    tensor : onnx.TensorProto
    model : str
        Name of the model in messages.

    Attributes
    ----------
    location : str
        Name of the data file in the model.
    offset, n_bytes : int
        Start and size of the tensor's data in the file, in bytes.
    alignment : int
        Size of an element in bytes, at least 1.

    Raises
    ------
    ValueError
        If the offset or the length does not match the tensor.
    """

    def __init__(self, tensor, model):
        self.tensor = tensor
        self._model = model
        entries = {}
        for entry in tensor.external_data:
            if entry.key in entries:
                raise self._damaged(f"has two entries {entry.key!r}")
            entries[entry.key] = entry.value
        self.location = entries.get("location", "")
        if not isinstance(self.location, str):  # not UTF-8
            raise self._damaged(f"has the location {self.location!r}, which is not text")
        self.offset = self._number(entries, "offset")
        bits = self._bits()
        self.alignment = max(bits // 8, 1)
        if any(size < 0 for size in tensor.dims):
            raise self._damaged(f"has the shape {tuple(tensor.dims)}")
        self.n_bytes = (math.prod(tensor.dims) * bits + 7) // 8
        length = self._number(entries, "length")
        if length not in (0, self.n_bytes):
            raise self._damaged(f"needs {self.n_bytes} bytes, but its length is {length}")

    def _damaged(self, what):
        return ValueError(
            f"{self._model} is damaged: the external tensor {self.tensor.name!r} {what}."
        )

    def _number(self, entries, key):
        text = entries.get(key, "0")
        if not re.fullmatch("[0-9]{1,19}", text if isinstance(text, str) else ""):
            raise self._damaged(f"has the {key} {text!r}, which is not an integer of 0 or more")
        return int(text)

    def _bits(self):
        onnx = import_optional("onnx", extra="onnx", purpose="OnnxScorer")
        kinds = {number: name for name, number in onnx.TensorProto.DataType.items()}
        kind = kinds.get(self.tensor.data_type, str(self.tensor.data_type))
        if kind in _BITS:
            return _BITS[kind]
        digits = re.match("[A-Z]+([0-9]+)", kind)
        if digits is None:
            raise self._damaged(f"is of the type {kind}, which has no fixed size")
        return int(digits[1])

    def put_inside(self, data):
        """Store the bytes `data` in the tensor itself, which then has no external data."""
        self.tensor.raw_data = bytes(data)
        del self.tensor.external_data[:]
        self.tensor.ClearField("data_location")

    def put_outside(self, location):
        """Refer to a data file `location` that contains this tensor only."""
        self.tensor.ClearField("raw_data")
        self.tensor.data_location = self.tensor.EXTERNAL
        for key, entry in {"location": location, "offset": 0, "length": self.n_bytes}.items():
            self.tensor.external_data.add(key=key, value=str(entry))


def external_tensors(tensors, model):
    """Return an ExternalTensor for each tensor with external data; messages name `model`."""
    return [ExternalTensor(t, model) for t in tensors if t.data_location == t.EXTERNAL]


class DataFiles:
    """The data files of a model, each opened once.

    Parameters
    ----------
    path : str
        The model's file.
    """

    def __init__(self, path):
        self._path = path
        self._maps = {}

    def read(self, external):
        """Return the bytes of an ExternalTensor.

        Returns
        -------
        data : memoryview
            View of the mapped file, not a copy.

        Raises
        ------
        ValueError, FileNotFoundError
            If the file is refused, missing or too short.
        """
        location = external.location
        if location not in self._maps:
            with open_file(data_file(location, self._path)) as file:
                empty = os.fstat(file.fileno()).st_size == 0
                self._maps[location] = memoryview(
                    b"" if empty else mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
                )
            refuse_pointer(self._maps[location], f"{self._path}: its data file {location!r}")
        data = self._maps[location]
        end = external.offset + external.n_bytes
        if end > len(data):
            raise ValueError(
                f"{self._path} needs bytes {external.offset} to {end} of its data file "
                f"{location!r} for the tensor {external.tensor.name!r}; the file has {len(data)}. "
                "The file is damaged, or belongs to a different model."
            )
        return data[external.offset : end]


def share(weights, tensors, path):
    """Prepare a model so that ONNX Runtime opens none of its data files.

    Parameters
    ----------
    weights : list of onnx.TensorProto
        Weights of the main graph; ONNX Runtime reads them from memory.
    tensors : list of onnx.TensorProto
        All tensors of the model. Those in inner graphs, functions and attributes are stored in the
        model itself.
    path : str
        The model's file.

    Returns
    -------
    shared : dict of str to buffer
        Bytes of the weights, by their new locations. The session reads them as long as it lives.

    Raises
    ------
    ValueError, FileNotFoundError
        If `DataFiles.read` raises them, or if more than 2 GiB would be stored in the model.
    """
    files = DataFiles(path)
    shared = {}
    outside = [external for external in external_tensors(weights, path) if external.n_bytes]
    for number, external in enumerate(outside):
        data = files.read(external)
        aligned = external.offset % external.alignment == 0
        shared[str(number)] = data if aligned else bytes(data)
        external.put_inside(b"")  # for now, so that it is not among `others`
    others = external_tensors(tensors, path)
    size = sum(len(files.read(external)) for external in others)
    if size > MAX_GRAPH_BYTES:
        raise ValueError(
            f"{path} has {size / 2**30:.1f} GiB of external data in inner graphs, functions and "
            "attributes; at most 2 GiB can be loaded."
        )
    for external in others:
        external.put_inside(files.read(external))
    for location, external in zip(shared, outside, strict=True):
        external.put_outside(location)
    return shared
