"""Run the fits of a grid search on Ray.

    python ray_search.py                    # starts Ray with two CPUs on this machine
    python ray_search.py 127.0.0.1:6379     # uses a running cluster

The workers need the same packages as this process. A task carries only the name of the built-in
model, which each worker finds in its own packages. For a model at a path that all machines share,
set ``embed_model=False``; otherwise each task carries its bytes. Each machine keeps the features of
the frozen encoder in its own folder `memory`.
"""

import sys
import tempfile

import numpy as np
import ray
from joblib import parallel_config
from ray.util.joblib import register_ray
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline

from sklearn_dl import TextEncoder

GOOD = ["a fine film", "simply great", "great fun", "a joy to watch", "warm and clever"]
BAD = ["dull and slow", "what a bore", "slow and boring", "a waste of time", "flat and silly"]
TEXTS = [text + more for more in ("", ", said my friend") for text in GOOD + BAD]
LABELS = (["good"] * len(GOOD) + ["bad"] * len(BAD)) * 2


def make_search(memory):
    # float32: in bfloat16, an embedding depends slightly on the other texts in its batch
    encoder = TextEncoder(precision="float32", memory=memory)
    pipeline = Pipeline([("encode", encoder), ("classify", LogisticRegression())])
    grid = {"classify__C": [0.1, 1.0, 10.0], "encode__max_length": [16, 128]}
    return GridSearchCV(pipeline, grid, scoring="neg_log_loss", cv=2)


def main():
    register_ray()
    with tempfile.TemporaryDirectory() as memory:
        search = make_search(memory)
        # without n_jobs=-1, all fits run in this process: with Ray, joblib's default is 1
        with parallel_config("ray", n_jobs=-1):
            search.fit(TEXTS, LABELS)
        local = clone(search).fit(TEXTS, LABELS)

    scores, expected = (s.cv_results_["mean_test_score"] for s in (search, local))
    assert search.best_params_ == local.best_params_
    np.testing.assert_allclose(scores, expected, rtol=0, atol=1e-6)
    print(f"best on Ray and on this machine: {search.best_params_}")
    print(f"log loss: {-search.best_score_:.4f}")
    print(f"predictions: {search.predict(['clever and fun', 'so slow'])}")


if __name__ == "__main__":
    if len(sys.argv) > 1:
        ray.init(sys.argv[1])
    else:
        ray.init(num_cpus=2, include_dashboard=False)
    main()
    ray.shutdown()
