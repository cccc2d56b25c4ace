"""Run as a script: an estimator predicts, the process forks, and the children predict and exit.

They exit as Python programs do, through all that Python and the runtimes' libraries do at the end.
A child that has neither ended nor computed anything for some seconds counts as hanging.
"""

import faulthandler
import os
import signal
import sys
import time
from pathlib import Path

import numpy as np
import psutil

from sklearn_dl import clear_sessions

N_CHILDREN = 12
IDLE = 10  # seconds without work, after which a child counts as hanging
PAUSE = 0.5  # seconds after which the threads of a session no longer spin


def same_in_child(predict):
    """Predict, and return the function that does the same in a child."""
    expected = predict()

    def work():
        np.testing.assert_allclose(predict(), expected, atol=1e-4)
        clear_sessions()

    return work


def onnx(folder):
    from sklearn_dl import OnnxScorer
    from tests.scoring.onnx_graphs import two_layers

    path = folder / "graph.onnx"
    path.write_bytes(two_layers().SerializeToString())
    scorer = OnnxScorer(path, n_threads=2)
    forgotten_by_the_cache = [scorer._session()]
    clear_sessions()
    same = same_in_child(lambda: scorer.transform(np.ones((200, 3), np.float32)))

    def work():
        forgotten_by_the_cache.clear()
        same()

    return work


def images(folder):
    from sklearn_dl import ImageClassifier
    from tests.vision.backbones import colored_images, mean_color_graph

    path = folder / "colors.onnx"
    path.write_bytes(mean_color_graph())
    X, y = colored_images(12)
    classifier = ImageClassifier(path, n_threads=2).fit(X, y)
    # one session with two threads scores few images; two sessions without threads score many
    return same_in_child(lambda: classifier.predict_proba(X[:3]))


def texts(folder):
    import torch

    from sklearn_dl import TextClassifier
    from tests.text.tiny_encoders import tiny_bert

    X = ["a good film", "the bad book"] * 6
    classifier = TextClassifier(str(tiny_bert(folder / "bert")), max_length=16, n_threads=2)
    classifier.fit(X, [0, 1] * 6)
    torch.set_num_threads(2)
    torch.ones(10_000_000).exp().sum()  # enough work to start torch's threads
    return same_in_child(lambda: classifier.predict_proba(X))


def tensorflow(folder):
    from sklearn_dl import TensorFlowScorer
    from tests.scoring.tensorflow_models import affine

    scorer = TensorFlowScorer(affine(folder / "model"), n_threads=2)
    X = np.ones((4, 3), np.float32)
    scorer.transform(X)

    def work():
        try:
            scorer.transform(X)
        except RuntimeError as error:
            if "spawn or loky" in str(error):
                return
        raise AssertionError("TensorFlow must be refused here")

    return work


def start(work):
    """Start a child that calls `work` and exits; returns its process."""
    pid = os.fork()
    if pid:
        return psutil.Process(pid)
    work()
    sys.exit(0)


def wait(children):
    """The exit statuses of children; those that hang say where on stderr, and are killed."""
    statuses, last_work = {}, {}
    while len(statuses) < len(children):
        for child in children:
            if child.pid in statuses:
                continue
            pid, status = os.waitpid(child.pid, os.WNOHANG)
            if pid:
                statuses[pid] = os.waitstatus_to_exitcode(status)
                continue
            now, cpu = time.monotonic(), sum(child.cpu_times()[:2])
            since, before = last_work.get(child.pid, (now, -1))
            last_work[child.pid] = (now, cpu) if cpu > before else (since, before)
            if now > last_work[child.pid][0] + IDLE:
                child.send_signal(signal.SIGUSR1)
                time.sleep(0.5)
                child.kill()
        time.sleep(0.02)
    return list(statuses.values())


if __name__ == "__main__":
    faulthandler.register(signal.SIGUSR1, all_threads=False)
    child_work = globals()[sys.argv[1]](Path(sys.argv[2]))
    time.sleep(PAUSE)
    found = wait([start(child_work) for _ in range(N_CHILDREN)])
    sys.exit(f"exit statuses {found}" if any(found) else 0)
