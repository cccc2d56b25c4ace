"""CallableFormat: a function of the user decodes the outputs."""

import numpy as np

from sklearn_dl.vision._finite import check_outputs
from sklearn_dl.vision.detection.formats._base import Candidates, Format


class CallableFormat(Format):
    """A callable of the user that decodes. By default, pixels are RGB / 255, stretched.

    Parameters
    ----------
    function : callable(outputs, geometry)
    """

    resize_mode = "fill"
    infinities = (-np.inf, np.inf)  # for the callable, infinity may have a meaning
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
        boxes = np.asarray(boxes, dtype=np.float64).reshape(-1, 4)
        scores, classes = np.asarray(scores, dtype=np.float64), np.asarray(classes)
        if scores.shape != (len(boxes),) or classes.shape != (len(boxes),):
            raise ValueError(
                f"format={self.name} returned {len(boxes)} boxes, scores of shape "
                f"{scores.shape} and classes of shape {classes.shape}; each box needs one score "
                "and one class."
            )
        check_outputs({"scores": scores}, allowed=(-np.inf,))
        kept = scores >= context.threshold
        boxes, scores, classes = boxes[kept], scores[kept], classes[kept]
        if classes.dtype.kind not in "iu" and (classes != np.floor(classes)).any():
            raise ValueError(
                f"format={self.name} returned classes that are not whole numbers: "
                f"{classes[:5].tolist()}."
            )
        return Candidates(boxes, scores, classes.astype(np.int64))
