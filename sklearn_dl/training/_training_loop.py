"""The training loop: AdamW with linear warm-up and decay, on batches that depend on the seed.

Importing this module imports torch.
"""

import math
import time
from dataclasses import asdict, dataclass, field
from itertools import compress
from typing import Any, Protocol

import numpy as np
import torch

from sklearn_dl.runtimes.torch._device import autocast, seed_dropout
from sklearn_dl.training._batches import epoch_batches
from sklearn_dl.training._lookup_table import LookupTable
from sklearn_dl.training._processes import OneProcess

# a fit that is killed loses at most about this much work
SECONDS_BETWEEN_CHECKPOINTS = 60.0


class TrainingTask(Protocol):
    """What `train` needs: a network, the lengths and weights of rows, and their losses.

    Attributes
    ----------
    network : torch.nn.Module
        Its parameters with `requires_grad` are trained, in place.
    lengths : int ndarray of shape (n_rows,)
        The length of each row: rows of similar length share a batch.
    weights : float ndarray of shape (n_rows,)
        The weight of each row, positive.
    """

    network: torch.nn.Module
    lengths: np.ndarray
    weights: np.ndarray

    def losses(self, positions: np.ndarray, rng: np.random.Generator) -> torch.Tensor:
        """The unweighted losses of the rows at `positions`; `rng` draws their random views."""
        ...


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The parameters of an estimator that `train` needs. "auto" is replaced with a value."""

    max_epochs: int
    batch_size: int
    learning_rate: float
    weight_decay: float
    n_iter_no_change: int
    tol: float
    precision: str
    seed: int
    warmup_ratio: float = 0.06
    is_constant: bool = False  # whether the learning rate is constant
    max_grad_norm: float | None = 1.0


@dataclass
class Progress:
    """How far a fit has come. A checkpoint contains this and the tensors."""

    epoch: int = 0
    batch: int = 0
    loss_sum: float = 0.0
    seconds: float = 0.0
    history: list[dict[str, Any]] = field(default_factory=list)
    best_epoch: int = 0
    best: tuple[float, float] = (-math.inf, -math.inf)
    without_improvement: int = 0
    stopped: bool = False


class Watcher(Protocol):
    """The methods that process 0 calls as the training progresses."""

    def begin_epoch(self, n_batches: int, n_rows_done: int) -> None:
        """An epoch begins, or is resumed. The fit has trained on `n_rows_done` rows so far."""

    def after_batch(self, n_rows: int) -> None:
        """A batch has been computed."""

    def after_epoch(self, history: list[dict[str, Any]]) -> bool:
        """An epoch has ended; `history` has all records so far. Return True to stop training."""
        ...


def train(task, settings, *, processes=None, evaluate=None, checkpoint=None, watcher=None, first=0):
    """Train ``task.network`` in place.

    Parameters
    ----------
    task : TrainingTask
    settings : Settings
    processes : OneProcess or TorchProcesses, default=None
        Each of them computes a part of each batch. None: OneProcess.
    evaluate : callable() -> (loss, score), default=None
        Called after each epoch; returns the loss and the score of the validation rows. In the end,
        the network has the weights of the epoch with the highest score (with equal scores, the
        lowest loss). Training stops when the score has not risen by more than `tol` for
        `n_iter_no_change` epochs.
    checkpoint : Checkpoint, default=None
        The state is saved to it after each epoch, and about once a minute within an epoch. If it
        has a saved state, training is resumed from there.
    watcher : Watcher, default=None
        Its methods are called as the training progresses, in process 0 only. None: nothing is
        called.
    first : int, default=0
        Number of epochs of the earlier fits that this fit continues from. The epochs of this fit
        are numbered from ``first + 1``; these numbers determine their batches.

    Returns
    -------
    history : list of dict
        One record for each epoch.
    best_epoch : int
        Number of the epoch whose weights are kept, counted from 1.

    Raises
    ------
    ValueError
        If the loss, its gradient or a weight is not finite.
    """
    processes = processes or OneProcess()
    run = _Run(task, settings, processes, checkpoint)
    progress = run.progress
    n_rows = len(task.lengths)
    total_weight = float(task.weights.sum())
    while progress.epoch < settings.max_epochs and not progress.stopped:
        epoch = first + progress.epoch
        batches = epoch_batches(task.lengths, settings.batch_size, settings.seed, epoch)
        n_steps = settings.max_epochs * len(batches)
        if watcher is not None:
            n_done = n_rows * progress.epoch + sum(map(len, batches[: progress.batch]))
            watcher.begin_epoch(len(batches), n_done)
        task.network.train()
        for index in range(progress.batch, len(batches)):
            started = time.perf_counter()
            rate = _learning_rate(settings, progress.epoch * len(batches) + index, n_steps)
            progress.loss_sum += run.step(batches[index], rate, [settings.seed, epoch, index])
            progress.batch = index + 1
            progress.seconds += time.perf_counter() - started
            if watcher is not None:
                watcher.after_batch(len(batches[index]))
            run.save_now_and_then()
        last_rate = _learning_rate(settings, (progress.epoch + 1) * len(batches) - 1, n_steps)
        record = {
            "epoch": epoch + 1,
            "train_loss": progress.loss_sum / total_weight,
            "learning_rate": last_rate,
            "seconds": progress.seconds,
            "examples_per_second": n_rows / progress.seconds,
        }
        run.check_weights()
        progress.epoch, progress.batch = progress.epoch + 1, 0
        progress.loss_sum = progress.seconds = 0.0
        if evaluate is not None:
            task.network.eval()
            loss, score = processes.from_first(evaluate() if processes.rank == 0 else None)
            record |= {"validation_loss": loss, "validation_score": score}
            run.compare(epoch + 1, loss, score)
        progress.history.append(record)
        task.network.eval()
        wanted = watcher is not None and bool(watcher.after_epoch(progress.history))
        progress.stopped |= processes.from_first(wanted)
        run.save()
    task.network.eval()
    run.take_best()
    for module in task.network.modules():
        if isinstance(module, LookupTable):
            module.release_gradient()
    return progress.history, progress.best_epoch or first + progress.epoch


def _learning_rate(settings, step, n_steps):
    """The learning rate of a step: a linear rise to `learning_rate`, then a linear fall to 0."""
    if settings.is_constant:
        return settings.learning_rate
    warmup = math.ceil(settings.warmup_ratio * n_steps)
    if step < warmup:
        return settings.learning_rate * (step + 1) / warmup
    return settings.learning_rate * (n_steps - step) / max(1, n_steps - warmup)


def trained_tensors(network):
    """The tensors that training changes, by name: trainable parameters, and buffers."""
    frozen = {name for name, p in network.named_parameters() if not p.requires_grad}
    return {name: t for name, t in network.state_dict().items() if name not in frozen}


def _are_finite(tensors):
    """For each tensor, whether all its numbers are finite: a list of bool.

    If the sum of numbers is finite, all of them are. The sum is many times faster than `isfinite`
    of each number, which is computed only if the sum is not finite.
    """
    sums = torch.stack([tensor.detach().sum(dtype=torch.float32) for tensor in tensors])
    finite = sums.isfinite().tolist()
    return [
        known or bool(tensor.isfinite().all())
        for known, tensor in zip(finite, tensors, strict=True)
    ]


class _Run:
    """The state of a training: the optimiser, the best weights so far, and the checkpoint."""

    def __init__(self, task, settings, processes, checkpoint):
        self.task, self.settings, self.processes = task, settings, processes
        # always with the head last: a network that was loaded with its head lists it first, and the
        # rounding of the gradient's norm depends on the order
        named = dict(task.network.named_parameters())
        names = sorted(named, key=lambda name: name.startswith("head."))
        self.parameters = [named[name] for name in names if named[name].requires_grad]
        # only these are checked: a pretrained table may contain NaN for tokens that no text has
        self.sound = list(compress(self.parameters, _are_finite(self.parameters)))
        self.device = self.parameters[0].device
        # biases and the weights of normalisation layers have no weight decay
        groups: list[dict[str, Any]] = [
            {"params": [p for p in self.parameters if p.ndim > 1]},
            {"params": [p for p in self.parameters if p.ndim <= 1], "weight_decay": 0.0},
        ]
        self.optimizer = torch.optim.AdamW(
            [group for group in groups if group["params"]],
            weight_decay=settings.weight_decay,
            fused=self.device.type in ("cpu", "cuda"),
        )
        self.mean_weight = float(task.weights.mean())
        self.best: dict[str, torch.Tensor] = {}
        self.progress = Progress()
        self.checkpoint = checkpoint
        found = checkpoint.load() if checkpoint is not None else None
        if found is not None:
            self._restore(*found)
        self.saved = time.monotonic()

    def step(self, batch, learning_rate, seeds):
        """Train one step on the rows at positions `batch`; return the weighted sum of losses."""
        task, processes = self.task, self.processes
        mine = batch[processes.rank :: processes.count]
        rng = np.random.default_rng([*seeds, processes.rank])
        seed_dropout(self.device, int(rng.integers(2**63)))
        weighted = torch.zeros((), device=self.device)
        if len(mine):
            with autocast(self.settings.precision, self.device):
                losses = task.losses(mine, rng)
            weights = torch.as_tensor(task.weights[mine], dtype=torch.float32, device=self.device)
            weighted = (losses.float() * weights).sum()
            # divide by the mean weight of all rows: a weight of 2 counts like 2 rows in any batch
            (weighted / (len(batch) * self.mean_weight)).backward()
        processes.sum_gradients(self.parameters)
        loss = sum(processes.gather(weighted.item()))
        norm = torch.nn.utils.clip_grad_norm_(
            self.parameters, self.settings.max_grad_norm or math.inf
        )
        if not math.isfinite(loss) or not math.isfinite(norm):
            what = f"The loss is {loss:g} and the norm of its gradient is {norm:g}"
            raise self._diverged(what, self.progress.batch + 1)
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate
        self.optimizer.step()
        self.optimizer.zero_grad()
        return loss

    def check_weights(self):
        """Raise a ValueError if a weight is no longer finite."""
        if self.sound and not all(_are_finite(self.sound)):
            raise self._diverged("Weights are infinite or NaN", self.progress.batch)

    def _diverged(self, what, batch_number):
        """Return the error for a loss or weights that are not finite."""
        settings = self.settings
        advice = [f"lower learning_rate={settings.learning_rate:g}"]
        # only what is not set yet: image estimators, which have no max_grad_norm, always clip
        if settings.max_grad_norm is None:
            advice.append("set max_grad_norm=1.0")
        if settings.precision != "float32":
            advice.append("set precision='float32'")
        return ValueError(
            f"{what} in epoch {self.progress.epoch + 1}, batch {batch_number}: "
            f"{', or '.join(advice)}."
        )

    def compare(self, epoch, loss, score):
        """Keep the weights if this epoch is the best so far; stop if the score no longer rises."""
        progress = self.progress
        improved = score > progress.best[0] + self.settings.tol
        progress.without_improvement = 0 if improved else progress.without_improvement + 1
        if (score, -loss) > tuple(progress.best):
            progress.best, progress.best_epoch = (score, -loss), epoch
            self.best = {k: t.clone() for k, t in trained_tensors(self.task.network).items()}
        progress.stopped = progress.without_improvement >= self.settings.n_iter_no_change

    def take_best(self):
        """Load the weights of the best epoch into the network, if epochs were evaluated."""
        if self.best:
            self.task.network.load_state_dict(self.best, strict=False)

    def save_now_and_then(self):
        if time.monotonic() - self.saved > SECONDS_BETWEEN_CHECKPOINTS:
            self.save()

    def save(self):
        """Save the checkpoint, if there is one and this is the first process."""
        self.saved = time.monotonic()
        if self.checkpoint is None or self.processes.rank != 0:
            return
        tensors = {f"network/{k}": t for k, t in trained_tensors(self.task.network).items()}
        tensors |= {f"best/{k}": t for k, t in self.best.items()}
        for number, state in self.optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer/{number}/{k}": t for k, t in state.items()}
        self.checkpoint.save(asdict(self.progress), tensors)

    def _restore(self, facts, tensors):
        """Restore the state from the facts and tensors of a checkpoint."""
        self.progress = Progress(**facts)
        kinds: dict[str, dict[str, torch.Tensor]] = {"network": {}, "best": {}, "optimizer": {}}
        for name, tensor in tensors.items():
            kind, _, rest = name.partition("/")
            kinds[kind][rest] = tensor
        self.task.network.load_state_dict(kinds["network"], strict=False)
        self.best = kinds["best"]
        state: dict[int, dict[str, torch.Tensor]] = {}
        parameters = [p for group in self.optimizer.param_groups for p in group["params"]]
        for name, tensor in kinds["optimizer"].items():
            number, _, key = name.partition("/")
            parameter = parameters[int(number)]
            if tensor.shape == parameter.shape:
                # the fused optimiser needs the strides of the parameter
                tensor = torch.empty_like(parameter, dtype=tensor.dtype).copy_(tensor)
            state.setdefault(int(number), {})[key] = tensor
        groups = self.optimizer.state_dict()["param_groups"]
        self.optimizer.load_state_dict({"state": state, "param_groups": groups})
