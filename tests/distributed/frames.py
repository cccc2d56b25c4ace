"""Conversion of a pandas frame to the frames of each engine, and back."""

import pytest

from tests.distributed import engines

# engines warn about their own settings, and about pandas 3
ignores_warnings_of_engines = [
    pytest.mark.filterwarnings(f"ignore::{category}:{module}")
    for module in ("ray", "pyspark")
    for category in ("DeprecationWarning", "FutureWarning")
]


class DaskFrames:
    name = "dask"
    keeps_index = True

    def __init__(self, address):
        from distributed import Client

        self.client = Client(address)
        self.client.wait_for_workers(2, timeout=60)

    def frame(self, table, n_partitions):
        import dask.dataframe as dd

        return dd.from_pandas(table, npartitions=n_partitions, sort=False)

    def without_rows(self, frame, names):
        return frame[~frame["name"].isin(names)]

    def table(self, frame):
        return frame.compute()

    def close(self):
        self.client.close()


class RayFrames:
    name = "ray"
    keeps_index = False

    def __init__(self, address):
        import ray

        ray.init(address=address, log_to_driver=False, logging_level="ERROR")
        context = ray.data.DataContext.get_current()
        context.execution_options.preserve_order = True
        context.enable_progress_bars = False
        self.ray = ray

    def frame(self, table, n_partitions):
        size = -(-len(table) // n_partitions)
        starts = range(0, len(table), size)
        return self.ray.data.from_pandas([table[start : start + size] for start in starts])

    def without_rows(self, frame, names):
        def without(part):
            return part[~part["name"].isin(names)]

        return frame.map_batches(without, batch_format="pandas", batch_size=None)

    def table(self, frame):
        return frame.to_pandas()

    def close(self):
        self.ray.shutdown()


class SparkFrames:
    name = "spark"
    keeps_index = False

    def __init__(self, address):
        from pyspark.sql import SparkSession

        settings = {
            "spark.driver.host": engines.HOST,
            "spark.driver.bindAddress": engines.HOST,
            "spark.driver.memory": "512m",
            "spark.executor.memory": "512m",
            "spark.ui.enabled": "false",
            # one more attempt, for the worker that is killed
            "spark.task.maxFailures": "2",
            "spark.ui.showConsoleProgress": "false",
        }
        builder = SparkSession.builder.master(address)
        for name, value in settings.items():
            builder = builder.config(name, value)
        self.session = builder.getOrCreate()
        self.session.sparkContext.setLogLevel("OFF")

    def frame(self, table, n_partitions):
        import pyarrow as pa

        rows = pa.Table.from_pandas(table, preserve_index=False)
        schema = self.session.createDataFrame(rows).schema
        parts = self.session.sparkContext.parallelize(rows.to_pylist(), n_partitions)
        return self.session.createDataFrame(parts, schema)

    def without_rows(self, frame, names):
        return frame.filter(~frame["name"].isin(names))

    def table(self, frame):
        # not toPandas, which warns about pandas 3
        return frame.toArrow().to_pandas()

    def close(self):
        from pyspark import SparkContext

        gateway = SparkContext._gateway
        self.session.stop()
        # the JVM ends with its standard input; another session starts another one
        gateway.shutdown()
        gateway.proc.stdin.close()
        gateway.proc.wait(60)
        SparkContext._gateway = SparkContext._jvm = None
