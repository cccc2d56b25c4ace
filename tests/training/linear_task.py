"""A task for the fit loop that takes milliseconds: rows of three numbers to a number."""

import numpy as np
import torch

from sklearn_dl.training._training_loop import Settings, trained_tensors

N_ROWS = 20


def settings(**changes):
    values = {
        "max_epochs": 3,
        "batch_size": 4,
        "learning_rate": 0.05,
        "weight_decay": 0.01,
        "warmup_ratio": 0.1,
        "max_grad_norm": 1.0,
        "n_iter_no_change": 3,
        "tol": 1e-4,
        "precision": "float32",
        "seed": 0,
    }
    return Settings(**values | changes)


def network(*layers):
    """The same numbers each time; `layers` are put into the middle."""
    with torch.random.fork_rng([]):
        torch.manual_seed(0)
        return torch.nn.Sequential(torch.nn.Linear(3, 4), *layers, torch.nn.Linear(4, 1))


class LinearTask:
    """Squared errors; `seen` has the rows of each batch."""

    def __init__(self, net=None, weights=None, rows=None):
        X = np.random.default_rng(0).normal(size=(N_ROWS, 3)).astype(np.float32)
        X = X if rows is None else X[rows]
        self.network = net or network()
        self.X = torch.from_numpy(X)
        self.y = self.X @ torch.tensor([1.0, -2.0, 3.0])
        self.lengths = np.ones(len(X), dtype=np.int64)
        self.weights = np.ones(len(X)) if weights is None else np.asarray(weights, dtype=float)
        self.seen = []

    def losses(self, rows, rng):
        self.seen.append(rows)
        return (self.network(self.X[rows])[:, 0] - self.y[rows]) ** 2


class Told:
    """A watcher that calls ``after_epoch(history)``, and notes what it is told before."""

    def __init__(self, after_epoch=lambda history: False):
        self.after_epoch = after_epoch
        self.begun, self.batches = [], []

    def begin_epoch(self, n_batches, n_rows_done):
        self.begun.append((n_batches, n_rows_done))

    def after_batch(self, n_rows):
        self.batches.append(n_rows)


def tensors_of(net):
    return {name: tensor.clone() for name, tensor in trained_tensors(net).items()}


def same_bits(first, second):
    return first.keys() == second.keys() and all(torch.equal(first[k], second[k]) for k in first)
