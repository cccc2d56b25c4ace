"""Run the fits of a grid search on Spark's executors.

    python spark_search.py                           # local mode: threads of one machine
    python spark_search.py spark://127.0.0.1:7077    # uses a running cluster

The executors need the same packages as this process (``PYSPARK_PYTHON`` names their Python). A task
carries only the name of the built-in model, which each executor finds in its own packages. For a
model at a path that all machines share, set ``embed_model=False``; otherwise each task carries its
bytes. Each machine keeps the features of the frozen encoder in its own folder `memory`.
"""

import os
import sys
import tempfile

import numpy as np
from joblib import parallel_config
from joblibspark import register_spark
from pyspark.sql import SparkSession
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


def main():
    register_spark()
    with tempfile.TemporaryDirectory() as memory:
        search = make_search(memory)
        # without n_jobs=-1, one task runs at a time: with Spark, joblib's default is 1
        with parallel_config("spark", n_jobs=-1):
            search.fit(TEXTS, LABELS)
        local = clone(search).fit(TEXTS, LABELS)

    scores, expected = (s.cv_results_["mean_test_score"] for s in (search, local))
    assert search.best_params_ == local.best_params_
    np.testing.assert_allclose(scores, expected, rtol=0, atol=1e-6)
    print(f"best on Spark and on this machine: {search.best_params_}")
    print(f"log loss: {-search.best_score_:.4f}")
    print(f"predictions: {search.predict(['clever and fun', 'so slow'])}")


if __name__ == "__main__":
    if len(sys.argv) == 1:
        # otherwise Spark also listens on the network
        os.environ.setdefault("SPARK_LOCAL_IP", "127.0.0.1")
    master = sys.argv[1] if len(sys.argv) > 1 else "local[2]"
    spark = SparkSession.builder.master(master).config("spark.ui.enabled", "false").getOrCreate()
    spark.sparkContext.setLogLevel("ERROR")
    # joblib's backend fails while no executor has registered; a job waits for the first one
    spark.sparkContext.parallelize([0], 1).count()
    main()
    spark.stop()
