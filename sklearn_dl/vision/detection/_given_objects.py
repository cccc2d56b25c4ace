"""Check the y of ObjectDetector against the sizes of the images."""

from collections.abc import Mapping

import numpy as np

from sklearn_dl.metrics._boxes import BOX_FIELDS, box_array
from sklearn_dl.metrics._objects import objects_of_image
from sklearn_dl.utils._columns import is_frame
from sklearn_dl.utils._messages import RowsError


def check_list(y, name):
    """Raise a ValueError if `y` cannot be a list with the objects of each image."""
    is_one = isinstance(y, np.ndarray) and y.ndim == 1 and y.dtype.names
    if is_one or isinstance(y, (str, bytes, Mapping)):
        raise ValueError(
            f"{name} is one {type(y).__name__}, but it must be a list with the objects of each "
            "image."
        )
    if is_frame(y):
        raise ValueError(
            f"{name} is a frame. Pass sklearn_dl.datasets.detections_from_frame(frame, X), which "
            "has the objects of each image."
        )


def given_objects(y, rows, name):
    """Return the objects of each row, as a list of structured arrays, with boxes clipped to images.

    Parameters
    ----------
    y : sequence of structured ndarray or dict
    rows : DetectionRows
    name : str
        Name of `y` in messages.

    Raises
    ------
    ValueError
        If a row is None or has another form, or a box is not finite, has no area or lies outside
        its image.
    """
    objects = []
    sizes = rows.sizes.tolist()
    for row, (image, size) in enumerate(zip(y, sizes, strict=True)):
        if image is None:
            raise RowsError(
                f"{name}[{row}] is None. An image without objects has an array of length 0: "
                "make_detections([], []).",
                row,
            )
        try:
            found = objects_of_image(image, f"{name}[{row}]", scored=False)
            objects.append(_inside(found, size if min(size) else None, f"{name}[{row}]"))
        except ValueError as error:
            raise RowsError(str(error), row) from error
    return objects


def _inside(objects, size, name):
    """Return objects with boxes clipped to an image of `size`, which is None if it is not known."""
    boxes = box_array(objects)
    empty = (boxes[:, 2:] <= boxes[:, :2]).any(axis=1)
    if empty.any():
        box = int(np.flatnonzero(empty)[0])
        raise ValueError(f"{name}: box {box} is {boxes[box].tolist()}, which has no area.")
    if size is None:
        return objects
    clipped = boxes.reshape(-1, 2, 2).clip(0, size).reshape(-1, 4)
    outside = (clipped[:, 2:] <= clipped[:, :2]).any(axis=1)
    if outside.any():
        box = int(np.flatnonzero(outside)[0])
        raise ValueError(
            f"{name}: box {box} is {boxes[box].tolist()}, which lies outside its image of "
            f"{size[0]} x {size[1]} pixels. Boxes are x0, y0, x1, y1 in pixels of the image after "
            "its EXIF rotation."
        )
    for field, edge in zip(BOX_FIELDS, clipped.T, strict=True):
        objects[field] = edge
    return objects
