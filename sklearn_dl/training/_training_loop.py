"""The fit loop: AdamW with linear warm-up and decay, over batches that the seed determines.

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

# within an epoch; what a killed fit loses at most
SECONDS_BETWEEN_CHECKPOINTS = 60.0


class TrainingTask(Protocol):
    """What is trained on which rows.

    Attributes
    ----------
    network : torch.nn.Module
        Its parameters with `requires_grad` are trained, in place.
    lengths : int ndarray of shape (n_rows,)
        Rows of similar length share a batch.
    weights : float ndarray of shape (n_rows,)
        Positive.
    """

    network: torch.nn.Module
    lengths: np.ndarray
    weights: np.ndarray

    def losses(self, rows: np.ndarray, rng: np.random.Generator) -> torch.Tensor:
        """The unweighted loss of each of `rows`; `rng` is for augmentation."""
        ...


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The parameters of `train` that the estimators share, resolved."""

    max_epochs: int
    batch_size: int
    learning_rate: float
    weight_decay: float
    n_iter_no_change: int
    tol: float
    precision: str
    seed: int
    warmup_ratio: float = 0.06
    max_grad_norm: float | None = 1.0


@dataclass
class Progress:
    """How far a fit has come: with the tensors, all that a checkpoint holds."""

    epoch: int = 0
    batch: int = 0
    loss_sum: float = 0.0
    seconds: float = 0.0
    history: list[dict[str, Any]] = field(default_factory=list)
    best_epoch: int = 0
    best: tuple[float, float] = (-math.inf, -math.inf)
    without_improvement: int = 0
    stopped: bool = False


def train(
    task, settings, *, processes=None, evaluate=None, checkpoint=None, after_epoch=None, first=0
):
    """Train ``task.network`` in place.

    Parameters
    ----------
    task : TrainingTask
    settings : Settings
    processes : of `training_processes`, default=None
        Each batch is shared out to them.
    evaluate : callable() -> (loss, score), default=None
        On rows held out, after each epoch. The network ends with the weights of the epoch with
        the highest score (among equals the lowest loss), and training stops when the score has
        not risen by `tol` for `n_iter_no_change` epochs.
    checkpoint : Checkpoint, default=None
        Where to go on from, and to save to.
    after_epoch : callable(history) -> bool, default=None
        Called after each epoch with all records so far; True stops.
    first : int, default=0
        Epochs of earlier fits that this one goes on from: batches are drawn after theirs.

    Returns
    -------
    history : list of dict
        A record per epoch.
    best_epoch : int
        From 1; that whose weights are kept.

    Raises
    ------
    ValueError
        If the loss or its gradient is not finite.
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
        task.network.train()
        for index in range(progress.batch, len(batches)):
            started = time.perf_counter()
            rate = _learning_rate(settings, progress.epoch * len(batches) + index, n_steps)
            progress.loss_sum += run.step(batches[index], rate, [settings.seed, epoch, index])
            progress.batch = index + 1
            progress.seconds += time.perf_counter() - started
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
        if after_epoch is not None:
            task.network.eval()
            wanted = bool(after_epoch(progress.history)) if processes.rank == 0 else None
            progress.stopped |= processes.from_first(wanted)
        run.save()
    task.network.eval()
    run.take_best()
    for module in task.network.modules():
        if isinstance(module, LookupTable):
            module.release_gradient()
    return progress.history, progress.best_epoch or first + progress.epoch


def _learning_rate(settings, step, n_steps):
    warmup = math.ceil(settings.warmup_ratio * n_steps)
    if step < warmup:
        return settings.learning_rate * (step + 1) / warmup
    return settings.learning_rate * (n_steps - step) / max(1, n_steps - warmup)


def trained_tensors(network):
    """The tensors of a network that training changes: trainable parameters, saved buffers."""
    frozen = {name for name, p in network.named_parameters() if not p.requires_grad}
    return {name: t for name, t in network.state_dict().items() if name not in frozen}


def _are_finite(tensors):
    """Whether each tensor holds neither NaN nor infinity.

    A finite sum is that of finite numbers, and many times faster to have than `isfinite` of each:
    only where it is not, they are looked at.
    """
    sums = torch.stack([tensor.detach().sum(dtype=torch.float32) for tensor in tensors])
    finite = sums.isfinite().tolist()
    return [
        known or bool(tensor.isfinite().all())
        for known, tensor in zip(finite, tensors, strict=True)
    ]


class _Run:
    """The optimiser, the best weights so far, and the checkpoint."""

    def __init__(self, task, settings, processes, checkpoint):
        self.task, self.settings, self.processes = task, settings, processes
        self.parameters = [p for p in task.network.parameters() if p.requires_grad]
        # a pretrained table may hold NaN in rows that no text reads
        self.sound = list(compress(self.parameters, _are_finite(self.parameters)))
        self.device = self.parameters[0].device
        # matrices decay; biases and the weights of normalisations do not
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

    def step(self, rows, learning_rate, seeds):
        """One step on the batch `rows`; returns its weighted sum of losses."""
        task, processes = self.task, self.processes
        mine = rows[processes.rank :: processes.count]
        rng = np.random.default_rng([*seeds, processes.rank])
        seed_dropout(self.device, int(rng.integers(2**63)))
        weighted = torch.zeros((), device=self.device)
        if len(mine):
            with autocast(self.settings.precision, self.device):
                losses = task.losses(mine, rng)
            weights = torch.as_tensor(task.weights[mine], dtype=torch.float32, device=self.device)
            weighted = (losses.float() * weights).sum()
            # a weight of 2 counts as two rows, whatever the other rows of the batch weigh
            (weighted / (len(rows) * self.mean_weight)).backward()
        processes.sum_gradients(self.parameters)
        loss = sum(processes.gather(weighted.item()))
        norm = torch.nn.utils.clip_grad_norm_(
            self.parameters, self.settings.max_grad_norm or math.inf
        )
        if not math.isfinite(loss) or not math.isfinite(norm):
            batch = self.progress.batch + 1
            raise self._diverged(f"The loss is {loss:g} and its gradient's norm {norm:g}", batch)
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate
        self.optimizer.step()
        self.optimizer.zero_grad()
        return loss

    def check_weights(self):
        """Raise a ValueError if a step has left a weight that is not finite."""
        if self.sound and not all(_are_finite(self.sound)):
            raise self._diverged("Weights are infinite or NaN", self.progress.batch)

    def _diverged(self, what, batch):
        return ValueError(
            f"{what} in epoch {self.progress.epoch + 1}, batch {batch}: "
            f"lower learning_rate={self.settings.learning_rate:g}, or set max_grad_norm or "
            "precision='float32'."
        )

    def compare(self, epoch, loss, score):
        """Keep the weights if this epoch is the best; stop if nothing has become better."""
        progress = self.progress
        improved = score > progress.best[0] + self.settings.tol
        progress.without_improvement = 0 if improved else progress.without_improvement + 1
        if (score, -loss) > tuple(progress.best):
            progress.best, progress.best_epoch = (score, -loss), epoch
            self.best = {k: t.clone() for k, t in trained_tensors(self.task.network).items()}
        progress.stopped = progress.without_improvement >= self.settings.n_iter_no_change

    def take_best(self):
        if self.best:
            self.task.network.load_state_dict(self.best, strict=False)

    def save_now_and_then(self):
        if time.monotonic() - self.saved > SECONDS_BETWEEN_CHECKPOINTS:
            self.save()

    def save(self):
        self.saved = time.monotonic()
        if self.checkpoint is None or self.processes.rank != 0:
            return
        tensors = {f"network/{k}": t for k, t in trained_tensors(self.task.network).items()}
        tensors |= {f"best/{k}": t for k, t in self.best.items()}
        for number, state in self.optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer/{number}/{k}": t for k, t in state.items()}
        self.checkpoint.save(asdict(self.progress), tensors)

    def _restore(self, facts, tensors):
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
                # the fused optimiser takes for granted that strides are the parameter's
                tensor = torch.empty_like(parameter, dtype=tensor.dtype).copy_(tensor)
            state.setdefault(int(number), {})[key] = tensor
        groups = self.optimizer.state_dict()["param_groups"]
        self.optimizer.load_state_dict({"state": state, "param_groups": groups})
