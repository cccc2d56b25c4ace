"""Workers of engines use as many threads as the engine gives them, not the whole machine's."""

import json
from pathlib import Path

import joblib
import pytest

from tests.distributed import engines

pytestmark = pytest.mark.slow
ONE_EACH = {"torch": 1, "ONNX Runtime": 1, "images": 1}


def counted(engine, address):
    script = Path(__file__).with_name("threads_on.py")
    return json.loads(engines.run_example(script, engine, address).splitlines()[-1])


def test_dask(dask_address):
    found = counted("dask", dask_address)
    assert found["task"] == ONE_EACH
    assert found["search"] == [1, 1]
    assert found["two tasks in one process"] == 2


@pytest.mark.skipif(joblib.cpu_count() < 2, reason="needs two CPUs")
def test_ray(ray_address):
    found = counted("ray", ray_address)
    assert found["num_cpus=1"] == ONE_EACH
    assert found["num_cpus=2"] == dict.fromkeys(ONE_EACH, 2)
    assert found["search"] == [1, 1]


def test_spark(spark_address):
    found = counted("spark", spark_address)
    assert found["task"] == ONE_EACH
    assert found["search"] == [1, 1]
