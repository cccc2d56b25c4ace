"""Conversion of the objects of each image to structured arrays, from all accepted forms."""

from collections.abc import Mapping

import numpy as np

from sklearn_dl.metrics import make_detections
from sklearn_dl.metrics._boxes import BOX_FIELDS
from sklearn_dl.utils._columns import counted, is_frame, missing_mask, row_index, split_columns
from sklearn_dl.utils._messages import brief

_FORMS = (
    "the structured array that sklearn_dl.metrics.make_detections makes, or a dict "
    '{"boxes": ..., "labels": ...'
)


def objects_of_images(y, X, n_images, name, *, scored):
    """The objects of several images, checked.

    Parameters
    ----------
    y : sequence of n_images items, or DataFrame
        Each item is a structured array, a dict, or None. A frame has one row per object, as
        `DetectionScorer.predict_frame` returns it.
    X : column of n_images images
        If `y` is a frame, its column ``image`` refers to the rows of X: by index label if X is a
        pandas frame or Series, else by position.
    n_images : int
    name : str
        Name of `y` in messages.
    scored : bool
        Whether the objects must have scores. If not, scores are ignored.

    Returns
    -------
    objects : list of structured ndarray or None
        One array per image, as `make_detections` makes it; None where the item is None.

    Raises
    ------
    ValueError
        If `y` has another form, or names images that are not in `X`.
    """
    if is_frame(y):
        return _from_frame(y, X, n_images, name, scored)
    if isinstance(y, Mapping) or (_fields(y) and np.ndim(y) != 2):
        raise ValueError(f"`{name}` has the objects of one image, but X is a column: pass a list.")
    items = list(y)
    if len(items) != n_images:
        images, given = counted(n_images, "image"), counted(len(items), "item")
        raise ValueError(f"X has {images}, but `{name}` has {given}.")
    return [
        None if item is None else objects_of_image(item, f"{name}[{row}]", scored=scored)
        for row, item in enumerate(items)
    ]


def objects_of_image(y, name, *, scored):
    """The objects of one image, checked: like `objects_of_images`, but `y` must not be None.

    If `y` is a frame, it has the rows of this image from the result of `predict_frame`.
    """
    if is_frame(y):
        columns = _columns(y, name, scored)
        if len(set(columns["image"].tolist())) > 1:
            raise ValueError(
                f"X is one image, but the column 'image' of `{name}` has several values: select "
                "the rows of one image."
            )
        return _checked(_box_rows(columns), columns["label"], columns.get("score"), name)
    if isinstance(y, Mapping):
        wanted = ["boxes", "labels", *(["scores"] if scored else [])]
        _check_keys(y, wanted, name, scored)
        return _checked(y["boxes"], y["labels"], y["scores"] if scored else None, name)
    fields = _fields(y)
    _check_keys(fields, _wanted(scored), name, scored)
    return _checked(_box_rows(y), y["label"], y["score"] if scored else None, name)


def _from_frame(frame, X, n_images, name, scored):
    """The objects of each image, from a frame with one row per object."""
    columns = _columns(frame, name, scored)
    index, images = row_index(X), columns["image"]
    if index is not None and not index.is_unique:
        raise ValueError(
            f"The index of X has a label more than once, so the column 'image' of `{name}` is "
            "ambiguous: use X.reset_index(drop=True) before predict_frame."
        )
    if index is None:
        rows = np.array([_position(image, n_images) for image in images.tolist()], dtype=int)
    else:
        rows = index.get_indexer(images)
    if (rows < 0).any():
        where = "a position in X, from 0" if index is None else "a label of the index of X"
        image = images.tolist()[np.flatnonzero(rows < 0)[0]]
        raise ValueError(
            f"The column 'image' of `{name}` contains {brief(image)}, which is not {where}."
        )
    objects = _checked(_box_rows(columns), columns["label"], columns.get("score"), name)
    return [objects[rows == row] for row in range(n_images)]


def _position(image, n_images):
    """A cell of the column "image" if it is a position in X, else -1."""
    return image if image in range(n_images) else -1


def _columns(frame, name, scored):
    """The columns of a tidy frame, by their names."""
    # only errors about other containers use the estimator, which is None here
    cells, names, _ = split_columns(frame, None)
    columns = dict(zip(names, cells, strict=True))
    _check_keys(columns, ["image", *_wanted(scored)], name, scored)
    if not scored:
        columns.pop("score", None)
    return columns


def _fields(y):
    """The names of the fields of a structured array."""
    return getattr(getattr(y, "dtype", None), "names", None) or ()


def _wanted(scored):
    return [*BOX_FIELDS, "label", *(["score"] if scored else [])]


def _check_keys(names, wanted, name, scored):
    missing = [key for key in wanted if key not in names]
    if missing and "image" in wanted:
        raise ValueError(
            f"`{name}` must have the columns that DetectionScorer.predict_frame returns; it lacks "
            f"{missing}."
        )
    if missing:
        scores = ', "scores": ...}' if scored else "}"
        raise ValueError(f"`{name}` must be {_FORMS}{scores}; it lacks {missing}.")


def _box_rows(columns):
    return np.column_stack([np.asarray(columns[field], np.float64) for field in BOX_FIELDS])


def _checked(boxes, labels, scores, name):
    """`make_detections` whose errors contain `name`; scores and labels must not be missing."""
    try:
        objects = make_detections(boxes, labels, scores)
    except ValueError as error:
        raise ValueError(f"`{name}`: {error}") from error
    if not np.isfinite(objects["score"]).all():
        raise ValueError(f"`{name}` has a score that is NaN or infinite.")
    if missing_mask(objects["label"]).any():
        raise ValueError(f"`{name}` has a label that is missing.")
    return objects
