"""Formats of transformers: DETR and RT-DETR."""

import numpy as np
from scipy.special import expit, softmax

from sklearn_dl.vision._finite import check_outputs
from sklearn_dl.vision.detection.formats._base import (
    IMAGENET_MEAN,
    IMAGENET_SCALE,
    Candidates,
    Format,
)
from sklearn_dl.vision.detection.formats._boxes import corners, scores_and_boxes
from sklearn_dl.vision.detection.formats._checks import (
    check_probabilities,
    fractions,
    refuse_centers,
    refuse_fractions,
    refuse_probabilities,
)


class Detr(Format):
    """Logits, the last one for "no object", and boxes (center, sides) from 0 to 1.

    Carion et al., DETR, 2020. Each query finds one object, so boxes that overlap are kept. Pixels
    are scaled with ImageNet's mean and standard deviation.
    """

    name = "detr"
    size = 800
    resize_mode = "fill"
    offset = IMAGENET_MEAN
    scale = IMAGENET_SCALE
    suppresses = False
    infinities = (-np.inf,)  # the logit of an impossible class
    expects = "logits of shape (n_queries, n_classes + 1) and boxes of shape (n_queries, 4)"

    def choose(self, facts):
        return scores_and_boxes(facts.shapes)

    def n_classes(self, facts, chosen):
        columns = list(facts.shapes.values())[chosen[0]][1]
        return None if columns is None else columns - 1

    def is_likely(self, facts):
        """Whether no output is called scores or probabilities: these formats read logits."""
        words = ("score", "prob", "conf")
        return super().is_likely(facts) and not any(
            word in name.lower() for name in facts.shapes for word in words
        )

    def decode(self, outputs, context):
        logits, boxes = outputs.values()
        refuse_probabilities(self.name, logits)
        with np.errstate(invalid="ignore"):
            probabilities = self._probabilities(logits.astype(np.float64))
        check_outputs({"probabilities": probabilities})  # NaN if all classes are impossible
        best = probabilities.argmax(axis=1)
        scores = probabilities[np.arange(len(best)), best]
        kept = scores >= context.threshold
        boxes = fractions(self.name, boxes[kept]) * np.array([*context.size, *context.size])
        return Candidates(corners(boxes[:, :2], boxes[:, 2:]), scores[kept], best[kept])

    def _probabilities(self, logits):
        return softmax(logits, axis=1)[:, :-1]


class RtDetr(Detr):
    """Logits of independent classes, and boxes (center, sides) from 0 to 1.

    Zhao et al., RT-DETR, 2024: 640 pixels, RGB / 255. Like Detr, but each class has its own
    sigmoid, and there is no logit for "no object".
    """

    name = "rt-detr"
    size = 640
    offset = 0.0  # type: ignore[assignment]
    scale = 1 / 255  # type: ignore[assignment]
    expects = "logits of shape (n_queries, n_classes) and boxes of shape (n_queries, 4)"

    def choose(self, facts):
        return scores_and_boxes(facts.shapes, least=1)

    def n_classes(self, facts, chosen):
        return list(facts.shapes.values())[chosen[0]][1]

    def _probabilities(self, logits):
        return expit(logits)


class RtDetrDecoded(Format):
    """Class indices, boxes x0, y0, x1, y1 in pixels, and scores, of the best queries.

    The authors of RT-DETR and of D-FINE (Peng et al., 2024) export their networks in this form. The
    sizes of the images are a second input, "orig_target_sizes". Boxes that overlap are kept.
    """

    name = "rt-detr-decoded"
    resize_mode = "fill"
    suppresses = False
    expects = (
        "outputs called labels, boxes and scores, of shape (n_queries,), (n_queries, 4) and "
        "(n_queries,)"
    )

    def choose(self, facts):
        names, shapes = list(facts.shapes), list(facts.shapes.values())
        found = [
            [i for i in range(len(names)) if word in names[i].lower()]
            for word in ("label", "box", "score")
        ]
        if len(names) != 3 or sorted(map(tuple, found)) != [(0,), (1,), (2,)]:
            return None
        labels, boxes, scores = (shapes[i] for (i,) in found)
        if not (len(labels) == len(scores) == 1 and len(boxes) == 2 and boxes[1] in (None, 4)):
            return None
        sizes = {labels[0], boxes[0], scores[0]} - {None}
        return [i for (i,) in found] if len(sizes) <= 1 else None

    def n_classes(self, facts, chosen):
        """Return the number of labels, because the outputs do not show the number of classes."""
        return facts.n_labels

    def decode(self, outputs, context):
        labels, boxes, scores = outputs.values()
        check_probabilities(self.name, scores)
        kept = scores >= context.threshold
        found = boxes[kept].astype(np.float64)
        refuse_fractions(self.name, boxes, len(found))
        refuse_centers(self.name, found)
        return Candidates(found, scores[kept], labels[kept])
