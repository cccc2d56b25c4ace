"""Fits of two processes, for test_processes.py: what each process saw goes to a folder.

torchrun starts them with this file; two forked children call `run`.
"""

import json
import os
import shutil
import sys
from pathlib import Path

import accelerate
import numpy as np
import torch
from safetensors.torch import save_file

from sklearn_dl import ImageClassifier, ObjectDetector, TextClassifier, TextRegressor
from sklearn_dl.training import _training_loop
from sklearn_dl.training._checkpoint import Checkpoint
from sklearn_dl.training._classes import Classes
from sklearn_dl.training._numbers import Numbers
from sklearn_dl.training._task import Task
from sklearn_dl.training._training_loop import trained_tensors
from sklearn_dl.vision.detection._head import DetectionHead
from tests.training.reviews import LABELS, TEXTS
from tests.vision.backbones import SIZE, colored_images, versioned_module
from tests.vision.detection.drawn_squares import QUICK, drawn_images, small_maps

losses, save, step = Task.losses, Checkpoint.save, _training_loop._Run.step
initial_head, fit_head_of_classes = Classes.initial_head, Classes.fit_head
start_numbers = Numbers.start
standardise = DetectionHead.standardise
seen, n_saved, results = [], [], {}


def recorded_losses(self, rows, rng):
    seen.append(rows.tolist())
    return losses(self, rows, rng)


def recorded_save(self, *args):
    n_saved.append(None)
    return save(self, *args)


def state():
    return {
        "environment": {**os.environ},
        "threads": torch.get_num_threads(),
        "torch": torch.get_rng_state().tolist(),
        "group": torch.distributed.is_initialized(),
        "accelerate": bool(accelerate.PartialState._shared_state),
    }


def fit(encoder, place, name, texts=TEXTS[:19], labels=LABELS[:19], **params):
    rank, folder = place
    seen.clear()
    n_saved.clear()
    before = state()
    fixed = {"max_length": 16, "batch_size": 3, "learning_rate": 1e-3, "precision": "float32"}
    classifier = TextClassifier(encoder, **fixed | {"max_epochs": 2, "random_state": 0} | params)
    result = {"error": None}
    try:
        classifier.fit(texts, labels)
    except (ValueError, InterruptedError) as error:
        result["error"] = str(error)
    else:
        if params.get("trainable_layers") != 0:
            weights = trained_tensors(classifier._predictor.network.live)
            save_file(weights, folder / f"{name}-{rank}.safetensors")
        result["history"] = {k: v for k, v in classifier.history_.items() if "second" not in k}
        result["probabilities"] = classifier.predict_proba(TEXTS).tolist()
        result["best_epoch"] = classifier.best_epoch_
    after = state()
    changed = [key for key in before if before[key] != after[key]]
    results[name] = {**result, "seen": seen[:], "n_saved": len(n_saved), "changed": changed}


def interrupted_step(self, *args):
    if self.progress.epoch == 1 and self.progress.batch == 2:
        raise InterruptedError("killed")
    return step(self, *args)


def fit_images(rows, name, **params):
    fixed = {"image_size": SIZE, "precision": "float32", "batch_size": 8}
    classifier = ImageClassifier(versioned_module, **fixed | params)
    try:
        classifier.fit(*rows)
    except ValueError as error:
        results[name] = {"error": str(error)}
    else:
        results[name] = {"probabilities": classifier.predict_proba(rows[0]).tolist()}


def other_initial_head(rank):
    """An initial head as another machine may fit it: it differs in each process."""

    def start_head(self, *args):
        head = initial_head(self, *args)
        return head._replace(bias=head.bias + rank)

    return start_head


def other_fitted_head(rank):
    def fit_head(self, *args):
        head = fit_head_of_classes(self, *args)
        return head._replace(weights=head.weights * (1 + rank))

    return fit_head


def other_scale(rank):
    def start(self, *args):
        start_numbers(self, *args)
        self.intercept += rank

    return start


def fit_numbers(encoder, name):
    regressor = TextRegressor(encoder, max_length=16, max_epochs=1, precision="float32")
    regressor.fit(TEXTS[:19], np.arange(19.0))
    results[name] = {"predictions": regressor.predict(TEXTS).tolist()}


def other_standardise(rank):
    def other(self, means, spreads):
        standardise(self, [mean + rank for mean in means], spreads)

    return other


def fit_objects(name, folder, rank, **params):
    rows = drawn_images(7)
    detector = ObjectDetector(small_maps, **QUICK | {"max_epochs": 3} | params)
    detector.fit(*rows)
    state = detector._predictor.network.live.state_dict()
    weights = {name: tensor.contiguous() for name, tensor in state.items()}
    save_file(weights, folder / f"{name}-{rank}.safetensors")
    results[name] = {k: v for k, v in detector.history_.items() if "second" not in k}


def run(encoder, folder):
    rank = int(os.environ["RANK"])
    place = rank, Path(folder)
    checkpoints = Path(folder, "plain"), Path(folder, "killed")
    _training_loop.SECONDS_BETWEEN_CHECKPOINTS = -1
    Task.losses, Checkpoint.save = recorded_losses, recorded_save
    torch.manual_seed(rank)
    fit(encoder, place, "plain", verbose=1, checkpoint_dir=checkpoints[0])
    stopping = {"early_stopping": True, "n_iter_no_change": 1}
    fit(encoder, place, "early stopping", random_state=None, max_epochs=3, **stopping)
    fit(encoder, place, "frozen", trainable_layers=0)
    fit(encoder, place, "other rows", texts=[f"{text} {rank}" for text in TEXTS[:19]])
    _training_loop._Run.step = interrupted_step
    fit(encoder, place, "killed", checkpoint_dir=checkpoints[1])
    _training_loop._Run.step = step
    if rank == 0:
        shutil.copytree(checkpoints[1], Path(folder, "left"))
    fit(encoder, place, "resumed", checkpoint_dir=checkpoints[1])
    rows = colored_images()
    frozen = {"augment": "standard", "random_state": None}
    fit_images(rows, "frozen views", **frozen)
    trained = {"trainable_layers": "all", "max_epochs": 1, "early_stopping": True}
    Classes.initial_head = other_initial_head(rank)
    fit_images(rows, "initial head", random_state=0, **trained)
    Classes.initial_head = initial_head
    darker = [image // (1 + rank) for image in rows[0]]
    fit_images((darker, rows[1]), "other pixels", random_state=0, **trained)
    fit_images((darker, rows[1]), "other frozen pixels", random_state=0)
    Classes.fit_head = other_fitted_head(rank)
    fit_images(rows, "fitted head", random_state=0)
    Classes.fit_head = fit_head_of_classes
    Numbers.start = other_scale(rank)
    fit_numbers(encoder, "scale")
    Numbers.start = start_numbers
    DetectionHead.standardise = other_standardise(rank)
    fit_objects("frozen objects", Path(folder), rank, early_stopping=True, validation_fraction=2)
    fit_objects("objects", Path(folder), rank, trainable_layers="all", random_state=None)
    DetectionHead.standardise = standardise
    results["files"] = [str(path) for checkpoint in checkpoints for path in checkpoint.iterdir()]
    assert np.isfinite(results["plain"]["probabilities"]).all()
    Path(folder, f"{rank}.json").write_text(json.dumps(results))


if __name__ == "__main__":
    run(*sys.argv[1:])
