"""Score images, numbers and strings with pretrained graphs, and turn scores into labels."""

from sklearn_dl.runtimes._sessions import clear_sessions
from sklearn_dl.scoring._image_pipeline import image_pipeline
from sklearn_dl.scoring._onnx_scorer import OnnxScorer
from sklearn_dl.scoring._score_classifier import ScoreClassifier, top_k
from sklearn_dl.scoring._tensorflow_scorer import TensorFlowScorer

__all__ = [
    "OnnxScorer",
    "ScoreClassifier",
    "TensorFlowScorer",
    "clear_sessions",
    "image_pipeline",
    "top_k",
]
