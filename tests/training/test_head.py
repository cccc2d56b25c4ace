from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_info, threadpool_limits

from sklearn_dl.training import _head
from sklearn_dl.training._head import blas_threads, logistic_head, ridge_head


def threads_of_blas():
    return {pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"}


@pytest.fixture
def seen(monkeypatch):
    """The settings of BLAS whenever scikit-learn's solver ran."""
    seen = []

    class Watched(LogisticRegression):
        def fit(self, *args, **kwargs):
            seen.append(threads_of_blas())
            return super().fit(*args, **kwargs)

    monkeypatch.setattr(_head, "LogisticRegression", Watched)
    _head._thread_pools.cache_clear()  # another test may have loaded another BLAS
    return seen


@pytest.mark.parametrize(("most", "threads"), [(100, {3}), (300, {1})])
def test_a_small_head_is_solved_by_one_thread(seen, monkeypatch, most, threads):
    monkeypatch.setattr(_head, "_FOR_ONE_THREAD", most)
    features = np.random.default_rng(0).normal(size=(20, 5))
    with threadpool_limits(3, user_api="blas"):
        logistic_head(features, np.arange(20) % 3, 3, np.ones(20))
        assert threads_of_blas() == {3}
    assert seen == [threads]


def test_threads_do_not_limit_each_other(seen):
    features = np.random.default_rng(0).normal(size=(20, 5))
    with threadpool_limits(3, user_api="blas"), ThreadPoolExecutor(1) as pool:
        pool.submit(logistic_head, features, np.arange(20) % 3, 3, np.ones(20)).result()
    assert seen == [{3}]


@pytest.mark.parametrize(
    ("n_threads", "budget", "threads"), [(None, 2, 2), (None, 4, 3), (4, 2, 4), (1, 2, 1)]
)
def test_blas_gets_the_number_that_is_asked_or_the_budget(monkeypatch, n_threads, budget, threads):
    monkeypatch.setattr(_head, "thread_budget", lambda: budget)
    _head._thread_pools.cache_clear()  # another test may have loaded another BLAS
    with threadpool_limits(3, user_api="blas"):
        with blas_threads(n_threads):
            assert threads_of_blas() == {threads}
        assert threads_of_blas() == {3}


def test_threads_are_given_back_when_the_solver_fails(seen):
    features = np.full((20, 5), np.nan)
    with threadpool_limits(3, user_api="blas"):
        with pytest.raises(ValueError, match="NaN"):
            logistic_head(features, np.arange(20) % 3, 3, np.ones(20))
        assert threads_of_blas() == {3}
    assert seen == [{1}]


@pytest.mark.parametrize("several", [False, True])
def test_a_tuned_ridge_regression_does_not_learn_noise(several):
    rng = np.random.default_rng(0)
    features, other = rng.normal(size=(2, 200, 100)) * rng.uniform(0.01, 10, 100) + 5
    noise = rng.normal(size=(200, 2) if several else 200)
    tuned, plain = (ridge_head(features, noise, np.ones(200), tune=tune) for tune in (True, False))
    assert np.var(tuned(other)) < 0.1 < np.var(plain(other))


@pytest.mark.parametrize("several", [False, True])
def test_a_tuned_ridge_regression_learns_what_there_is(several):
    rng = np.random.default_rng(0)
    features, other = rng.normal(size=(2, 200, 20)) * rng.uniform(0.01, 10, 20) + 5
    weights = rng.normal(size=(20, 2) if several else 20)
    head = ridge_head(features, features @ weights + 3, np.ones(200), tune=True)
    expected = other @ weights + 3
    found = head(other) if several else head(other)[:, 0]
    assert 1 - np.var(found - expected) / np.var(expected) > 0.999


def test_rows_of_weight_zero_have_no_say_in_a_tuned_ridge_regression():
    rng = np.random.default_rng(0)
    features, targets = rng.normal(size=(60, 5)), rng.normal(size=60)
    targets[50:] = 1e6
    weights = np.repeat([1.0, 0.0], [50, 10])
    head = ridge_head(features, targets, weights, tune=True)
    assert abs(head(features)).max() < 10


@pytest.mark.parametrize("scale", [1e-4, 1 / 60, 1e6])
def test_a_tuned_ridge_regression_depends_on_the_proportions_of_weights_only(scale):
    rng = np.random.default_rng(0)
    features, targets = rng.normal(size=(60, 20)), rng.normal(size=60)
    weights = rng.integers(1, 4, 60).astype(float)
    expected = ridge_head(features, targets, weights, tune=True)(features)
    found = ridge_head(features, targets, weights * scale, tune=True)(features)
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-12)


def test_features_that_are_nearly_constant_in_few_rows_do_not_count_much():
    rng = np.random.default_rng(0)
    signal = rng.normal(size=(600, 20))
    rare = rng.normal(size=(600, 400)) * (rng.random((600, 400)) < 0.03)
    features, targets = np.hstack([signal, rare]), signal.sum(axis=1)
    each, together = (
        ridge_head(features[:40], targets[:40], np.ones(40), tune=True, each=each)
        for each in (True, False)
    )
    errors = [((head(features[40:])[:, 0] - targets[40:]) ** 2).mean() for head in (each, together)]
    assert errors[1] < 0.5 * errors[0]
