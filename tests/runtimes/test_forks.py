"""Real forks of processes that have used an estimator: each child must end."""

import os
from pathlib import Path

import pytest

from tests.runtimes.fresh_process import run_fresh


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.parametrize(
    "kind",
    [
        "onnx",
        pytest.param("images", marks=pytest.mark.slow),
        pytest.param("texts", marks=pytest.mark.slow),
        pytest.param("tensorflow", marks=pytest.mark.slow),
    ],
)
def test_forked_children_end(tmp_path, kind):
    run_fresh([Path(__file__).with_name("forking.py"), kind, tmp_path], tmp_path)
