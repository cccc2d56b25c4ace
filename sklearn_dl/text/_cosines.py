"""Similarities as targets: of texts that are read together, or one by one."""

import math

import numpy as np

from sklearn_dl.training._problem import Numbers

# more would hardly move the line that pretrained cosines are scaled by
_ROWS_OF_FIRST_SCALE = 1024
# a variance of cosines that is rounding, and a correlation with the targets that is
_NO_SPREAD = 1e-12
_NO_CORRELATION = 1e-9


class Similarities(Numbers):
    """The similarity of two texts that are read together."""

    learning_rate = 2e-4  # as measured (docs/benchmarks.md)

    def __init__(self):
        super().__init__("similarities")

    def go_on(self, earlier, y, keeps_head):
        if type(earlier) is not type(self):
            raise ValueError("warm_start=True cannot change the architecture.")
        return super().go_on(earlier, y, keeps_head)

    def attributes(self):
        return {"slope_": self.slope, "intercept_": self.intercept}


class Cosines(Similarities):
    """The similarity of two texts as a line through the cosine of their embeddings."""

    learning_rate = 1e-5  # as measured (docs/benchmarks.md)
    has_line = False

    def go_on(self, earlier, y, keeps_head):
        # a cosine has no head: the scale stays, unless there was none, or the line was flat
        keeps_head = isinstance(earlier, Cosines) and earlier.has_line and bool(earlier.slope)
        return super().go_on(earlier, y, keeps_head)

    def solve(self, features, targets, weights):
        """The line through the cosines that the pretrained network gives."""
        self.has_line = True
        self.slope, cosine, target = _line(features[:, 0], targets, weights)
        self.intercept = target - self.slope * cosine

    def start(self, examples, outputs, seed):
        self.has_line = True
        if self._is_scaled:
            return
        some = examples.some(_ROWS_OF_FIRST_SCALE, seed)
        cosines = outputs(some.rows)[:, 0]
        slope, cosine, target = _line(cosines, some.targets, some.weights)
        # from where the pretrained cosines are, unless the targets would span hardly any
        spread = float(np.ptp(examples.targets))
        self.slope = math.copysign(min(max(abs(slope), spread), 3 * spread), slope)
        self.intercept = target - self.slope * cosine


def _line(cosines, targets, weights):
    """The least-squares line from cosines to targets: its slope, mean cosine, mean target."""
    weights = weights / weights.sum()
    mean, center = (weights * cosines).sum(), (weights * targets).sum()
    variance = (weights * (cosines - mean) ** 2).sum()
    covariance = (weights * (cosines - mean) * (targets - center)).sum()
    spread = (weights * (targets - center) ** 2).sum()
    related = abs(covariance) > _NO_CORRELATION * (variance * spread) ** 0.5
    slope = covariance / variance if variance > _NO_SPREAD and related else 0.0
    return float(slope), float(mean), float(center)
