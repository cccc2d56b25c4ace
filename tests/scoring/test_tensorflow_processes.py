"""TensorFlowScorer in other processes: pickles, threads, what is imported and what is printed.

To import TensorFlow takes seconds, so one process (tensorflow_child.py) does what most of these
tests look at.
"""

import json
import os
import pickle
import shutil
import subprocess
import sys
from multiprocessing import get_context
from pathlib import Path

import cloudpickle
import joblib
import numpy as np
import pytest
from numpy.testing import assert_array_equal
from sklearn.base import clone

from sklearn_dl import TensorFlowScorer
from tests.scoring.tensorflow_models import (
    MODEL_FILES,
    affine,
    frozen,
    keras_model,
    relu,
    save_model,
    tf,
    v1,
)
from tests.training.children import in_child

pytestmark = pytest.mark.slow

X = np.arange(12, dtype=np.float32).reshape(4, 3) - 5
IN_MEMORY = {"in memory, embedded": True, "in memory, not embedded": False}
BY_PATH = ["path", "cloudpickle"]


def six_layers():
    """Enough work to keep several CPUs busy."""
    x = v1.placeholder(tf.float32, (None, 1024), name="x")
    for i in range(6):
        x = tf.nn.relu(tf.matmul(x, tf.fill((1024, 1024), 0.01 * (i + 1))))
    tf.identity(x, name="y")


def make_pickles(folder):
    """Pickled methods by name, and by the same name what they give in this process."""
    pickles, expected = {}, {}
    for kind in MODEL_FILES:
        scorer = TensorFlowScorer(save_model(kind, folder / "gone"))
        expected[kind] = scorer.transform(X)
        data = pickle.dumps(scorer)
        shutil.rmtree(folder / "gone")
        pickles[kind] = pickle.dumps(pickle.loads(data).transform)
    for name, embed in IN_MEMORY.items():
        scorer = TensorFlowScorer(keras_model(), embed_model=embed)
        expected[name] = scorer.transform(X)
        pickles[name] = pickle.dumps(scorer.transform)
    by_path = TensorFlowScorer(affine(folder / "kept"), embed_model=False)
    expected |= dict.fromkeys(BY_PATH, by_path.transform(X))
    pickles["path"] = pickle.dumps(by_path.transform)
    pickles["cloudpickle"] = cloudpickle.dumps(by_path.transform)  # as joblib sends it
    return pickles, expected


@pytest.fixture(scope="module")
def child(tmp_path_factory):
    """What the process printed, what it saw, what it computed, and what it should have."""
    folder = tmp_path_factory.mktemp("child")
    pickles, expected = make_pickles(folder)
    for name, data in pickles.items():
        (folder / f"{name}.pkl").write_bytes(data)
    np.save(folder / "X.npy", X)
    frozen(folder / "layers.pb", six_layers)
    ran = subprocess.run(
        [sys.executable, str(Path(__file__).with_name("tensorflow_child.py")), str(folder)],
        capture_output=True,
        text=True,
        env={name: value for name, value in os.environ.items() if not name.startswith("TF_")},
    )
    assert ran.returncode == 0, ran.stderr
    seen = json.loads((folder / "seen.json").read_text())
    results = {name: np.load(folder / f"{name}.npy") for name in pickles}
    return (ran.stdout, ran.stderr), seen, results, expected


@pytest.mark.parametrize("name", [*MODEL_FILES, *IN_MEMORY, *BY_PATH])
def test_a_pickle_gives_the_same_in_another_process(child, name):
    _, _, results, expected = child
    assert_array_equal(results[name], expected[name])


def test_the_screen_stays_clean(child):
    printed, _, _, _ = child
    assert printed == ("", "")


def test_tensorflow_is_not_imported_before_its_use(child):
    _, seen, _, _ = child
    assert not seen["imported too early"]


def test_one_thread_uses_no_more_than_one_cpu(child):
    _, seen, _, _ = child
    assert seen["cpus"] < 1.2


def test_without_tensorflow_the_error_names_what_to_install(tmp_path, monkeypatch):
    scorer = TensorFlowScorer(frozen(tmp_path / "model.pb", relu()))
    monkeypatch.setitem(sys.modules, "tensorflow", None)
    with pytest.raises(
        ImportError,
        match=r'TensorFlowScorer needs tensorflow: pip install "sklearn-dl\[tensorflow\]"',
    ):
        scorer.transform(X)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_child_raises_and_does_not_hang(tmp_path):
    scorer = TensorFlowScorer(frozen(tmp_path / "model.pb", relu()))
    scorer.transform(X)

    def work():
        with pytest.raises(RuntimeError, match="spawn or loky"):
            scorer.transform(X)
        with pytest.raises(RuntimeError, match="spawn or loky"):
            clone(scorer).fit(X)

    assert in_child(work) == 0


@pytest.mark.parametrize("embed", [True, False])
def test_workers_of_joblib_and_a_spawned_pool_give_the_same(tmp_path, embed):
    scorer = TensorFlowScorer(affine(tmp_path / "model"), embed_model=embed)
    expected = scorer.transform(X)
    results = joblib.Parallel(n_jobs=2)(joblib.delayed(scorer.transform)(X) for _ in range(2))
    for result in results:
        assert_array_equal(result, expected)
    with get_context("spawn").Pool(1) as pool:
        assert_array_equal(pool.apply(scorer.transform, (X,)), expected)
