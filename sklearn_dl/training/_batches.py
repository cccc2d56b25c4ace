"""Draw batches and validation rows at random.

The result depends only on the arguments: with the same seed, the same rows are drawn.
"""

import numpy as np

# the rows of at most this number of batches are sorted by length together
_BATCHES_PER_GROUP = 50


def epoch_batches(lengths, batch_size, seed, epoch):
    """The batches of one epoch: each row is in one batch, together with rows of similar length.

    Parameters
    ----------
    lengths : int ndarray of shape (n_rows,)
        The length of each row. If all are equal, the batches are drawn at random.
    batch_size, seed, epoch : int

    Returns
    -------
    batches : list of int ndarray
        The positions of the rows of each batch. If the number of rows is not a multiple of
        `batch_size`, one batch is smaller than the others.
    """
    rng = np.random.default_rng([seed, epoch])
    order = rng.permutation(len(lengths))
    # at least four groups: if all rows were sorted together, each epoch would have the same batches
    n_batches = min(_BATCHES_PER_GROUP, max(1, len(order) // (4 * batch_size)))
    batches = []
    for start in range(0, len(order), batch_size * n_batches):
        group = order[start : start + batch_size * n_batches]
        group = group[np.argsort(lengths[group], kind="stable")]
        batches += [group[i : i + batch_size] for i in range(0, len(group), batch_size)]
    return [batches[i] for i in rng.permutation(len(batches))]


def split_rows(n_rows, fraction, seed, strata=None):
    """Split rows into rows to train on and rows that are held out for validation.

    About the same share of the rows of each stratum is held out.

    Parameters
    ----------
    n_rows : int
    fraction : float or int
        Share (float) or number (int) of the rows to hold out.
    seed : int
    strata : int ndarray of shape (n_rows,) or None
        The stratum of each row, at least 0. At least one row of each stratum is trained on.

    Returns
    -------
    train, held_out : int ndarray
        Positions of the rows, in ascending order.

    Raises
    ------
    ValueError
        If no row would be trained on, or none would be held out.
    """
    order = np.random.default_rng([seed, n_rows]).permutation(n_rows)
    candidates = order
    if strata is not None:
        candidates = order[np.argsort(strata[order], kind="stable")]
        candidates = candidates[np.diff(strata[candidates], prepend=-1) == 0]
    wanted = fraction if isinstance(fraction, (int, np.integer)) else round(fraction * n_rows)
    wanted = min(max(1, wanted), len(candidates))
    # candidates are ordered by stratum: evenly spaced candidates are in proportion to the strata
    positions = ((np.arange(wanted) + 0.5) * len(candidates) / max(wanted, 1)).astype(int)
    held_out = np.sort(candidates[positions])
    train = np.setdiff1d(np.arange(n_rows), held_out)
    if not len(held_out) or not len(train):
        raise ValueError(
            f"validation_fraction={fraction} of {n_rows} rows leaves {len(train)} to train on and "
            f"{len(held_out)} to validate with: change it, pass more rows, or pass X_val and y_val."
        )
    return train, held_out


def some_positions(n_rows, seed, most):
    """Positions of at most `most` of `n_rows` rows, drawn at random."""
    return np.random.default_rng([seed, 1]).permutation(n_rows)[:most]
