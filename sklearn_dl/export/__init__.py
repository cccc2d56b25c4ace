"""Fitted estimators for use elsewhere."""

from sklearn_dl.export._trusted_types import trusted_types

__all__ = ["trusted_types"]
