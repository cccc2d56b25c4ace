"""Rank correlation, the usual metric for similarities of texts."""

import warnings

import numpy as np
from scipy.stats import rankdata
from sklearn.exceptions import UndefinedMetricWarning
from sklearn.metrics import make_scorer
from sklearn.utils.validation import check_array, check_consistent_length

from sklearn_dl.utils._sklearn import check_sample_weight


def spearman_score(y_true, y_pred, *, sample_weight=None):
    """Spearman's rank correlation.

    Parameters
    ----------
    y_true, y_pred : array-like of shape (n_samples,)
        Finite numbers, in any units.
    sample_weight : array-like of shape (n_samples,), default=None
        Weights of the rows in the correlation of the ranks; the ranks do not depend on them.

    Returns
    -------
    score : float
        From -1 to 1. It is 1 if `y_pred` orders the rows in the same way as `y_true`. NaN, with an
        `UndefinedMetricWarning`, if `y_true` or `y_pred` is constant.

    Raises
    ------
    ValueError
        If the lengths differ, or a value is missing or infinite.

    See Also
    --------
    spearman_scorer : Scorer for `cross_validate`.
    sklearn_dl.SentenceSimilarityRegressor : Predicts similarities.

    Notes
    -----
    Equal values get the mean of their ranks. Without weights, the score is that of
    :func:`scipy.stats.spearmanr`, which STS benchmarks report.

    Examples
    --------
    >>> from sklearn_dl.metrics import spearman_score
    >>> round(spearman_score([0, 1, 2, 5], [0.1, 0.3, 0.2, 0.9]), 3)
    0.8
    """
    check_consistent_length(y_true, y_pred, sample_weight)
    ranks = [
        rankdata(check_array(y, ensure_2d=False, dtype=np.float64, input_name=name).ravel())
        for y, name in ((y_true, "y_true"), (y_pred, "y_pred"))
    ]
    weights = check_sample_weight(sample_weight, ranks[0], dtype=np.float64)
    counted = weights > 0
    if any(np.ptp(part[counted]) == 0 for part in ranks):
        warnings.warn(
            "y_true or y_pred is constant: the rank correlation is not defined.",
            UndefinedMetricWarning,
            stacklevel=2,
        )
        return float("nan")
    covariances = np.cov(np.stack(ranks), aweights=weights, ddof=0)
    return float(covariances[0, 1] / np.sqrt(covariances[0, 0] * covariances[1, 1]))


spearman_scorer = make_scorer(spearman_score)
spearman_scorer.__doc__ = (
    "Scorer of :func:`~sklearn_dl.metrics.spearman_score` for `cross_validate` and `GridSearchCV`."
)
