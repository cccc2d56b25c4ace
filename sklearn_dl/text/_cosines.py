"""The problems of SentenceSimilarityRegressor, whose targets are similarities."""

import math

import numpy as np

from sklearn_dl.training._numbers import Numbers

# before training, the line from cosines to targets is fitted to at most this number of rows; more
# rows would hardly change it
_ROWS_OF_INITIAL_LINE = 1024
# a variance of the cosines, or a correlation with the targets, below this is a rounding error
_NO_SPREAD = 1e-12
_NO_CORRELATION = 1e-9


class Similarities(Numbers):
    """The problem of a cross-encoder, which reads two texts together."""

    learning_rate = 2e-4  # chosen by experiments, see docs/benchmarks.md

    def __init__(self):
        super().__init__("similarities")

    def continue_from(self, earlier, y, how):
        if type(earlier) is not type(self):
            raise how.error("the architecture")
        return super().continue_from(earlier, y, how)

    def attributes(self):
        return {"slope_": self.slope, "intercept_": self.intercept}


class Cosines(Similarities):
    """The problem of a bi-encoder, whose outputs are cosines of embeddings.

    A prediction is ``slope * cosine + intercept``.
    """

    learning_rate = 1e-5  # chosen by experiments, see docs/benchmarks.md
    # whether slope and intercept were fitted; if not, predictions are the cosines themselves
    has_line = False

    def continue_from(self, earlier, y, how):
        # there is no head; instead, the line of the earlier fit is kept, if it has one with a slope
        keeps_head = isinstance(earlier, Cosines) and earlier.has_line and bool(earlier.slope)
        return super().continue_from(earlier, y, how._replace(keeps_head=keeps_head))

    def fit_head(self, features, targets, weights, where=None):
        """Fit the line from the network's cosines to the targets. Return None: there is no head."""
        self.has_line = True
        self.slope, mean_cosine, mean_target = _line(features[:, 0], targets, weights)
        self.intercept = mean_target - self.slope * mean_cosine

    def start(self, examples, outputs, seed):
        self.has_line = True
        if self._is_scaled:
            return
        some = examples.some(_ROWS_OF_INITIAL_LINE, seed)
        cosines = outputs(some.rows)[:, 0]
        slope, mean_cosine, mean_target = _line(cosines, some.targets, some.weights)
        # limit the slope, so that the range of the targets matches a range of cosines of 1/3 to 1
        spread = float(np.ptp(examples.targets))
        self.slope = math.copysign(min(max(abs(slope), spread), 3 * spread), slope)
        self.intercept = mean_target - self.slope * mean_cosine


def _line(cosines, targets, weights):
    """The slope of the least-squares line from cosines to targets, mean cosine and mean target.

    The slope is 0 if the cosines are all equal or not correlated with the targets.
    """
    weights = weights / weights.sum()
    mean_cosine, mean_target = (weights * cosines).sum(), (weights * targets).sum()
    variance = (weights * (cosines - mean_cosine) ** 2).sum()
    covariance = (weights * (cosines - mean_cosine) * (targets - mean_target)).sum()
    spread = (weights * (targets - mean_target) ** 2).sum()
    related = abs(covariance) > _NO_CORRELATION * (variance * spread) ** 0.5
    slope = covariance / variance if variance > _NO_SPREAD and related else 0.0
    return float(slope), float(mean_cosine), float(mean_target)
