"""The methods that all detectors have besides `predict`: `predict_frame` and `score`."""

from typing import Any

import numpy as np

from sklearn_dl.metrics import mean_average_precision_score
from sklearn_dl.metrics._boxes import BOX_FIELDS
from sklearn_dl.metrics._objects import objects_of_images
from sklearn_dl.utils._columns import row_index
from sklearn_dl.utils._optional import import_optional


class DetectorMixin:
    """Mixin of the estimators whose `predict` returns detections.

    A subclass defines `_no_detections`, which returns detections of length 0.
    """

    predict: Any
    _no_detections: Any

    def predict_frame(self, X):
        """Find the objects in all images, and return them as one table.

        Parameters
        ----------
        X : one column of n_samples images
            As in `predict`.

        Returns
        -------
        frame : pandas.DataFrame
            One row per object, with the columns ``image``, ``label``, ``score``, ``x0``, ``y0``,
            ``x1`` and ``y1``. If X is a frame or a Series, ``image`` is the index label of the
            image, else its position in X. Images without detections, and images that could not be
            read, are left out.

        Raises
        ------
        ImportError
            If pandas is not installed.
        ValueError
            In the same cases as in `predict`.
        """
        pandas = import_optional("pandas", extra="demo", purpose="predict_frame")
        found = self.predict(X)
        counts = np.array([0 if image is None else len(image) for image in found], int)
        rows = np.repeat(np.arange(len(found)), counts)
        objects = np.concatenate(
            [image for image in found if image is not None] or [self._no_detections()]
        )
        index = row_index(X)
        columns = {"image": rows if index is None else index[rows], "label": objects["label"]}
        return pandas.DataFrame(
            columns | {name: objects[name] for name in ("score", *BOX_FIELDS)},
        )

    def score(self, X, y):
        """Mean average precision at an intersection over union of 0.5.

        Parameters
        ----------
        X : one column of n_samples images
        y : sequence of n_samples structured ndarray or dict
            The true objects of each image, as :func:`~sklearn_dl.metrics.make_detections` returns
            them, or as a dict ``{"boxes": ..., "labels": ...}``.

        Returns
        -------
        score : float
            See :func:`~sklearn_dl.metrics.mean_average_precision_score`.

        Raises
        ------
        ValueError
            If an image could not be read (``on_error="nan"``). Leave its row out.
        """
        found = self.predict(X)
        objects = objects_of_images(y, X, len(found), "y", scored=False)
        return mean_average_precision_score(objects, found)
