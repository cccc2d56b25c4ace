"""The grid searches of examples/distributed, on clusters of two workers."""

import pytest

from tests.distributed.engines import run_example

pytestmark = pytest.mark.slow


def test_a_search_on_dask_equals_the_local_one(dask_address):
    output = run_example("dask_search.py", dask_address)
    assert "best on dask and on this machine: {'C': 10.0, 'trainable_layers': 0}" in output


def test_a_search_on_ray_equals_the_local_one(ray_address):
    output = run_example("ray_search.py", ray_address)
    assert "best on Ray and on this machine: {'classify__C': 10.0" in output


def test_a_search_on_spark_equals_the_local_one(spark_address):
    pytest.importorskip("joblibspark", reason="needs pip install sklearn-dl[distributed-test]")
    output = run_example("spark_search.py", spark_address)
    assert "best on Spark and on this machine: {'C': 10.0, 'trainable_layers': 0}" in output
