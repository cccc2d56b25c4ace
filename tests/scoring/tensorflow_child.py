"""Run by test_tensorflow_processes.py in a process of its own; what it saw goes to its folder."""

import json
import pickle
import sys
import time
from pathlib import Path

import numpy as np

from sklearn_dl import TensorFlowScorer


def cpus_while_scoring(scorer):
    """CPU seconds per second, with all threads of this process."""
    rows = np.ones((1024, 1024), np.float32)
    scorer.transform(rows)
    started, used = time.perf_counter(), time.process_time()
    for _ in range(4):
        scorer.transform(rows)
    return (time.process_time() - used) / (time.perf_counter() - started)


def run(folder):
    scorer = TensorFlowScorer(str(folder / "layers.pb"), n_threads=1)
    seen = {"imported too early": "tensorflow" in sys.modules}
    # first: TensorFlow makes the threads of its operations once in a process
    seen["cpus"] = cpus_while_scoring(scorer)
    X = np.load(folder / "X.npy")
    for path in folder.glob("*.pkl"):
        transform = pickle.loads(path.read_bytes())
        np.save(path.with_suffix(".npy"), transform(X))
    (folder / "seen.json").write_text(json.dumps(seen))


if __name__ == "__main__":
    run(Path(sys.argv[1]))
