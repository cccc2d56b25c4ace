import math

import numpy as np
import pytest
import torch

from sklearn_dl.training._training_loop import _learning_rate, train, trained_tensors
from tests.training.linear_task import (
    N_ROWS,
    LinearTask,
    Told,
    network,
    same_bits,
    settings,
    tensors_of,
)


def trained(task=None, *, evaluate=None, watcher=None, first=0, **changes):
    """The tensors, the history and the best epoch of a fit."""
    task = task or LinearTask()
    history, best_epoch = train(
        task, settings(**changes), evaluate=evaluate, watcher=watcher, first=first
    )
    return tensors_of(task.network), history, best_epoch


def scripted(task, *scores):
    """An `evaluate` that gives `scores` (or pairs of loss and score), and the weights it saw."""
    pairs = iter([score if isinstance(score, tuple) else (1.0, score) for score in scores])
    seen = []

    def evaluate():
        assert not task.network.training
        seen.append(tensors_of(task.network))
        return next(pairs)

    return evaluate, seen


@pytest.fixture
def gradient_norms(monkeypatch):
    """Norms of the gradients that the optimiser gets, one a step."""
    norms, step = [], torch.optim.AdamW.step

    def recorded(self, *args):
        gradients = [p.grad for group in self.param_groups for p in group["params"]]
        norms.append(float(torch.nn.utils.get_total_norm(gradients)))
        return step(self, *args)

    monkeypatch.setattr(torch.optim.AdamW, "step", recorded)
    return norms


@pytest.mark.slow
def test_training_finds_the_weights_of_a_linear_function():
    task = LinearTask(torch.nn.Linear(3, 1))
    _, history, _ = trained(task, max_epochs=150, weight_decay=0.0, max_grad_norm=None)
    np.testing.assert_allclose(task.network.weight.detach(), [[1, -2, 3]], atol=0.02)
    assert history[-1]["train_loss"] < 0.01 < 1 < history[0]["train_loss"]


@pytest.mark.parametrize(
    ("warmup_ratio", "rates"),
    [
        (0.0, [8, 7, 6, 5, 4, 3, 2, 1]),
        (0.25, [4, 8, 8, 8 * 5 / 6, 8 * 4 / 6, 4, 8 * 2 / 6, 8 / 6]),
        (1.0, [1, 2, 3, 4, 5, 6, 7, 8]),
    ],
)
def test_the_learning_rate_rises_and_falls_linearly(warmup_ratio, rates):
    with_these = settings(learning_rate=8.0, warmup_ratio=warmup_ratio)
    assert [_learning_rate(with_these, step, 8) for step in range(8)] == pytest.approx(rates)


def test_the_history_has_a_row_per_epoch():
    task = LinearTask()
    _, history, best_epoch = trained(task, max_epochs=2, warmup_ratio=0.0, learning_rate=0.05)
    assert [row["epoch"] for row in history] == [1, 2]
    assert [row["learning_rate"] for row in history] == pytest.approx([0.05 * 0.6, 0.05 * 0.1])
    for row in history:
        assert row["examples_per_second"] == pytest.approx(N_ROWS / row["seconds"])
    assert best_epoch == 2
    assert not task.network.training


def test_the_training_loss_is_the_weighted_mean_over_the_epoch():
    weights = np.arange(1, N_ROWS + 1)
    task = LinearTask(weights=weights)
    with torch.no_grad():
        expected = np.average(task.losses(np.arange(N_ROWS), None).numpy(), weights=weights)
    _, history, _ = trained(task, max_epochs=1, learning_rate=1e-9)
    assert history[0]["train_loss"] == pytest.approx(expected, rel=1e-5)


def test_every_row_is_seen_once_an_epoch_and_later_fits_draw_other_batches():
    first, second = LinearTask(), LinearTask()
    trained(first, max_epochs=2)
    trained(second, max_epochs=1, first=1)
    assert sorted(np.concatenate(first.seen[:5])) == list(range(N_ROWS))
    assert [rows.tolist() for rows in first.seen[5:]] == [rows.tolist() for rows in second.seen]


def test_integer_weights_mean_repeated_rows():
    weights = np.random.default_rng(0).integers(1, 5, N_ROWS)
    whole = {"batch_size": 100, "max_epochs": 8, "max_grad_norm": None}
    weighted, history, _ = trained(LinearTask(weights=weights), **whole)
    repeated = LinearTask(rows=np.repeat(np.arange(N_ROWS), weights))
    repeated, history_repeated, _ = trained(repeated, **whole)
    plain, _, _ = trained(LinearTask(), **whole)
    for name in weighted:
        torch.testing.assert_close(weighted[name], repeated[name], rtol=1e-4, atol=1e-5)
    assert not torch.allclose(weighted["0.weight"], plain["0.weight"], rtol=1e-2)
    losses, losses_repeated = (
        [row["train_loss"] for row in rows] for rows in (history, history_repeated)
    )
    assert losses == pytest.approx(losses_repeated, rel=1e-4)


def test_integer_weights_give_the_gradient_of_repeated_rows(gradient_norms):
    weights = np.random.default_rng(0).integers(1, 5, N_ROWS)
    once = {"batch_size": 100, "max_epochs": 1, "max_grad_norm": None}
    trained(LinearTask(weights=weights), **once)
    trained(LinearTask(rows=np.repeat(np.arange(N_ROWS), weights)), **once)
    trained(LinearTask(), **once)
    weighted, repeated, plain = gradient_norms
    assert weighted == pytest.approx(repeated, rel=1e-5)
    assert weighted != pytest.approx(plain, rel=1e-2)


def test_the_scale_of_the_weights_does_not_matter():
    weights = np.random.default_rng(0).random(N_ROWS) + 0.1
    first, _, _ = trained(LinearTask(weights=weights))
    scaled, _, _ = trained(LinearTask(weights=weights * 1024))
    assert same_bits(first, scaled)


@pytest.mark.parametrize(("max_grad_norm", "clipped"), [(None, False), (1e6, False), (0.5, True)])
def test_gradients_are_scaled_down_to_max_grad_norm(gradient_norms, max_grad_norm, clipped):
    trained(max_grad_norm=max_grad_norm, max_epochs=1)
    assert all(norm == pytest.approx(0.5, rel=1e-4) for norm in gradient_norms) == clipped
    assert max(gradient_norms) <= 0.5001 or not clipped


@pytest.mark.parametrize("target", [math.inf, math.nan])
def test_a_loss_that_is_not_finite_names_the_learning_rate(target):
    task = LinearTask()
    task.y[7] = target
    with pytest.raises(ValueError, match=r"in epoch 1, batch \d: lower learning_rate=0\.05\.$"):
        trained(task)
    with pytest.raises(ValueError, match=r"=0\.05, or set max_grad_norm=1\.0\.$"):
        trained(task, max_grad_norm=None)
    with pytest.raises(ValueError, match=r"=0\.05, or set precision='float32'\.$"):
        trained(task, precision="bfloat16")


def test_gradients_that_are_not_finite_in_the_last_step_are_no_result():
    class Overflowing(LinearTask):
        def losses(self, rows, rng):
            # of 0: the loss is 0, its gradient is infinite
            return super().losses(rows, rng) + (self.network[2].bias * 0).abs().sqrt().sum()

    task = Overflowing(network(torch.nn.Identity()))
    with pytest.raises(ValueError, match="lower learning_rate"):
        trained(task, max_epochs=1, batch_size=N_ROWS)


def test_the_best_epoch_is_kept():
    task = LinearTask()
    evaluate, seen = scripted(task, 0.5, 0.8, 0.7, 0.6, 0.9)
    tensors, history, best_epoch = trained(
        task, evaluate=evaluate, max_epochs=4, n_iter_no_change=9
    )
    assert best_epoch == 2
    assert same_bits(tensors, seen[1])
    assert not same_bits(seen[1], seen[3])
    assert [row["validation_score"] for row in history] == [0.5, 0.8, 0.7, 0.6]
    assert [row["validation_loss"] for row in history] == [1.0] * 4


@pytest.mark.parametrize(
    ("scores", "n_iter_no_change", "n_epochs"),
    [
        ([0.5, 0.4, 0.4, 0.4, 0.4], 1, 2),
        ([0.5, 0.4, 0.4, 0.4, 0.4], 3, 4),
        ([0.5, 0.4, 0.6, 0.4, 0.4], 2, 5),
        # less than tol does not count as an improvement, tol or more does
        ([0.5, 0.505, 0.5, 0.5, 0.5], 2, 3),
        ([0.5, 0.52, 0.51, 0.51, 0.5], 3, 5),
    ],
)
def test_training_stops_when_the_score_rises_no_longer(scores, n_iter_no_change, n_epochs):
    task = LinearTask()
    evaluate, _ = scripted(task, *scores)
    _, history, _ = trained(
        task, evaluate=evaluate, max_epochs=5, n_iter_no_change=n_iter_no_change, tol=0.01
    )
    assert len(history) == n_epochs


def test_an_improvement_below_tol_is_kept_all_the_same():
    task = LinearTask()
    evaluate, seen = scripted(task, 0.5, 0.505)
    tensors, _, best_epoch = trained(task, evaluate=evaluate, max_epochs=2, tol=0.01)
    assert best_epoch == 2
    assert same_bits(tensors, seen[1])


def test_among_equal_scores_the_lowest_loss_is_best():
    task = LinearTask()
    evaluate, seen = scripted(task, (0.9, 0.5), (0.3, 0.5), (0.6, 0.5))
    tensors, _, best_epoch = trained(task, evaluate=evaluate)
    assert best_epoch == 2
    assert same_bits(tensors, seen[1])


def test_the_best_epoch_counts_from_the_first_fit():
    task = LinearTask()
    evaluate, _ = scripted(task, 0.5, 0.4, 0.3)
    _, history, best_epoch = trained(task, evaluate=evaluate, first=4)
    assert [row["epoch"] for row in history] == [5, 6, 7]
    assert best_epoch == 5


def test_buffers_belong_to_the_best_epoch():
    task = LinearTask(network(torch.nn.BatchNorm1d(4)))
    evaluate, _ = scripted(task, 0.5, 0.8, 0.6)
    tensors, _, _ = trained(task, evaluate=evaluate)
    assert tensors["1.num_batches_tracked"] == 10
    assert "1.running_mean" in tensors


def test_only_matrices_decay():
    class Flat(LinearTask):
        def losses(self, rows, rng):
            return super().losses(rows, rng) * 0

    task = Flat(network(torch.nn.LayerNorm(4)))
    before = tensors_of(task.network)
    after, _, _ = trained(
        task, weight_decay=0.5, learning_rate=0.1, batch_size=N_ROWS, max_epochs=1
    )
    for name, tensor in after.items():
        kept = 1 - 0.1 * 0.5 if tensor.ndim > 1 else 1.0
        torch.testing.assert_close(tensor, before[name] * kept)


def test_frozen_parameters_stay_and_are_not_among_the_trained():
    task = LinearTask()
    task.network[0].requires_grad_(False)
    before = {name: tensor.clone() for name, tensor in task.network.state_dict().items()}
    trained(task)
    assert trained_tensors(task.network).keys() == {"1.weight", "1.bias"}
    for name, tensor in task.network.state_dict().items():
        assert torch.equal(tensor, before[name]) == name.startswith("0.")


def test_after_epoch_gets_the_history_and_stops_training():
    task, told = LinearTask(), []

    def after_epoch(history):
        assert not task.network.training
        told.append([row["epoch"] for row in history])
        return len(history) == 2

    _, history, best_epoch = trained(task, watcher=Told(after_epoch), max_epochs=5)
    assert told == [[1], [1, 2]]
    assert best_epoch == len(history) == 2


def test_a_watcher_is_told_of_each_epoch_and_batch():
    told = Told()
    trained(watcher=told, max_epochs=2, batch_size=10)
    n_batches = -(-N_ROWS // 10)
    assert told.begun == [(n_batches, 0), (n_batches, N_ROWS)]
    assert len(told.batches) == 2 * n_batches
    assert sum(told.batches) == 2 * N_ROWS


def test_a_constant_learning_rate():
    _, history, _ = trained(max_epochs=2, is_constant=True)
    assert [row["learning_rate"] for row in history] == [settings().learning_rate] * 2


def test_the_same_seed_gives_the_same_bits_whatever_was_drawn_before():
    def fit(seed):
        return trained(LinearTask(network(torch.nn.Dropout())), seed=seed)[0]

    with torch.random.fork_rng([]):
        first = fit(0)
        torch.rand(5)
        assert same_bits(first, fit(0))
        assert not same_bits(first, fit(1))


def test_dropout_differs_from_step_to_step():
    class Watching(LinearTask):
        def losses(self, rows, rng):
            drawn.append(torch.rand(1).item())
            augmented.append(rng.random())
            return super().losses(rows, rng)

    drawn, augmented = [], []
    with torch.random.fork_rng([]):
        trained(Watching())
    assert len(set(drawn)) == len(set(augmented)) == 15
