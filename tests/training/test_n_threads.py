"""The number of busy threads: the user's, torch's own, or that of the CPUs."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from sklearn_dl import (
    ImageClassifier,
    ObjectDetector,
    SentenceSimilarityRegressor,
    TextEncoder,
    TextRegressor,
)
from sklearn_dl.runtimes.torch import _device
from tests.training.reviews import LABELS, TEXTS
from tests.vision.backbones import SIZE, colored_images, versioned_module
from tests.vision.detection.drawn_squares import QUICK, drawn_images, small_maps

PAIRS, NUMBERS = list(zip(TEXTS, TEXTS[::-1], strict=True)), list(range(len(TEXTS)))


@pytest.fixture
def seen(monkeypatch):
    """Threads of torch at each call of an encoder or a convolution."""
    seen = []
    for module in (torch.nn.Embedding, torch.nn.Conv2d):
        forward = module.forward

        def noted(self, *args, forward=forward):
            seen.append(torch.get_num_threads())
            return forward(self, *args)

        monkeypatch.setattr(module, "forward", noted)
    return seen


@pytest.fixture
def four_threads(monkeypatch):
    """As if this machine had four CPUs."""
    monkeypatch.setattr("sklearn_dl.utils._threads._cpu_count", lambda *args: 4)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    before = torch.get_num_threads()
    torch.set_num_threads(4)
    yield
    torch.set_num_threads(before)


def work(kind, make_classifier, n_threads=None):
    """Fit and predict; the estimator."""
    images = {"image_size": SIZE, "precision": "float32", "n_threads": n_threads}
    encoder = make_classifier().model
    texts = {"model": encoder, "max_length": 16, "max_epochs": 1, "n_threads": n_threads}
    if kind == "encoder":
        texts.pop("max_epochs")
        return TextEncoder(**texts).transform(TEXTS)
    if kind == "similarity":
        return SentenceSimilarityRegressor(**texts).fit(PAIRS, NUMBERS).predict(PAIRS)
    if kind == "regressor":
        return TextRegressor(**texts).fit(TEXTS, NUMBERS).predict(TEXTS)
    if kind == "classifier":
        return make_classifier(n_threads=n_threads).fit(TEXTS, LABELS).predict(TEXTS)
    layers = "all" if kind.startswith("trained") else 0
    if kind.endswith("objects"):
        detector = ObjectDetector(small_maps, trainable_layers=layers, n_threads=n_threads, **QUICK)
        X, y = drawn_images(6)
        return detector.fit(X, y).predict(X)
    clf = ImageClassifier(versioned_module, trainable_layers=layers, max_epochs=1, **images)
    X, y = colored_images()
    return clf.fit(X, y).predict(X)


KINDS = [
    "encoder",
    "similarity",
    "regressor",
    "classifier",
    "images",
    "trained images",
    "objects",
    "trained objects",
]


@pytest.mark.slow
@pytest.mark.usefixtures("four_threads")
@pytest.mark.parametrize("kind", KINDS)
def test_n_threads_wins(kind, make_classifier, seen):
    torch.set_num_threads(1)
    work(kind, make_classifier, n_threads=3)
    assert set(seen) == {3}
    assert torch.get_num_threads() == 1


@pytest.mark.usefixtures("four_threads")
@pytest.mark.parametrize("kind", KINDS)
def test_torchs_own_number_is_kept(kind, make_classifier, seen):
    torch.set_num_threads(2)
    work(kind, make_classifier)
    assert set(seen) == {2}
    assert torch.get_num_threads() == 2


@pytest.mark.usefixtures("four_threads")
@pytest.mark.parametrize(
    ("first", "own", "now", "budget"),
    [
        ("1", 1, "2", 2),  # a worker of Ray whose first task had one CPU, and this one two
        ("2", 2, "1", 1),
        ("1", 1, None, 1),
        ("2", 1, "3", 1),  # torch was told so, after it was imported
        (None, 2, "3", 2),
    ],
)
def test_torchs_number_counts_unless_it_is_that_of_an_earlier_task(
    monkeypatch, first, own, now, budget
):
    monkeypatch.setattr(_device, "_omp_at_first", first)
    torch.set_num_threads(own)
    if now is not None:
        monkeypatch.setenv("OMP_NUM_THREADS", now)
    with _device.torch_settings() as n_threads:
        assert n_threads == torch.get_num_threads() == budget
    assert torch.get_num_threads() == own


@pytest.mark.usefixtures("four_threads")
def test_the_number_that_torch_had_before_counts_for_all_threads_of_python():
    torch.set_num_threads(3)
    with _device.torch_settings(n_threads=1) as inner:
        assert inner == 1
        _device._inside.threads = 0  # as another thread of Python begins
        with _device.torch_settings() as other:
            assert other == 3


_CHILD = """
import json, sys, time
import numpy as np
from sklearn_dl import ImageClassifier, TextClassifier
from tests.vision.backbones import mean_color_graph, tiny_folder
texts = np.array(["a fine film of great length " * 8] * 8 + ["dull and slow " * 20] * 8)
texts = np.array([f"{text} {i}" for i, text in enumerate(texts)], dtype=object)
rng = np.random.default_rng(0)
images = list(rng.integers(0, 256, (16, 256, 256, 3), dtype=np.uint8))
labels = [0, 1] * 8
found = {}
works = {
    "texts": lambda: TextClassifier(max_epochs=1).fit(texts, labels).predict(texts),
    "images": lambda: ImageClassifier().fit(images, labels).predict(images),
    "trained images": lambda: ImageClassifier(trainable_layers=1, max_epochs=1).fit(images, labels),
}
for name, work in works.items():
    work()
    started, used = time.perf_counter(), time.process_time()
    while time.perf_counter() - started < 1.0:
        work()
    found[name] = (time.process_time() - used) / (time.perf_counter() - started)
print(json.dumps(found))
"""


@pytest.mark.slow
def test_one_thread_of_openmp_is_one_busy_thread():
    root = Path(__file__).parents[2]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(root)}
    out = subprocess.run(
        [sys.executable, "-c", _CHILD], check=True, env=environment, capture_output=True, text=True
    ).stdout
    cpus = json.loads(out)
    assert sorted(cpus) == ["images", "texts", "trained images"]
    assert np.all(np.array(list(cpus.values())) < 1.15), cpus
