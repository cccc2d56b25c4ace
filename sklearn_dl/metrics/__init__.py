"""Metrics that scikit-learn lacks, for object detections, similarities, entities and answers."""

from sklearn_dl.metrics._answers import answer_f1_score, exact_match_score
from sklearn_dl.metrics._average_precision import (
    average_precision_per_class,
    mean_average_precision_score,
    mean_average_precision_scorer,
)
from sklearn_dl.metrics._boxes import box_iou, make_detections, non_max_suppression
from sklearn_dl.metrics._entities import (
    entity_f1_score,
    entity_precision_recall_fscore_support,
)
from sklearn_dl.metrics._entity_tags import make_entities
from sklearn_dl.metrics._rank_correlation import spearman_score, spearman_scorer

__all__ = [
    "answer_f1_score",
    "average_precision_per_class",
    "box_iou",
    "entity_f1_score",
    "entity_precision_recall_fscore_support",
    "exact_match_score",
    "make_detections",
    "make_entities",
    "mean_average_precision_score",
    "mean_average_precision_scorer",
    "non_max_suppression",
    "spearman_score",
    "spearman_scorer",
]
