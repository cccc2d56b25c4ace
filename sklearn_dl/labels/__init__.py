"""Mapping of labels to integer keys and back."""

from sklearn_dl.labels._key_mapper import LabelKeyMapper

__all__ = ["LabelKeyMapper"]
