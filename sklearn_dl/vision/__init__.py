"""Image classification by transfer learning, and object detection."""

from sklearn_dl.vision._detection_reader import Geometry
from sklearn_dl.vision._image_classifier import ImageClassifier
from sklearn_dl.vision._object_detector import ObjectDetector

__all__ = ["Geometry", "ImageClassifier", "ObjectDetector"]
