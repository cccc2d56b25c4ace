"""Format, the base of all formats, and the types that its methods take and return."""

from abc import ABC, abstractmethod
from typing import Any, NamedTuple

import numpy as np

from sklearn_dl.vision.detection._geometry import Geometry

# ImageNet's mean, and one divided by its standard deviation, for levels from 0 to 255
IMAGENET_MEAN = (123.675, 116.28, 103.53)
IMAGENET_SCALE = (1 / 58.395, 1 / 57.12, 1 / 57.375)


class Candidates(NamedTuple):
    """Boxes that a network proposes for one image, in pixels of its input.

    Attributes
    ----------
    boxes : float ndarray of shape (n, 4)
        x0, y0, x1, y1.
    scores : float ndarray of shape (n,)
    classes : ndarray of shape (n,)
        Class indices as the network gives them; the caller checks them.
    """

    boxes: np.ndarray
    scores: np.ndarray
    classes: np.ndarray


class OutputFacts(NamedTuple):
    """What is known about a graph's outputs before their values are computed.

    Attributes
    ----------
    shapes : dict of str to tuple
        Shape of each output for one image, by name. A size is None if it is not known yet.
    size : tuple of int
        (width, height) of the network's input.
    anchors : float ndarray of shape (n_anchors, 2) or None
        The user's anchors. None: those of the format.
    n_labels : int or None
        Number of labels, from `classes` or the file's metadata.
    task : str or None
        Task that Ultralytics has written into the file's metadata: "detect", for example.
    by_ultralytics : bool
        Whether the file's metadata has the entries that Ultralytics writes.
    """

    shapes: dict
    size: tuple
    anchors: np.ndarray | None = None
    n_labels: int | None = None
    task: str | None = None
    by_ultralytics: bool = False


class Context(NamedTuple):
    """What a decoder needs besides the outputs of an image.

    Attributes
    ----------
    geometry : Geometry
    anchors : float ndarray of shape (n_anchors, 2) or None
    threshold : float
        Candidates with a lower score are left out.
    n_classes : int or None
        None: the number is not known.
    is_guess : bool
        Whether ``format="auto"`` chose the format.
    """

    geometry: Geometry
    anchors: np.ndarray | None
    threshold: float
    n_classes: int | None
    is_guess: bool

    @property
    def size(self):
        """(width, height) of the network's input."""
        return self.geometry.input_size


class Format(ABC):
    """How to read the outputs of a family of detectors, and the defaults of their input.

    Attributes
    ----------
    name : str
        Value of the parameter `format`.
    size : int
        Width and height of the input in pixels, used if the graph does not state them.
    resize_mode : {"pad", "pad_end", "fill"}
    fill_color : int
        Grey level of the border in the modes "pad" and "pad_end".
    colors : str
    offset, scale : float or tuple of float
        The network gets ``(pixel - offset) * scale``.
    anchors : tuple of (float, float) or None
        Widths and heights in grid cells. None: the format has no anchors.
    suppresses : bool
        Whether candidates that overlap with better candidates are left out.
    infinities : tuple of float
        Infinities that the outputs may contain.
    needs_classes : bool
        Whether the outputs can be decoded only if the number of classes is known.
    expects : str
        Shapes of the outputs of one image, in messages.
    """

    name: str
    size = 640
    resize_mode = "pad"
    fill_color = 114
    colors = "RGB"
    offset: Any = 0.0
    scale: Any = 1 / 255
    anchors: Any = None
    suppresses = True
    infinities: tuple = ()
    needs_classes = False
    expects: str

    @abstractmethod
    def choose(self, facts):
        """Return the positions of the outputs to decode; None if the shapes do not match.

        Parameters
        ----------
        facts : OutputFacts
        """

    @abstractmethod
    def n_classes(self, facts, chosen):
        """Return the number of classes; None if it is not known.

        Parameters
        ----------
        facts : OutputFacts
        chosen : list of int
            What `choose` returned.
        """

    @abstractmethod
    def decode(self, outputs, context):
        """Return the Candidates whose score is at least the threshold.

        Parameters
        ----------
        outputs : dict of str to ndarray
            The chosen outputs of one image, in the order of `choose`.
        context : Context

        Raises
        ------
        MisreadError
            If the values cannot be of this format.
        """

    def is_likely(self, facts):
        """Whether the names of the outputs and the metadata agree with the format.

        It is called for ``format="auto"``, if the shapes match the format.
        """
        return not facts.by_ultralytics
