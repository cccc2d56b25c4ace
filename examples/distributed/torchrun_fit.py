"""Share one fit among several processes that torchrun starts.

    OMP_NUM_THREADS=8 torchrun --nproc-per-node 2 torchrun_fit.py classifier.joblib

Each process runs this whole script with the same rows. `fit` divides each batch among the
processes, and all of them end with the same weights. The first process writes the file, which any
process can load. A process computes in ``OMP_NUM_THREADS`` threads; without this variable, torchrun
sets it to 1. With several machines, add torchrun's ``--nnodes`` and ``--rdzv-endpoint``.
"""

import os
import sys

import joblib

from sklearn_dl import TextClassifier

GOOD = ["a fine film", "simply great", "great fun", "a joy to watch", "warm and clever"]
BAD = ["dull and slow", "what a bore", "slow and boring", "a waste of time", "flat and silly"]
TEXTS = [text + more for more in ("", ", said my friend") for text in GOOD + BAD]
LABELS = (["good"] * len(GOOD) + ["bad"] * len(BAD)) * 2


def make_classifier():
    return TextClassifier(
        trainable_layers=1, max_epochs=2, batch_size=4, precision="float32", random_state=0
    )


if __name__ == "__main__":
    classifier = make_classifier().fit(TEXTS, LABELS)
    if os.environ.get("RANK", "0") == "0":
        joblib.dump(classifier, sys.argv[1])
        print(f"loss of each epoch: {classifier.history_['train_loss']}")
