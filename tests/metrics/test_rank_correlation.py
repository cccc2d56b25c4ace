import numpy as np
import pytest
from scipy.stats import spearmanr
from sklearn.exceptions import UndefinedMetricWarning
from sklearn.linear_model import LinearRegression
from sklearn.model_selection import cross_val_score

from sklearn_dl.metrics import spearman_score, spearman_scorer

RNG = np.random.default_rng(0)


@pytest.mark.parametrize("decimals", [0, 6])
def test_it_is_scipys_with_and_without_ties(decimals):
    a, b = RNG.normal(size=(2, 50)).round(decimals)
    assert spearman_score(a, b) == pytest.approx(spearmanr(a, b).statistic)


def test_order_alone_counts():
    assert spearman_score([0, 1, 2, 5], [-3, 10, 11, 1e9]) == 1.0
    assert spearman_score([0, 1, 2, 5], [4, 3, 2, 1]) == pytest.approx(-1.0)


def test_weights_of_one_change_nothing_and_rows_of_zero_do_not_count():
    a, b = RNG.normal(size=(2, 20))
    assert spearman_score(a, b, sample_weight=np.ones(20)) == pytest.approx(spearman_score(a, b))
    weighted = spearman_score([1, 2, 3, 9], [1, 2, 3, 0], sample_weight=[1, 1, 1, 0])
    assert weighted == pytest.approx(1.0)


def test_constant_values_have_no_correlation():
    with pytest.warns(UndefinedMetricWarning, match="y_true or y_pred is constant"):
        assert np.isnan(spearman_score([1, 2, 3], [1, 1, 1]))


def test_bad_values():
    with pytest.raises(ValueError, match="y_pred contains NaN"):
        spearman_score([1, 2], [1, np.nan])
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        spearman_score([1, 2], [1, 2, 3])


def test_the_scorer_ranks_in_cross_validation():
    X = RNG.normal(size=(60, 2))
    scores = cross_val_score(LinearRegression(), X, X[:, 0] ** 3, cv=3, scoring=spearman_scorer)
    assert (scores > 0.9).all()
