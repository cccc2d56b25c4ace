"""Fine-tuned language models: texts, and pairs of texts, to classes, numbers and vectors."""

from sklearn_dl.text._classifier import TextClassifier
from sklearn_dl.text._encoder import TextEncoder
from sklearn_dl.text._regressor import TextRegressor
from sklearn_dl.text._similarity import SentenceSimilarityRegressor

__all__ = ["SentenceSimilarityRegressor", "TextClassifier", "TextEncoder", "TextRegressor"]
