"""Predictions for the frames of Dask, Ray Data and Spark, partition by partition."""

from sklearn_dl.distributed._predict_partitions import predict_partitions

__all__ = ["predict_partitions"]
