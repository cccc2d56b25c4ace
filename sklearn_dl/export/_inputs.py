"""Read the inputs of an exported file from a sample of X."""

from collections.abc import Mapping

import numpy as np
from sklearn.pipeline import Pipeline

from sklearn_dl.export._table import Block, Table
from sklearn_dl.images import ImageLoader, LazyImage
from sklearn_dl.text import EntityRecognizer, QuestionAnswerer, TextEncoder
from sklearn_dl.text._text_estimator import TextEstimator
from sklearn_dl.text.entities._word_rows import text_cells
from sklearn_dl.utils._columns import natural_array, object_array, split_columns
from sklearn_dl.vision import DetectionScorer
from sklearn_dl.vision._image_estimator import TrainedOnImages

_MODES = {1: "L", 3: "RGB", 4: "RGBA"}
_TAKE_IMAGES = (ImageLoader, TrainedOnImages, DetectionScorer)
_NO_ROWS = "X_sample has no rows: pass some rows of the data."


def read_sample(X, estimator):
    """Return the Table that X becomes in the graph, and the values of its columns.

    Parameters
    ----------
    X : array-like of shape (n_samples,) or (n_samples, n_columns), frame, or dict of arrays
        Texts, images as uint8 arrays, numbers.
    estimator : estimator
        Error messages name it.

    Returns
    -------
    table : Table
        Its blocks are inputs of the graph that have not been made yet.
    values : dict of str to ndarray
        For each block, by its name: the values that the input takes (strings, numbers, or uint8
        images of shape (n_samples, H, W, C)). If the images of a column differ in size, the values
        are an object array of images.

    Raises
    ------
    ValueError
        If X has no rows, or a column has values that a graph cannot take.
    """
    if hasattr(X, "shape") and X.shape[:1] == (0,):
        raise ValueError(_NO_ROWS)
    if isinstance(X, Mapping):
        arrays = {name: np.asarray(array) for name, array in X.items()}
        if not arrays or any(array.size == 0 for array in arrays.values()):
            raise ValueError(_NO_ROWS)
        values = {name: array.astype(_dtype(array, name)) for name, array in arrays.items()}
        blocks = [
            Block("tensor", array.dtype, 1, None, name, shape=array.shape[1:])
            for name, array in values.items()
        ]
        return Table(tuple(blocks), tuple(values)), values
    if isinstance(X, np.ndarray) and X.dtype.kind in "biuf" and X.ndim != 1:
        is_image = X.ndim == 4 and X.shape[3] in _MODES
        is_image |= X.ndim == 3 and isinstance(first_step(estimator), _TAKE_IMAGES)  # grey
        if X.dtype == np.uint8 and is_image:
            X = object_array(list(X))
        elif X.ndim > 2:
            block = Block("tensor", X.dtype, 1, None, "X", shape=X.shape[1:])
            return Table((block,)), {"X": X}
        else:
            return _numbers(X)
    if isinstance(first_step(estimator), EntityRecognizer):
        cells, names = text_cells(X, estimator)
        columns = [cells]
    else:
        columns, names, _ = split_columns(X, estimator)
    if not columns or not len(columns[0]):
        raise ValueError(_NO_ROWS)
    columns = [natural_array(c.tolist()) if c.dtype == object else c for c in columns]
    if names is not None and not all(isinstance(name, str) for name in names):
        names = None  # scikit-learn ignores them too
    if names is None and {column.dtype.kind for column in columns} <= set("iuf"):
        return _numbers(np.column_stack(columns))
    blocks, values = [], {}
    for position, column in enumerate(columns):
        name = names[position] if names else f"column_{position}"
        block, cells = _block(column, name)
        blocks.append(block)
        values[name] = cells
    if names is None:
        blocks, values = _named(blocks, values)
    return Table(tuple(blocks), names and tuple(names)), values


def _numbers(X):
    """The Table and the values of an array of numbers of shape (n_samples, n_features)."""
    return Table((Block("columns", _dtype(X, "X"), X.shape[1], None, "X"),)), {"X": X}


def made_up_sample(estimator):
    """Make rows for an estimator that takes texts, questions or images: texts, or random images.

    Raises
    ------
    ValueError
        If the estimator takes anything else.
    """
    step = first_step(estimator)
    if isinstance(step, QuestionAnswerer):
        return [["Who?", "Ann."], ["", ""], ["Why?", "words " * 600]]
    is_text = isinstance(step, (TextEstimator, TextEncoder))
    if is_text and getattr(estimator, "n_features_in_", 1) == 1:
        return ["", "A short text.", "Größe 12 €, 中文 and [SEP] " * 3, "words " * 300]
    if isinstance(step, _TAKE_IMAGES):
        draw = np.random.default_rng(0).integers
        sizes = ((300, 400), (96, 64), (231, 227))
        return object_array([draw(256, size=(*size, 3), dtype=np.uint8) for size in sizes])
    raise ValueError(
        "X_sample=None is possible only for estimators that take one column of texts or images, or "
        "questions and contexts. "
        f"Pass some rows of the data that {type(estimator).__name__} was fitted on."
    )


def first_step(estimator):
    """Return the estimator that gets X: the first step of a pipeline, which may be in a search."""
    while True:
        if hasattr(estimator, "best_estimator_"):
            estimator = estimator.best_estimator_
        elif isinstance(estimator, Pipeline):
            estimator = estimator.steps[0][1]
        else:
            return estimator


def _named(blocks, values):
    """Give columns without names the name text, image or X, with a number if there are several."""
    made, given = [], {}
    for kind in ("text", "image", "X"):
        group = [b for b in blocks if _kind(b) == kind]
        for number, block in enumerate(group, 1):
            given[block.name] = kind if len(group) == 1 else f"{kind}_{number}"
    for block in blocks:
        made.append(Block(block.kind, block.dtype, 1, None, given[block.name], block.mode))
    return made, {given[name]: cells for name, cells in values.items()}


def _kind(block):
    return "image" if block.kind == "images" else "text" if block.is_text else "X"


def _block(column, name):
    """The Block of one column, and the values of its input."""
    if column.dtype != object:
        dtype = _dtype(column, name)
        return Block("columns", dtype, 1, None, name), column.astype(dtype).reshape(-1, 1)
    first = column[0]
    if isinstance(first, (np.ndarray, LazyImage)):
        images = [_pixels(cell, row, name) for row, cell in enumerate(column)]
        n_channels = {image.shape[2] for image in images}
        if len(n_channels) > 1:
            raise ValueError(
                f"X_sample: the images of column {name!r} have {sorted(n_channels)} channels, "
                "but an exported model takes images with one number of channels. Convert them "
                "first."
            )
        mode = _MODES[n_channels.pop()]
        equal = len({image.shape for image in images}) == 1
        cells = np.stack(images) if equal else object_array(images)
        return Block("images", np.dtype(np.uint8), 1, None, name, mode), cells
    return Block("columns", np.dtype(object), 1, None, name), column.reshape(-1, 1)


def _pixels(cell, row, name):
    """The pixels of an image, H x W x C."""
    if isinstance(cell, np.ndarray) and cell.dtype == np.uint8:
        pixels = cell[:, :, None] if cell.ndim == 2 else cell
        if pixels.ndim == 3 and pixels.shape[2] in _MODES:
            return pixels
    raise ValueError(
        f"X_sample: row {row} of column {name!r} is not an image as a uint8 array of shape (H, W), "
        "(H, W, 3) or (H, W, 4). A file cannot decode images: pass arrays, for example "
        "np.asarray(PIL.Image.open(path).convert('RGB'))."
    )


def _dtype(array, name):
    """The dtype of an input for numbers or strings."""
    if array.dtype.kind in "UTO":
        return np.dtype(object)
    if array.dtype.kind in "biuf" and array.dtype.itemsize <= 8:
        return array.dtype
    raise ValueError(
        f"X_sample: column {name!r} has dtype {array.dtype}, which ONNX does not have. Convert it "
        "to numbers or strings."
    )
