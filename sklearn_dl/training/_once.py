"""Equal inputs of a network, and those whose values are kept, are computed once."""

import numpy as np

from sklearn_dl.training._rows import Read
from sklearn_dl.utils._messages import RowError


def computed_once(keys, compute, store=None, *, cuts=False):
    """What a network makes of inputs, of which some may be equal, or known from earlier calls.

    Parameters
    ----------
    keys : sequence of hashable or None
        Equal inputs have equal keys. None: the input is like no other.
    compute : callable(positions) -> Read
        What the network makes of the inputs at some positions (int ndarray).
    store : object with ``load(keys)`` and ``save(values)``, default=None
        Keeps values from call to call: dicts of key to ndarray.
    cuts : bool, default=False
        Whether the store keeps with the values of an input whether it was cut.

    Returns
    -------
    read : Read
        Of all inputs.
    """
    known = {} if store is None else store.load(keys)
    known_cut: dict = {}
    if cuts:
        known_cut = {key: bool(values[-1]) for key, values in known.items()}
        known = {key: values[:-1] for key, values in known.items()}
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
    nothing = Read(np.empty((0, 0), np.float32), {}, np.empty(0, dtype=bool) if cuts else None)
    read = compute(np.array(positions)) if positions else nothing
    if store is not None:
        kept = np.column_stack([read.values, np.asarray(read.cut)]) if cuts else read.values
        good = [i for i in range(len(positions)) if i not in read.errors]
        store.save({keys[positions[i]]: kept[i] for i in good if keys[positions[i]] is not None})
    if len(positions) == len(keys):
        return read
    cut = None
    if read.cut is not None:
        pairs = zip(keys, source, strict=True)
        cut = np.array([known_cut[key] if i < 0 else read.cut[i] for key, i in pairs])
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
