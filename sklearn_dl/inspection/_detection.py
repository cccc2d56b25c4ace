"""DetectionDisplay: images with their detected objects, beside the true objects."""

import os
from numbers import Integral, Real

import numpy as np
from PIL import Image

from sklearn_dl.images import ImageLoader, ImageReadError, LazyImage
from sklearn_dl.images._resizer import Resize, width_and_height
from sklearn_dl.inspection._detection_panels import (
    Panel,
    box_styles,
    draw_boxes,
    draw_picture,
    new_axes,
)
from sklearn_dl.inspection._text_layout import measuring
from sklearn_dl.metrics._boxes import sorted_labels
from sklearn_dl.metrics._objects import objects_of_image, objects_of_images
from sklearn_dl.utils._columns import counted, object_array, row_index
from sklearn_dl.utils._messages import brief
from sklearn_dl.utils._optional import import_optional
from sklearn_dl.utils._sklearn import Interval, validate_parameter_constraints
from sklearn_dl.vision.detection._labels import class_labels

_CONSTRAINTS = {
    "min_score": [Real],
    "n_columns": [Interval(Integral, 1, None, closed="left"), None],
}
_MAX_PANELS = 100
# largest number of image pixels for each panel pixel, along each axis, for figures that are printed
_OVERSAMPLING = 2


class DetectionDisplay:
    """Images with the boxes, labels and scores of their detections, beside the true objects.

    Use :meth:`from_predictions` to make and draw one.

    Parameters
    ----------
    images : ndarray of shape (n_images,), dtype object
        Lazy images.
    y_pred : list of structured ndarray or None
        The detections of each image, as :func:`sklearn_dl.metrics.make_detections` makes them.
        None: the image could not be read or scored.
    y_true : list of structured ndarray or None, default=None
        The true objects of each image.
    classes : list, default=()
        The labels, in the order of their colors.
    names : list of str or None, default=None
        Names of the images, for the titles.

    Attributes
    ----------
    figure_ : matplotlib.figure.Figure
    axes_ : ndarray of matplotlib.axes.Axes, of shape (n_rows, n_columns)
        The panels: one for each image, or two with `y_true` (the true and the predicted objects).
        The axes after the last image stay empty.
    boxes_ : list of list of matplotlib.patches.Rectangle
        The boxes in each panel, in the order of ``axes_.flat``; the highest score comes first.
    texts_ : list of list of matplotlib.text.Text
        The labels and scores of these boxes.

    See Also
    --------
    sklearn_dl.DetectionScorer : Finds the objects.
    ImageGridDisplay : Images with one label each.

    Notes
    -----
    A class has the same color in all panels. The colors are the seven of Okabe and Ito [1]_, which
    people with any kind of color vision can tell apart. From the eighth class on, the colors
    repeat with dashed boxes, and then with dotted boxes.

    Labels are placed when the display is drawn. A label stays inside the image, hides no other
    label, and hides as little as possible of the boxes. It touches its box, or a line joins it to
    its box if there is free space only elsewhere. Labels hide each other only if a panel is full.
    After a change of the figure's size, call :meth:`plot` again.

    Images are decoded one by one, at most at twice the size of their panels. So memory depends on
    the number of panels and on `image_size` (3 to 4 MB for a panel of 480 x 360), not on the size
    of the files.

    References
    ----------
    .. [1] Okabe and Ito, Color Universal Design, 2008; https://jfly.uni-koeln.de/color/

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_dl.inspection import DetectionDisplay
    >>> from sklearn_dl.metrics import make_detections
    >>> image = np.zeros((60, 80, 3), dtype=np.uint8)
    >>> found = make_detections([[10, 20, 30, 50], [40, 5, 70, 30]], ["cat", "dog"], [0.9, 0.2])
    >>> true = make_detections([[10, 20, 28, 52]], ["cat"])
    >>> display = DetectionDisplay.from_predictions(image, found, y_true=true)
    >>> [[text.get_text() for text in texts] for texts in display.texts_]
    [['cat'], ['cat 0.90']]
    """

    def __init__(self, images, y_pred, *, y_true=None, classes=(), names=None):
        self.images = images
        self.y_pred = y_pred
        self.y_true = y_true
        self.classes = classes
        self.names = names

    @classmethod
    def from_predictions(
        cls,
        X,
        y_pred,
        *,
        y_true=None,
        classes=None,
        min_score=0.3,
        n_columns=None,
        image_size=480,
        ax=None,
    ):
        """Make a display of one image or several and their detections, and draw it.

        Parameters
        ----------
        X : image, or column of n_images images
            One image (a path, bytes, a PIL image, a uint8 array or a lazy image), or anything that
            :class:`sklearn_dl.ImageLoader` accepts. At most 100 panels are drawn.
        y_pred : detections of the image, sequence of n_images detections, or DataFrame
            The detections of an image are a structured array, as
            :meth:`~sklearn_dl.DetectionScorer.predict` returns it, or a dict of ``boxes``,
            ``labels`` and ``scores``, as in torchvision; boxes are x0, y0, x1, y1 in pixels of the
            image after its EXIF rotation. None: the image could not be read or scored, and its
            panel says so. A DataFrame must have the rows that
            :meth:`~sklearn_dl.DetectionScorer.predict_frame` returns for X; if X is one image, the
            rows of that image.
        y_true : as `y_pred`, default=None
            The true objects, which need no scores. If given, each image has two panels side by
            side: the true objects and the predicted ones.
        classes : array-like of shape (n_classes,) or dict of int to label, default=None
            The labels, in the order of their colors. None: the labels in `y_pred` and `y_true`,
            sorted. Pass the detector's `classes_` to have the same colors in several figures.
        min_score : float, default=0.3
            Detections with a lower score are not drawn.
        n_columns : int or None, default=None
            Number of images side by side. None: 2, or 1 with `y_true`.
        image_size : int or (width, height), default=480
            Space that each image is fitted into, in 1/100 inch. A larger panel has more room for
            labels.
        ax : matplotlib.axes.Axes, array-like of these, or None, default=None
            Where to draw: one for each panel. None: in a new figure.

        Returns
        -------
        display : DetectionDisplay

        Raises
        ------
        FileNotFoundError
            If an image does not exist.
        ImageReadError
            If an image cannot be read, and its detections are not None.
        ValueError
            If X has too many images, if `y_pred` or `y_true` does not match X or has another form,
            if a label is not in `classes`, if `ax` does not match the number of panels, or if a
            parameter is out of range.
        ImportError
            If matplotlib is not installed.
        """
        is_one = _is_one_image(X)
        column = object_array([X]) if is_one else X
        images = _lazy_images(column, on_error="nan")
        y_pred = _objects(y_pred, column, is_one, len(images), "y_pred", scored=True)
        if y_true is not None:
            y_true = _objects(y_true, column, is_one, len(images), "y_true", scored=False)
        if all(objects is not None for objects in y_pred):
            images = _lazy_images(column, on_error="raise")
        index = range(len(images)) if row_index(column) is None else row_index(column)
        display = cls(
            images,
            y_pred,
            y_true=y_true,
            classes=_ordered_labels(classes, y_pred, y_true),
            names=None if is_one else [str(label) for label in index],
        )
        return display.plot(min_score=min_score, n_columns=n_columns, image_size=image_size, ax=ax)

    def plot(self, *, min_score=0.3, n_columns=None, image_size=480, ax=None):
        """Draw the images and their objects.

        Parameters
        ----------
        min_score : float, default=0.3
            Detections with a lower score are not drawn.
        n_columns : int or None, default=None
            Number of images side by side. None: 2, or 1 with `y_true`.
        image_size : int or (width, height), default=480
            Space that each image is fitted into, in 1/100 inch.
        ax : matplotlib.axes.Axes, array-like of these, or None, default=None
            Where to draw: one for each panel. None: in a new figure.

        Returns
        -------
        display : DetectionDisplay
            This display, with `figure_`, `axes_`, `boxes_` and `texts_`.

        Raises
        ------
        ImageReadError
            If an image cannot be read, and its detections are not None.
        ValueError
            If a parameter is out of range, there are too many images, or `ax` does not match the
            number of panels.
        ImportError
            If matplotlib is not installed.
        """
        plt = import_optional("matplotlib.pyplot", extra="demo", purpose="DetectionDisplay")
        parameters = {"min_score": min_score, "n_columns": n_columns}
        validate_parameter_constraints(_CONSTRAINTS, parameters, caller_name="DetectionDisplay")
        panels = self._panels(min_score)
        if len(panels) > _MAX_PANELS:
            raise ValueError(
                f"{counted(len(self.images), 'image')} would need {len(panels)} panels, but at "
                f"most {_MAX_PANELS} panels are drawn. Pass fewer images."
            )
        space = width_and_height(image_size)
        pictures = [self._picture(row, space) for row in range(len(self.images))]
        if ax is None:
            per_image = 1 if self.y_true is None else 2
            if n_columns is None:
                n_columns = 2 // per_image
            n_columns = per_image * min(n_columns, len(pictures))
            self.axes_ = new_axes(plt, panels, n_columns, pictures, space)
        else:
            self.axes_ = np.atleast_2d(np.asarray(ax, dtype=object))
            if self.axes_.size != len(panels):
                n_panels = counted(len(panels), "panel")
                raise ValueError(f"`ax` has {self.axes_.size} axes for {n_panels}.")
        self.figure_ = self.axes_.flat[0].figure
        for axes in self.axes_.flat:
            axes.set_axis_off()
        for axes, panel in zip(self.axes_.flat, panels, strict=False):
            draw_picture(axes, pictures[panel.row], panel)
        styles = box_styles(self.classes)
        with measuring():
            # move the axes to their final places, on which the places of labels depend
            if ax is not None:
                self.figure_.canvas.figure.draw_without_rendering()
            for axes in self.axes_.flat:
                axes.apply_aspect()
            drawn = [
                ([], [])
                if panel.objects is None
                else draw_boxes(axes, panel.objects, panel.captions, styles)
                for axes, panel in zip(self.axes_.flat, panels, strict=False)
            ]
        self.boxes_ = [boxes for boxes, _ in drawn]
        self.texts_ = [texts for _, texts in drawn]
        return self

    def _panels(self, min_score):
        """The panels, in the order of the axes."""
        panels = []
        for row, found in enumerate(self.y_pred):
            name = "" if self.names is None else f"image {self.names[row]}"
            if self.y_true is not None:
                true = self.y_true[row]
                captions = [] if true is None else [str(label) for label in true["label"]]
                panels.append(Panel(row, _title(name, "true"), true, captions, "no truth"))
                name = _title(name, "predicted")
            captions = []
            if found is not None:
                found = found[found["score"] >= min_score]
                found = found[np.argsort(-found["score"], kind="stable")]
                captions = [f"{label} {score:.2f}" for label, score in found[["label", "score"]]]
            panels.append(Panel(row, name, found, captions, "no prediction"))
        return panels

    def _picture(self, row, space):
        """The pixels of an image, decoded at a reduced size if it is large, and its size.

        Returns
        -------
        pixels : uint8 ndarray of shape (H, W, 3), or None if the image cannot be read
        size : (int, int)
            Width and height that the boxes refer to.
        """
        image = self.images[row]
        try:
            size = image.size_as_read()
            scale = min(_OVERSAMPLING * most / side for most, side in zip(space, size, strict=True))
            if scale < 1:
                width, height = (max(1, round(scale * side)) for side in size)
                image = image.with_step(Resize(width, height, "fill", "center", "bilinear", 0))
            return np.asarray(image), size
        except ImageReadError as error:
            if self.y_pred[row] is None:
                return None, space
            raise error.at(row) from error


def _title(name, kind):
    return f"{name}: {kind}" if name else kind


def _is_one_image(X):
    """Whether X is an image, and not a column of images."""
    if isinstance(X, np.ndarray):
        # a column has dtype object or one more dimension
        return X.dtype == np.uint8 and X.ndim in (2, 3)
    kinds = (str, os.PathLike, bytes, bytearray, memoryview, Image.Image, LazyImage)
    return isinstance(X, kinds)


def _lazy_images(column, on_error):
    loader = ImageLoader(on_error=on_error).set_output(transform="default")
    return loader.transform(column)[:, 0]


def _objects(y, column, is_one, n_images, name, *, scored):
    """The objects of each image, checked."""
    if not is_one:
        return objects_of_images(y, column, n_images, name, scored=scored)
    return [None if y is None else objects_of_image(y, name, scored=scored)]


def _ordered_labels(classes, y_pred, y_true):
    """The labels in the order of their colors; `classes` must contain all labels that occur."""
    present = sorted_labels(
        [objects for objects in (*y_pred, *(y_true or ())) if objects is not None]
    )
    if classes is None:
        return present
    labels = class_labels(classes).tolist()
    unknown = [label for label in present if label not in labels]
    if unknown:
        raise ValueError(
            f"The label {brief(unknown[0])} of an object is not in `classes`={brief(labels)}."
        )
    return labels
