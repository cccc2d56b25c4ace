"""Plots of results, in the style of scikit-learn's Displays."""

from sklearn_dl.inspection._detection import DetectionDisplay
from sklearn_dl.inspection._entities import EntityDisplay
from sklearn_dl.inspection._image_grid import ImageGridDisplay
from sklearn_dl.inspection._training_curve import TrainingCurveDisplay

__all__ = ["DetectionDisplay", "EntityDisplay", "ImageGridDisplay", "TrainingCurveDisplay"]
