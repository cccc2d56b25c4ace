"""Pretrained models by name: their verified local files and their cards."""

from sklearn_dl.models._cache import model_path
from sklearn_dl.models._model_sources import (
    FolderSource,
    HubSource,
    HubUnreachableError,
    ModelNotAvailableError,
)
from sklearn_dl.models._pin import pin
from sklearn_dl.models._registry import list_models, model_card, register_model

__all__ = [
    "FolderSource",
    "HubSource",
    "HubUnreachableError",
    "ModelNotAvailableError",
    "list_models",
    "model_card",
    "model_path",
    "pin",
    "register_model",
]
