"""Export fitted estimators to ONNX, and list the types that skops may load from a file."""

from sklearn_dl.export._save_tokenizer import save_tokenizer
from sklearn_dl.export._to_onnx import to_onnx
from sklearn_dl.export._trusted_types import trusted_types

__all__ = ["save_tokenizer", "to_onnx", "trusted_types"]
