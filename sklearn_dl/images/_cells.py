"""The values that a row may hold: paths, encoded files, pixels, and the structs of tables."""

import os
import sys
from collections.abc import Mapping
from io import TextIOBase
from numbers import Integral
from pathlib import PurePath
from typing import Any

import numpy as np
from PIL import Image

from sklearn_dl.images._lazy import LazyImage
from sklearn_dl.images._sources import NamedBytes
from sklearn_dl.images._stores import file_of
from sklearn_dl.utils._columns import is_missing, object_array
from sklearn_dl.utils._messages import brief

_BYTES = (bytes, bytearray, memoryview)
_SPARK_FIELDS = {"height", "width", "nChannels", "mode", "data"}
# OpenCV types of Spark's images, and the order in which their channels are grey, RGB or RGBA
_SPARK_ORDERS: dict[int, Any] = {0: slice(None), 16: slice(None, None, -1), 24: [2, 1, 0, 3]}
_OPENCV_DEPTHS = ("8U", "8S", "16U", "16S", "32S", "32F", "64F", "16F")


def as_column(X):
    """Return X in a form that `single_column` accepts as one column, if its cells are images.

    Raises
    ------
    ValueError
        If X is a single image.
    """
    # frames and columns have a length; a label such as "read" must not make them look like files
    is_file = not hasattr(X, "__len__") and (_is_file(X) or _is_url_object(X))
    if isinstance(X, (Image.Image, LazyImage)) or _is_struct(X) or is_file:
        raise ValueError("X is a single image; put it in a list.")
    if _is_tensor(X) and X.ndim == 3 and X.shape[0] in (3, 4):
        raise _looks_single(X, "tensors", "(n_samples, C, H, W)")
    if isinstance(X, np.ndarray) and X.ndim == 3 and X.shape[-1] in (3, 4):
        raise _looks_single(X, "arrays", "(n_samples, H, W, C)")
    if isinstance(X, (list, tuple)) and X and all(map(_is_struct, X)):
        return object_array(X)  # other tuples are rows of several columns
    return X


def source_of(cell, find):
    """Return the source of a cell's LazyImage, checked as far as possible without decoding.

    Parameters
    ----------
    cell : object
    find : callable(str)
        Returns the source for a path or URL.

    Raises
    ------
    OSError or ValueError
    """
    path = _path_of(cell)
    if path is not None:
        return find(path)
    if isinstance(cell, _BYTES):
        return bytes(cell)
    if isinstance(cell, Image.Image):
        return cell
    if hasattr(cell, "as_py"):  # a scalar of Arrow
        return source_of(cell.as_py(), find)
    if isinstance(cell, np.ndarray):
        return _checked_pixels(cell)
    if _is_tensor(cell):
        return _checked_pixels(_pixels_of_tensor(cell))
    fields = _fields_of(cell)
    if fields is not None:
        return _source_of_struct(fields, find)
    if _has_filesystem(cell):
        return file_of(cell)
    if _is_file(cell):
        return _named(getattr(cell, "name", None), _content_of_file(cell))
    if is_missing(cell):
        raise ValueError(f"the image is missing ({cell!r})")
    raise ValueError(
        f"a value of type {type(cell).__name__} is not an image; a row must be a path, the bytes "
        "of an encoded file, a PIL image, a uint8 array or a LazyImage"
    )


def name_of(cell):
    """Return the path or URL of a cell, for messages; None if it has none. Nothing is opened."""
    if hasattr(cell, "as_py"):
        cell = cell.as_py()
    name = _path_of(cell)
    fields = _fields_of(cell)
    if _has_filesystem(cell):
        name = cell.full_name
    elif _is_file(cell):
        name = getattr(cell, "name", None)
    elif fields is not None:
        name = fields.get("path", fields.get("origin"))
    return name if isinstance(name, str) else None


def _path_of(cell):
    """Return the path or URL that a cell is, or None if it is neither."""
    if isinstance(cell, (str, PurePath)):
        return os.fspath(cell)
    if hasattr(cell, "as_uri"):
        return str(cell)  # the `__fspath__` of some libraries downloads the file
    if isinstance(cell, os.PathLike) and not _is_file(cell):
        return os.fsdecode(cell)
    return None


def _is_url_object(value):
    """Whether a value is a path object that is not local, such as those of universal_pathlib."""
    return hasattr(value, "as_uri") and not isinstance(value, os.PathLike)


def _is_file(cell):
    return hasattr(cell, "read") or _has_filesystem(cell)


def _has_filesystem(cell):
    """Whether a cell is a file that was opened by fsspec, such as its OpenFile."""
    return hasattr(cell, "full_name") and hasattr(cell, "fs")


def _content_of_file(file):
    """Read an open file from its beginning, and leave its position as it was."""
    content = None
    if not isinstance(file, TextIOBase):
        rewinds = hasattr(file, "seekable") and file.seekable()
        position = file.tell() if rewinds else None
        if rewinds:
            file.seek(0)
        content = file.read()
        if rewinds:
            file.seek(position)
    if not isinstance(content, bytes):
        raise ValueError("it is an open file whose content is not bytes: open it with mode 'rb'")
    return content


def _named(name, content):
    return NamedBytes(name, content) if isinstance(name, str) and name else content


def _is_struct(cell):
    """Whether a cell is a tuple with the field names of an image: a Row or a named tuple."""
    fields = _fields_of(cell) if isinstance(cell, tuple) else None
    return fields is not None and (
        fields.keys() >= _SPARK_FIELDS or not fields.keys().isdisjoint({"bytes", "content"})
    )


def _fields_of(cell):
    """Return the fields of a struct, by name; None if the cell is not one."""
    if isinstance(cell, Mapping):
        return cell
    # pyspark's Row has `__fields__`, a named tuple has `_fields`
    names = getattr(cell, "__fields__", None) or getattr(cell, "_fields", None)
    return dict(zip(names, cell, strict=False)) if names and isinstance(cell, tuple) else None


def _source_of_struct(fields, find):
    """Return the source for the image of a struct.

    Parameters
    ----------
    fields : Mapping
    find : callable(str)
        As in `source_of`.

    Returns
    -------
    source : ndarray of pixels for Spark's images; else encoded bytes, with a name if they have
        one, or what `find` returns
    """
    if fields.keys() >= _SPARK_FIELDS:
        return _checked_pixels(_pixels_of_spark(**{name: fields[name] for name in _SPARK_FIELDS}))
    path = fields.get("path")
    for name in ("bytes", "content"):
        content = fields.get(name)
        if isinstance(content, _BYTES):
            return _named(path, bytes(content))
    if isinstance(path, str):
        return find(path)
    raise ValueError(
        f"a struct with the fields {brief(list(fields))} is not an image, or has neither bytes nor "
        "a path; its fields must be bytes and path (Hugging Face), path and content (Spark's "
        "binary files), or height, width, nChannels, mode and data (Spark's images)"
    )


def _pixels_of_spark(height, width, nChannels, mode, data):
    """Return the pixels of Spark's image struct, H x W x C."""
    numbers = {"height": height, "width": width, "nChannels": nChannels, "mode": mode}
    if not all(isinstance(number, Integral) for number in numbers.values()):
        raise ValueError(
            "it is an image struct of Spark, whose height, width, nChannels and mode must be "
            f"integers, got {brief(numbers)}"
        )
    n_channels = (mode >> 3) + 1
    if mode not in _SPARK_ORDERS:
        name = f"CV_{_OPENCV_DEPTHS[mode & 7]}C{n_channels}" if mode >= 0 else "Undefined"
        raise ValueError(
            f"its OpenCV type is {name} ({mode}); it must be CV_8UC1, CV_8UC3 or CV_8UC4"
        )
    n_bytes = len(data) if isinstance(data, _BYTES) else 0
    if nChannels != n_channels or min(height, width) < 1 or n_bytes != height * width * n_channels:
        raise ValueError(
            f"its {n_bytes} bytes are not {height} x {width} pixels (height x width) of "
            f"{n_channels} channels, the number in its OpenCV type (nChannels is {nChannels})"
        )
    levels = np.frombuffer(data, dtype=np.uint8).reshape(height, width, n_channels)
    return levels[:, :, _SPARK_ORDERS[mode]]


def _is_tensor(value):
    torch = sys.modules.get("torch")  # a tensor cannot exist before torch is imported
    return torch is not None and isinstance(value, torch.Tensor)


def _pixels_of_tensor(tensor):
    """Return a tensor C x H x W as an array H x W x C."""
    shape = tuple(tensor.shape)
    if str(tensor.dtype) != "torch.uint8":
        raise _not_uint8("a tensor", tensor.dtype, shape)
    if len(shape) == 3 and (shape[0] not in (1, 3, 4) or shape[2] in (1, 3, 4)):
        raise ValueError(
            f"it is a tensor of shape {shape}; an image must have shape (C, H, W), as in "
            "torchvision, or (H, W). If the axes have another order, or the shape is ambiguous, "
            "pass an array of shape (H, W, C): tensor.permute(...).numpy()"
        )
    array = tensor.cpu().numpy()
    return np.moveaxis(array, 0, 2) if array.ndim == 3 else array


def _checked_pixels(array):
    if array.dtype != np.uint8:
        raise _not_uint8("an array", array.dtype, array.shape)
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[:, :, 0]
    if array.ndim != 2 and not (array.ndim == 3 and array.shape[2] in (3, 4)):
        raise ValueError(
            f"it is an array of shape {array.shape}; an image must have shape (H, W), "
            "(H, W, 1), (H, W, 3) or (H, W, 4)"
        )
    if not array.size:
        raise ValueError(f"it is an array without pixels, of shape {array.shape}")
    return array


def _not_uint8(what, dtype, shape):
    return ValueError(
        f"it is {what} of dtype {dtype} and shape {shape}; an image must have dtype uint8, with "
        "values 0 to 255"
    )


def _looks_single(X, kind, shape):
    return ValueError(
        f"X of shape {tuple(X.shape)} looks like one image; put it in a list, or pass {kind} of "
        f"shape {shape}."
    )
