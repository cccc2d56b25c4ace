"""Scoring 2,000 texts with dask, Ray and Spark, against two threads in this process.

The engines have two workers with one thread each. The times include `predict_partitions`, the work
on all partitions, and the transfer of the results to a pandas frame. They do not include the start
of the engine, the transfer of the rows to it, and the first call, in which each worker loads the
model.
"""

import copy
import logging
import os
import sys
from contextlib import contextmanager

import numpy as np
import pandas as pd

from benchmarks._ratio import compare
from benchmarks._texts import polarity
from sklearn_dl import TextClassifier
from sklearn_dl.distributed import predict_partitions

N_WORKERS = 2
# several for each worker, because texts differ in length
N_PARTITIONS = 4 * N_WORKERS
# as the guide advises, so that workers keep the memory that torch frees for its next tensors
ALLOCATOR = {"MALLOC_TRIM_THRESHOLD_": "1000000000", "MALLOC_MMAP_THRESHOLD_": "33554432"}
# at most 1.3 times as long as in this process
BAR = round(1 / 1.3, 2)


@contextmanager
def on_dask(table):
    import dask
    import dask.dataframe as dd
    from distributed import Client, LocalCluster

    name = "distributed.nanny.pre-spawn-environ"
    with (
        dask.config.set({name: {**dask.config.get(name), **ALLOCATOR}}),
        LocalCluster(n_workers=N_WORKERS, threads_per_worker=1, dashboard_address=None) as cluster,
        Client(cluster),
    ):
        yield dd.from_pandas(table, npartitions=N_PARTITIONS).persist(), lambda f: f.compute()


@contextmanager
def on_ray(table):
    import ray

    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    ray.init(
        num_cpus=N_WORKERS,
        include_dashboard=False,
        logging_level="ERROR",
        runtime_env={"env_vars": ALLOCATOR},
    )
    context = ray.data.DataContext.get_current()
    logging.getLogger("ray.data").setLevel("ERROR")
    context.enable_progress_bars = False
    context.execution_options.preserve_order = True
    try:
        frame = ray.data.from_pandas(table).repartition(N_PARTITIONS).materialize()
        yield frame, lambda f: f.to_pandas()
    finally:
        ray.shutdown()


@contextmanager
def on_spark(table):
    from pyspark.sql import SparkSession

    os.environ.setdefault("SPARK_LOCAL_IP", "127.0.0.1")
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    os.environ.update(ALLOCATOR)
    builder = SparkSession.builder.master(f"local[{N_WORKERS}]").config("spark.ui.enabled", "false")
    spark = builder.config("spark.ui.showConsoleProgress", "false").getOrCreate()
    spark.sparkContext.setLogLevel("ERROR")
    try:
        rows = spark.sparkContext.parallelize(table.to_dict("records"), N_PARTITIONS)
        frame = spark.createDataFrame(rows, "text string").cache()
        frame.count()
        yield frame, lambda f: f.toArrow().to_pandas()
    finally:
        spark.stop()


def run(quick=False):
    texts, labels = polarity(0)
    n, n_pairs = (200, 2) if quick else (2000, 20)
    classifier = TextClassifier(trainable_layers=0).fit(texts[-200:], labels[-200:])
    # dask's LocalCluster sets OMP_NUM_THREADS=1 in this process, too
    here = copy.copy(classifier).set_params(n_threads=N_WORKERS)
    table = pd.DataFrame({"text": texts[:n]})
    local = here.predict_proba(table["text"])
    rows = []
    for name, engine in {"dask": on_dask, "Ray Data": on_ray, "Spark": on_spark}.items():
        with engine(table) as (frame, collect):

            def score(i, frame=frame, collect=collect):
                return collect(predict_partitions(frame, classifier, "text", "predict_proba"))

            found = score(0).iloc[:, 1:].to_numpy(float)
            # the rounding of bfloat16 depends on the batch
            np.testing.assert_allclose(found, local, atol=1e-2)
            rivals = {"here": lambda i: here.predict_proba(table["text"])}
            ratio = compare(score, rivals, n_pairs)["here"]
        rows.append(
            {
                "what": f"predict_partitions of {n} texts, {name}, {N_WORKERS} workers of 1 thread",
                "rival": f"predict_proba here, {N_WORKERS} threads",
                "bar": BAR,
                "ms_each": 1000 * ratio.ours_seconds / n,
            }
            | ratio._asdict()
        )
    return rows
