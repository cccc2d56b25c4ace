"""Image classification and regression by transfer learning, and object detection."""

from sklearn_dl.vision._image_classifier import ImageClassifier
from sklearn_dl.vision._image_regressor import ImageRegressor
from sklearn_dl.vision.detection._detection_scorer import DetectionScorer
from sklearn_dl.vision.detection._geometry import Geometry
from sklearn_dl.vision.detection._object_detector import ObjectDetector

__all__ = [
    "DetectionScorer",
    "Geometry",
    "ImageClassifier",
    "ImageRegressor",
    "ObjectDetector",
]
