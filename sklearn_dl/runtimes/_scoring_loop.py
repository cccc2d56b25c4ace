"""The description of a tensor and the loop over batches, which the scorers of all runtimes use."""

from typing import NamedTuple

import numpy as np

from sklearn_dl.runtimes._collector import Collector, not_per_row
from sklearn_dl.utils._threads import for_each_batch

# halfway from the largest bfloat16 to 2**128: from here on, numbers round to infinity
_BEYOND_BFLOAT16 = 2.0**127 * (2 - 2.0**-8)


class TensorSpec(NamedTuple):
    """An input or output of a graph.

    Parameters
    ----------
    name : str
    shape : tuple of int, str or None, or None
        The batch size comes first. A str or None is a size that depends on the data. None instead
        of a tuple: the rank is unknown.
    dtype : numpy.dtype or None
        object for strings; None if numpy has no dtype for it.
    """

    name: str
    shape: tuple | None
    dtype: np.dtype | None

    @property
    def batch(self):
        """The fixed batch size, or None if the graph has none."""
        return self.shape[0] if self.shape and isinstance(self.shape[0], int) else None

    @property
    def row_shape(self):
        """The shape of a row, with None for sizes that depend on the data.

        If the rank is unknown, the result itself is None.
        """
        if self.shape is None:
            return None
        return tuple(size if isinstance(size, int) else None for size in self.shape[1:])

    @property
    def width(self):
        """Number of values per row, or None if it depends on the data."""
        row = self.row_shape
        return None if row is None or None in row else int(np.prod(row, dtype=int))

    def __str__(self):
        shape = "unknown" if self.shape is None else tuple(s if s else "?" for s in self.shape)
        kind = "str" if self.dtype == object else self.dtype
        return f"{self.name!r}: shape {shape}, {kind}"


def listed(specs):
    """The specs as text for a message."""
    return "; ".join(map(str, specs))


def check_bfloat16(name, values):
    """Raise a ValueError if a finite number for the input `name` is infinite in bfloat16."""
    beyond = np.isfinite(values) & (np.abs(values) >= _BEYOND_BFLOAT16)
    if beyond.any():
        raise ValueError(
            f"the input {name!r} has the type bfloat16, and {values[beyond][0]:.4g} is too large "
            "for it (the largest is 3.39e+38)"
        )


def score(graph, sources, rows, batch_size, n_workers=1, done=None, collector=None, numbers=None):
    """Run a graph over rows, batch by batch.

    Parameters
    ----------
    graph : OnnxSession or TensorFlowGraph
        Its `inputs` and `outputs` are tuples of TensorSpec. `mixes_rows` says whether the result of
        a row depends on the other rows of its batch. ``run(feeds)`` returns a list of outputs;
        several threads may call it at once.
    sources : dict of str to source
        The source of the values of each input that is fed, by the input's name.
    rows : sequence of int
        Rows to score; the result has one row for each.
    batch_size : int
        Ignored if the graph has a fixed batch size, with one exception: if it is 1 and the graph
        mixes rows, the graph gets one row at a time, repeated to fill the batch.
    n_workers : int, default=1
        Threads that score batches at the same time.
    done : callable(n_rows) or None
        Called after each batch, by one thread at a time.
    collector : Collector, or any object with `add` and `errors` like it, default=None
        Gets the outputs of each batch, from any of the threads. None: a new Collector.
    numbers : sequence of int or None, default=None
        ``numbers[row]`` is what messages call the row `row`. None: `row` itself.

    Returns
    -------
    collector : Collector
        `collector`, or the new one.

    Raises
    ------
    ValueError
        If the inputs have different batch sizes, an output does not have one result per row, or
        the graph fails.
    """
    collector = collector or Collector(len(rows), graph.outputs)
    fixed = {source.spec.batch for source in sources.values()} - {None}
    if len(fixed) > 1:
        raise ValueError(
            f"The inputs have different batch sizes: {listed(graph.inputs)}. Export the model with "
            "the same batch size for all inputs."
        )
    fixed_size = fixed.pop() if fixed else None
    step = fixed_size or batch_size
    if fixed_size and batch_size == 1 and graph.mixes_rows:
        step = 1
    for spec in graph.outputs:
        if spec.batch not in (None, 1, fixed_size):
            raise not_per_row(spec, spec.shape, fixed_size)

    def run(positions):
        """Score the rows at some positions, and pass outputs and errors to the collector."""
        contiguous = isinstance(positions, range)
        wanted = (
            rows[positions.start : positions.stop] if contiguous else [rows[p] for p in positions]
        )
        feeds, rows_read, errors = {}, {}, {}
        for name, source in sources.items():
            feeds[name], failed = source.read(wanted)
            rows_read[name] = [row for row in wanted if row not in failed] if failed else wanted
            errors.update(failed)
        if errors:
            collector.errors.update({p: errors[rows[p]] for p in positions if rows[p] in errors})
            positions = [position for position in positions if rows[position] not in errors]
            if not positions:
                return
            # each source has left out its own failed rows, but not the failed rows of other sources
            for name, read in rows_read.items():
                kept = [row not in errors for row in read]
                feeds[name] = feeds[name] if all(kept) else feeds[name][kept]
        n_fed = len(positions)
        if fixed_size is not None and n_fed < fixed_size:
            n_fed = fixed_size
            feeds = {name: _pad(values, n_fed) for name, values in feeds.items()}
        try:
            outputs = graph.run(feeds)
        except Exception as error:  # runtimes have error classes of their own
            failed = [rows[position] for position in positions]
            where = _shown_rows(failed if numbers is None else {numbers[row] for row in failed})
            raise ValueError(f"The graph failed on {where}: {error}") from error
        collector.add(positions, outputs, n_fed)

    for group in _groups(sources, rows):
        for_each_batch(
            lambda start, stop, group=group: run(group[start:stop]),
            len(group),
            step,
            n_workers,
            done,
        )
    return collector


def _shown_rows(rows):
    """The rows of a batch, as text for a message; they need not be consecutive."""
    first, last = min(rows), max(rows)
    if last - first + 1 == len(rows):
        return f"rows {first} to {last}"
    return f"a batch of {len(rows)} rows between row {first} and row {last}"


def _groups(sources, rows):
    """Positions in `rows`, in groups whose rows have equal shapes in every source."""
    ragged = [source for source in sources.values() if source.shapes is not None]
    if not ragged:
        return [range(len(rows))]
    groups: dict = {}
    for position, row in enumerate(rows):
        groups.setdefault(tuple(source.shapes[row] for source in ragged), []).append(position)
    return list(groups.values())


def _pad(values, n_rows):
    return np.concatenate([values, np.repeat(values[-1:], n_rows - len(values), axis=0)])
