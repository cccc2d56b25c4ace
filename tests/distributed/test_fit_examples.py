"""Fits that two processes share, started by torchrun, Spark and Ray."""

import json
import re
import runpy
import subprocess
import sys

import joblib
import numpy as np
import pytest

from tests.distributed.engines import ENVIRONMENT, EXAMPLES, run_example
from tests.training.test_processes import torchrun

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def by_torchrun(tmp_path_factory):
    """The classifier that the example saves."""
    path = tmp_path_factory.mktemp("torchrun") / "classifier.joblib"
    torchrun(EXAMPLES / "torchrun_fit.py", path)
    return joblib.load(path)


def assert_same_losses(output, classifier):
    losses = json.loads(re.search(r"loss of each epoch: (\[.*?\])", output)[1])
    assert losses == pytest.approx(classifier.history_["train_loss"], rel=1e-5)


def test_a_fit_by_torchrun_resembles_the_fit_of_one_process(by_torchrun):
    example = runpy.run_path(str(EXAMPLES / "torchrun_fit.py"))
    alone = example["make_classifier"]().fit(example["TEXTS"], example["LABELS"])
    others = ["clever and fun", "so slow"]
    # not the same weights: each process draws its own dropout
    np.testing.assert_allclose(
        by_torchrun.predict_proba(others), alone.predict_proba(others), atol=0.05
    )


def test_a_fit_on_spark_is_that_of_torchrun(spark_address, by_torchrun):
    output = run_example("spark_fit.py", spark_address)
    assert_same_losses(output, by_torchrun)
    assert "predictions: ['good' 'bad']" in output


def test_a_fit_on_ray_is_that_of_torchrun(ray_address, by_torchrun):
    output = run_example("ray_fit.py", ray_address)
    assert_same_losses(output, by_torchrun)
    assert "predictions: ['good' 'bad']" in output


def test_accelerate_starts_one_process_on_a_cpu(tmp_path):
    """The command in the guide works."""
    script = tmp_path / "count.py"
    script.write_text("import os\nprint('processes:', os.environ.get('WORLD_SIZE', 'one'))")
    launch = [sys.executable, "-m", "accelerate.commands.launch", "--cpu", "--num_processes", "2"]
    done = subprocess.run(
        [*launch, script], env=ENVIRONMENT, check=True, capture_output=True, text=True, timeout=120
    )
    assert done.stdout.splitlines() == ["processes: one"]
