"""The function that scores a frame of an engine, partition by partition."""

import sys
from functools import partial
from typing import TypeVar

from narwhals.stable.v1 import dependencies

from sklearn_dl.distributed._pickled_estimator import pickled

Frame = TypeVar("Frame")


def predict_partitions(
    frame: Frame, estimator, columns, method="predict", *, X_sample=None
) -> Frame:
    """Score a frame of Dask, Ray Data or Spark, partition by partition.

    Nothing is computed before the engine needs the rows. Each worker gets the estimator once, and
    each process loads it once.

    Parameters
    ----------
    frame : dask.dataframe.DataFrame, ray.data.Dataset or pyspark.sql.DataFrame
        The rows to score. A frame of Spark Connect also works.
    estimator : estimator
        A fitted estimator of this package or of scikit-learn, or a pipeline of these. The workers
        need the packages that it needs.
    columns : str or list of str
        The columns that the estimator gets as X, like ``frame[columns]`` in pandas: a name selects
        a Series, and a list selects a frame.
    method : str, default="predict"
        The method of the estimator, such as "predict", "predict_proba" or "transform". It must
        return one result for each row.
    X_sample : array-like of n_samples rows, default=None
        Some rows of X, which are scored immediately to find the type of the results. None: the type
        comes from the results for an X without rows, or from the classes of a classifier. If that
        is not enough, as for scikit-learn's regressors, an error asks for `X_sample`.

    Returns
    -------
    scored : frame of the same kind
        The rows and columns of `frame`, in the same partitions, with additional columns for the
        results. The Notes list these columns.

    Raises
    ------
    TypeError
        If `frame` is of another type, or the results cannot be columns.
    ValueError
        If `columns` are not in the frame, if the frame already has a column with the name of a
        result, or if `X_sample` is needed. While the engine computes: if a row cannot be scored.
    sklearn.exceptions.NotFittedError
        If the estimator is not fitted.

    Notes
    -----
    The names of the results:

    ======================  ====================================================================
    method                  columns
    ======================  ====================================================================
    predict                 ``prediction``; with several outputs ``prediction_0``, ...
    predict_proba           ``proba_<class>`` for each of `classes_`; with several labels
                            ``proba_0``, ...
    predict_log_proba       like predict_proba, with ``log_proba`` instead of ``proba``
    decision_function       ``decision_function`` if each row has one value; otherwise like
                            predict_proba, with ``decision_function`` instead of ``proba``
    transform               ``features``: a list for each row
    another method          the method's name without ``predict_``
    ======================  ====================================================================

    Numbers and labels have the dtype that the estimator returns. Spark has no unsigned integers: it
    has the next larger type instead. Missing labels (``on_error="nan"``) are null. The results of
    :meth:`DetectionScorer.predict`, :meth:`ObjectDetector.predict` and
    :meth:`EntityRecognizer.predict` are lists of structs, and those of
    :meth:`QuestionAnswerer.predict` are structs; their fields are those of the structured arrays.
    Dask holds lists, structs, and values that may be missing in columns of ``pandas.ArrowDtype``.

    Dask keeps the index and the order of the rows. Spark keeps the order within a partition. Ray
    Data keeps the order if ``ray.data.DataContext.get_current().execution_options`` has
    ``preserve_order=True``. Otherwise, the frame needs a column that identifies its rows.

    If a row cannot be scored, the error names it. With Dask, this is its index label. Ray Data and
    Spark have no index: a note on the error shows the values of all columns of the row.

    Examples
    --------
    >>> import dask.dataframe as dd  # doctest: +SKIP
    >>> from sklearn_dl.distributed import predict_partitions
    >>> table = dd.read_parquet("reviews")  # doctest: +SKIP
    >>> scored = predict_partitions(table, clf, "text", "predict_proba")  # doctest: +SKIP
    >>> scored.to_parquet("scored")  # doctest: +SKIP
    """
    engine = _engine_of(frame, method)
    columns = columns if isinstance(columns, str) else list(columns)
    # these modules import pandas and pyarrow, which come with each engine
    from sklearn_dl.distributed._result_fields import result_fields
    from sklearn_dl.distributed._scorer import Scorer, refuse_columns

    fields = result_fields(estimator, columns, method, X_sample)
    present = _known_columns(frame)
    if present is not None:
        refuse_columns(columns, fields.names, present)
    return engine(frame, Scorer(pickled(estimator), columns, method, fields))


def _engine_of(frame, method):
    """The function that scores a frame of this kind."""
    if dependencies.is_dask_dataframe(frame):
        return _on_dask
    if dependencies.is_pyspark_dataframe(frame) or dependencies.is_pyspark_connect_dataframe(frame):
        return _on_spark
    if _is_ray_dataset(frame):
        return _on_ray
    kind = f"{type(frame).__module__}.{type(frame).__qualname__}"
    X = "frame.collect()[columns]" if dependencies.is_polars_lazyframe(frame) else "frame[columns]"
    raise TypeError(
        "predict_partitions needs a DataFrame of Dask or Spark or a Dataset of Ray Data, but got a "
        f"{kind}. For rows in the memory of this process, call estimator.{method}({X})."
    )


def _is_ray_dataset(frame):
    return "ray.data" in sys.modules and isinstance(frame, sys.modules["ray.data"].Dataset)


def _known_columns(frame):
    """The names of the columns; None if Ray Data would have to compute rows to find them."""
    return frame.columns(fetch_if_missing=False) if _is_ray_dataset(frame) else list(frame.columns)


def _on_dask(frame, scorer):
    """A DataFrame of Dask with the results of a Scorer."""
    from dask import delayed

    # Dask sends a delayed object to each worker once, not with each partition
    sent = delayed(scorer, traverse=False)
    return frame.map_partitions(_add_to_pandas, sent, meta=scorer.add_to_pandas(frame._meta))


def _add_to_pandas(part, scorer):
    return scorer.add_to_pandas(part)


def _on_ray(frame, scorer):
    """A Dataset of Ray Data with the results of a Scorer."""
    import ray

    # one copy in the object store of each node
    scorer = scorer.shared(lambda data: partial(ray.get, ray.put(data)))
    return frame.map_batches(scorer.add_to_arrow, batch_format="pyarrow", batch_size=None)


def _on_spark(frame, scorer):
    """A DataFrame of Spark with the results of a Scorer."""
    import pyarrow as pa
    from pyspark.sql.pandas.types import from_arrow_schema
    from pyspark.sql.types import StructType

    # Spark Connect has no broadcast: the pickle travels in the plan
    if not dependencies.is_pyspark_connect_dataframe(frame):
        context = frame.sparkSession.sparkContext
        scorer = scorer.shared(lambda data: partial(getattr, context.broadcast(data), "value"))
    scorer = scorer.for_spark()

    def add(batches):
        for batch in batches:
            yield from scorer.add_to_arrow(pa.Table.from_batches([batch])).to_batches()

    added = from_arrow_schema(scorer.fields)
    return frame.mapInArrow(add, StructType([*frame.schema.fields, *added.fields]))
