"""Equal inputs of a network, and those whose values are kept, are computed once."""

import numpy as np

from sklearn_dl.training._rows import Read


def computed_once(keys, compute, store=None):
    """What a network makes of inputs, of which some may be equal, or known from earlier calls.

    Parameters
    ----------
    keys : sequence of hashable or None
        Equal inputs have equal keys; None: of an input that is like no other.
    compute : callable(places) -> Read
        What the network makes of the inputs at some places (int ndarray).
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
    places: list = []
    for place, key in enumerate(keys):
        if key in known:
            continue
        number = len(places) if key is None else firsts.setdefault(key, len(places))
        source[place] = number
        if number == len(places):
            places.append(place)
    read = compute(np.array(places)) if places else Read(np.empty((0, 0)), {})
    if store is not None:
        good = [i for i in range(len(places)) if i not in read.errors]
        store.save({keys[places[i]]: read.values[i] for i in good if keys[places[i]] is not None})
    if len(places) == len(keys):
        return read
    rows = [*read.values, *known.values()]
    width = max(map(len, rows), default=0)
    values = np.full((len(keys), width), np.nan, dtype=rows[0].dtype if rows else np.float32)
    if read.values.shape[1]:
        values[source >= 0] = read.values[source[source >= 0]]
    for place in np.flatnonzero(source < 0).tolist():
        values[place] = known[keys[place]]
    errors = {places[i]: error for i, error in read.errors.items()}
    # an error names its own row: the others of its kind are tried on their own
    failed = np.isin(source, list(read.errors))
    failed[list(errors)] = False
    if failed.any():
        again = np.flatnonzero(failed)
        tried = compute(again)
        if tried.values.shape[1]:
            values[again] = tried.values
        errors |= {int(again[i]): error for i, error in tried.errors.items()}
    return Read(values, errors, None if read.cut is None else read.cut[source])
