"""Formats: what the outputs of pretrained detectors mean, and which input they need."""

from sklearn_dl.vision.detection.formats._base import Candidates, Context, Format, OutputFacts
from sklearn_dl.vision.detection.formats._callable import CallableFormat
from sklearn_dl.vision.detection.formats._checks import MisreadError
from sklearn_dl.vision.detection.formats._registry import FORMATS, choose_format, fitting_formats

__all__ = [
    "FORMATS",
    "CallableFormat",
    "Candidates",
    "Context",
    "Format",
    "MisreadError",
    "OutputFacts",
    "choose_format",
    "fitting_formats",
]
