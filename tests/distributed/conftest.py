import os

import pytest

from tests.distributed import engines

# Ray reads its variables when it is imported
os.environ.update({name: v for name, v in engines.ENVIRONMENT.items() if name.startswith("RAY_")})


@pytest.fixture(scope="session")
def dask_address(tmp_path_factory):
    with engines.dask_cluster(tmp_path_factory.mktemp("dask")) as address:
        yield address


@pytest.fixture(scope="session")
def ray_address(tmp_path_factory):
    with engines.ray_cluster(tmp_path_factory.mktemp("ray")) as address:
        yield address


@pytest.fixture(scope="session")
def spark_address(tmp_path_factory):
    with engines.spark_cluster(tmp_path_factory.mktemp("spark")) as address:
        yield address
