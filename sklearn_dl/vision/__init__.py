"""Image classification by transfer learning, and object detection."""

from sklearn_dl.vision._classifier import ImageClassifier
from sklearn_dl.vision._detector import ObjectDetector
from sklearn_dl.vision._reader import Geometry

__all__ = ["Geometry", "ImageClassifier", "ObjectDetector"]
