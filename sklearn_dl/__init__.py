"""Pretrained and fine-tuned deep networks as ordinary scikit-learn steps.

Names are resolved on first use, so that ``import sklearn_dl`` loads no runtime.
"""

from importlib import import_module as _import_module

from sklearn_dl._version import __version__

# public name -> the room (subpackage) that holds it
_ROOM_OF = {
    "ImageLoader": "images",
    "ImageResizer": "images",
    "LazyImage": "images",
    "PixelArray": "images",
    "PixelExtractor": "images",
    "OnnxScorer": "scoring",
    "ScoreClassifier": "scoring",
    "TensorFlowScorer": "scoring",
    "clear_sessions": "scoring",
    "LabelKeyMapper": "labels",
    "EntityRecognizer": "text",
    "QuestionAnswerer": "text",
    "SentenceSimilarityRegressor": "text",
    "TextClassifier": "text",
    "TextEncoder": "text",
    "TextRegressor": "text",
    "ImageClassifier": "vision",
    "ImageRegressor": "vision",
    "DetectionScorer": "vision",
    "ObjectDetector": "vision",
}
_ROOMS = (
    "datasets",
    "distributed",
    "images",
    "export",
    "inspection",
    "labels",
    "metrics",
    "models",
    "scoring",
    "testing",
    "text",
    "vision",
)

__all__ = ["__version__", *_ROOM_OF, *_ROOMS]


def __getattr__(name):
    if name in _ROOM_OF:
        value = getattr(_import_module(f"sklearn_dl.{_ROOM_OF[name]}"), name)
    elif name in _ROOMS:
        value = _import_module(f"sklearn_dl.{name}")
    else:
        raise AttributeError(f"module 'sklearn_dl' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__():
    return sorted(set(globals()) | set(__all__))
