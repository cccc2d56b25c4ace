"""detections_from_frame: the boxes of each image, from a table with a row for each box."""

import os
from collections.abc import Mapping, Set

import numpy as np

from sklearn_dl.datasets._annotated import (
    check_edges,
    warn_of_left_out,
    wrong_box,
)
from sklearn_dl.metrics import make_detections
from sklearn_dl.metrics._boxes import LONGEST_LABEL
from sklearn_dl.utils._columns import (
    is_frame,
    is_series,
    missing_mask,
    named_columns,
    natural_array,
    object_array,
    series_to_numpy,
)
from sklearn_dl.utils._messages import brief
from sklearn_dl.utils._sklearn import StrOptions, validate_parameter_constraints

_CONSTRAINTS = {
    "image_column": [str],
    "label_column": [str],
    "box_columns": [list, tuple],
    "box_format": [StrOptions({"xyxy", "xywh"})],
    "score_column": [str, None],
}


def detections_from_frame(
    frame,
    images,
    *,
    image_column="image",
    label_column="label",
    box_columns=("x0", "y0", "x1", "y1"),
    box_format="xyxy",
    score_column=None,
):
    """Collect the boxes of each image from a data frame with one row for each box.

    Parameters
    ----------
    frame : DataFrame
        A frame of pandas, polars, or another library that narwhals knows. The frames that
        :meth:`DetectionScorer.predict_frame <sklearn_dl.vision.DetectionScorer.predict_frame>`
        returns have the default column names.
    images : list, tuple, range, 1-D array, Index or Series of n_images values
        The values of `image_column`, one for each image, in the order of the result: file names,
        positions (``range(n_images)``), or the index of X.
    image_column : str, default="image"
        Column that identifies the image of each box.
    label_column : str, default="label"
        Column of the classes: strings, or integers.
    box_columns : list or tuple of 4 str, default=("x0", "y0", "x1", "y1")
        Columns of the boxes, in pixels of the image after its EXIF rotation.
    box_format : {"xyxy", "xywh"}, default="xyxy"
        The meaning of the box columns. "xyxy": left, top, right and bottom edge. "xywh": left and
        top edge, width and height.
    score_column : str, default=None
        Column of the scores. None: "score" if the frame has this column, else each score is 1.0.

    Returns
    -------
    y : ndarray of shape (n_images,), dtype object
        The objects of each image in the order of the frame, as
        :func:`~sklearn_dl.metrics.make_detections` returns them. An image without rows has an
        array of length 0. The labels have one dtype.

    Raises
    ------
    TypeError
        If `frame` is not a data frame.
    ValueError
        If the frame lacks a column or has a missing value; if an image of the frame is not in
        `images`, or `images` has a value twice; if a label is neither a string nor an integer; or
        if a box is not finite or has x0 > x1 or y0 > y1. The message names the position of the row,
        from 0.

    Warns
    -----
    UserWarning
        If boxes without an area were left out. One warning gives their number.

    See Also
    --------
    load_detections : Boxes from files of COCO, Pascal VOC and YOLO.
    sklearn_dl.metrics.make_detections : The boxes of one image.

    Examples
    --------
    >>> import pandas as pd
    >>> from sklearn_dl.datasets import detections_from_frame
    >>> frame = pd.DataFrame(
    ...     {
    ...         "image": ["street.png", "yard.png", "street.png"],
    ...         "label": ["cat", "dog", "dog"],
    ...         "x0": [1, 0, 5],
    ...         "y0": [2, 0, 2],
    ...         "x1": [4, 9, 8],
    ...         "y1": [4, 9, 6],
    ...     }
    ... )
    >>> y = detections_from_frame(frame, ["yard.png", "empty.png", "street.png"])
    >>> [detections["label"].tolist() for detections in y]
    [['dog'], [], ['cat', 'dog']]
    """
    parameters = {
        "image_column": image_column,
        "label_column": label_column,
        "box_columns": box_columns,
        "box_format": box_format,
        "score_column": score_column,
    }
    validate_parameter_constraints(_CONSTRAINTS, parameters, caller_name="detections_from_frame")
    if len(box_columns) != 4:
        raise ValueError(f"box_columns={box_columns!r} must name 4 columns.")
    if not is_frame(frame):
        raise TypeError(f"`frame` must be a data frame, but is {type(frame).__name__}.")
    images = _listed(images)
    names = [image_column, label_column, *box_columns]
    if score_column is None:
        columns, score_column = named_columns(frame, names, optional=["score"]), "score"
    else:
        columns = named_columns(frame, [*names, score_column])
    for name, cells in columns.items():
        missing = np.flatnonzero(missing_mask(cells))
        if len(missing):
            raise ValueError(f"Row {missing[0]} of the frame: {name!r} is missing.")
    positions = _positions(columns[image_column], images)
    edges = np.stack([_numbers(columns[name], name) for name in box_columns], axis=1)
    if box_format == "xywh":
        edges[:, 2:] += edges[:, :2]
    edges, has_area = _checked_edges(edges)
    labels = _labels(columns[label_column])
    scores = columns.get(score_column)
    scores = np.ones(len(edges)) if scores is None else _numbers(scores, score_column)
    detections = make_detections(edges[has_area], labels[has_area], scores[has_area])
    positions = positions[has_area]
    order = np.argsort(positions, kind="stable")
    ends = np.cumsum(np.bincount(positions, minlength=len(images)))
    rows = np.split(detections[order], ends[:-1]) if len(images) else []
    return object_array([row.copy() for row in rows])


def _listed(images):
    """`images` as a list of values."""
    if is_frame(images) or isinstance(images, (str, bytes, Set, Mapping)):
        raise ValueError(
            f"`images` is of type {type(images).__name__}, but must be a list, an array, an Index "
            "or a Series, with a value for each image."
        )
    if is_series(images):
        images = series_to_numpy(images)
    elif hasattr(images, "dtype"):  # gives an Index cells of the same types as a column's
        images = np.asarray(images)
    return list(images)


def _positions(cells, images):
    """The position in `images` of the image of each row: ndarray of dtype int64."""
    position: dict = {}
    for i, image in enumerate(map(_key, images)):
        try:
            first = position.setdefault(image, i)
        except TypeError:
            raise ValueError(
                f"images[{i}] is of type {type(image).__name__}. Pass the value that the frame has "
                "for each image, such as its name or position."
            ) from None
        if first != i:
            raise ValueError(f"images[{first}] and images[{i}] are both {brief(image)}.")
    found = np.empty(len(cells), dtype=np.int64)
    for row, cell in enumerate(map(_key, cells)):
        if cell not in position:
            raise ValueError(
                f"Row {row} of the frame: the image {brief(cell)} is not one of the "
                f"{len(position)} in `images`: {brief(list(position)[:3])} ..."
            )
        found[row] = position[cell]
    return found


def _key(image):
    """The value of an image as a key of a dict: a path becomes a str."""
    return os.fspath(image) if isinstance(image, os.PathLike) else image


def _numbers(cells, name):
    """A column of numbers as float64."""
    numbers = cells if cells.dtype.kind in "iuf" else natural_array(cells.tolist())
    if numbers.dtype.kind not in "iuf":
        raise ValueError(f"The column {name!r} must have numbers, but has {brief(cells[:3])}.")
    return numbers.astype(np.float64)


def _checked_edges(edges):
    """Edges as float32, and the mask of the boxes that have an area."""
    given = edges
    edges, wrong, has_area = check_edges(edges)
    if wrong.any():
        row = np.flatnonzero(wrong)[0]
        raise ValueError(f"Row {row} of the frame: {wrong_box(given[row])}")
    warn_of_left_out([f"row {row} of the frame" for row in np.flatnonzero(~has_area)])
    return edges, has_area


def _labels(cells):
    """Labels as an array of strings or integers."""
    labels = cells if cells.dtype.kind in "biu" else natural_array(cells.tolist())
    if labels.dtype.kind in "biu":
        return labels
    for row, label in enumerate(labels):
        if not isinstance(label, str):
            raise ValueError(
                f"Row {row} of the frame: the label is {brief(label)}, but all labels must be "
                "strings, or all integers."
            )
        if len(label) > LONGEST_LABEL:
            raise ValueError(
                f"Row {row} of the frame: the label has {len(label)} characters, more than the "
                f"limit of {LONGEST_LABEL}."
            )
    return labels.astype(str)
