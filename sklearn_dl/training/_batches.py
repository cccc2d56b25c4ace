"""Which rows make which batch: a function of the seed, the epoch and the lengths alone."""

import numpy as np

# rows of this many batches are sorted by length together, at most
_BATCHES_PER_GROUP = 50


def epoch_batches(lengths, batch_size, seed, epoch):
    """The batches of one epoch: each row once, rows of similar length together.

    Parameters
    ----------
    lengths : int ndarray of shape (n_rows,)
        Batches hold rows of similar length; of one length, they are drawn at random.
    batch_size, seed, epoch : int

    Returns
    -------
    batches : list of int ndarray
        Row numbers. All have `batch_size` rows but one, which has the rest.
    """
    rng = np.random.default_rng([seed, epoch])
    order = rng.permutation(len(lengths))
    # at least four groups: sorted as one, the same rows would meet in every epoch
    n_batches = min(_BATCHES_PER_GROUP, max(1, len(order) // (4 * batch_size)))
    batches = []
    for start in range(0, len(order), batch_size * n_batches):
        group = order[start : start + batch_size * n_batches]
        group = group[np.argsort(lengths[group], kind="stable")]
        batches += [group[i : i + batch_size] for i in range(0, len(group), batch_size)]
    return [batches[i] for i in rng.permutation(len(batches))]


def split_rows(n_rows, fraction, seed, strata=None):
    """Hold out rows for validation, in proportion from each stratum.

    Parameters
    ----------
    n_rows : int
    fraction : float or int
        Share of the rows, or their number.
    seed : int
    strata : int ndarray of shape (n_rows,) or None
        Not negative. Each stratum keeps a row to train on.

    Returns
    -------
    train, held_out : int ndarray
        Ascending row numbers.

    Raises
    ------
    ValueError
        If one of the two would be empty.
    """
    order = np.random.default_rng([seed, n_rows]).permutation(n_rows)
    candidates = order
    if strata is not None:
        candidates = order[np.argsort(strata[order], kind="stable")]
        candidates = candidates[np.diff(strata[candidates], prepend=-1) == 0]
    wanted = fraction if isinstance(fraction, (int, np.integer)) else round(fraction * n_rows)
    wanted = min(max(1, wanted), len(candidates))
    # evenly spaced in an order of strata: every stratum gets its share
    positions = ((np.arange(wanted) + 0.5) * len(candidates) / max(wanted, 1)).astype(int)
    held_out = np.sort(candidates[positions])
    train = np.setdiff1d(np.arange(n_rows), held_out)
    if not len(held_out) or not len(train):
        raise ValueError(
            f"validation_fraction={fraction} of {n_rows} rows leaves {len(train)} to train on and "
            f"{len(held_out)} to validate with; give X_val and y_val, or more rows."
        )
    return train, held_out


def some_positions(n_rows, seed, most):
    """At most so many of `n_rows` rows, drawn at random."""
    return np.random.default_rng([seed, 1]).permutation(n_rows)[:most]
