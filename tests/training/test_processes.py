"""Fits that two processes share: forked from this one always, started by torchrun if slow."""

import json
import os
import re
import runpy
import subprocess
import sys
import traceback
from contextlib import redirect_stderr, redirect_stdout
from itertools import chain
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from sklearn_dl import TextClassifier
from tests.text.tiny_encoders import tiny_bert
from tests.training import distributed_fits
from tests.training.children import in_children
from tests.training.linear_task import same_bits
from tests.training.reviews import LABELS, TEXTS

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
FITS = ["plain", "early stopping", "frozen", "resumed"]
TRAINED = [name for name in FITS if name != "frozen"]
# torch, of one process in many, after the last line of Python has run: seen three times
DIED_WHILE_EXITING = re.compile(
    r"terminate called without an active exception\s.*most recent call first.:\s+<no Python",
    re.S,
)


def torchrun(script, *arguments):
    """What two processes on this machine print; once again if torch dies while a process exits."""
    code, out, err = launched(script, *arguments)
    if code and DIED_WHILE_EXITING.search(err):
        code, out, err = launched(script, *arguments)
    assert code == 0, err
    return out, err


def launched(script, *arguments):
    with subprocess.Popen(
        [*TORCHRUN, script, *map(str, arguments)],
        cwd=ROOT,
        # torchrun sets it to 1 and says so, unless it is set
        env=os.environ
        | {
            "OMP_NUM_THREADS": "1",
            "PYTHONFAULTHANDLER": "1",
            "PYTHONPATH": str(ROOT),
            "PYTHONWARNINGS": "error",
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as launcher:
        try:
            out, err = launcher.communicate(timeout=180)
        except subprocess.TimeoutExpired:
            launcher.terminate()  # with its processes, which a kill would leave
            raise
    return launcher.returncode, out, err


@pytest.fixture(scope="module")
def still_encoder(tmp_path_factory):
    """An encoder without dropout: what is drawn for it depends on the process."""
    return tiny_bert(tmp_path_factory.mktemp("still") / "bert", hidden_dropout_prob=0.0)


def fork_twice(encoder, folder):
    """What two forked children print that know of each other what torchrun would tell them."""
    # as torchrun's agent does, this process keeps the store: one for all fits
    store = torch.distributed.TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
    common = {
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(store.port),
        "TORCHELASTIC_USE_AGENT_STORE": "True",
        "OMP_NUM_THREADS": "1",
    }

    def process(rank):
        def work():
            numbers = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": 2, "LOCAL_WORLD_SIZE": 2}
            os.environ |= common | {name: str(number) for name, number in numbers.items()}
            with (
                (folder / f"out-{rank}").open("w") as out,
                (folder / f"err-{rank}").open("w") as err,
                redirect_stdout(out),
                redirect_stderr(err),
            ):
                os.dup2(out.fileno(), 1)
                os.dup2(err.fileno(), 2)
                try:
                    distributed_fits.run(encoder, folder)
                except BaseException:
                    traceback.print_exc()
                    raise

        return work

    statuses = in_children([process(0), process(1)])
    out, err = (
        "".join((folder / f"{name}-{rank}").read_text() for rank in (0, 1))
        for name in ("out", "err")
    )
    assert statuses == [0, 0], err
    return out, err


@pytest.fixture(
    scope="module",
    params=[
        pytest.param(
            "forked", marks=pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
        ),
        pytest.param("torchrun", marks=pytest.mark.slow),
    ],
)
def run(request, still_encoder, tmp_path_factory):
    """The output, the folder, and what the two processes saw."""
    folder = tmp_path_factory.mktemp("processes")
    if request.param == "forked":
        output = fork_twice(still_encoder, folder)
    else:
        output = torchrun("tests/training/distributed_fits.py", still_encoder, folder)
    return output, folder, [json.loads((folder / f"{rank}.json").read_text()) for rank in (0, 1)]


@pytest.mark.parametrize("name", TRAINED)
def test_the_processes_end_with_equal_weights_and_histories(run, name):
    _, folder, (first, second) = run
    weights = [load_file(folder / f"{name}-{rank}.safetensors") for rank in (0, 1)]
    assert same_bits(*weights)
    assert first[name]["history"] == second[name]["history"]
    assert first[name]["best_epoch"] == second[name]["best_epoch"]


def test_the_processes_share_the_rows_of_each_epoch(run):
    _, _, results = run
    first, second = (result["plain"]["seen"] for result in results)
    # 19 rows in batches of 3: the last one is one row, of which the second process has none
    assert sorted(map(len, first)) == [1] * 2 + [2] * 12
    assert sorted(map(len, second)) == [1] * 12
    for half in (0, 1):
        rows = [*first[half * 7 : half * 7 + 7], *second[half * 6 : half * 6 + 6]]
        assert sorted(chain(*rows)) == list(range(19))


def test_two_processes_train_as_one_does(run, still_encoder):
    _, _, (first, _) = run
    alone = TextClassifier(still_encoder, max_length=16, batch_size=3, learning_rate=1e-3)
    alone.set_params(max_epochs=2, precision="float32", random_state=0).fit(TEXTS[:19], LABELS[:19])
    losses = first["plain"]["history"]["train_loss"]
    assert losses == pytest.approx(alone.history_["train_loss"], rel=1e-3)
    np.testing.assert_allclose(
        first["plain"]["probabilities"], alone.predict_proba(TEXTS), atol=1e-2
    )


def test_early_stopping_stops_all_processes(run):
    _, _, results = run
    first, second = (result["early stopping"]["history"] for result in results)
    assert first["validation_score"] == second["validation_score"]
    assert len(first["epoch"]) <= 3


def test_a_frozen_encoder_gives_each_process_the_same_head(run):
    _, _, (first, second) = run
    assert first["frozen"]["probabilities"] == second["frozen"]["probabilities"]
    assert first["frozen"]["seen"] == []


def test_the_first_process_alone_writes_and_prints(run):
    (out, err), _, (first, second) = run
    # after each of 14 steps and 2 epochs
    assert (first["plain"]["n_saved"], second["plain"]["n_saved"]) == (16, 0)
    assert [line.split(",")[0] for line in out.splitlines()] == [
        "TextClassifier: epoch 1",
        "TextClassifier: epoch 2",
    ]
    # one bar for the features, one for the training
    assert err.count("TextClassifier: features:   0%") == 1
    assert err.count("TextClassifier: training:   0%") == 1


def test_a_fit_of_two_processes_resumes_to_the_same_bits(run):
    _, folder, (first, second) = run
    assert first["killed"]["error"] == second["killed"]["error"] == "killed"
    plain, resumed = (load_file(folder / f"{n}-0.safetensors") for n in ("plain", "resumed"))
    assert same_bits(plain, resumed)
    assert first["resumed"]["history"] == first["plain"]["history"]
    assert len(first["resumed"]["seen"]) == 5
    assert first["files"] == []


def test_processes_with_other_rows_are_refused(run):
    _, _, results = run
    for result in results:
        assert "2 processes of this fit have different data" in result["other rows"]["error"]


@pytest.mark.parametrize("name", ["frozen views", "initial head"])
def test_heads_are_those_of_the_first_process(run, name):
    _, _, (first, second) = run
    assert first[name]["probabilities"] == second[name]["probabilities"]


def test_processes_with_other_pixels_are_refused(run):
    _, _, results = run
    for result in results:
        assert "2 processes of this fit have different data" in result["other pixels"]["error"]


@pytest.mark.parametrize("name", [*FITS, "other rows", "killed"])
def test_a_distributed_fit_leaves_global_state(run, name):
    _, _, results = run
    assert [result[name]["changed"] for result in results] == [[], []]


def test_a_fitted_head_is_that_of_the_first_process(run):
    _, _, (first, second) = run
    assert first["fitted head"]["probabilities"] == second["fitted head"]["probabilities"]


def test_the_scale_of_numbers_is_that_of_the_first_process(run):
    _, _, (first, second) = run
    assert first["scale"]["predictions"] == second["scale"]["predictions"]


def test_frozen_fits_of_other_pixels_are_refused(run):
    _, _, results = run
    for result in results:
        assert (
            "2 processes of this fit have different data" in result["other frozen pixels"]["error"]
        )


def test_processes_without_a_seed_share_the_rows_too(run):
    _, _, results = run
    n_epochs = len(results[0]["early stopping"]["history"]["epoch"])
    # two of 19 rows are held out
    seen = chain(*(chain(*result["early stopping"]["seen"]) for result in results))
    assert sorted(seen) == sorted([*range(17)] * n_epochs)


def test_one_process_does_not_go_on_from_the_checkpoint_of_two(run, still_encoder):
    _, folder, _ = run
    alone = TextClassifier(still_encoder, max_length=16, batch_size=3, learning_rate=1e-3)
    alone.set_params(max_epochs=2, precision="float32", random_state=0)
    alone.set_params(checkpoint_dir=folder / "left")
    with pytest.raises(ValueError, match=r"belongs to another fit \(different processes\)"):
        alone.fit(TEXTS[:19], LABELS[:19])


class LearnsNothing:
    """Stands for the classifier of the example, of which this looks at what it prints."""

    def __init__(self, **params):
        pass

    def fit(self, texts, labels):
        self.n_texts = len(texts)

    def score(self, texts, labels):
        return len(texts) / self.n_texts


@pytest.mark.parametrize("rank", [0, 1])
def test_the_example_prints_in_the_first_process(rank, monkeypatch, capsys):
    monkeypatch.setenv("RANK", str(rank))
    monkeypatch.setattr("sklearn_dl.TextClassifier", LearnsNothing)
    monkeypatch.syspath_prepend(ROOT / "examples")
    runpy.run_path(str(ROOT / "examples" / "distributed_fit.py"))
    said = "180 training sentences, accuracy on 60 others: 0.33\n"
    assert capsys.readouterr() == ("" if rank else said, "")


def test_the_example_prints_once():
    out, _ = torchrun("examples/distributed_fit.py")
    (line,) = out.splitlines()
    assert "180 training sentences, accuracy on 60 others: 0." in line


@pytest.mark.parametrize("name", ["frozen objects", "objects"])
def test_a_detector_starts_with_the_head_of_process_0(run, name):
    """Its maps, and so the numbers that standardise them, may differ between machines."""
    _, folder, (first, second) = run
    assert same_bits(*(load_file(folder / f"{name}-{rank}.safetensors") for rank in (0, 1)))
    assert first[name] == second[name]
    assert first[name]["epoch"] == [1, 2, 3]
