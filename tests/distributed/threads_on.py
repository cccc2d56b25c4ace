"""Run as a script on an engine: count the threads that its workers use, and print the numbers."""

import json
import sys
import tempfile
from pathlib import Path

import joblib

from tests.distributed.busy_threads import count_beside_another, count_each, estimators, search


def on_dask(address, works):
    from distributed import Client, LocalCluster

    with Client(address) as client:
        client.wait_for_workers(2)
        yield "task", client.submit(count_each, works).result()
        with joblib.parallel_config("dask"):
            yield "search", search()
    scorer, X = works["ONNX Runtime"]
    cluster = LocalCluster(
        n_workers=1, threads_per_worker=2, host="127.0.0.1", dashboard_address=":0"
    )
    with cluster, Client(cluster) as client:
        two = [client.submit(count_beside_another, scorer, X, pure=False) for _ in range(2)]
        yield "two tasks in one process", max(client.gather(two))


def on_ray(address, works):
    import ray
    from ray.util.joblib import register_ray

    # torch's threads must not spin while they wait: on a busy machine they would seem busy
    ray.init(address, log_to_driver=False, runtime_env={"env_vars": {"OMP_WAIT_POLICY": "PASSIVE"}})
    for n_cpus in (1, 2):  # in one process, in which Ray changes OMP_NUM_THREADS
        count = ray.remote(num_cpus=n_cpus)(count_each)
        yield f"num_cpus={n_cpus}", ray.get(count.remote(works))
    register_ray()
    with joblib.parallel_config("ray"):
        yield "search", search()
    ray.shutdown()


def on_spark(address, works):
    from joblibspark import register_spark
    from pyspark.sql import SparkSession

    settings = {
        "spark.driver.host": "127.0.0.1",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.ui.enabled": "false",
        "spark.executor.memory": "1g",
    }
    session = SparkSession.builder.master(address).config(map=settings).getOrCreate()
    yield "task", session.sparkContext.parallelize([works], 1).map(count_each).first()
    register_spark()
    with joblib.parallel_config("spark"):
        yield "search", search()
    session.stop()


if __name__ == "__main__":
    engine, address = sys.argv[1:]
    with tempfile.TemporaryDirectory() as folder:
        counted = dict(globals()[f"on_{engine}"](address, estimators(Path(folder))))
    print(json.dumps(counted))
