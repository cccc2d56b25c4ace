"""Readers of data sets in the formats in which they are published."""

from sklearn_dl.datasets._conll import load_conll
from sklearn_dl.datasets._detections import load_detections
from sklearn_dl.datasets._detections_frame import detections_from_frame
from sklearn_dl.datasets._image_folder import load_image_folder
from sklearn_dl.datasets._squad import load_squad

__all__ = [
    "detections_from_frame",
    "load_conll",
    "load_detections",
    "load_image_folder",
    "load_squad",
]
