"""Share one fit among several executors of Spark, with Spark's TorchDistributor.

    python spark_fit.py spark://127.0.0.1:7077

Each executor runs `train` with the same rows. `fit` divides each batch among the executors, and all
of them end with the same weights. The first executor returns its classifier to this process. The
executors need the same packages as this process (``PYSPARK_PYTHON`` names their Python). On one
machine, use torchrun: with ``local_mode=True``, all processes write their results to the same file
at the same time, and may damage it.
"""

import sys

import numpy as np
from pyspark.ml.torch.distributor import TorchDistributor
from pyspark.sql import SparkSession

from sklearn_dl import TextClassifier

GOOD = ["a fine film", "simply great", "great fun", "a joy to watch", "warm and clever"]
BAD = ["dull and slow", "what a bore", "slow and boring", "a waste of time", "flat and silly"]
TEXTS = [text + more for more in ("", ", said my friend") for text in GOOD + BAD]
LABELS = (["good"] * len(GOOD) + ["bad"] * len(BAD)) * 2
OTHERS = ["clever and fun", "so slow"]


def train(texts, labels):
    classifier = TextClassifier(
        trainable_layers=1, max_epochs=2, batch_size=4, precision="float32", random_state=0
    )
    return classifier.fit(texts, labels)


def main():
    distributor = TorchDistributor(num_processes=2, local_mode=False, use_gpu=False)
    classifier = distributor.run(train, TEXTS, LABELS)

    alone = train(TEXTS, LABELS)
    print(f"loss of each epoch: {classifier.history_['train_loss']}")
    print(f"in one process: {alone.history_['train_loss']}")
    print(f"predictions: {classifier.predict(OTHERS)}")
    assert (classifier.predict(OTHERS) == alone.predict(OTHERS)).all()
    # not the same weights: each process draws its own dropout
    np.testing.assert_allclose(
        classifier.predict_proba(OTHERS), alone.predict_proba(OTHERS), atol=0.05
    )


if __name__ == "__main__":
    builder = SparkSession.builder.master(sys.argv[1]).config("spark.ui.enabled", "false")
    spark = builder.getOrCreate()
    spark.sparkContext.setLogLevel("ERROR")
    main()
    spark.stop()
