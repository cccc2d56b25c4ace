"""Annotated images, which the readers of all formats return, and the data set made from them."""

import math
from typing import NamedTuple

import numpy as np
from sklearn.utils import Bunch

from sklearn_dl.images import ImageLoader, ImageReadError
from sklearn_dl.metrics import make_detections
from sklearn_dl.metrics._boxes import LONGEST_LABEL
from sklearn_dl.utils._columns import object_array
from sklearn_dl.utils._messages import brief, warn_user


class Box(NamedTuple):
    """An object of an image.

    Attributes
    ----------
    label : str
    edges : tuple of float
        x0, y0, x1, y1 in pixels, or in fractions of the width and height if the `Annotations` are
        `relative`.
    place : str
        Where the file describes the box, for messages.
    """

    label: str
    edges: tuple
    place: str


class AnnotatedImage(NamedTuple):
    """An image and its objects.

    Attributes
    ----------
    name : str
        Path relative to the folder of the images.
    place : str
        Where the file describes the image, for messages.
    size : tuple of int or None
        The (width, height) that the file states.
    boxes : list of Box
    """

    name: str
    place: str
    size: tuple | None
    boxes: list


class Annotations(NamedTuple):
    """The annotations of a data set, from the reader of any format.

    Attributes
    ----------
    root : str
        Folder of the images.
    images : list of AnnotatedImage
    target_names : list of str
    crowds : list of str
        Places of the boxes around crowds, which are not in `images`.
    relative : bool
        Whether the edges are fractions of the width and height.
    """

    root: str
    images: list
    target_names: list
    crowds: list = []
    relative: bool = False


def number(value, place):
    """Convert a number, or a text that contains one, to a finite float.

    Raises
    ------
    ValueError
        If `value` is anything else. The message starts with `place`.
    """
    try:
        # float("1_0") is 10 in Python only, and float(True) is 1
        if isinstance(value, bool) or (isinstance(value, str) and "_" in value):
            raise ValueError
        result = float(value)
    except (OverflowError, TypeError, ValueError):
        raise ValueError(f"{place}: {brief(value)} is not a number.") from None
    if not math.isfinite(result):
        raise ValueError(f"{place}: {brief(value)} is not a finite number.")
    return result


def check_label(label, place):
    """Return the stripped name of a class; raise a ValueError if it is not valid."""
    if not isinstance(label, str) or not label.strip():
        raise ValueError(f"{place}: {brief(label)} is not the name of a class.")
    if len(label) > LONGEST_LABEL:
        raise ValueError(
            f"{place}: the name of a class has {len(label)} characters, more than the limit of "
            f"{LONGEST_LABEL}: {brief(label[:40])} ..."
        )
    if not label.isprintable():
        raise ValueError(f"{place}: the name {brief(label)} contains a control character.")
    return label.strip()


def as_bunch(found):
    """Check images and boxes, and return them as a Bunch with data, target and target_names.

    Parameters
    ----------
    found : Annotations

    Returns
    -------
    bunch : Bunch

    Raises
    ------
    FileNotFoundError
        If an image does not exist.
    ValueError
        If an image is outside its folder, is listed twice, cannot be read, or has another size than
        the file states; or if a box is not finite or has x0 > x1 or y0 > y1.
    """
    images = _lazy_images(found)
    # the same dtype in all rows
    dtype = np.array(found.target_names, dtype=str).dtype
    target, flat = [], []
    for annotated, image in zip(found.images, images, strict=True):
        edges, has_area = _edges(annotated, _checked_size(annotated, image), found.relative)
        boxes = list(zip(annotated.boxes, has_area, strict=True))
        flat += [box.place for box, kept in boxes if not kept]
        labels = np.array([box.label for box, kept in boxes if kept], dtype=dtype)
        target.append(make_detections(edges[has_area], labels))
    warn_of_left_out(flat, found.crowds)
    return Bunch(
        data=object_array([image.source for image in images]),
        target=object_array(target),
        target_names=list(found.target_names),
    )


def _lazy_images(found):
    """Lazy images of all annotated images, which must be files inside the folder of the images."""
    loader = ImageLoader(root=found.root).set_output(transform="default")
    try:
        images = loader.transform([annotated.name for annotated in found.images])[:, 0]
    except (FileNotFoundError, ImageReadError) as error:
        row = getattr(error, "row", None)
        if row is None:  # the folder itself does not exist
            raise
        message = str(error).removeprefix(f"Row {row}: ")
        kind = FileNotFoundError if isinstance(error, FileNotFoundError) else ValueError
        raise kind(f"{found.images[row].place}: {message}.") from error
    first: dict = {}
    for annotated, image in zip(found.images, images, strict=True):
        if image.source in first:
            raise ValueError(
                f"{annotated.place}: the image {image.source!r} is also the image of "
                f"{first[image.source]}."
            )
        first[image.source] = annotated.place
    return images


def _checked_size(annotated, image):
    """The (width, height) in an image's header; raise an error if it is not the stated size."""
    try:
        size = image.size_as_read()
    except ImageReadError as error:
        raise ValueError(f"{annotated.place}: {error}.") from error
    if annotated.size not in (None, size):
        width, height = annotated.size
        raise ValueError(
            f"{annotated.place}: the size of {image.source!r} is stated as {width:g} x "
            f"{height:g}, but the image has {size[0]} x {size[1]} pixels after its EXIF rotation."
        )
    return size


def _edges(annotated, size, relative):
    """Edges of the boxes of an image in pixels, and the mask of the boxes that have an area."""
    edges = np.array([box.edges for box in annotated.boxes], dtype=np.float64).reshape(-1, 4)
    if relative:
        edges *= [*size, *size]
    edges, wrong, has_area = check_edges(edges)
    if wrong.any():
        box = annotated.boxes[np.flatnonzero(wrong)[0]]
        raise ValueError(f"{box.place}: {wrong_box(box.edges)}")
    return edges, has_area


def check_edges(edges):
    """Check the edges of boxes as float32, the dtype of detections.

    Parameters
    ----------
    edges : ndarray of shape (n_boxes, 4), dtype float64
        x0, y0, x1, y1.

    Returns
    -------
    edges : ndarray of shape (n_boxes, 4), dtype float32
    wrong : ndarray of shape (n_boxes,), dtype bool
        Which boxes are not finite or have x0 > x1 or y0 > y1.
    has_area : ndarray of shape (n_boxes,), dtype bool
    """
    with np.errstate(over="ignore"):
        edges = edges.astype(np.float32)
    wrong = (edges[:, 2:] < edges[:, :2]).any(axis=1) | ~np.isfinite(edges).all(axis=1)
    return edges, wrong, (edges[:, 2:] > edges[:, :2]).all(axis=1)


def wrong_box(edges):
    """The end of the error message for a box that `check_edges` found wrong."""
    x0, y0, x1, y1 = edges
    return (
        f"the box x0={x0:g}, y0={y0:g}, x1={x1:g}, y1={y1:g} must be finite as float32, with "
        "x0 <= x1 and y0 <= y1."
    )


def warn_of_left_out(flat, crowds=()):
    """Warn once about the boxes that are left out; both arguments are lists of their places."""
    reasons = [
        f"{len(places)} {reason} (the first: {places[0]})"
        for places, reason in ((flat, "without an area"), (crowds, "around crowds"))
        if places
    ]
    if reasons:
        left_out = len(flat) + len(crowds)
        noun = "box was" if left_out == 1 else "boxes were"
        warn_user(f"{left_out} {noun} left out: {' and '.join(reasons)}.")
