"""Tokenizers have threads of their own: all or none of them work."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from sklearn_dl.text import _tokenizer
from sklearn_dl.text._tokenizer import may_use_own_threads


@pytest.mark.parametrize(
    ("variables", "least"),
    [
        ({}, 6),
        ({"RAYON_NUM_THREADS": "4"}, 4),
        ({"RAYON_NUM_THREADS": "0"}, 6),  # means that it is not set
        ({"RAYON_NUM_THREADS": "1"}, 2),
        ({"LOKY_MAX_CPU_COUNT": "2"}, 8),
        ({"LOKY_MAX_CPU_COUNT": "2", "RAYON_NUM_THREADS": "3"}, 3),
    ],
)
def test_they_work_if_all_of_them_may(monkeypatch, variables, least):
    for name in ("RAYON_NUM_THREADS", "LOKY_MAX_CPU_COUNT"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(_tokenizer, "available_cpus", lambda: 6)
    monkeypatch.setattr(os, "cpu_count", lambda: 8)
    assert not may_use_own_threads(least - 1)
    assert may_use_own_threads(least)


READS = """
import sys
from pathlib import Path
import numpy as np
import psutil
from sklearn_dl.models._folder import find_folder
from sklearn_dl.text._text_network import load_tokenizer
from sklearn_dl.text._windows import read_windows
from tests.text.tiny_encoders import tiny_bert

tokenizer = load_tokenizer(find_folder(str(tiny_bert(Path(sys.argv[1]) / "bert"))), 32)
columns = [np.array(["a good film"] * 100, dtype=object)]
before = psutil.Process().num_threads()
for n_threads in (2, 4):
    tokenizer.encode(columns, n_threads)
    read_windows(tokenizer, columns, 8, n_threads)
    print(psutil.Process().num_threads() - before)
"""


@pytest.mark.slow
def test_only_those_threads_start_that_may_work(tmp_path):
    variables = {"RAYON_NUM_THREADS": "4", "PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run(
        [sys.executable, "-c", READS, tmp_path],
        env=os.environ | variables,
        capture_output=True,
        text=True,
        timeout=200,
    )
    assert done.stdout.split() == ["0", "4"], done.stderr
