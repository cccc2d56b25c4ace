"""Compute the feature maps of rows, and store them in the temporary file of a fit."""

import numpy as np

from sklearn_dl.training._rows import Read
from sklearn_dl.vision._image_rows import digest_or_none
from sklearn_dl.vision.detection._maps import StoredMaps, flattened

# rows whose maps are looked up in `memory` at once
_ROWS_AT_ONCE = 64


def stored_maps(source, file, rows, where, store):
    """Compute the maps of rows and write them to the file.

    Parameters
    ----------
    source : MapSource
    file : MapsFile
    rows : DetectionRows
    where : Where
        Resolved.
    store : FeatureStore or None
        Maps that it has are not computed again; the others are saved in it. None: all maps are
        computed.

    Returns
    -------
    read : Read
        Its values are StoredMaps.
    """
    starts = np.full(len(rows), -1, dtype=np.int64)
    stored = StoredMaps(file, starts, rows.canvases, source.sizes.pairs)
    if store is None:
        return Read(stored, _compute(source, rows, np.arange(len(rows)), stored, where))
    errors: dict = {}
    for start in range(0, len(rows), _ROWS_AT_ONCE):
        positions = np.arange(start, min(start + _ROWS_AT_ONCE, len(rows)))
        keys = [_key(rows, position, store) for position in positions.tolist()]
        known = store.load(keys)
        is_known = np.array([key in known for key in keys])
        for position, key in zip(positions.tolist(), keys, strict=True):
            if key in known:
                starts[position] = file.write(known[key])
        if where.done is not None:
            where.done(np.count_nonzero(is_known))
        missing = positions[~is_known]
        if not len(missing):
            continue
        errors |= _compute(source, rows.take(missing), missing, stored, where)
        store.save(
            {
                key: stored.flat(position)
                for position, key in zip(positions.tolist(), keys, strict=True)
                if key is not None and key not in known and starts[position] >= 0
            }
        )
    return Read(stored, errors)


def _compute(source, rows, numbers, stored, where):
    """Write the maps of rows to the file; return their errors.

    `numbers` are the positions of the rows in `stored`. The keys of the errors are such positions.
    """

    def keep(positions, maps):
        for i, position in enumerate(positions.tolist()):
            flat = flattened([level[i] for level in maps])
            stored.starts[numbers[position]] = stored.file.write(flat)

    errors = source.compute(rows, where, keep)
    return {int(numbers[position]): error for position, error in errors.items()}


def _key(rows, position, store):
    """The key of the maps of a row in the store; None if the row cannot be read."""
    digest = None if rows.is_unreadable(position) else digest_or_none(rows.on_its_canvas(position))
    return None if digest is None else store.key(digest)
