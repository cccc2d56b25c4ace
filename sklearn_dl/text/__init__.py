"""Estimators with a pretrained text encoder: from texts to classes, numbers and embeddings."""

from sklearn_dl.text._sentence_similarity import SentenceSimilarityRegressor
from sklearn_dl.text._text_classifier import TextClassifier
from sklearn_dl.text._text_encoder import TextEncoder
from sklearn_dl.text._text_regressor import TextRegressor
from sklearn_dl.text.answers._question_answerer import QuestionAnswerer
from sklearn_dl.text.entities._entity_recognizer import EntityRecognizer

__all__ = [
    "EntityRecognizer",
    "QuestionAnswerer",
    "SentenceSimilarityRegressor",
    "TextClassifier",
    "TextEncoder",
    "TextRegressor",
]
