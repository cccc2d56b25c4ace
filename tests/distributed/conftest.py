import os
from contextlib import closing

import pytest

from tests.distributed import engines
from tests.distributed.frames import DaskFrames, RayFrames, SparkFrames

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


@pytest.fixture(scope="session")
def dask_frames(dask_address):
    with closing(DaskFrames(dask_address)) as frames:
        yield frames


@pytest.fixture(scope="session")
def ray_frames(ray_address):
    with closing(RayFrames(ray_address)) as frames:
        yield frames


@pytest.fixture(scope="session")
def spark_frames(spark_address):
    with pytest.MonkeyPatch.context() as patch:
        for name, value in engines.ENVIRONMENT.items():
            patch.setenv(name, value)
        with closing(SparkFrames(spark_address)) as frames:
            yield frames


@pytest.fixture(params=["dask", "ray", "spark"])
def frames(request):
    """Frames of each engine, on its cluster."""
    return request.getfixturevalue(f"{request.param}_frames")
