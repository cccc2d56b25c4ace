"""Compute the values of equal inputs once, and only if a store does not have them."""

import numpy as np

from sklearn_dl.training._rows import Read
from sklearn_dl.utils._messages import RowError


def computed_once(keys, compute, store=None, *, cuts=False, done=None):
    """Compute the values of all inputs; compute equal inputs only once.

    Parameters
    ----------
    keys : sequence of hashable or None
        The key of each input. Equal inputs have equal keys. None: the input is always computed, and
        not stored.
    compute : callable(positions) -> Read
        Computes the inputs at some positions (int ndarray).
    store : object with ``load(keys)`` and ``save(values)``, default=None
        Keeps values for later calls, as a dict of key to ndarray. Values that the store has are
        not computed.
    cuts : bool, default=False
        Whether the Reads have `cut`. If so, the store keeps `cut` as the last value of each input.
    done : callable(n_inputs) or None, default=None
        Called with the number of inputs that need not be computed.

    Returns
    -------
    read : Read
        The values and errors of all inputs.
    """
    known = {} if store is None else store.load(keys)
    known_cut: dict = {}
    if cuts:
        known_cut = {key: bool(values[-1]) for key, values in known.items()}
        known = {key: values[:-1] for key, values in known.items()}
    # for each input, the index of its result in `made`; -1 if the result is in `known`
    source = np.full(len(keys), -1)
    firsts: dict = {}
    positions: list = []
    for position, key in enumerate(keys):
        if key in known:
            continue
        index = len(positions) if key is None else firsts.setdefault(key, len(positions))
        source[position] = index
        if index == len(positions):
            positions.append(position)
    if done is not None:
        done(len(keys) - len(positions))
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
    # an error names its row: compute the duplicates of a failed input again, to get their own
    # errors
    failed = np.isin(source, list(read.errors))
    failed[positions] = False
    again = np.flatnonzero(failed)
    if len(again):
        source[again] = len(made) + np.arange(len(again))
        made += _results(compute(again), len(again))
    results = [
        known[key] if index < 0 else made[index] for key, index in zip(keys, source, strict=True)
    ]
    errors = {i: result for i, result in enumerate(results) if isinstance(result, RowError)}
    width = max((len(row) for i, row in enumerate(results) if i not in errors), default=0)
    values = np.full((len(keys), width), np.nan, dtype=read.values.dtype)
    for position, row in enumerate(results):
        if position not in errors:
            values[position] = row
    return Read(values, errors, cut)


def _results(read, n_inputs):
    """For each input of a Read, its values or its error."""
    return [read.errors[i] if i in read.errors else read.values[i] for i in range(n_inputs)]
