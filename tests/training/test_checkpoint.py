import json
import os
from pathlib import Path

import pytest
import torch

from sklearn_dl.runtimes.torch._device import torch_settings
from sklearn_dl.training import _checkpoint, _training_loop
from sklearn_dl.training._checkpoint import Checkpoint
from sklearn_dl.training._training_loop import train
from tests.training.children import die, die_at_call, in_child
from tests.training.linear_task import LinearTask, Told, network, same_bits, settings, tensors_of

pytestmark = [
    pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork and SIGKILL"),
    pytest.mark.usefixtures("one_thread"),
]

IDENTITY = {"data": "0f", "seed": 3}
TENSORS = {
    "network/weight": torch.arange(6, dtype=torch.float32).reshape(2, 3),
    "optimizer/0/step": torch.tensor(7.0),
    "network/half": torch.ones(3, dtype=torch.bfloat16),
}
FACTS = {"epoch": 2, "best": (0.1 + 0.2, float("-inf")), "history": [{"train_loss": 1 / 3}]}


@pytest.fixture
def saved(tmp_path):
    checkpoint = Checkpoint(tmp_path, IDENTITY)
    assert checkpoint.load() is None
    checkpoint.save(FACTS, TENSORS)
    return checkpoint


def small_fit(folder=None, task=None, **changes):
    """Tensors, history without times, best epoch. Its state is in the network's buffers too."""
    task = task or LinearTask(network(torch.nn.BatchNorm1d(4), torch.nn.Dropout()))

    def evaluate():
        epoch = int(task.network[1].num_batches_tracked) // 5
        return 1.0, [0.5, 0.8, 0.7, 0.6, 0.55][epoch - 1]

    checkpoint = folder and Checkpoint(folder, IDENTITY)
    with torch_settings(), torch.random.fork_rng([]):
        history, best_epoch = train(
            task,
            settings(**{"max_epochs": 5, "n_iter_no_change": 2} | changes),
            evaluate=evaluate,
            checkpoint=checkpoint,
        )
    for row in history:
        del row["seconds"], row["examples_per_second"]
    return tensors_of(task.network), history, best_epoch


@pytest.fixture(scope="module")
def whole():
    """The results of a fit that is not killed."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LOKY_MAX_CPU_COUNT", "1")
        return small_fit()


def test_what_was_saved_is_loaded_bit_for_bit(saved):
    facts, tensors = saved.load()
    assert facts == json.loads(json.dumps(FACTS))
    assert same_bits(tensors, TENSORS)
    assert tensors["network/half"].dtype == torch.bfloat16
    assert sorted(saved.folder.iterdir()) == [saved.path]


def test_a_folder_that_is_not_there_is_made(tmp_path):
    checkpoint = Checkpoint(tmp_path / "a" / "b", IDENTITY)
    assert checkpoint.load() is None
    checkpoint.save(FACTS, TENSORS)
    assert checkpoint.path.exists()


def test_the_last_save_counts_and_remove_leaves_nothing(saved):
    saved.save({"epoch": 3}, {"network/weight": torch.zeros(2)})
    assert saved.load()[0] == {"epoch": 3}
    saved.remove()
    assert saved.load() is None
    assert not list(saved.folder.iterdir())


def test_a_write_that_fails_leaves_the_one_before(saved, monkeypatch):
    def full(tensors, path, metadata):
        Path(path).write_bytes(b"part")
        raise OSError("no space left on device")

    monkeypatch.setattr(_checkpoint, "save_file", full)
    with pytest.raises(OSError, match="no space left"):
        saved.save({"epoch": 3}, {})
    assert saved.load()[0]["epoch"] == 2
    assert sorted(saved.folder.iterdir()) == [saved.path]


@pytest.mark.parametrize(
    ("other", "difference"),
    [
        ({"data": "1a", "seed": 3}, "different data"),
        ({"data": "0f", "seed": 4}, "different seed"),
        ({"data": "1a", "seed": 4}, "different data, seed"),
        ({"data": "0f", "seed": 3, "start": "2b"}, "different start"),
        ({"data": "0f"}, "different seed"),
    ],
)
def test_the_checkpoint_of_another_fit_is_refused_by_name(saved, other, difference):
    with pytest.raises(ValueError, match=rf"belongs to another fit \({difference}\)") as error:
        Checkpoint(saved.folder, other).load()
    assert str(saved.path) in str(error.value)
    assert saved.load()[0]["epoch"] == 2


@pytest.mark.slow
def test_no_byte_of_a_checkpoint_can_change_unnoticed(saved):
    whole = saved.path.read_bytes()
    for place in range(len(whole)):
        for flipped in (1, 32):
            damaged = bytearray(whole)
            damaged[place] ^= flipped
            saved.path.write_bytes(damaged)
            try:
                facts, tensors = saved.load()
            except ValueError as error:
                assert f"{saved.path}, which is damaged" in str(error)  # noqa: PT017
            else:
                # white space between the parts of the header
                assert facts == json.loads(json.dumps(FACTS))
                assert same_bits(tensors, TENSORS)


@pytest.mark.parametrize("kept", [0.0, 0.001, 0.5, 0.99])
def test_a_truncated_checkpoint_is_refused_by_name(saved, kept):
    whole = saved.path.read_bytes()
    saved.path.write_bytes(whole[: int(kept * len(whole))])
    with pytest.raises(ValueError, match="is damaged: remove it") as error:
        saved.load()
    assert str(saved.path) in str(error.value)


def test_a_damaged_checkpoint_of_another_fit_is_refused_as_damaged(saved):
    saved.path.write_bytes(saved.path.read_bytes()[:-1])
    with pytest.raises(ValueError, match="is damaged: remove it"):
        Checkpoint(saved.folder, {"data": "1a"}).load()


def test_leftovers_of_a_killed_writer_are_removed(saved):
    Path(saved.folder, f".{saved.path.name}.1234").write_bytes(b"part")
    Path(saved.folder, "notes.txt").write_text("mine")
    assert saved.load()[0]["epoch"] == 2
    assert {path.name for path in saved.folder.iterdir()} == {saved.path.name, "notes.txt"}


def test_a_checkpoint_changes_nothing(tmp_path):
    plain, with_checkpoint = small_fit(), small_fit(tmp_path)
    assert same_bits(plain[0], with_checkpoint[0])
    assert plain[1:] == with_checkpoint[1:]
    # the score rises to epoch 2, then falls twice
    assert [row["epoch"] for row in plain[1]] == [1, 2, 3, 4]
    assert plain[2] == 2


class DyingTask(LinearTask):
    def __init__(self, step):
        super().__init__(network(torch.nn.BatchNorm1d(4), torch.nn.Dropout()))
        self.losses = die_at_call(step, self.losses)


@pytest.mark.slow
@pytest.mark.parametrize("every_step", [True, False])
@pytest.mark.parametrize("step", [1, 7, 10, 19])
def test_a_fit_killed_in_mid_epoch_ends_as_if_it_had_not_been(
    tmp_path, monkeypatch, whole, step, every_step
):
    monkeypatch.setattr(_training_loop, "SECONDS_BETWEEN_CHECKPOINTS", -1 if every_step else 1e9)
    assert in_child(lambda: small_fit(tmp_path, DyingTask(step))) == -9
    rest = LinearTask(network(torch.nn.BatchNorm1d(4), torch.nn.Dropout()))
    resumed = small_fit(tmp_path, rest)
    assert same_bits(resumed[0], whole[0])
    assert resumed[1:] == whole[1:]
    assert len(rest.seen) == 20 - (step if every_step else step // 5 * 5)


def kill_before_the_file_is_written(number):
    _checkpoint.save_file = die_at_call(number, _checkpoint.save_file)


def kill_with_half_of_the_file_written(number):
    save_file, calls = _checkpoint.save_file, []

    def half(tensors, path, metadata):
        save_file(tensors, path, metadata=metadata)
        calls.append(None)
        if len(calls) > number:
            os.truncate(path, os.stat(path).st_size // 2)
            die()

    _checkpoint.save_file = half


def kill_before_the_file_is_in_place(number):
    Path.replace = die_at_call(number, Path.replace)


@pytest.mark.slow
@pytest.mark.parametrize("number", [0, 1, 8, 18])
@pytest.mark.parametrize(
    "kill",
    [
        kill_before_the_file_is_written,
        kill_with_half_of_the_file_written,
        kill_before_the_file_is_in_place,
    ],
    ids=["before", "half", "not in place"],
)
def test_a_fit_killed_while_it_saves_ends_as_if_it_had_not_been(
    tmp_path, monkeypatch, whole, kill, number
):
    monkeypatch.setattr(_training_loop, "SECONDS_BETWEEN_CHECKPOINTS", -1)

    def work():
        kill(number)
        small_fit(tmp_path)

    assert in_child(work) == -9
    resumed = small_fit(tmp_path)
    assert same_bits(resumed[0], whole[0])
    assert resumed[1:] == whole[1:]
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.slow
def test_a_fit_killed_again_and_again_ends_as_if_it_had_not_been(tmp_path, monkeypatch, whole):
    monkeypatch.setattr(_training_loop, "SECONDS_BETWEEN_CHECKPOINTS", -1)
    for _ in range(6):
        assert in_child(lambda: small_fit(tmp_path, DyingTask(3))) == -9
    resumed = small_fit(tmp_path)
    assert same_bits(resumed[0], whole[0])
    assert resumed[1:] == whole[1:]


@pytest.mark.parametrize("stops_at", [2, None])
def test_a_fit_that_was_killed_when_it_had_stopped_does_not_go_on(tmp_path, stops_at):
    def fit(task, checkpoint):
        def after_epoch(history):
            return len(history) == stops_at

        return train(task, settings(), checkpoint=checkpoint, watcher=Told(after_epoch))

    first, again = LinearTask(), LinearTask()
    # train does not remove the file: that is done with the result at hand
    history, best_epoch = fit(first, Checkpoint(tmp_path, IDENTITY))
    assert fit(again, Checkpoint(tmp_path, IDENTITY)) == (history, best_epoch)
    assert best_epoch == (stops_at or 3)
    assert not again.seen
    assert same_bits(tensors_of(first.network), tensors_of(again.network))


def test_the_optimiser_goes_on_with_its_moments(tmp_path, monkeypatch):
    monkeypatch.setattr(_training_loop, "SECONDS_BETWEEN_CHECKPOINTS", -1)
    assert in_child(lambda: small_fit(tmp_path, DyingTask(7))) == -9
    (path,) = tmp_path.iterdir()
    _, tensors = Checkpoint(tmp_path, IDENTITY).load()
    assert tensors["optimizer/0/step"] == 7
    assert tensors["optimizer/0/exp_avg"].abs().sum() > 0
    assert tensors["best/1.num_batches_tracked"] == 5
    assert path.name.startswith("checkpoint-")
