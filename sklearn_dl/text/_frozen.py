"""The features that a head on a frozen encoder reads."""

import numpy as np


def pair_features(embeddings):
    """The features of a head: an embedding; of two, u, v, abs(u - v) and u * v beside each other.

    Parameters
    ----------
    embeddings : list of one or two ndarray of shape (n_samples, width)

    Returns
    -------
    features : float64 ndarray of shape (n_samples, n_features)

    Notes
    -----
    Those of pairs are InferSent's (Conneau et al. 2017).
    """
    parts = [embedding.astype(np.float64) for embedding in embeddings]
    if len(parts) == 2:
        first, second = parts
        parts += [abs(first - second), first * second]
    return np.hstack(parts)
