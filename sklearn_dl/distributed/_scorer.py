"""What an engine runs on each partition."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import pyarrow as pa

from sklearn_dl.distributed._arrow import arrow_array, pandas_series, spark_type
from sklearn_dl.distributed._pickled_estimator import PickledEstimator
from sklearn_dl.distributed._result_fields import classes_of, result_columns
from sklearn_dl.utils._messages import brief, naming_labels


@dataclass(frozen=True)
class Scorer:
    """Adds an estimator's results to a part of a frame.

    Attributes
    ----------
    estimator : PickledEstimator
    columns : str or list of str
        The columns that the estimator gets as X.
    method : str
    fields : pyarrow.Schema
        The columns of the results.
    """

    estimator: PickledEstimator
    columns: str | list[str]
    method: str
    fields: pa.Schema

    def shared(self, share: Callable[[bytes], Callable[[], bytes]]):
        """A copy whose estimator's pickle is stored in an engine.

        Parameters
        ----------
        share : callable
            Stores the pickle in the engine, and returns a function that reads it in any process.
        """
        return replace(self, estimator=replace(self.estimator, read=share(self.estimator.read())))

    def for_spark(self):
        """A copy with types of results that Spark has; all results may be null."""
        fields = [pa.field(field.name, spark_type(field.type)) for field in self.fields]
        return replace(self, fields=pa.schema(fields))

    def add_to_pandas(self, part):
        """Add the results to a part that is a pandas.DataFrame, and keep its index."""
        with naming_labels(part):  # steps of a pipeline do not know the index
            arrays = self._arrays(part[self.columns])
        return part.assign(
            **{
                field.name: pandas_series(array, part.index, field.nullable)
                for field, array in zip(self.fields, arrays, strict=True)
            }
        )

    def add_to_arrow(self, part):
        """Add the results to a part that is a pyarrow.Table."""
        refuse_columns(self.columns, self.fields.names, part.column_names)
        is_one = isinstance(self.columns, str)
        X = (part[self.columns] if is_one else part.select(self.columns)).to_pandas()
        try:
            arrays = self._arrays(X)
        except Exception as error:
            # the error has the number of the row in this call; no index identifies the row here
            row = getattr(error, "row", None)
            if row is not None:
                cells = part.slice(row, 1).to_pylist()[0]
                error.add_note(f"Row {row} of the {len(part)} rows in this call is {brief(cells)}.")
            raise
        for field, array in zip(self.fields, arrays, strict=True):
            part = part.append_column(field.name, array)
        return part

    def _arrays(self, X):
        """The results for the rows of X as Arrow arrays; X may have no rows."""
        if not len(X):
            return [pa.array([], kind) for kind in self.fields.types]
        estimator = self.estimator.load()
        values = getattr(estimator, self.method)(X)
        columns = result_columns(values, self.method, classes_of(estimator))
        names, n_rows = list(columns), len(next(iter(columns.values())))
        if names != self.fields.names or n_rows != len(X):
            raise ValueError(
                f"{self.method} returned {n_rows} rows of {brief(names)} for {len(X)} rows of X, "
                f"but must return {len(X)} rows of {brief(self.fields.names)}."
            )
        return [
            arrow_array(cells, kind)
            for cells, kind in zip(columns.values(), self.fields.types, strict=True)
        ]


def refuse_columns(columns, new, present):
    """Raise a ValueError if a frame lacks some of `columns`, or already has some of `new`."""
    wanted = [columns] if isinstance(columns, str) else columns
    missing = [name for name in wanted if name not in present]
    if missing:
        raise ValueError(f"The frame has no columns {missing}; it has {brief(list(present))}.")
    taken = [name for name in new if name in present]
    if taken:
        raise ValueError(
            f"The results need the columns {taken}, which the frame already has: rename those of "
            "the frame."
        )
