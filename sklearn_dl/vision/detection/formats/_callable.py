"""CallableFormat: a function of the user decodes the outputs."""

import numpy as np

from sklearn_dl.vision._finite import check_outputs
from sklearn_dl.vision.detection.formats._base import Candidates, Format


class CallableFormat(Format):
    """A callable of the user that decodes. By default, images are stretched; pixels are RGB / 255.

    Parameters
    ----------
    function : callable(outputs, geometry)
    """

    resize_mode = "fill"
    infinities = (-np.inf, np.inf)  # the callable may give infinity a meaning
    expects = "outputs that the callable can decode"

    def __init__(self, function):
        self.function = function
        self.name = repr(function)

    def choose(self, facts):
        """Return the positions of all outputs."""
        return list(range(len(facts.shapes)))

    def n_classes(self, facts, chosen):
        """Return None: only the callable knows."""
        return None

    def decode(self, outputs, context):
        """Call the function, and check what it returns."""
        boxes, scores, classes = self.function(outputs, context.geometry)
        boxes, scores = (np.asarray(values, dtype=np.float64) for values in (boxes, scores))
        classes = np.asarray(classes)
        if not boxes.size:
            boxes = boxes.reshape(0, 4)
        n_boxes = len(scores) if scores.ndim == 1 else None
        if boxes.shape != (n_boxes, 4) or classes.shape != (n_boxes,):
            raise ValueError(
                f"format={self.name} returned boxes of shape {boxes.shape}, scores of shape "
                f"{scores.shape} and classes of shape {classes.shape}, but they must have the "
                "shapes (n, 4), (n,) and (n,)."
            )
        check_outputs({"scores": scores}, allowed=(-np.inf,))
        kept = scores >= context.threshold
        return Candidates(boxes[kept], scores[kept], classes[kept])
