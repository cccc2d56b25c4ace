"""The format of SSD."""

import numpy as np

from sklearn_dl.vision.detection.formats._base import Candidates, Format
from sklearn_dl.vision.detection.formats._boxes import scores_and_boxes
from sklearn_dl.vision.detection.formats._checks import (
    MisreadError,
    check_probabilities,
    fractions,
)


class Ssd(Format):
    """Class probabilities, the background first, and boxes x0, y0, x1, y1 from 0 to 1.

    This is the format of SSD (Liu et al., 2016), exported with its priors applied, and of
    UltraFace. By default, pixels are scaled as for UltraFace, (RGB - 127) / 128, and images are
    stretched.
    """

    name = "ssd"
    size = 300
    resize_mode = "fill"
    offset = 127.0
    scale = 1 / 128
    expects = "scores of shape (n_boxes, 1 + n_classes) and boxes of shape (n_boxes, 4)"

    def choose(self, facts):
        return scores_and_boxes(facts.shapes)

    def n_classes(self, facts, chosen):
        columns = list(facts.shapes.values())[chosen[0]][1]
        return None if columns is None else columns - 1

    def is_likely(self, facts):
        """Whether no output is called logits: SSD gives probabilities."""
        return super().is_likely(facts) and not any("logit" in n.lower() for n in facts.shapes)

    def decode(self, outputs, context):
        probabilities, boxes = outputs.values()
        check_probabilities(self.name, probabilities)
        if context.is_guess and len(boxes):
            self._check_background(probabilities)
        best = probabilities[:, 1:].argmax(axis=1)
        scores = probabilities[np.arange(len(best)), best + 1]
        kept = np.flatnonzero(scores >= context.threshold)
        boxes = fractions(self.name, boxes[kept]) * np.array([*context.size, *context.size])
        return Candidates(boxes, scores[kept], best[kept])

    def _check_background(self, probabilities):
        """Raise an error if the probabilities of a box do not sum to 1."""
        total = np.median(probabilities.sum(axis=1, dtype=np.float64))
        if abs(total - 1) > 0.05:
            raise MisreadError(
                f'format="auto" chose "{self.name}", but the scores of a box sum to {total:.3g}, '
                "not to 1: the first one may not be that of the background."
            )
