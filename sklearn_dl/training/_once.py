"""Equal inputs of a network, and those whose values are kept, are computed once."""

import numpy as np

from sklearn_dl.training._rows import Read
from sklearn_dl.utils._messages import RowError


def computed_once(keys, compute, store=None):
    """What a network makes of inputs, of which some may be equal, or known from earlier calls.

    Parameters
    ----------
    keys : sequence of hashable or None
        Equal inputs have equal keys; None: of an input that is like no other.
    compute : callable(positions) -> Read
        What the network makes of the inputs at some positions (int ndarray).
    store : object with ``load(keys)`` and ``save(values)``, default=None
        Where values are kept from call to call: dicts of key to ndarray. With it, nothing is cut.

    Returns
    -------
    read : Read
        Of all inputs.
    """
    known = {} if store is None else store.load(keys)
    source = np.full(len(keys), -1)  # which of the computed inputs each one is equal to
    firsts: dict = {}
    positions: list = []
    for position, key in enumerate(keys):
        if key in known:
            continue
        number = len(positions) if key is None else firsts.setdefault(key, len(positions))
        source[position] = number
        if number == len(positions):
            positions.append(position)
    read = compute(np.array(positions)) if positions else Read(np.empty((0, 0), np.float32), {})
    if store is not None:
        good = [i for i in range(len(positions)) if i not in read.errors]
        store.save(
            {keys[positions[i]]: read.values[i] for i in good if keys[positions[i]] is not None}
        )
    if len(positions) == len(keys):
        return read
    cut = None if read.cut is None else read.cut[source]
    made = _results(read, len(positions))
    # an error names its own row: the others of its kind are tried on their own
    failed = np.isin(source, list(read.errors))
    failed[positions] = False
    again = np.flatnonzero(failed)
    if len(again):
        source[again] = len(made) + np.arange(len(again))
        made += _results(compute(again), len(again))
    results = [
        known[key] if number < 0 else made[number] for key, number in zip(keys, source, strict=True)
    ]
    errors = {i: result for i, result in enumerate(results) if isinstance(result, RowError)}
    width = max((len(row) for i, row in enumerate(results) if i not in errors), default=0)
    values = np.full((len(keys), width), np.nan, dtype=read.values.dtype)
    for position, row in enumerate(results):
        if position not in errors:
            values[position] = row
    return Read(values, errors, cut)


def _results(read, n_inputs):
    """The values of each input, or its error."""
    return [read.errors[i] if i in read.errors else read.values[i] for i in range(n_inputs)]
