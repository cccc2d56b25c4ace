"""Plots of results, in the style of scikit-learn's Displays."""

from sklearn_dl.inspection._detection import DetectionDisplay
from sklearn_dl.inspection._entities import EntityDisplay
from sklearn_dl.inspection._image_explanation import ImageExplanationDisplay
from sklearn_dl.inspection._image_grid import ImageGridDisplay
from sklearn_dl.inspection._mistakes import MistakesDisplay
from sklearn_dl.inspection._text_explanation import TextExplanationDisplay
from sklearn_dl.inspection._training_curve import TrainingCurveDisplay

__all__ = [
    "DetectionDisplay",
    "EntityDisplay",
    "ImageExplanationDisplay",
    "ImageGridDisplay",
    "MistakesDisplay",
    "TextExplanationDisplay",
    "TrainingCurveDisplay",
]
