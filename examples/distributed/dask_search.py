"""Run the fits of a grid search on a dask cluster.

    python dask_search.py                          # starts two workers on this machine
    python dask_search.py tcp://scheduler:8786     # uses a running cluster

The workers need the same packages as this process. A task carries only the name of the built-in
model, which each worker finds in its own packages. For a model at a path that all machines share,
set ``embed_model=False``; otherwise each task carries its bytes. Each machine keeps the features of
the frozen encoder in its own folder `memory`.
"""

import sys
import tempfile

import numpy as np
from dask.distributed import Client, LocalCluster
from joblib import parallel_config
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV

from sklearn_dl import TextClassifier

GOOD = ["a fine film", "simply great", "great fun", "a joy to watch", "warm and clever"]
BAD = ["dull and slow", "what a bore", "slow and boring", "a waste of time", "flat and silly"]
TEXTS = [text + more for more in ("", ", said my friend") for text in GOOD + BAD]
LABELS = (["good"] * len(GOOD) + ["bad"] * len(BAD)) * 2


def make_search(memory):
    classifier = TextClassifier(
        max_epochs=1,
        memory=memory,
        # the last digits depend on the number of threads: use the same number everywhere
        n_threads=1,
        random_state=0,
    )
    grid = [
        {"trainable_layers": [0], "C": [0.1, 1.0, 10.0]},
        {"trainable_layers": [1]},
    ]
    return GridSearchCV(classifier, grid, scoring="neg_log_loss", cv=2)


def main(cluster):
    with tempfile.TemporaryDirectory() as memory:
        search = make_search(memory)
        # the workers of a new cluster may still be starting
        with Client(cluster), parallel_config("dask", wait_for_workers_timeout=60):
            search.fit(TEXTS, LABELS)
        local = clone(search).fit(TEXTS, LABELS)

    scores, expected = (s.cv_results_["mean_test_score"] for s in (search, local))
    assert search.best_params_ == local.best_params_
    np.testing.assert_allclose(scores, expected, rtol=0, atol=1e-6)
    print(f"best on dask and on this machine: {search.best_params_}")
    print(f"log loss: {-search.best_score_:.4f}")
    print(f"predictions: {search.predict(['clever and fun', 'so slow'])}")


if __name__ == "__main__":
    if len(sys.argv) > 1:
        main(sys.argv[1])
    else:
        with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster:
            main(cluster)
