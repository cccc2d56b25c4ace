"""Overhead of a frozen fit and of a small fit, and memory of a predict on many texts."""

import subprocess
import sys
import time
import warnings
from unittest.mock import patch

import numpy as np

from benchmarks._ratio import compare
from benchmarks._texts import issues
from sklearn_dl import TextClassifier, TextEncoder
from sklearn_dl.text import _text_network
from sklearn_dl.text._tokenizer import Tokenizer
from sklearn_dl.training import _classes
from sklearn_dl.training._head import LinearHead, logistic_head
from sklearn_dl.training._training_loop import _Run

_PREDICT = """
import re, sys
from pathlib import Path
import numpy as np
from sklearn_dl import TextClassifier
texts = np.array([f"text number {i % 1000} of many" for i in range(int(sys.argv[1]))], dtype=object)
fitted = TextClassifier(trainable_layers=1, max_epochs=1).fit(texts[:32], np.arange(32) % 2)
fitted.predict(texts)
# not ru_maxrss, which a child process inherits from its parent
print(int(re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1]) / 1024)
"""


def peak(n):
    ran = subprocess.run(
        [sys.executable, "-c", _PREDICT, str(n)], check=True, capture_output=True, text=True
    )
    return float(ran.stdout)


def run(quick=False):
    warnings.simplefilter("ignore")
    return [_frozen_fit(quick), _small_fit(quick), _memory(quick)]


def _frozen_fit(quick):
    texts, areas = issues("Title", 0)
    n = 100 if quick else 1000
    texts, areas = texts[:n], areas[:n]
    solver_seconds = []

    def timed_head(*args):
        started = time.perf_counter()
        head = logistic_head(*args)
        solver_seconds.append(time.perf_counter() - started)
        return head

    def zero_head(features, codes, n_classes, *args):
        return LinearHead(np.zeros((n_classes, features.shape[1])), np.zeros(n_classes))

    classifier, encoder = TextClassifier(trainable_layers=0), TextEncoder()
    with patch.object(_classes, "logistic_head", timed_head):
        for _ in range(3):
            classifier.fit(texts, areas)
    with patch.object(_classes, "logistic_head", zero_head):
        ratio = compare(
            lambda i: classifier.fit(texts, areas),
            {"embed": lambda i: encoder.transform(texts)},
            3 if quick else 20,
        )["embed"]
    return {
        "what": f"frozen fit of {n} titles but for the solver ({np.median(solver_seconds):.2f} s)",
        "rival": "embedding them",
        "bar": 0.95,
        "ms_each": 1000 * ratio.ours_seconds / n,
        **ratio._asdict(),
    }


def _small_fit(quick):
    texts, codes = np.array([f"a text about {i}" for i in range(16)], dtype=object), [0, 1] * 8
    spent: list = []

    def timed(owner, name):
        original = getattr(owner, name)

        def work(*args, **kwargs):
            started = time.perf_counter()
            try:
                return original(*args, **kwargs)
            finally:
                spent.append(time.perf_counter() - started)

        return patch.object(owner, name, work)

    beyond = []
    with timed(_Run, "step"), timed(_text_network, "load_network"), timed(Tokenizer, "encode"):
        for _ in range(3 if quick else 20):
            spent.clear()
            started = time.perf_counter()
            TextClassifier(random_state=0).fit(texts, codes)
            beyond.append(1000 * (time.perf_counter() - started - sum(spent)))
    middle, worst = np.median(beyond[1:]), max(beyond[1:])
    met = "met" if middle <= 50 else "MISSED"
    return {
        "what": "fit of 16 texts",
        "rival": "its tokenising, loading and steps",
        "text": f"{middle:+.0f} ms (median; worst {worst:+.0f}; at most +50: {met})",
    }


def _memory(quick):
    runs = 1 if quick else 3
    few, many = [peak(20_000) for _ in range(runs)], [peak(200_000) for _ in range(runs)]
    # the texts themselves and their labels
    texts = 180_000 * (sys.getsizeof("text number 123 of many") + 2 * 8) / 2**20
    above = max(many) - min(few) - texts
    met = "met" if above <= 100 else "MISSED"
    return {
        "what": "peak resident memory, predict of 200,000 short texts, without the texts",
        "rival": f"20,000 ({min(few):.0f} MB)",
        "text": f"{above:+.0f} MB (worst of {runs} runs each; at most +100: {met})",
    }
