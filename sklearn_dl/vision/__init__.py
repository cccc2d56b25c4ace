"""Image classification and regression by transfer learning, and object detection."""

from sklearn_dl.vision._detection_reader import Geometry
from sklearn_dl.vision._image_classifier import ImageClassifier
from sklearn_dl.vision._image_regressor import ImageRegressor
from sklearn_dl.vision._object_detector import ObjectDetector

__all__ = ["Geometry", "ImageClassifier", "ImageRegressor", "ObjectDetector"]
