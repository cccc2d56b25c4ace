"""Share one fit among several workers of Ray, with Ray Train's TorchTrainer.

    python ray_fit.py                    # starts Ray with two CPUs on this machine
    python ray_fit.py 127.0.0.1:6379     # uses a running cluster

Each worker runs `train` with the same rows. `fit` divides each batch among the workers, and all of
them end with the same weights. The first worker saves the fitted classifier in a checkpoint, below
a folder that all machines share, and this process loads it from there.
"""

import sys
import tempfile
from pathlib import Path

import joblib
import numpy as np
import ray
from ray.train import Checkpoint, RunConfig, ScalingConfig, get_context, report
from ray.train.torch import TorchTrainer

from sklearn_dl import TextClassifier

GOOD = ["a fine film", "simply great", "great fun", "a joy to watch", "warm and clever"]
BAD = ["dull and slow", "what a bore", "slow and boring", "a waste of time", "flat and silly"]
TEXTS = [text + more for more in ("", ", said my friend") for text in GOOD + BAD]
LABELS = (["good"] * len(GOOD) + ["bad"] * len(BAD)) * 2
OTHERS = ["clever and fun", "so slow"]


def make_classifier():
    return TextClassifier(
        trainable_layers=1, max_epochs=2, batch_size=4, precision="float32", random_state=0
    )


def train():
    classifier = make_classifier().fit(TEXTS, LABELS)
    with tempfile.TemporaryDirectory() as folder:
        checkpoint = None
        if get_context().get_world_rank() == 0:
            joblib.dump(classifier, Path(folder, "classifier.joblib"))
            checkpoint = Checkpoint.from_directory(folder)
        # every worker must report
        report({"train_loss": classifier.history_["train_loss"][-1]}, checkpoint=checkpoint)


def main(shared_folder):
    trainer = TorchTrainer(
        train,
        # a worker computes in as many threads as it has CPUs
        scaling_config=ScalingConfig(num_workers=2, resources_per_worker={"CPU": 1}),
        run_config=RunConfig(storage_path=shared_folder),
    )
    with trainer.fit().checkpoint.as_directory() as folder:
        classifier = joblib.load(Path(folder, "classifier.joblib"))

    alone = make_classifier().fit(TEXTS, LABELS)
    print(f"loss of each epoch: {classifier.history_['train_loss']}")
    print(f"in one process: {alone.history_['train_loss']}")
    print(f"predictions: {classifier.predict(OTHERS)}")
    assert (classifier.predict(OTHERS) == alone.predict(OTHERS)).all()
    # not the same weights: each process draws its own dropout
    np.testing.assert_allclose(
        classifier.predict_proba(OTHERS), alone.predict_proba(OTHERS), atol=0.05
    )


if __name__ == "__main__":
    if len(sys.argv) > 1:
        ray.init(sys.argv[1])
    else:
        ray.init(num_cpus=2, include_dashboard=False)
    with tempfile.TemporaryDirectory() as folder:
        main(folder)
    ray.shutdown()
